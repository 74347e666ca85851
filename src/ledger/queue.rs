//! What waits for the writer: decisions up to a bound, outcomes always.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Outcome, Receipt, Record, RecordError};
use crate::ids::Digest;

/// What becomes of a record.
pub(super) type Answer = Result<Receipt, RecordError>;

/// Something to write.
pub(super) enum Job {
    /// A decision or refusal, and who waits for it.
    Record { record: Record, answer: oneshot::Sender<Answer> },
    /// The end of an exchange; nobody waits.
    Outcome(Ended),
}

/// The end of an exchange, with what its entry takes from the decision's receipt.
pub(super) struct Ended {
    pub(super) decision_id: Uuid,
    pub(super) decision_hash: Digest,
    pub(super) stream: Arc<str>,
    pub(super) outcome: Outcome,
}

/// A short queue under one lock: the writer takes all of it at once.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    bound: usize,
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    records: usize,
    closed: bool,
    asleep: bool,
}

impl Queue {
    /// A queue in which so many records may wait.
    pub(super) fn new(bound: usize) -> Self {
        Self { waiting: Mutex::default(), wake: Condvar::new(), bound }
    }

    /// Nothing panics while it holds the lock, so what it guards is whole even then.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a record.
    pub(super) fn record(&self, record: Record) -> Result<oneshot::Receiver<Answer>, RecordError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(RecordError::Closed);
        }
        if waiting.records >= self.bound {
            return Err(RecordError::QueueFull);
        }
        let (answer, receiver) = oneshot::channel();
        waiting.records += 1;
        self.push(waiting, Job::Record { record, answer });
        Ok(receiver)
    }

    /// Queues an outcome; false when the ledger is closed.
    pub(super) fn outcome(&self, ended: Ended) -> bool {
        let waiting = self.lock();
        let open = !waiting.closed;
        if open {
            self.push(waiting, Job::Outcome(ended));
        }
        open
    }

    /// The writer is woken only when it sleeps: under load it never is, and a wake costs a system call.
    fn push(&self, mut waiting: MutexGuard<'_, Waiting>, job: Job) {
        waiting.jobs.push(job);
        let asleep = mem::take(&mut waiting.asleep);
        drop(waiting);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// Waits for jobs, the close, or a moment, and moves all jobs into the empty `jobs`. True when the queue is closed: what
    /// it gave then was the last.
    pub(super) fn take(&self, jobs: &mut Vec<Job>, until: Option<Instant>) -> bool {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() && !waiting.closed {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            waiting.asleep = true;
            waiting = match left {
                Some(left) => self.wake.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
        waiting.asleep = false;
        waiting.records = 0;
        mem::swap(&mut waiting.jobs, jobs);
        waiting.closed
    }

    /// Refuses whatever comes from now on.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Drops what nobody will write any more: its senders learn of it.
    pub(super) fn abandon(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.records = 0;
        waiting.jobs.clear();
    }

    /// Jobs that wait.
    pub(super) fn depth(&self) -> usize {
        self.lock().jobs.len()
    }
}
