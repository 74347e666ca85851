//! The end, in order: readiness drops, callers are still taken for a while, the listeners close, requests in flight finish.
//!
//! pingora closes its listeners the moment it is told to and then sleeps its whole grace time, idle or not. So its services get
//! a close signal of ours, and pingora hears of the end only when there is nothing left to wait for.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::{ListenFds, RuntimeOpts, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use pingora_core::services::{ServiceReadyNotifier, ServiceWithDependents};
use tokio::sync::watch;

use super::listen::BoundSocket;
use crate::api::ops::Pulses;
use crate::config::Shutdown;
use crate::hall::Hall;
use crate::ledger::Ledger;

/// How often we look whether anything is left in flight.
const LOOK: Duration = Duration::from_millis(20);

/// What the process is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopMode {
    /// Go on.
    NotYet,
    /// End when requests in flight are finished.
    InOrder,
    /// End now.
    AtOnce,
}

/// Leads the process to its end. pingora asks it when to stop.
pub struct ShutdownSequence {
    told: watch::Receiver<StopMode>,
    close: watch::Sender<bool>,
    /// Doors that still listen.
    open: Arc<AtomicUsize>,
    /// Whether what serves the doors turns.
    pulses: Pulses,
    hall: Arc<Hall>,
    ledger: Ledger,
    /// The Unix socket that the gate listens on.
    socket: Option<PathBuf>,
    shutdown: Shutdown,
    /// Hears when pingora is told.
    tells: Sender<()>,
}

impl ShutdownSequence {
    /// An end that comes when the sender says so. `socket` is removed before it closes. `tells` hears when all that waits is over, and what
    /// serves the doors is to end.
    pub fn new(
        hall: Arc<Hall>,
        ledger: Ledger,
        socket: Option<PathBuf>,
        shutdown: Shutdown,
        pulses: Pulses,
        tells: Sender<()>,
    ) -> (watch::Sender<StopMode>, Self) {
        let (end, told) = watch::channel(StopMode::NotYet);
        let (close, _) = watch::channel(false);
        (end, Self { told, close, open: Arc::default(), pulses, hall, ledger, socket, shutdown, tells })
    }

    /// The service as a door that closes when this end has come so far.
    pub fn door(&self, service: Box<dyn ServiceWithDependents>, sockets: Vec<BoundSocket>) -> DrainingService {
        self.open.fetch_add(1, Ordering::Relaxed);
        let (closing, open, pulses) = (self.close.subscribe(), Arc::clone(&self.open), self.pulses.clone());
        DrainingService { service, sockets, closing, open, pulses }
    }

    async fn told(&self, end: StopMode) {
        // An error means that whoever could tell us is gone: that is the end, too.
        let _ = self.told.clone().wait_for(|told| *told >= end).await;
    }

    /// Waits until nothing is in flight. Twice, so that a request on its way from one count to the next is not missed.
    async fn idle(&self) {
        let mut seen = 0;
        while seen < 2 {
            tokio::time::sleep(LOOK).await;
            let metrics = self.hall.metrics();
            let idle = self.open.load(Ordering::Relaxed) == 0
                && metrics.exchanges_in_flight.get() == 0
                && metrics.hall_connections.get() == 0
                && self.ledger.health().queue_depth == 0;
            seen = if idle { seen + 1 } else { 0 };
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for ShutdownSequence {
    async fn recv(&self) -> ShutdownSignal {
        let Shutdown { linger, grace } = self.shutdown;
        self.told(StopMode::InOrder).await;
        self.hall.drain();
        tracing::info!(?linger, ?grace, "ending: no longer ready");
        tokio::select! {
            () = tokio::time::sleep(linger) => {}
            () = self.told(StopMode::AtOnce) => {}
        }
        if let Some(socket) = &self.socket {
            // While it is ours: once it is closed, another process may have its own there.
            let _already_gone = std::fs::remove_file(socket);
        }
        self.close.send_replace(true);
        let why = tokio::select! {
            () = self.idle() => None,
            () = tokio::time::sleep(grace) => Some("the grace time is over"),
            () = self.told(StopMode::AtOnce) => Some("told to end at once"),
        };
        if let Some(why) = why {
            let exchanges = self.hall.metrics().exchanges_in_flight.get();
            tracing::warn!(exchanges, why, "requests in flight are cut off");
        }
        self.hall.tell_of_strangers().await;
        // Nobody hears it where the start has failed.
        let _nobody = self.tells.send(());
        ShutdownSignal::GracefulTerminate
    }
}

/// A service of pingora's that listens on our sockets and closes on our signal.
pub struct DrainingService {
    service: Box<dyn ServiceWithDependents>,
    sockets: Vec<BoundSocket>,
    closing: watch::Receiver<bool>,
    open: Arc<AtomicUsize>,
    pulses: Pulses,
}

#[async_trait]
impl ServiceWithDependents for DrainingService {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        listeners_per_fd: usize,
        ready: ServiceReadyNotifier,
    ) {
        if let Some(table) = &fds {
            for socket in self.sockets.drain(..) {
                socket.hand_over(table);
            }
        }
        // On the service's own runtime, for as long as that is there.
        tokio::spawn(self.pulses.clone().beat(self.service.name().to_owned()));
        self.service.start_service(fds, self.closing.clone(), listeners_per_fd, ready).await;
        // The listeners are closed.
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }

    fn runtime_opts_override(&self, global: &RuntimeOpts) -> Option<RuntimeOpts> {
        self.service.runtime_opts_override(global)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.service.listen_addresses()
    }
}
