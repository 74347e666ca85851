//! What humans have to do with a decision.

use std::sync::Arc;

use crate::ids::{Digest, SupervisorLevel, TokenName};

/// What humans have to do with a decision: who is asked, or who has agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalMark {
    /// The approval's id.
    pub id: Arc<str>,
    /// The digest of what is to be approved, or was.
    pub digest: Digest,
    /// What it rests on.
    pub basis: Digest,
    /// The level of who may agree.
    pub level: SupervisorLevel,
    /// When it is over, in microseconds since 1970 UTC.
    pub expires_at_micros: i64,
    /// Who answers for the credential that asks; `None` for none.
    pub owner: Option<Arc<str>>,
    /// Whether they are asked from this decision on; others wait for what was asked already.
    pub opens: bool,
    /// That they have agreed, on which this decision rests; `None` while they are asked.
    pub granted: Option<Granted>,
}

/// That humans have agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// By their credentials.
    pub by: Arc<[TokenName]>,
    /// The hash of the entry that says so.
    pub entry: Digest,
}
