//! After a crash the ledger knows what the store does not: it is read from where the store was written last.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use super::now;
use crate::approvals::{Action, Approval, Book, Restored, TakenMove, Vote};
use crate::hall::Hall;
use crate::ledger::{ApprovalAction, ApprovalEvent, PastApproval};

/// Before the ledger is read again, where it could not be.
const PAUSE: Duration = Duration::from_secs(1);

impl Hall {
    /// Takes over what has happened since the store was written last. Nothing is held or agreed to before. The ledger is the truth: what it
    /// does not say is not, and what of it cannot be known any more is asked for again.
    pub(super) fn recover_approvals(&self, restored: &Restored, ends: &AtomicBool) {
        let Some(approvals) = self.approvals.get() else { return };
        while !ends.load(Ordering::Acquire) {
            match self.take_over(&approvals.book, restored) {
                Ok(()) => break,
                Err(error) => {
                    tracing::error!(%error, "the ledger cannot be read for approvals: what is held is refused until it can");
                    thread::sleep(PAUSE);
                }
            }
        }
        approvals.is_ready.store(true, Ordering::Release);
    }

    fn take_over(&self, book: &Book, restored: &Restored) -> io::Result<()> {
        let noted_micros = restored.noted_micros;
        let open: Vec<&Approval> = restored.approvals.iter().filter(|approval| !approval.state.is_over()).collect();
        let oldest = open.iter().map(|approval| approval.opened_at_micros).min();
        let since = noted_micros.max(oldest.unwrap_or_else(|| book.opened_at_the_earliest()));
        let reader = self.ledger.reader();
        let whole = reader.kept_since()?.is_some_and(|kept| kept <= since) && noted_micros <= book.newest_micros();
        if !whole && !open.is_empty() {
            open.iter().for_each(|approval| book.forget(approval.id));
            tracing::warn!(
                approvals = open.len(),
                "the ledger does not have all that has happened to what the approvals' store has open: it is asked for again"
            );
            return Ok(());
        }
        // What was being opened when the process ended is in the store, and may be in no entry.
        let mut unsaid: HashSet<Uuid> =
            open.iter().filter(|approval| approval.opened_at_micros >= since).map(|approval| approval.id).collect();
        let (mut taken, mut lost) = (0_u64, HashMap::new());
        // Behind these nothing is on record of approvals: nobody may hold or decide yet.
        let until = self.ledger.health().entries;
        reader.recall_approvals(since, until, |past| {
            book.saw(past.recorded_at_micros);
            unsaid.remove(&past.id);
            if book.find(past.id).is_none() {
                if leaves_open(past.happened) {
                    lost.insert(past.id, past.expires_at_micros);
                } else {
                    lost.remove(&past.id);
                }
            } else if past.happened != ApprovalEvent::Asked {
                taken += u64::from(book.replay(past.id, taken_by(&past)));
            }
        })?;
        unsaid.into_iter().for_each(|id| book.forget(id));
        let now = now().micros.max(book.newest_micros());
        lost.retain(|_, expires_at| *expires_at > now);
        if !lost.is_empty() {
            let approvals = lost.len();
            tracing::warn!(approvals, "what the ledger has open is not in the approvals' store: it is asked for again");
        }
        tracing::info!(steps = taken, "approvals are as the ledger has them");
        Ok(())
    }
}

/// Whether somebody may still decide about an approval after this, or spend it.
const fn leaves_open(happened: ApprovalEvent) -> bool {
    use ApprovalAction::{Approved, Escalated, Voted};
    matches!(happened, ApprovalEvent::Asked | ApprovalEvent::Step(Voted | Approved | Escalated))
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
    Some(TakenMove { action, by, agreed: past.agreed.clone(), note: past.note.clone(), entry: past.entry })
}
