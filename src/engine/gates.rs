//! The gates, in the order in which a request passes them (WCP_SPEC 5).

use crate::engine::{Question, Snapshot, Verdict};

/// The verdict on a question under the snapshot of which it was asked.
#[must_use]
pub fn decide(question: &Question, snapshot: &Snapshot) -> Verdict {
    let _ = (question, snapshot);
    todo!()
}
