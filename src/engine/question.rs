//! The question: exactly what of a request this snapshot's verdict can depend on, and so the key under which it is remembered.

use crate::engine::{Facts, Fingerprint, RouteInput, Snapshot};

/// What is asked of one snapshot. Equal questions have equal verdicts, because [`decide`](crate::engine::decide) sees
/// nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    snapshot: Fingerprint,
}

impl Question {
    /// Projects a request and the facts about it onto what `snapshot` reads.
    #[must_use]
    pub fn ask(input: &RouteInput, facts: &Facts, snapshot: &Snapshot) -> Self {
        let _ = (input, facts);
        Self { snapshot: snapshot.fingerprint }
    }
}
