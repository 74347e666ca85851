//! What waits for the writer: decisions up to a bound, outcomes always.
//!
//! A wake costs two switches of thread, more than an entry costs to write. So whoever queues a record for a sleeping writer does
//! not wake it at once but when its own thread has run everything else that is ready ([`Rouse`]): a busy proxy's records of one
//! turn of its event loop are one batch. Nobody waits for an outcome: it does not wake a writer that dozes after a batch.
//!
//! A record relies on no other thread's turn, and on none that has lasted [`TURN`]: a thread that is stuck must not hold up the
//! records of the others. And since a future may also be kept and never polled, the writer never sleeps longer than [`NAP`].

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::ledger::format::record::{OutcomeEntry, Record, RecordError};
use crate::ledger::write::job::{Answer, Job, Waiter};

/// The most bytes of records that wait, whatever their number: callers choose how much they ask.
const BYTES: usize = 16 << 20;
/// How long outcomes may wait for company.
const DOZE: Duration = Duration::from_millis(5);
/// So many outcomes do not wait for more.
const MANY: usize = 256;
/// How long a thread that has promised to wake the writer is relied on.
const TURN: Duration = Duration::from_millis(1);
/// How long the writer sleeps at most, and so what a promise that nobody keeps can cost.
const NAP: Duration = Duration::from_millis(250);

/// A short queue under one lock: the writer takes all of it at once.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    bound: usize,
    /// How many records wait, to be read without the lock.
    records: AtomicUsize,
    /// The disk does not answer: nothing more is let in until the writer comes round.
    stalled: AtomicBool,
    nap: Duration,
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    records: usize,
    /// What the records take.
    bytes: usize,
    closed: bool,
    writer: Sleep,
    /// Since when some of it was seen to wait.
    since: Option<Instant>,
    /// Whose [`Rouse`] is relied on, and since when.
    rousing: Option<(ThreadId, Instant)>,
    /// Somebody waits for a checkpoint.
    nudged: bool,
}

impl Waiting {
    /// Whether this thread must wake the writer itself, since nobody whom it can rely on is about to.
    fn rely_on(&mut self, thread: ThreadId, now: Instant) -> bool {
        let relied = self.rousing.is_some_and(|(who, since)| who == thread && now.duration_since(since) < TURN);
        if !relied {
            self.rousing = Some((thread, now));
        }
        !relied
    }
}

/// How soundly the writer sleeps.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// It will look again before it sleeps.
    #[default]
    Awake,
    /// For a moment: records wake it, outcomes wait.
    Dozing,
    /// Until something comes.
    Sound,
}

/// Wakes the writer when it is dropped: also when whoever holds it is cancelled, since others rely on it.
pub(crate) struct Rouse<'a>(&'a Queue);

impl Drop for Rouse<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.rousing = None;
        self.0.wake(waiting);
    }
}

impl Queue {
    /// A queue in which so many records may wait.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            bound,
            records: AtomicUsize::new(0),
            stalled: AtomicBool::new(false),
            nap: NAP,
        }
    }

    /// Nothing panics while it holds the lock, so what it guards is whole even then.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more that waits, if there is room.
    fn let_in(&self, waiting: &mut Waiting, bytes: usize) -> Result<(), RecordError> {
        if waiting.closed {
            return Err(RecordError::Closed);
        }
        if self.is_stalled() {
            return Err(RecordError::Stalled);
        }
        // One always has room, however large it is.
        let full = waiting.records > 0 && waiting.bytes + bytes > BYTES;
        if waiting.records >= self.bound || full {
            return Err(RecordError::QueueFull);
        }
        waiting.records += 1;
        waiting.bytes += bytes;
        self.records.store(waiting.records, Ordering::Relaxed);
        Ok(())
    }

    /// Queues a record. Who gets a [`Rouse`] drops it when its thread has nothing else to do. Who is patient waits for what becomes
    /// of it however long that takes, once it is being written.
    pub(crate) fn record(
        &self,
        record: Record,
        patient: bool,
    ) -> Result<(oneshot::Receiver<Answer>, Option<Rouse<'_>>), RecordError> {
        let (answer, receiver) = oneshot::channel();
        let bytes = record.bytes();
        let mut waiting = self.lock();
        self.let_in(&mut waiting, bytes)?;
        waiting.jobs.push(Job::Record { record, waiter: Some(Waiter { answer, patient }) });
        let rouse = waiting.writer != Sleep::Awake && waiting.rely_on(thread::current().id(), Instant::now());
        drop(waiting);
        Ok((receiver, rouse.then(|| Rouse(self))))
    }

    /// Queues records that the writer takes all at once, into one write. Against the bound they count as one: together or not
    /// at all, and a small bound must not mean never. Who waits is patient.
    pub(crate) fn record_together(&self, records: Vec<Record>) -> Result<Vec<oneshot::Receiver<Answer>>, RecordError> {
        let bytes = records.iter().map(Record::bytes).sum();
        let mut waiting = self.lock();
        self.let_in(&mut waiting, bytes)?;
        let mut answers = Vec::with_capacity(records.len());
        for record in records {
            let (answer, receiver) = oneshot::channel();
            waiting.jobs.push(Job::Record { record, waiter: Some(Waiter { answer, patient: true }) });
            answers.push(receiver);
        }
        self.wake(waiting);
        Ok(answers)
    }

    /// Queues an outcome; false when the ledger is closed.
    pub(crate) fn outcome(&self, ended: OutcomeEntry) -> bool {
        let mut waiting = self.lock();
        let open = !waiting.closed;
        if open {
            waiting.jobs.push(Job::Outcome(ended));
            if waiting.writer == Sleep::Sound || waiting.jobs.len() == MANY {
                self.wake(waiting);
            }
        }
        open
    }

    /// Has the writer look up, though there is nothing to write.
    pub(crate) fn nudge(&self) {
        let mut waiting = self.lock();
        waiting.nudged = true;
        self.wake(waiting);
    }

    /// Wakes the writer if it sleeps; it looks at the queue before it sleeps again.
    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let slept = mem::take(&mut waiting.writer) != Sleep::Awake;
        drop(waiting);
        if slept {
            self.wake.notify_one();
        }
    }

    /// Whether the disk does not answer.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Whether records wait for longer than this, because the writer does not come round.
    pub(crate) fn is_late(&self, late: Duration) -> bool {
        let mut waiting = self.lock();
        if waiting.records == 0 {
            return false;
        }
        waiting.since.get_or_insert_with(Instant::now).elapsed() >= late
    }

    /// The disk does not answer: what waits is refused, and never written, and so is what comes. Outcomes wait on. Whether that
    /// was known.
    pub(crate) fn stall(&self) -> bool {
        let mut waiting = self.lock();
        let known = self.stalled.swap(true, Ordering::Relaxed);
        (waiting.records, waiting.bytes) = (0, 0);
        waiting.since = None;
        self.records.store(0, Ordering::Relaxed);
        waiting.jobs.retain_mut(|job| match job {
            Job::Record { waiter, .. } => {
                waiter.take().into_iter().for_each(|waiter| waiter.refuse(RecordError::Stalled));
                false
            }
            Job::Outcome(_) => true,
        });
        known
    }

    /// The disk answers again. Whether that is new.
    pub(crate) fn go_on(&self) -> bool {
        self.stalled.swap(false, Ordering::Relaxed)
    }

    /// Waits for jobs, the close, or a moment, and moves all jobs into the empty `jobs`. Gives whether the queue is closed, when
    /// what it gave was the last, and since when some of it was seen to wait.
    pub(crate) fn take(&self, jobs: &mut Vec<Job>, until: Option<Instant>) -> (bool, Option<Instant>) {
        let mut waiting = self.lock();
        let mut dozed = false;
        loop {
            let now = Instant::now();
            let over = until.is_some_and(|until| until <= now);
            let enough = waiting.records > 0 || waiting.jobs.len() >= MANY || (dozed && !waiting.jobs.is_empty());
            if enough || over || waiting.closed || waiting.nudged {
                break;
            }
            let left = until.map_or(self.nap, |until| self.nap.min(until - now));
            let (sleep, longest) = if dozed { (Sleep::Sound, left) } else { (Sleep::Dozing, DOZE.min(left)) };
            waiting.writer = sleep;
            let (woken, timeout) = self.wake.wait_timeout(waiting, longest).unwrap_or_else(PoisonError::into_inner);
            dozed |= timeout.timed_out();
            waiting = woken;
            waiting.writer = Sleep::Awake;
        }
        (waiting.records, waiting.bytes) = (0, 0);
        self.records.store(0, Ordering::Relaxed);
        waiting.nudged = false;
        // Whoever promised to wake for what is taken here need not be waited for by what comes next.
        waiting.rousing = None;
        mem::swap(&mut waiting.jobs, jobs);
        (waiting.closed, waiting.since.take())
    }

    /// Refuses whatever comes from now on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Drops what nobody will write any more: its senders learn of it.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        (waiting.records, waiting.bytes) = (0, 0);
        self.records.store(0, Ordering::Relaxed);
        waiting.jobs.clear();
    }

    /// How many percent of the records that may wait do.
    pub(crate) fn crowding(&self) -> usize {
        self.records.load(Ordering::Relaxed).saturating_mul(100).checked_div(self.bound).unwrap_or(0)
    }

    /// Jobs that wait.
    pub(crate) fn depth(&self) -> usize {
        self.lock().jobs.len()
    }
}

#[cfg(test)]
mod tests;
