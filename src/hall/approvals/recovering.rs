//! After a crash the ledger knows what the store does not: it is read from where the store was written last.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use crate::approvals::{Action, TakenMove, Vote};
use crate::hall::Hall;
use crate::ledger::{ApprovalAction, ApprovalEvent, PastApproval};

/// Before the ledger is read again, where it could not be.
const PAUSE: Duration = Duration::from_secs(1);

impl Hall {
    /// Takes over what has happened since the store was written last. Nothing is held or agreed to before.
    pub(super) fn recover_approvals(&self, noted_micros: i64, ends: &AtomicBool) {
        let Some(approvals) = self.approvals.get() else { return };
        let open = approvals.book.open();
        if let Some(oldest) = open.iter().map(|approval| approval.opened_at_micros).min() {
            let since = noted_micros.max(oldest);
            // What was being opened when the process ended is in the store, and may be in no entry.
            let mut unsaid: HashSet<Uuid> =
                open.iter().filter(|approval| approval.opened_at_micros >= since).map(|approval| approval.id).collect();
            while !ends.load(Ordering::Acquire) {
                let mut taken = 0_u64;
                // Behind these nothing is on record of approvals: nobody may hold or decide yet.
                let until = self.ledger.health().entries;
                let read = self.ledger.reader().recall_approvals(since, until, |past| {
                    approvals.book.saw(past.recorded_at_micros);
                    unsaid.remove(&past.id);
                    if past.happened != ApprovalEvent::Asked {
                        taken += u64::from(approvals.book.replay(past.id, taken_by(&past)));
                    }
                });
                match read {
                    Ok(()) => {
                        unsaid.into_iter().for_each(|id| approvals.book.forget_unopened(id));
                        tracing::info!(steps = taken, "approvals are as the ledger has them");
                        break;
                    }
                    Err(error) => {
                        tracing::error!(%error, "the ledger cannot be read for approvals: what is held is refused until it can");
                        thread::sleep(PAUSE);
                    }
                }
            }
        }
        approvals.is_ready.store(true, Ordering::Release);
    }
}

/// The step that an entry says; `None`: it says that the approval was spent.
fn taken_by(past: &PastApproval) -> Option<TakenMove> {
    let ApprovalEvent::Step(action) = past.happened else { return None };
    let action = match action {
        ApprovalAction::Voted => Action::Vote,
        ApprovalAction::Approved => Action::Approve,
        ApprovalAction::Denied => Action::Deny,
        ApprovalAction::Done => Action::Done,
        ApprovalAction::Escalated => Action::Escalate(past.level),
        ApprovalAction::Withdrawn => Action::Withdraw,
        ApprovalAction::Expired => Action::Expire,
        ApprovalAction::Void => Action::Void,
    };
    let by = past.by.as_ref().map(|(token, owner)| Vote { token: token.clone(), owner: owner.clone() });
    Some(TakenMove { action, by, note: past.note.clone(), entry: past.entry })
}
