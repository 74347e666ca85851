//! The deadline of a write: who waits longer is told so, and what it was about to do is not done.
//!
//! A disk may take a write and not come back. Nobody on a request's path keeps a timer for that: one thread looks whether the
//! writer comes round. When it does not, whoever waits is told, what still waits in the queue is never written, and what comes is
//! refused at once, until the disk answers again. The batch that the disk has may be written all the same: its entries stay, and
//! a dispatch among them that nobody was told of has an outcome right behind it ([`Delivery`]).

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::engine;
use crate::ledger::format::record::{Ending, Outcome, Receipt, Record, RecordError};
use crate::ledger::write::queue::{Answer, Ended, Job};
use crate::ledger::write::writer::Shared;
use crate::telemetry::threads::{self, Thread};

/// The longest that anybody waits for an entry.
pub(crate) const WRITE_TIME: Duration = Duration::from_millis(1500);
/// How often it is looked.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// What has taken so long is over the deadline before the next look.
const LATE: Duration = WRITE_TIME.saturating_sub(LOOK);

/// Who waits for a record.
pub(crate) struct Waiter {
    pub(crate) answer: oneshot::Sender<Answer>,
    /// It brings about what is recorded, and so waits for what becomes of it, however long that takes.
    pub(crate) patient: bool,
}

impl Waiter {
    /// Tells that there will be no entry, or that it is not waited for.
    pub(crate) fn refuse(self, why: RecordError) {
        let _gone = self.answer.send(Err(why));
    }
}

/// The batch that is being written: since when, and who waits for it.
#[derive(Default)]
pub(crate) struct InHand(Mutex<Hand>);

#[derive(Default)]
struct Hand {
    since: Option<Instant>,
    /// Of each record in order; `None` where it is not waited for any more.
    waiters: Vec<Option<Waiter>>,
}

impl InHand {
    fn lock(&self) -> MutexGuard<'_, Hand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the waiters of a batch, some of which may have waited since then.
    pub(crate) fn begin(&self, jobs: &mut [Job], since: Option<Instant>) {
        let mut hand = self.lock();
        hand.since = Some(since.unwrap_or_else(Instant::now));
        hand.waiters.clear();
        hand.waiters.extend(jobs.iter_mut().filter_map(|job| match job {
            Job::Record { waiter, .. } => Some(waiter.take()),
            Job::Outcome(_) => None,
        }));
    }

    /// The batch is written, or it is not: tells each who waits, in order.
    pub(crate) fn end(&self, mut tell: impl FnMut(Option<Waiter>)) {
        let mut hand = self.lock();
        hand.since = None;
        hand.waiters.drain(..).for_each(&mut tell);
    }

    /// Whether the batch takes too long. Whoever cannot wait for it is told so.
    fn is_late(&self) -> bool {
        let mut hand = self.lock();
        let late = hand.since.is_some_and(|since| since.elapsed() >= LATE);
        if late {
            let given_up = hand.waiters.iter_mut().filter_map(|waiter| waiter.take_if(|waiter| !waiter.patient));
            given_up.for_each(|waiter| waiter.refuse(RecordError::Stalled));
        }
        late
    }
}

/// Looks after the deadline until it is dropped.
pub(crate) struct Watchdog {
    _stop: mpsc::Sender<Infallible>,
    _thread: Thread,
}

impl Watchdog {
    pub(crate) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let look = move || {
            while stopped.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Both look.
                if shared.in_hand.is_late() | shared.queue.is_late(LATE) && !shared.queue.stall() {
                    tracing::error!(
                        "the disk does not answer: nothing is allowed or forwarded until the ledger is written"
                    );
                }
            }
        };
        Ok(Self { _stop: stop, _thread: threads::start("ledger-deadline", look)? })
    }
}

/// A receipt on its way to who waits for it. Of a dispatch that nobody takes delivery of, an outcome says that nothing came.
pub(crate) struct Delivery {
    receipt: Receipt,
    /// Of a dispatch: where its outcome goes if nobody takes it.
    back: Option<Arc<Shared>>,
}

impl Delivery {
    pub(crate) fn of(receipt: Receipt, record: &Record, shared: &Arc<Shared>) -> Self {
        let back = is_dispatch(record).then(|| Arc::clone(shared));
        Self { receipt, back }
    }

    /// It has come.
    pub(crate) fn take(mut self) -> Receipt {
        self.back = None;
        self.receipt.clone()
    }

    /// It will not come: the outcome that says so.
    pub(crate) fn undelivered(mut self) -> Option<Job> {
        self.back.take().map(|_| Job::Outcome(Ended::undelivered(&self.receipt)))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(shared) = self.back.take()
            && !shared.queue.outcome(Ended::undelivered(&self.receipt))
        {
            tracing::error!(decision_id = %self.receipt.id(), "the ledger is closed without the end of this exchange");
        }
    }
}

/// Whether something may follow from it.
fn is_dispatch(record: &Record) -> bool {
    matches!(record, Record::Decision { decision, .. }
        if decision.verdict.outcome == engine::Outcome::Dispatch && !decision.input.dry_run)
}

impl Ended {
    /// A dispatch of which nobody was told.
    fn undelivered(receipt: &Receipt) -> Self {
        let outcome = Outcome {
            status: None,
            request_bytes: 0,
            response_bytes: 0,
            duration: Duration::ZERO,
            ending: Ending::Aborted,
        };
        Self::of(receipt, outcome)
    }
}
