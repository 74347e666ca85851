//! Entries of the kind `approval`: what humans do with what is held, and what time and change do with it.
//!
//! Who asks and who spends are decisions, and have it in their own entries, under `approval`.

use std::sync::Arc;

use uuid::Uuid;

use crate::clock::timestamp;
use crate::engine::ApprovalMark;
use crate::ids::{DataLabel, Digest, SupervisorLevel, TokenName};
use crate::ledger::format::canonical::{self, Object};
use crate::ledger::format::stamp::{Stamp, TEXT, cut};

/// The kind of these entries.
pub(crate) const KIND: &str = "approval";

/// A step of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalAction {
    /// Somebody agrees, and more must.
    Voted,
    /// Enough have agreed: it may be spent once.
    Approved,
    /// Somebody says no.
    Denied,
    /// A human has done it: nothing is to run.
    Done,
    /// Somebody of another level must agree.
    Escalated,
    /// What was agreed to is taken back before it is spent.
    Withdrawn,
    /// Nobody has agreed in time, or it was not spent in time.
    Expired,
    /// It does not rest on the same any more.
    Void,
}

impl ApprovalAction {
    /// Every action.
    pub const ALL: &'static [Self] = &[
        Self::Voted,
        Self::Approved,
        Self::Denied,
        Self::Done,
        Self::Escalated,
        Self::Withdrawn,
        Self::Expired,
        Self::Void,
    ];

    /// The action in an entry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Voted => "voted",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Done => "done",
            Self::Escalated => "escalated",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }
}

/// Who takes a step, and by what right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApproverMark {
    /// The credential.
    pub token: TokenName,
    /// Who answers for it.
    pub owner: Arc<str>,
    /// The levels for which it may agree.
    pub levels: Vec<SupervisorLevel>,
    /// The highest label for which it may.
    pub max_label: DataLabel,
}

/// A step of an approval, as it is recorded.
#[derive(Debug, Clone)]
pub struct ApprovalStep {
    /// What happens.
    pub action: ApprovalAction,
    /// The approval's id.
    pub id: Arc<str>,
    /// The digest of what is to be approved.
    pub digest: Digest,
    /// The level that counts from then on.
    pub level: SupervisorLevel,
    /// The label of what is asked.
    pub label: DataLabel,
    /// When it is over, in microseconds since 1970 UTC.
    pub expires_at_micros: i64,
    /// For whom it was asked; empty: for nobody.
    pub tenant: Arc<str>,
    /// By whom; `None` for time and change.
    pub by: Option<ApproverMark>,
    /// Where somebody agrees, all who have and still count.
    pub approved_by: Vec<TokenName>,
    /// How many must agree.
    pub quorum: usize,
    /// Why, in their words or ours.
    pub note: Option<Arc<str>>,
}

/// Appends the entry of a step.
pub(crate) fn push(out: &mut Vec<u8>, step: &ApprovalStep, stamp: &Stamp<'_>) {
    let mut id = Uuid::encode_buffer();
    let mut entry = Object::begin(out);
    entry.string("action", step.action.as_str());
    let mut approval = entry.object("approval");
    approval.digest("digest", &step.digest);
    approval.string("expires_at", &timestamp(step.expires_at_micros));
    approval.string("id", &step.id);
    approval.string("level", step.level.as_str());
    approval.end();
    if !step.approved_by.is_empty() {
        entry.strings("approved_by", step.approved_by.iter().map(TokenName::as_str));
    }
    if let Some(by) = &step.by {
        let mut approver = entry.object("approver");
        approver.strings("levels", by.levels.iter().map(|level| level.as_str()));
        approver.string("max_label", by.max_label.as_str());
        approver.string("owner", &cut(&by.owner, TEXT));
        approver.string("token", by.token.as_str());
        approver.end();
    }
    entry.string("canon", canonical::NAME);
    entry.string("data_label", step.label.as_str());
    entry.string("kind", KIND);
    entry.maybe("note", step.note.as_ref().map(|note| cut(note, TEXT)).as_deref());
    stamp.previous(&mut entry);
    entry.count("quorum", u64::try_from(step.quorum).unwrap_or(u64::MAX));
    entry.string("receipt_id", stamp.id.as_hyphenated().encode_lower(&mut id));
    entry.string("recorded_at", stamp.recorded_at);
    entry.string("stream", stamp.stream);
    entry.maybe("tenant_id", Some(&*step.tenant).filter(|tenant| !tenant.is_empty()));
    entry.end();
}

/// Appends what a decision's own entry says: who is asked, or that they have agreed.
pub(crate) fn push_mark(mut approval: Object<'_>, mark: &ApprovalMark) {
    if let Some(granted) = &mark.granted {
        approval.strings("approved_by", granted.by.iter().map(TokenName::as_str));
    }
    approval.digest("basis", &mark.basis);
    approval.digest("digest", &mark.digest);
    approval.string("expires_at", &timestamp(mark.expires_at_micros));
    approval.string("id", &mark.id);
    approval.string("level", mark.level.as_str());
    approval.maybe("owner", mark.owner.as_ref().map(|owner| cut(owner, TEXT)).as_deref());
    if let Some(granted) = &mark.granted {
        approval.digest("receipt_hash", &granted.entry);
    }
    approval.end();
}
