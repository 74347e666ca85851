//! What the gate is measured against: pingora forwarding every request, with the gate's allocator and buffers and nothing else.
//!
//! `cargo bench --bench bare_pingora -- 127.0.0.1:8090 127.0.0.1:9000` listens on the first address and forwards to the second.
#![expect(clippy::print_stderr, reason = "a tool says how it is called")]

use std::net::SocketAddr;
use std::process::ExitCode;

use async_trait::async_trait;
use mimalloc::MiMalloc;
use pingora_core::Result;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() -> ExitCode {
    // cargo adds an argument of its own.
    let addresses: Vec<SocketAddr> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let [listen, upstream] = addresses[..] else {
        eprintln!("usage: bare_pingora <listen> <upstream>, such as 127.0.0.1:8090 127.0.0.1:9000");
        return ExitCode::from(2);
    };
    let conf = ServerConf { threads: 1, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(upstream));
    let buffers = L4BufferSettings::default().read(8 * 1024);
    service.add_listener(ListenerConfig::tcp(listen.to_string()).l4_buffer(buffers));
    server.add_service(service);
    server.run_forever();
}
