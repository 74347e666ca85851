//! The decision as the reference's RouteDecision writes it (WCP_SPEC 4.2).

use serde::Serialize;

use crate::engine::Decision;

/// A decision with its id and time, ready to be written as the reference's RouteDecision.
#[derive(Debug, Clone, Copy)]
pub struct RouteDecision<'a> {
    decision: &'a Decision,
    decision_id: &'a str,
    timestamp: &'a str,
}

/// A decision as the reference's RouteDecision: an object of 23 keys, which other fields may be flattened beside.
#[must_use]
pub const fn route_decision<'a>(decision: &'a Decision, decision_id: &'a str, timestamp: &'a str) -> RouteDecision<'a> {
    RouteDecision { decision, decision_id, timestamp }
}

impl Serialize for RouteDecision<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let _ = (s, self.decision, self.decision_id, self.timestamp);
        todo!()
    }
}
