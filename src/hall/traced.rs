//! What the span of a request says of its decision, the same at both doors: ids, codes and closed vocabularies, never a body.

use std::sync::Arc;

use super::Hall;
use super::recent::row::short;
use crate::engine::Decision;
use crate::engine::input::written::sound_correlation_id;
use crate::ids::TokenName;
use crate::telemetry::traces::{Traced, Traces};

impl Hall {
    /// The same hall, whose doors trace their requests.
    #[must_use]
    pub fn traced_by(self, traces: Traces) -> Self {
        Self { traces: Some(traces), ..self }
    }

    /// What begins spans; `None`: requests are not traced.
    #[must_use]
    pub const fn traces(&self) -> Option<&Traces> {
        self.traces.as_ref()
    }
}

/// Says what was asked and what was decided.
pub fn tell(span: &mut Traced, decision: &Decision) {
    if !span.is_recorded() {
        return;
    }
    let Decision { input, verdict, .. } = decision;
    span.set("wcp.verdict", verdict.outcome.as_str());
    span.set_some("wcp.code", verdict.denial.as_ref().map(|denial| denial.code.as_str()));
    span.set_some("wcp.would_be", verdict.would_be.as_ref().map(|would_be| would_be.denial.code.as_str()));
    span.set("wcp.rule_id", verdict.matched_rule_id.clone());
    span.set("wcp.capability", short(&input.capability_id));
    span.set_some("wcp.worker_id", input.worker_id.as_ref().map(short));
    span.set_some("wcp.worker_species", verdict.selected_species.clone());
    span.set("wcp.tenant_id", short(&input.tenant_id));
    span.set("wcp.env", input.env.as_str());
    span.set("wcp.data_label", input.data_label.as_str());
    span.set_some("wcp.blast_score", verdict.blast_score);
    span.set("wcp.dry_run", input.dry_run);
    span.set("wcp.cache", if decision.cached { "hit" } else { "miss" });
    span.set("wcp.policy_version", decision.policy_version.clone());
    span.set("wcp.artifact_hash", decision.artifact_hash.to_hex());
    if let Some(mark) = &decision.approval {
        span.set("wcp.approval_id", Arc::clone(&mark.id));
        span.set("wcp.supervisor_level", mark.level.as_str());
        span.set_some("wcp.approved_by", mark.granted.as_ref().map(|granted| names(&granted.by)));
    }
    span.set_some("wcp.correlation_id", sound_correlation_id(&input.correlation_id));
}

fn names(by: &[TokenName]) -> String {
    by.iter().map(TokenName::as_str).collect::<Vec<_>>().join(", ")
}
