//! The one place that makes an upstream peer: pingora's defaults have no timeouts, so every option that matters is set here.

use std::net::SocketAddr;
use std::time::Duration;

use pingora_core::protocols::ALPN;
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};

use crate::proxy::settings::Upstream;

/// Concurrent exchanges on one HTTP/2 connection; the default of pingora is one.
const H2_STREAMS: usize = 100;
/// How often a silent HTTP/2 connection is asked whether it still lives.
const H2_PING: Duration = Duration::from_secs(30);

/// A peer for one address of an upstream. `group`, an even number, keeps connections of different upstreams apart in the pool:
/// they differ in trust and credentials even where they share an address.
#[must_use]
pub fn peer(upstream: &Upstream, address: SocketAddr, group: u64) -> HttpPeer {
    // An address, never a name: pingora would resolve a name on this thread. SNI is what the certificate is checked against.
    let name = if upstream.tls { upstream.host.clone() } else { String::new() };
    let mut peer = HttpPeer::new(address, upstream.tls, name);
    peer.group_key = group;
    let options = &mut peer.options;
    options.connection_timeout = Some(upstream.connect_timeout);
    options.total_connection_timeout = Some(upstream.connect_timeout);
    options.read_timeout = Some(upstream.read_timeout);
    options.write_timeout = Some(upstream.read_timeout);
    options.idle_timeout = Some(upstream.idle_timeout);
    options.verify_cert = true;
    options.verify_hostname = true;
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::standard();
    options.alpn = match (upstream.h2, upstream.tls) {
        (true, _) => ALPN::H2,
        (false, true) => ALPN::H2H1,
        (false, false) => ALPN::H1,
    };
    options.max_h2_streams = H2_STREAMS;
    options.h2_ping_interval = Some(H2_PING);
    peer
}

/// The same peer for a connection that is to be upgraded: HTTP/1.1, and it may be silent for long.
pub fn for_upgrade(peer: &mut HttpPeer, idle: Duration) {
    // The pool does not tell connections apart by their protocol.
    peer.group_key |= 1;
    peer.options.alpn = ALPN::H1;
    peer.options.read_timeout = Some(idle);
    peer.options.write_timeout = Some(idle);
}
