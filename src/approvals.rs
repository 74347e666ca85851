//! Approvals: what is held until a human agrees, from the question to the one dispatch that it is for.
//!
//! ```text
//! pending ─► approved ─► spent
//!    │           ├─────► withdrawn, void, expired
//!    └─► denied, done, void, expired
//! ```
//!
//! [`Book`] is all that is asked for and agreed to, in memory, and its rules: it knows no ledger, and takes the time from whoever calls.
//! A step is prepared, recorded by the caller, and then taken; while it is prepared nobody else can take another. [`ApprovalStore`] keeps the
//! book, and what approvers see, over a restart. What is agreed to is spent once: a [`GrantClaim`] that is dropped counts as spent.

pub mod approval;
pub mod book;
pub mod callback;
mod calling;
mod caps;
pub mod contents;
pub mod differences;
mod resolving;
pub mod store;
pub mod subject;
mod telling;
pub mod unbound;
pub mod waiting;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::ids::{DataLabel, SupervisorLevel};

pub use approval::{Approval, Approver, Asker, HeldAsk, State, Vote};
pub use book::{Book, BothClocks, Entered, GrantClaim, Opening, Phase};
pub use callback::{Callback, CallbackKey, CallbackPrefix, CallbackSettings, NotCallable};
pub use calling::{CallbackKept, DueCallback};
pub use contents::{Contents, visible};
pub use differences::ContentsDifference;
pub use resolving::{Action, ApprovalMove, NotResolved, Resolution, TakenMove};
pub use store::{ApprovalStore, Restored, StoreDown, StoreError, StoreFile};
pub use subject::Subject;
pub use unbound::UnboundHeaders;
pub use waiting::{WaitingLimits, WaitingPlace, WaitingRoom};

/// The `approvals` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file that keeps them.
    pub store: PathBuf,
    /// How long somebody may take to agree, and whoever asked to come back: both together.
    pub ttl: Duration,
    /// How many must agree, by level; one where a level is not named.
    pub quorum: BTreeMap<SupervisorLevel, usize>,
    /// The level of who may agree to too high a blast score; `None`: nobody.
    pub blast: Option<SupervisorLevel>,
    /// The most that may wait for a human, in all.
    pub most: usize,
    /// The most of them that one credential's owner may have asked for, and the most for one worker.
    pub most_for_one: usize,
    /// The most that one credential may open within a minute.
    pub most_a_minute: usize,
    /// The label from which on nobody is shown headers and bodies, and nothing keeps them; `None`: they are kept until somebody decides.
    pub no_contents_from: Option<DataLabel>,
    /// What is forwarded and no part of what is approved.
    pub unbound_headers: UnboundHeaders,
    /// Who may be kept waiting at the gate.
    pub waiting: WaitingLimits,
    /// Who may be told that it is decided; `None`: nobody.
    pub callbacks: Option<CallbackSettings>,
}

impl Settings {
    /// How many must agree at this level.
    #[must_use]
    pub fn quorum_of(&self, level: SupervisorLevel) -> usize {
        self.quorum.get(&level).copied().unwrap_or(1).max(1)
    }

    /// What is kept and shown of contents of this label.
    #[must_use]
    pub fn kept(&self, label: DataLabel, contents: Contents) -> Contents {
        if self.no_contents_from.is_some_and(|from| label >= from) { contents.withheld() } else { contents }
    }
}
