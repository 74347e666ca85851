//! One approval: what is asked, by whom, who may agree, and how far it has come.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::callback::Callback;
use crate::engine::Binding;
use crate::ids::{DataLabel, Digest, Env, SupervisorLevel, TokenName};

/// What a held request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAsk {
    /// The digest of exactly what would run: [`Subject`](super::Subject).
    pub digest: Digest,
    /// The digest of what the hold rests on.
    pub basis: Digest,
    /// The level of who may agree.
    pub level: SupervisorLevel,
    /// For whom; may be blank in a development setting.
    pub tenant: Arc<str>,
    /// As whom.
    pub worker: Option<Arc<str>>,
    /// What for.
    pub capability: Arc<str>,
    /// Where.
    pub env: Env,
    /// How sensitive the data is.
    pub label: DataLabel,
    /// Through which door: `gate` or `api`.
    pub door: String,
    /// The rule that matched.
    pub rule: Arc<str>,
    /// The policies that want a human.
    pub policies: Vec<Arc<str>>,
    /// The blast score that counted.
    pub blast_score: Option<i64>,
    /// Why it is held.
    pub reason: String,
    /// What ties the first request to others.
    pub correlation_id: String,
}

/// A credential that asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asker {
    /// Its name; `None` for one that is no token.
    pub token: Option<TokenName>,
    /// Who answers for it; `None` where nobody is said to.
    pub owner: Option<Arc<str>>,
}

/// A credential that may agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver {
    /// Its name.
    pub token: TokenName,
    /// Who answers for it.
    pub owner: Arc<str>,
    /// The levels for which it may agree.
    pub levels: BTreeSet<SupervisorLevel>,
    /// The highest label for which it may.
    pub max_label: DataLabel,
    /// What it is bound to: it knows of nothing else.
    pub binding: Binding,
}

/// That somebody has agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The credential.
    pub token: TokenName,
    /// Who answers for it.
    pub owner: Arc<str>,
}

/// How far an approval has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Somebody is asked.
    Pending,
    /// Enough have agreed: it may be spent once.
    Approved {
        /// The hash of the entry that says so.
        entry: Digest,
    },
    /// What was agreed to has been dispatched, or may have been.
    Spent,
    /// Somebody said no.
    Denied,
    /// A human did it.
    Done,
    /// It was taken back.
    Withdrawn,
    /// Nobody agreed in time, or it was not spent in time.
    Expired,
    /// It did not rest on the same any more.
    Void,
}

impl State {
    /// The state in answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved { .. } => "approved",
            Self::Spent => "spent",
            Self::Denied => "denied",
            Self::Done => "done",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }

    /// Whether nothing more can become of it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        !matches!(self, Self::Pending | Self::Approved { .. })
    }
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id, a UUIDv4: it tells nothing, and cannot be guessed.
    pub id: Uuid,
    /// What is asked for.
    pub asked: HeldAsk,
    /// Who asks. Whoever else asks the same asks something else: a credential is part of what is approved.
    pub asker: Asker,
    /// When it was asked for first, in microseconds since 1970 UTC.
    pub opened_at_micros: i64,
    /// When it is over.
    pub expires_at_micros: i64,
    /// How far it has come.
    #[serde(flatten)]
    pub state: State,
    /// Who has agreed.
    pub votes: Vec<Vote>,
    /// Why it ended as it did, in somebody's words.
    pub note: Option<Arc<str>>,
    /// Who ended it, where somebody did.
    pub ended_by: Option<TokenName>,
    /// The highest level of which somebody was told by a notice.
    #[serde(default)]
    pub told: Option<SupervisorLevel>,
    /// Who has still to be told that it is decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<Callback>,
}

impl Approval {
    /// Whether a credential of this owner asks.
    #[must_use]
    pub fn is_asked_by(&self, owner: &str) -> bool {
        self.asker.owner.as_deref() == Some(owner)
    }

    /// The same with those votes that count still. What enough have agreed to is decided, whoever may agree by now.
    #[must_use]
    pub fn standing(&self, stands: impl Fn(&Self, &Vote) -> bool) -> Self {
        let mut standing = self.clone();
        if self.state == State::Pending {
            standing.votes.retain(|vote| stands(self, vote));
        }
        standing
    }

    /// Whether a vote is one that this credential could give now.
    #[must_use]
    pub fn could_be_given(&self, vote: &Vote, by: &Approver) -> bool {
        let is_theirs = vote.token == by.token && vote.owner == by.owner;
        let may = self.asked.label <= by.max_label && by.levels.contains(&self.asked.level);
        is_theirs && may && self.is_within(&by.binding) && !self.is_asked_by(&by.owner)
    }

    /// Whether whoever is bound like this may know of it.
    #[must_use]
    pub fn is_within(&self, binding: &Binding) -> bool {
        binding.sees(Some(&self.asked.tenant), self.asked.worker.as_deref(), Some(self.asked.env))
    }
}
