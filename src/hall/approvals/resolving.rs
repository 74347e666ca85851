//! Steps of approvals, recorded and then taken: what approvers do, and what time and change do.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::now;
use crate::approvals::{
    Action, Approval, ApprovalMove, Approver, Book, Contents, NotResolved, Phase, Resolution, State, Vote,
};
use crate::hall::{Hall, activation};
use crate::ids::SupervisorLevel;
use crate::ledger::{ApprovalAction, ApprovalStep, ApproverMark, Receipt, Record, RecordError};
use crate::telemetry::{ApprovalLabels, ApproverLabels, Metrics};

/// Why nothing was decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDecided {
    /// Nobody is asked here.
    #[error("this hall asks nobody: it has no `approvals`")]
    Nobody,
    /// What was decided before this process began is still being read, or it ends.
    #[error("what was decided before is not known yet, or the hall ends")]
    NotReady,
    /// They may not, or it cannot be done any more.
    #[error(transparent)]
    NotResolved(#[from] NotResolved),
    /// It could not be recorded, so it is not in force.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What would run cannot be read now.
    #[error("the approvals' store does not answer")]
    StoreDown,
}

impl Hall {
    /// Has an approver decide. It is recorded and in force when this returns; dropping the future loses the answer, never the step.
    ///
    /// # Errors
    /// Nothing was decided.
    pub async fn resolve(
        self: &Arc<Self>,
        by: Approver,
        id: Uuid,
        resolution: Resolution,
        note: Option<Arc<str>>,
    ) -> Result<Approval, NotDecided> {
        let book = self.approvals_in_order()?;
        let hall = Arc::clone(self);
        activation::make_in_time(async move {
            let step = book.prepare(id, &by, &resolution, note, |asked, vote| hall.stands(asked, vote), now())?;
            hall.asked_by_another(&step.approval, &by)?;
            Ok(hall.record_step(step).await?)
        })
        .await?
    }

    /// Takes back everything that was agreed to and is not spent; how much.
    ///
    /// # Errors
    /// Something could not be recorded: what was taken back before stays so.
    pub async fn withdraw_all(self: &Arc<Self>, by: Approver, note: Arc<str>) -> Result<usize, NotDecided> {
        let book = self.approvals_in_order()?;
        let hall = Arc::clone(self);
        activation::make_in_time(async move {
            let mut withdrawn = 0;
            for step in book.void_all(&by, &note) {
                hall.record_step(step).await?;
                withdrawn += 1;
            }
            Ok(withdrawn)
        })
        .await?
    }

    /// Has a step made that nobody asks for: what time and change do. It is made when this returns, and also if nobody waits for that.
    ///
    /// # Errors
    /// It could not be recorded, or not in time.
    pub(super) async fn make_step(self: &Arc<Self>, step: ApprovalMove) -> Result<(), RecordError> {
        let hall = Arc::clone(self);
        activation::make_in_time(async move { hall.record_step(step).await }).await?.map(drop)
    }

    /// The book, once all that was decided before is in it.
    fn approvals_in_order(&self) -> Result<Arc<Book>, NotDecided> {
        let approvals = self.approvals.get().ok_or(NotDecided::Nobody)?;
        if approvals.is_ready() { Ok(Arc::clone(&approvals.book)) } else { Err(NotDecided::NotReady) }
    }

    /// Whether an approver may do what there is to do about an approval.
    ///
    /// # Errors
    /// They may not; why.
    pub fn may_decide(&self, approval: &Approval, by: &Approver) -> Result<(), NotDecided> {
        let approvals = self.approvals.get().ok_or(NotDecided::Nobody)?;
        approvals.book.may_decide(approval, by, now())?;
        Ok(self.asked_by_another(approval, by)?)
    }

    /// That whoever answers by now for the credential that asked is somebody else, too: tokens may have changed since.
    fn asked_by_another(&self, approval: &Approval, by: &Approver) -> Result<(), NotResolved> {
        let owner = approval.asker.token.as_ref().and_then(|name| self.tokens.load().owner_of(name));
        if owner.as_ref() == Some(&by.owner) { Err(NotResolved::own(&by.owner)) } else { Ok(()) }
    }

    /// Whether a vote counts still: its credential is there, answered for by the same, and could give it now. What is pending is judged by
    /// the tokens in force; what enough have agreed to is decided, and is taken back by whoever wants that.
    fn stands(&self, approval: &Approval, vote: &Vote) -> bool {
        let tokens = self.tokens.load();
        let asks = approval.asker.token.as_ref().and_then(|name| tokens.owner_of(name));
        let by = tokens.approver_of(&vote.token);
        by.is_some_and(|by| approval.could_be_given(vote, &by)) && asks.as_ref() != Some(&vote.owner)
    }

    /// How many must agree to an approval of this level.
    #[must_use]
    pub fn approval_quorum(&self, level: SupervisorLevel) -> usize {
        self.approvals.get().map_or(1, |approvals| approvals.book.quorum_of(level))
    }

    /// Records a step and takes it: the approval as it is then.
    async fn record_step(&self, step: ApprovalMove) -> Result<Approval, RecordError> {
        let receipt = self.ledger.record_change(Record::Approval(Box::new(entry_of(&step)))).await?;
        Ok(self.take_step(step, &receipt))
    }

    /// The same on a thread that may wait.
    pub(super) fn record_step_blocking(&self, step: ApprovalMove) -> Result<Approval, RecordError> {
        let receipt = self.ledger.record_change_blocking(Record::Approval(Box::new(entry_of(&step))))?;
        Ok(self.take_step(step, &receipt))
    }

    fn take_step(&self, step: ApprovalMove, receipt: &Receipt) -> Approval {
        let labels = ApprovalLabels { action: action_of(step.action).as_str() };
        self.metrics.approval_steps.get_or_create(&labels).inc();
        tracing::info!(
            approval = %step.approval.id,
            action = labels.action,
            by = step.by.as_ref().map(|by| by.token.as_str()),
            receipt = %receipt.id(),
            "an approval has moved"
        );
        let after = receipt.recorded_at_micros().saturating_sub(step.approval.opened_at_micros).max(0);
        if let Some(by) = &step.by {
            let labels = ApproverLabels { approver: by.token.shared(), action: labels.action };
            let after = Duration::from_micros(u64::try_from(after).unwrap_or_default());
            Metrics::observe(&self.metrics.approval_decided_after.get_or_create(&labels), after);
        }
        if let Some(approvals) = self.approvals.get() {
            approvals.book.saw(receipt.recorded_at_micros());
            if let Some(by) = &step.by {
                approvals.habits.note(&by.token, action_of(step.action), after / 1_000_000);
            }
        }
        step.take(receipt.hash())
    }

    /// One approval, as an approver or whoever asks for it sees it: with the votes that count.
    #[must_use]
    pub fn approval(&self, id: Uuid) -> Option<Approval> {
        Some(self.approvals.get()?.book.find(id)?.standing(|approval, vote| self.stands(approval, vote)))
    }

    /// What would run, for an approver: `None` once somebody has decided.
    ///
    /// # Errors
    /// It cannot be read now.
    pub async fn approval_contents(&self, id: Uuid) -> Result<Option<Contents>, NotDecided> {
        let approvals = self.approvals.get().ok_or(NotDecided::Nobody)?;
        approvals.store.show(id).await.map_err(|_| NotDecided::StoreDown)
    }

    /// All that somebody may still decide or spend, the oldest first.
    #[must_use]
    pub fn open_approvals(&self) -> Vec<Approval> {
        let open = self.approvals.get().map(|approvals| approvals.book.open()).unwrap_or_default();
        open.iter().map(|one| one.standing(|approval, vote| self.stands(approval, vote))).collect()
    }

    /// What has waited for a human for half of its time.
    pub(in crate::hall) fn unanswered_approvals(&self, now_micros: i64) -> Vec<Approval> {
        let Some(approvals) = self.approvals.get() else { return Vec::new() };
        let half = i64::try_from(approvals.book.ttl().as_micros() / 2).unwrap_or(i64::MAX);
        let mut open = approvals.book.open();
        open.retain(|one| one.state == State::Pending && now_micros >= one.opened_at_micros.saturating_add(half));
        open
    }

    /// What whoever waits for an approval looks at.
    #[must_use]
    pub fn watch_approval(&self, id: Uuid) -> Option<tokio::sync::watch::Receiver<Phase>> {
        self.approvals.get()?.book.watch(id)
    }
}

const fn action_of(action: Action) -> ApprovalAction {
    match action {
        Action::Vote => ApprovalAction::Voted,
        Action::Approve => ApprovalAction::Approved,
        Action::Deny => ApprovalAction::Denied,
        Action::Done => ApprovalAction::Done,
        Action::Escalate(_) => ApprovalAction::Escalated,
        Action::Withdraw => ApprovalAction::Withdrawn,
        Action::Expire => ApprovalAction::Expired,
        Action::Void => ApprovalAction::Void,
    }
}

fn entry_of(step: &ApprovalMove) -> ApprovalStep {
    let asked = &step.approval.asked;
    let by = step.by.as_ref().map(|by| ApproverMark {
        token: by.token.clone(),
        owner: Arc::clone(&by.owner),
        levels: by.levels.iter().copied().collect(),
        max_label: by.max_label,
    });
    ApprovalStep {
        action: action_of(step.action),
        id: step.approval.id.to_string().into(),
        digest: asked.digest,
        level: step.level(),
        label: asked.label,
        expires_at_micros: step.approval.expires_at_micros,
        tenant: Arc::clone(&asked.tenant),
        by,
        approved_by: step.agreed(),
        quorum: step.quorum(),
        note: step.note.clone(),
    }
}
