//! A pingora server in a thread of this process, and the ledger of its hall.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use hallgate::ledger::{self, Durability};
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use pingora_core::services::ServiceWithDependents;
use tokio::sync::watch;

/// A ledger in this folder.
pub fn ledger_in(folder: &Path) -> ledger::Settings {
    ledger::Settings {
        path: folder.join("ledger"),
        durability: Durability::Process,
        key_file: folder.join("hallgate.key"),
        origin: "hallgate.test/ledger".to_owned(),
        checkpoint_every: Duration::from_secs(60),
        queue: 10_000,
        segment_bytes: 1 << 20,
        request_attributes: true,
        retention: ledger::Retention::default(),
    }
}

/// A running server; stops when dropped.
pub struct RunningServer {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

struct Stop {
    stopped: watch::Receiver<bool>,
    at_once: bool,
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let _ = self.stopped.clone().wait_for(|stop| *stop).await;
        if self.at_once { ShutdownSignal::FastShutdown } else { ShutdownSignal::GracefulTerminate }
    }
}

impl RunningServer {
    /// Starts these services and waits until they take connections at these addresses. They end so many seconds after they have
    /// stopped to accept, or at once.
    pub fn start<Services>(grace: Option<u64>, addresses: &[SocketAddr], services: Services) -> Self
    where
        Services: FnOnce(&Arc<ServerConf>) -> Vec<Box<dyn ServiceWithDependents>> + Send + 'static,
    {
        let conf = ServerConf {
            grace_period_seconds: Some(grace.unwrap_or(0)),
            graceful_shutdown_timeout_seconds: Some(grace.map_or(0, |_| 1)),
            ..ServerConf::default()
        };
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            let mut server = Server::new_with_opt_and_conf(None, conf);
            server.bootstrap();
            server.add_services(services(&server.configuration));
            server.run(RunArgs { shutdown_signal: Box::new(Stop { stopped, at_once: grace.is_none() }) });
        });
        for address in addresses {
            support::until(|| TcpStream::connect(address).is_ok());
        }
        Self { stop, thread: Some(thread) }
    }

    /// Begins to shut down.
    pub fn stop(&self) {
        let _ = self.stop.send(true);
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server panicked");
        }
    }
}
