//! Activation: a change of what is in force is one task, recorded and then in force. Whoever asked for it may hang up; that cancels nothing.
//!
//! A future that is dropped between the ledger's commit and its effect would leave the ledger saying one thing and the gate doing
//! another. So the future that a caller holds only waits; what records and brings about is a task of its own, from before the
//! record is queued. Changes come one after the other: whoever makes one holds the turn until it is in force.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::ledger::RecordError;

/// The longest that whoever asks for a change waits for it.
const CHANGE_TIME: Duration = Duration::from_millis(1500);

/// Changes come one after the other.
#[derive(Debug)]
pub(super) struct Activation {
    one: Arc<Mutex<()>>,
    unannounced: Arc<AtomicBool>,
}

/// Whose turn it is. To be held until the change is in force.
pub(super) struct Turn {
    unannounced: Arc<AtomicBool>,
    _one: OwnedMutexGuard<()>,
}

impl Drop for Turn {
    /// What has panicked may be on record and not in force: what is in force goes on record before anything more is decided.
    fn drop(&mut self) {
        if thread::panicking() {
            self.unannounced.store(true, Ordering::Release);
        }
    }
}

impl Activation {
    /// Tells by this flag that the policy in force has to go on record.
    pub(super) fn new(unannounced: Arc<AtomicBool>) -> Self {
        Self { one: Arc::default(), unannounced }
    }

    fn taken(&self, one: OwnedMutexGuard<()>) -> Turn {
        Turn { unannounced: Arc::clone(&self.unannounced), _one: one }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Turn {
        self.taken(Arc::clone(&self.one).lock_owned().await)
    }

    /// Waits for a turn, but not for a change that does not get on.
    pub(super) async fn turn_in_time(&self) -> Result<Turn, RecordError> {
        tokio::time::timeout(CHANGE_TIME, self.turn()).await.map_err(|_| RecordError::Stalled)
    }

    /// The same on a thread that may block, for as long as it takes.
    pub(super) fn turn_blocking(&self) -> Turn {
        self.taken(Arc::clone(&self.one).blocking_lock_owned())
    }
}

/// Makes a change, and waits until it is in force. Dropping the future cancels nothing.
///
/// # Errors
/// The process ends before it is made, or what makes it panics.
pub(super) async fn make<T: Send + 'static>(
    change: impl Future<Output = T> + Send + 'static,
) -> Result<T, RecordError> {
    tokio::spawn(change).await.map_err(|_| RecordError::Closed)
}

/// The same, but it waits only so long as somebody may who asks for it. What becomes of the change then is in the ledger.
///
/// # Errors
/// As [`make`], or it takes too long.
pub(super) async fn make_in_time<T: Send + 'static>(
    change: impl Future<Output = T> + Send + 'static,
) -> Result<T, RecordError> {
    tokio::time::timeout(CHANGE_TIME, make(change)).await.unwrap_or(Err(RecordError::Stalled))
}

#[cfg(test)]
mod tests;
