//! A job for the writer and who waits for it, and the receipt on its way back.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::engine;
use crate::ledger::format::record::{OutcomeEntry, Receipt, Record, RecordError};

/// Queues the end of an exchange; false when the ledger is closed.
pub(crate) type Requeue = Arc<dyn Fn(OutcomeEntry) -> bool + Send + Sync>;

/// What becomes of a record.
pub(crate) type Answer = Result<Delivery, RecordError>;

/// Something to write.
pub(crate) enum Job {
    /// A decision, refusal or change, and who waits for it; `None` while it is being written.
    Record { record: Record, waiter: Option<Waiter> },
    /// The end of an exchange; nobody waits.
    Outcome(OutcomeEntry),
}

impl Job {
    /// Whether it may not be lost once it is in force.
    pub(crate) fn must_last(&self) -> bool {
        matches!(self, Self::Record { record, .. } if record.must_last())
    }
}

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

/// A receipt on its way to who waits for it. Of a dispatch that nobody takes delivery of, an outcome says that nothing came.
pub(crate) struct Delivery {
    receipt: Receipt,
    /// Of a dispatch: where its outcome goes if nobody takes it.
    back: Option<Requeue>,
}

impl Delivery {
    pub(crate) fn of(receipt: Receipt, record: &Record, requeue: &Requeue) -> Self {
        let back = is_dispatch(record).then(|| Arc::clone(requeue));
        Self { receipt, back }
    }

    /// It has come.
    pub(crate) fn take(mut self) -> Receipt {
        self.back = None;
        self.receipt.clone()
    }

    /// It will not come: the outcome that says so.
    pub(crate) fn undelivered(mut self) -> Option<Job> {
        self.back.take().map(|_| Job::Outcome(OutcomeEntry::undelivered(&self.receipt)))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(requeue) = self.back.take()
            && !requeue(OutcomeEntry::undelivered(&self.receipt))
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
