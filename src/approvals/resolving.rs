//! What approvers do, and whether they may: pure rules over one approval.

use std::sync::Arc;

use uuid::Uuid;

use super::approval::{Approval, Approver, State, Vote};
use super::book::{Book, BothClocks};
use crate::ids::{Digest, SupervisorLevel, TokenName};

/// What somebody wants done with an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It may run. With a digest: only if that is what would run.
    Approve(Option<Digest>),
    /// It may not. With a digest: only if that is what would run.
    Deny(Option<Digest>),
    /// They have done it themselves.
    Done,
    /// Somebody of this level is to look at it; `None`: of the next one.
    Escalate(Option<SupervisorLevel>),
    /// What was agreed to is taken back.
    Withdraw,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotResolved {
    /// There is none of this id that they may know of.
    #[error("there is no approval of this id")]
    Unknown,
    /// It is over by the clock.
    #[error("the approval has expired: nobody decided in time")]
    Expired,
    /// It is resolved already.
    #[error("the approval is {0} already")]
    Resolved(&'static str),
    /// Somebody else is at it.
    #[error("another step of the approval is being recorded: look at it again")]
    Busy,
    /// They may not; why.
    #[error("{0}")]
    MayNot(String),
    /// It cannot be done; why.
    #[error("{0}")]
    Cannot(String),
}

impl NotResolved {
    /// A credential of this owner asks.
    #[must_use]
    pub fn own(owner: &str) -> Self {
        Self::MayNot(format!("`{owner}` answers for a credential that asks for this: somebody else must decide"))
    }
}

/// What happens to an approval, before it is recorded. Dropped it has not happened.
#[derive(Debug)]
pub struct ApprovalMove {
    book: Arc<Book>,
    /// The approval as it is before.
    pub approval: Approval,
    /// What happens.
    pub action: Action,
    /// By whom; `None` for time and change.
    pub by: Option<Approver>,
    /// Why.
    pub note: Option<Arc<str>>,
    taken: bool,
}

/// What happens to an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// One more agrees, and more must.
    Vote,
    /// The last one who must agrees.
    Approve,
    /// Somebody says no.
    Deny,
    /// Somebody has done it.
    Done,
    /// Somebody of this level is to look at it.
    Escalate(SupervisorLevel),
    /// It is taken back.
    Withdraw,
    /// Nobody came in time.
    Expire,
    /// It rests on something else by now.
    Void,
}

impl Book {
    /// Prepares what an approver wants done. `stands` says whether a vote counts still: who may agree may have changed since.
    ///
    /// # Errors
    /// They may not, or it cannot be done any more.
    pub fn prepare(
        self: &Arc<Self>,
        id: Uuid,
        by: &Approver,
        resolution: &Resolution,
        note: Option<Arc<str>>,
        stands: impl Fn(&Approval, &Vote) -> bool,
        now: BothClocks,
    ) -> Result<ApprovalMove, NotResolved> {
        let is_over = self.is_over(id, now);
        let quorum = |level| self.settings.quorum_of(level);
        let (_, (approval, action)) = self.begin(id, |approval| {
            let approval = approval.standing(&stands);
            let action = may(&approval, by, resolution, is_over, quorum)?;
            Ok((approval, action))
        })?;
        Ok(ApprovalMove { book: Arc::clone(self), approval, action, by: Some(by.clone()), note, taken: false })
    }

    /// Whether an approver may do what there is to do: agree, say that it is done, or take back what was agreed to.
    ///
    /// # Errors
    /// They may not; why.
    pub fn may_decide(&self, approval: &Approval, by: &Approver, now: BothClocks) -> Result<(), NotResolved> {
        let next = match (&approval.state, approval.asked.level) {
            (State::Approved { .. }, _) => Resolution::Withdraw,
            (_, SupervisorLevel::Executor) => Resolution::Done,
            _ => Resolution::Approve(None),
        };
        let quorum = |level| self.settings.quorum_of(level);
        may(approval, by, &next, self.is_over(approval.id, now), quorum).map(drop)
    }

    /// How many must agree at this level.
    #[must_use]
    pub fn quorum_of(&self, level: SupervisorLevel) -> usize {
        self.settings.quorum_of(level)
    }

    /// Prepares that everything that was agreed to, is not spent, and is this approver's to know, is void: the one switch. What is being
    /// spent is spent.
    pub fn void_all(self: &Arc<Self>, by: &Approver, note: &Arc<str>) -> Vec<ApprovalMove> {
        let theirs = |one: &Approval| matches!(one.state, State::Approved { .. }) && one.is_within(&by.binding);
        let ids: Vec<Uuid> = self.open().iter().filter(|one| theirs(one)).map(|one| one.id).collect();
        let step = |id| {
            let still = |approval: &Approval| theirs(approval).then_some(()).ok_or(NotResolved::Unknown);
            let (approval, ()) = self.begin(id, still).ok()?;
            let (book, by, note) = (Arc::clone(self), Some(by.clone()), Some(Arc::clone(note)));
            Some(ApprovalMove { book, approval, action: Action::Withdraw, by, note, taken: false })
        };
        ids.into_iter().filter_map(step).collect()
    }
}

/// Whether an approver may do this, and what comes of it.
fn may(
    approval: &Approval,
    by: &Approver,
    resolution: &Resolution,
    is_over: bool,
    quorum: impl Fn(SupervisorLevel) -> usize,
) -> Result<Action, NotResolved> {
    if !approval.is_within(&by.binding) {
        return Err(NotResolved::Unknown);
    }
    match &approval.state {
        State::Expired => return Err(NotResolved::Expired),
        state if state.is_over() => return Err(NotResolved::Resolved(state.as_str())),
        _ if is_over => return Err(NotResolved::Expired),
        State::Approved { .. } if *resolution != Resolution::Withdraw => {
            return Err(NotResolved::Resolved("approved"));
        }
        State::Pending if *resolution == Resolution::Withdraw => {
            return Err(NotResolved::Cannot("nothing was agreed to yet: deny it instead".to_owned()));
        }
        _ => {}
    }
    let asked = &approval.asked;
    if approval.is_asked_by(&by.owner) {
        return Err(NotResolved::own(&by.owner));
    }
    if asked.label > by.max_label {
        let why = format!("`{}` may decide about {} at most, and this is {}", by.token, by.max_label, asked.label);
        return Err(NotResolved::MayNot(why));
    }
    let has_level = by.levels.contains(&asked.level);
    if !has_level && !matches!(resolution, Resolution::Escalate(_)) {
        let why = format!("`{}` is not of the level {}, which this is for: escalate it", by.token, asked.level);
        return Err(NotResolved::MayNot(why));
    }
    if let Resolution::Approve(Some(seen)) | Resolution::Deny(Some(seen)) = resolution
        && *seen != asked.digest
    {
        let why = "what would run is not what was looked at: the digest is another";
        return Err(NotResolved::Cannot(why.to_owned()));
    }
    Ok(match resolution {
        Resolution::Approve(_) if asked.level == SupervisorLevel::Executor => {
            let why = "the level executor means that a human does it: do it, and say that it is done, or deny it";
            return Err(NotResolved::Cannot(why.to_owned()));
        }
        Resolution::Approve(_) => {
            if approval.votes.iter().any(|vote| vote.owner == by.owner) {
                return Err(NotResolved::Cannot(format!("`{}` has agreed already: somebody else must", by.owner)));
            }
            if approval.votes.len() + 1 >= quorum(asked.level) { Action::Approve } else { Action::Vote }
        }
        Resolution::Deny(_) => Action::Deny,
        Resolution::Done if asked.level == SupervisorLevel::Executor => Action::Done,
        Resolution::Done => {
            let why = format!("only what is for the level executor is done by a human: this is for {}", asked.level);
            return Err(NotResolved::Cannot(why));
        }
        Resolution::Escalate(to) => {
            // Not of the executor's: that is another question, and whoever wants it asked says so.
            let asks = |level: &SupervisorLevel| *level > asked.level && *level != SupervisorLevel::Executor;
            let above = SupervisorLevel::ALL.iter().copied().find(asks);
            let to = to.or(above).filter(|to| *to > asked.level);
            Action::Escalate(
                to.ok_or_else(|| {
                    NotResolved::Cannot(format!("nobody is above {}, or not of that level", asked.level))
                })?,
            )
        }
        Resolution::Withdraw => Action::Withdraw,
    })
}

/// A step that is on record.
#[derive(Debug, Clone)]
pub struct TakenMove {
    /// What happens.
    pub action: Action,
    /// By whom; `None` for time and change.
    pub by: Option<Vote>,
    /// Where somebody agrees, all who have and still count.
    pub agreed: Vec<TokenName>,
    /// Why.
    pub note: Option<Arc<str>>,
    /// The hash of its entry.
    pub entry: Digest,
}

impl TakenMove {
    /// Changes an approval, as this does; its state from then on.
    pub(super) fn applied_to(self, approval: &mut Approval) -> State {
        let Self { action, by, agreed, note, entry } = self;
        if !matches!(action, Action::Vote | Action::Approve) {
            approval.note = note;
            approval.ended_by = by.as_ref().map(|by| by.token.clone());
        }
        match action {
            Action::Vote | Action::Approve => {
                approval.votes.retain(|vote| by.as_ref().is_none_or(|by| by.token != vote.token));
                approval.votes.extend(by);
                approval.votes.retain(|vote| agreed.contains(&vote.token));
                if action == Action::Vote { State::Pending } else { State::Approved { entry } }
            }
            Action::Escalate(level) => {
                approval.asked.level = level;
                approval.votes.clear();
                State::Pending
            }
            Action::Deny => State::Denied,
            Action::Done => State::Done,
            Action::Withdraw => State::Withdrawn,
            Action::Expire => State::Expired,
            Action::Void => State::Void,
        }
    }
}

impl ApprovalMove {
    pub(super) fn void(book: &Arc<Book>, approval: &Approval, note: &str) -> Self {
        Self::of(book, approval, Action::Void, Some(Arc::from(note)))
    }

    pub(super) fn expired(book: &Arc<Book>, approval: &Approval) -> Self {
        Self::of(book, approval, Action::Expire, None)
    }

    fn of(book: &Arc<Book>, approval: &Approval, action: Action, note: Option<Arc<str>>) -> Self {
        Self { book: Arc::clone(book), approval: approval.clone(), action, by: None, note, taken: false }
    }

    /// The level that counts from then on.
    #[must_use]
    pub const fn level(&self) -> SupervisorLevel {
        match self.action {
            Action::Escalate(level) => level,
            _ => self.approval.asked.level,
        }
    }

    /// How many must agree at that level.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.book.settings.quorum_of(self.level())
    }

    /// Where somebody agrees, all who have and still count, the newest last; else nobody.
    #[must_use]
    pub fn agreed(&self) -> Vec<TokenName> {
        if !matches!(self.action, Action::Vote | Action::Approve) {
            return Vec::new();
        }
        let before = self.approval.votes.iter().map(|vote| vote.token.clone());
        before.chain(self.by.iter().map(|by| by.token.clone())).collect()
    }

    /// It is recorded, in the entry of this hash: it has happened. The approval as it is now.
    pub fn take(mut self, entry: Digest) -> Approval {
        self.taken = true;
        let by = self.by.as_ref().map(|by| Vote { token: by.token.clone(), owner: Arc::clone(&by.owner) });
        let (agreed, note) = (self.agreed(), self.note.clone());
        let taken = TakenMove { action: self.action, by, agreed, note, entry };
        self.book.settle(self.approval.id, |approval| taken.applied_to(approval));
        self.book.find(self.approval.id).unwrap_or_else(|| self.approval.clone())
    }
}

impl Drop for ApprovalMove {
    fn drop(&mut self) {
        if !self.taken {
            self.book.leave(self.approval.id);
        }
    }
}
