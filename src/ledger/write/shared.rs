//! What the writer shows to the rest of the process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::ledger::format::record::RecordError;
use crate::ledger::format::recovered::Recovered;
use crate::ledger::write::deadline::InHand;
use crate::ledger::write::queue::Queue;

/// What the writer shows to the rest of the process.
pub(crate) struct Shared {
    pub(crate) queue: Arc<Queue>,
    pub(crate) in_hand: Arc<InHand>,
    pub(crate) entries: AtomicU64,
    pub(crate) failure: Mutex<Option<Arc<str>>>,
    /// Entries under the newest checkpoint.
    pub(crate) signed: watch::Sender<u64>,
    /// Counts what is done, entry by entry and step by step of a checkpoint: whoever waits for the end sees that it goes on.
    pub(crate) taken: Arc<AtomicU64>,
    /// Somebody waits for a checkpoint over what is committed.
    pub(crate) wanted: AtomicBool,
    /// The first entry that is kept.
    pub(crate) pruned: AtomicU64,
    pub(crate) prune_failure: Mutex<Option<Arc<str>>>,
    /// The newest recovery, while nobody has acknowledged it.
    recovered: Mutex<Option<Arc<Recovered>>>,
}

impl Shared {
    pub(crate) fn new(queue: usize, entries: u64, pruned: u64) -> Self {
        Self {
            queue: Arc::new(Queue::new(queue)),
            in_hand: Arc::default(),
            entries: AtomicU64::new(entries),
            failure: Mutex::default(),
            signed: watch::Sender::new(0),
            taken: Arc::default(),
            wanted: AtomicBool::new(false),
            pruned: AtomicU64::new(pruned),
            prune_failure: Mutex::default(),
            recovered: Mutex::default(),
        }
    }

    /// The newest recovery, while nobody has acknowledged it.
    pub(crate) fn recovered(&self) -> Option<Arc<Recovered>> {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_recovered(&self, recovered: Option<Arc<Recovered>>) {
        *self.recovered.lock().unwrap_or_else(PoisonError::into_inner) = recovered;
    }

    /// The last error, while writes fail or do not come back.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failure.or_else(|| self.queue.is_stalled().then(|| RecordError::Stalled.to_string().into()))
    }

    pub(crate) fn set_failure(&self, failure: Option<Arc<str>>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Why pruning does not go on.
    pub(crate) fn prune_failure(&self) -> Option<Arc<str>> {
        self.prune_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_prune_failure(&self, failure: Option<Arc<str>>) {
        *self.prune_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    pub(crate) fn set_pruned(&self, edge: u64) {
        self.pruned.store(edge, Ordering::Relaxed);
    }

    /// Has the writer sign a checkpoint soon over what is committed.
    pub(crate) fn want_checkpoint(&self) {
        self.wanted.store(true, Ordering::Relaxed);
        self.queue.nudge();
    }
}
