//! A change of the registry: what happens to one worker or one hash, and its stamp in the ledger.

use std::sync::Arc;

use uuid::Uuid;

use crate::ids::{Digest, TokenName, WorkerId};

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A worker is enrolled, or has another record from now on.
    Enroll {
        /// Which.
        worker_id: WorkerId,
        /// Its record, as its hash is made of it, `artifact_hash` included.
        record: Arc<str>,
    },
    /// A worker may not act any more.
    Revoke {
        /// Which.
        worker_id: WorkerId,
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// A revocation is taken back.
    Restore {
        /// Whose.
        worker_id: WorkerId,
    },
    /// No worker whose record or code has this hash may act.
    Ban {
        /// Of a record or of code.
        hash: Digest,
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// A ban is taken back.
    Unban {
        /// Of which hash.
        hash: Digest,
    },
}

/// The ledger's entry of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryStamp {
    /// Its id.
    pub id: Uuid,
    /// When, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// Whose credential.
    pub by: Option<TokenName>,
}

/// Since when something holds, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Since when, in microseconds since 1970 UTC.
    pub since_micros: i64,
    /// Why, in the words of whoever did it.
    pub reason: Option<Arc<str>>,
}
