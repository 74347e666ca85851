//! The signals: SIGTERM and SIGINT end the process, the first in order and the second at once; SIGHUP reloads.
//!
//! They are listened to before the configuration is read: the first process of a container never gets what it does not listen to, and
//! would sleep through the end of its pod. Until it runs, there is nothing to end in order: it is as safe to stop then as to kill.

use std::io;
use std::process;
use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::ending::StopMode;
use super::reload::Reloader;
use crate::telemetry::logs;

/// The exit code of who was told to end before it ran.
const NOT_RUN: i32 = 1;

/// Listens to signals, on a thread of its own.
pub struct Signals {
    runtime: Runtime,
    hangup: Signal,
    /// Where the end is said, once there is something to end in order.
    end: Arc<OnceLock<watch::Sender<StopMode>>>,
}

impl Signals {
    /// From here on, being told to end ends the process at once.
    pub fn listen() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("signals").enable_io().build()?;
        let entered = runtime.enter();
        let mut ends = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let hangup = signal(SignalKind::hangup())?;
        drop(entered);
        let end: Arc<OnceLock<watch::Sender<StopMode>>> = Arc::default();
        let running = Arc::clone(&end);
        runtime.spawn(async move {
            told(&mut ends).await;
            let Some(end) = running.get() else {
                tracing::warn!("told to end before it has started");
                logs::flush();
                process::exit(NOT_RUN)
            };
            end.send_replace(StopMode::InOrder);
            told(&mut ends).await;
            end.send_replace(StopMode::AtOnce);
        });
        Ok(Self { runtime, hangup, end })
    }

    /// From here on, being told to end ends by this what is about to run.
    pub fn end_by(&self, end: watch::Sender<StopMode>) {
        let _once = self.end.set(end);
    }

    /// Leads signals to what runs now, until that has ended. `led` is called as soon as they are.
    ///
    /// # Errors
    /// Those of `led`.
    pub fn lead<E>(
        self,
        end: watch::Sender<StopMode>,
        reloader: Reloader,
        led: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { runtime, mut hangup, .. } = self;
        runtime.spawn(async move {
            while hangup.recv().await.is_some() {
                reloader.now();
            }
        });
        led()?;
        // Whoever runs holds the receivers.
        runtime.block_on(end.closed());
        // The reloader goes with its task.
        Ok(())
    }
}

async fn told((terminate, interrupt): &mut (Signal, Signal)) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
