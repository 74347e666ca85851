//! What policies can read, and what a set of them reads: what a question must hold.

use std::collections::BTreeSet;

use super::request::{ReadValue, ValueKind};
use crate::engine::policy_gate::GateReads;

/// The attributes of the context that are one value, and of which kind. `request` and `http` are objects.
pub(super) const ATTRIBUTES: &[(&str, ValueKind)] = &[
    ("env", ValueKind::Text),
    ("data_label", ValueKind::Text),
    ("label_rank", ValueKind::Long),
    ("tenant_risk", ValueKind::Text),
    ("qos_class", ValueKind::Text),
    ("blast_score", ValueKind::Long),
    ("dry_run", ValueKind::Bool),
    ("species", ValueKind::Text),
];

/// What is known of a request on the wire.
pub(super) const HTTP: &[&str] = &["method", "host", "path"];

/// What a set of policies reads.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct PolicyReads {
    pub(super) principal: bool,
    pub(super) resource: bool,
    /// Whether any membership is asked for.
    pub(super) hierarchy: bool,
    /// The attributes of the context.
    pub(super) attributes: BTreeSet<&'static str>,
    /// Those of `context.http`.
    pub(super) http: BTreeSet<&'static str>,
    /// Those of `context.request`.
    pub(super) request: ReadValue,
    /// What makes no sense: policy, message and what to change.
    pub(super) problems: Vec<(usize, String, String)>,
}

impl PolicyReads {
    /// The attribute of the context of this name, if there is one.
    pub(super) fn attribute(name: &str) -> Option<&'static str> {
        let objects = ["request", "http"].iter();
        ATTRIBUTES.iter().map(|(known, _)| known).chain(objects).find(|known| **known == name).copied()
    }

    /// What a question must hold.
    pub(super) fn in_question(&self) -> GateReads {
        let reads = |name: &str| self.attributes.contains(name);
        let http = |name: &str| self.http.contains(name);
        GateReads {
            principal: self.principal,
            capability: self.resource,
            label: reads("data_label") || reads("label_rank"),
            tenant_risk: reads("tenant_risk"),
            qos: reads("qos_class"),
            blast: reads("blast_score"),
            dry_run: reads("dry_run"),
            http: reads("http"),
            method: http("method"),
            host: http("host"),
            path: http("path"),
            request: reads("request"),
        }
    }
}
