//! The deadline of a write: who waits longer is told so, and what it was about to do is not done.
//!
//! A disk may take a write and not come back. Nobody on a request's path keeps a timer for that: one thread looks whether the
//! writer comes round. When it does not, whoever waits is told, what still waits in the queue is never written, and what comes is
//! refused at once, until the disk answers again. The batch that the disk has may be written all the same: its entries stay, and
//! a dispatch among them that nobody was told of has an outcome right behind it ([`Delivery`](super::job::Delivery)).

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::ledger::format::record::RecordError;
use crate::ledger::write::job::{Job, Waiter};
use crate::ledger::write::queue::Queue;
use crate::telemetry::threads::{self, Thread};

/// The longest that anybody waits for an entry.
pub(crate) const WRITE_TIME: Duration = Duration::from_millis(1500);
/// How often it is looked.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// What has taken so long is over the deadline before the next look.
const LATE: Duration = WRITE_TIME.saturating_sub(LOOK);

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
    pub(crate) fn start(queue: Arc<Queue>, in_hand: Arc<InHand>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let look = move || {
            while stopped.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Both look.
                if in_hand.is_late() | queue.is_late(LATE) && !queue.stall() {
                    tracing::error!(
                        "the disk does not answer: nothing is allowed or forwarded until the ledger is written"
                    );
                }
            }
        };
        Ok(Self { _stop: stop, _thread: threads::start("ledger-deadline", look)? })
    }
}
