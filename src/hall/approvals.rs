//! Holds: what a human has to agree to is put to one, and what was agreed to is dispatched once.
//!
//! Decide, and only where that holds: claim what was agreed to, or join or open what waits; then one entry, and the answer. The rules of
//! approvals are [`approvals`](crate::approvals)'; here they meet the policy in force, the clock and the ledger.

mod callbacks;
pub mod comparing;
mod expiring;
pub mod habits;
mod holding;
mod recovering;
mod repeated;
mod resolving;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::{Caller, CannotDecide, Hall, Recorded};
use crate::approvals::{
    ApprovalStore, Asker, Book, BothClocks, Settings, StoreError, StoreFile, WaitingLimits, WaitingPlace, WaitingRoom,
};
use crate::clock::now_micros;
use crate::engine::{Decision, Outcome};
use crate::ledger::RecallRange;
use crate::telemetry::threads::Thread;
use callbacks::Callbacks;
use habits::{Habit, Habits};
use repeated::Repeated;

pub use crate::approvals::{
    Approval, Approver, Callback, Contents, ContentsDifference, NotCallable, NotResolved, Phase, Resolution,
    State as ApprovalState, Subject, UnboundHeaders, visible,
};
pub use comparing::SimilarApprovals;
pub use holding::{HeldContents, HeldRequest};
pub use resolving::NotDecided;

/// What became of a request.
#[derive(Debug)]
pub enum Ruled {
    /// It is decided, and that is recorded.
    Recorded(Recorded),
    /// A human has to agree, and somebody can be asked: nothing is recorded yet.
    Held(Box<HeldRequest>),
}

impl Ruled {
    /// What is recorded, where nothing is held.
    #[cfg(test)]
    pub(crate) fn recorded(self) -> Recorded {
        match self {
            Self::Recorded(recorded) => recorded,
            Self::Held(_) => panic!("it is held"),
        }
    }
}

/// Callers whose bodies are read at once, of 64 KiB each at most: they have no place in flight meanwhile.
const READING: WaitingLimits = WaitingLimits { most: 512, most_for_one: 256, bytes: usize::MAX };

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalsError {
    /// The store cannot be used.
    #[error("`approvals.store`: {0}")]
    Store(#[from] StoreError),
    /// The newest entry cannot be read.
    #[error("the ledger cannot be read for approvals: {0}")]
    Ledger(io::Error),
    /// Nobody can be called back.
    #[error("`approvals.callbacks`: nobody can be called: {0}")]
    Callbacks(io::Error),
    /// There is no thread for it.
    #[error("no thread can be started for approvals: {0}")]
    Thread(#[from] io::Error),
}

/// What a hall has for approvals.
#[derive(Debug)]
pub(super) struct Approvals {
    book: Arc<Book>,
    store: ApprovalStore,
    /// What happened since the store was written last is known.
    is_ready: AtomicBool,
    repeated: Repeated,
    habits: Habits,
    /// Callers that are kept until somebody agrees.
    waiting: Arc<WaitingRoom>,
    /// Callers whose bodies are read, so that somebody can be asked.
    reading: Arc<WaitingRoom>,
    callbacks: Callbacks,
    expiring: Mutex<Option<Thread>>,
    ends: Arc<AtomicBool>,
}

/// Both clocks, now.
pub(super) fn now() -> BothClocks {
    BothClocks { micros: now_micros(), steady: Instant::now() }
}

impl Hall {
    /// Has what is held put to humans from here on.
    ///
    /// # Errors
    /// The store cannot be used, or there is no thread.
    pub fn ask_humans(self: &Arc<Self>, mut settings: Settings) -> Result<(), ApprovalsError> {
        let (file, restored) = StoreFile::open(&settings.store)?;
        let waiting = WaitingRoom::new(settings.waiting);
        let callbacks =
            Callbacks::start(settings.callbacks.take(), &self.metrics).map_err(ApprovalsError::Callbacks)?;
        let newest = self.newest_entry().map_err(ApprovalsError::Ledger)?;
        self.metrics.approvals_ttl.set(i64::try_from(settings.ttl.as_secs()).unwrap_or(i64::MAX));
        let book = Book::new(settings, restored.approvals.clone(), newest, now());
        // Where nothing is open, nothing can have become of it.
        let is_ready = book.open().is_empty();
        let store = ApprovalStore::start(file, &book)?;
        let ends = Arc::new(AtomicBool::new(false));
        let approvals = Approvals {
            book,
            store,
            is_ready: AtomicBool::new(is_ready),
            repeated: Repeated::default(),
            habits: Habits::default(),
            waiting,
            reading: WaitingRoom::new(READING),
            callbacks,
            expiring: Mutex::default(),
            ends: Arc::clone(&ends),
        };
        let _once = self.approvals.set(approvals);
        let thread = self.expire_approvals(restored, ends)?;
        if let Some(approvals) = self.approvals.get() {
            *approvals.lock_expiring() = Some(thread);
        }
        Ok(())
    }

    /// Whether a decision is a hold that somebody can be asked about. A dry run asks nobody.
    pub(super) fn asks_somebody(&self, decision: &Decision) -> bool {
        decision.verdict.outcome == Outcome::Hold
            && !decision.input.dry_run
            && self.approvals.get().is_some()
            && self.snapshot.load().settings.may_ask()
    }

    /// What is forwarded and no part of what is approved, where anybody is asked.
    #[must_use]
    pub fn unbound_headers(&self) -> Option<&UnboundHeaders> {
        self.approvals.get().map(|approvals| approvals.book.unbound_headers())
    }

    /// When the newest entry was recorded, in microseconds since 1970 UTC; the least time where there is none.
    fn newest_entry(&self) -> io::Result<i64> {
        let mut newest = i64::MIN;
        let last = RecallRange { until: self.ledger.health().entries, since: i64::MAX, least: 1, most: 1 };
        self.ledger.reader().recall(last, |entry| newest = entry.recorded_at_micros())?;
        Ok(newest)
    }

    /// A place for a caller whose body is read, so that somebody can be asked.
    ///
    /// # Errors
    /// Too many are read already: the caller gets 503.
    pub fn read_for_human(&self, caller: &Caller) -> Result<WaitingPlace, CannotDecide> {
        let asker = Asker { token: caller.token.clone(), owner: caller.owner.clone() };
        let place = self.approvals.get().and_then(|approvals| approvals.reading.enter(asker, 0));
        place.ok_or(CannotDecide::Approvals).inspect_err(|_| self.count_undecided())
    }

    /// A place for a caller that waits until somebody agrees, with so many bytes of its own; `None`: there is none.
    #[must_use]
    pub fn wait_for_human(&self, caller: &Caller, bytes: usize) -> Option<WaitingPlace> {
        let asker = Asker { token: caller.token.clone(), owner: caller.owner.clone() };
        self.approvals.get()?.waiting.enter(asker, bytes)
    }

    /// Of what somebody may have to be told, once all that was decided before is known.
    pub(super) fn approvals_to_tell(&self) -> Option<&Approvals> {
        self.approvals.get().filter(|approvals| approvals.is_ready())
    }

    /// How often and how fast approvers decide.
    #[must_use]
    pub fn approvers_habits(&self) -> Vec<Habit> {
        self.approvals.get().map(|approvals| approvals.habits.all()).unwrap_or_default()
    }

    /// Whether anybody can be asked here.
    #[must_use]
    pub fn has_approvals(&self) -> bool {
        self.approvals.get().is_some()
    }

    /// Writes what is not kept yet, and asks nobody any more. To be done before the ledger is closed.
    pub fn close_approvals(&self) {
        if let Some(approvals) = self.approvals.get() {
            approvals.is_ready.store(false, Ordering::Release);
            approvals.ends.store(true, Ordering::Release);
            let thread = approvals.lock_expiring().take();
            if let Some(thread) = thread {
                thread.join(expiring::END);
            }
            approvals.callbacks.end();
            approvals.store.close();
        }
    }
}

impl Approvals {
    fn lock_expiring(&self) -> std::sync::MutexGuard<'_, Option<Thread>> {
        self.expiring.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn book(&self) -> &Arc<Book> {
        &self.book
    }

    pub(super) const fn store(&self) -> &ApprovalStore {
        &self.store
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
