//! The decision as the reference's RouteDecision writes it (WCP_SPEC 4.2), telemetry events included.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::engine::decision::{Decision, Denial, Event};

/// A decision with its id and time, ready to be written as the reference's RouteDecision.
#[derive(Debug, Clone, Copy)]
pub struct RouteDecision<'a> {
    decision: &'a Decision,
    decision_id: &'a str,
    timestamp: &'a str,
}

/// A decision as the reference's RouteDecision: an object of 23 keys, beside which other fields may be flattened.
///
/// `timestamp` is ISO 8601 with microseconds and `+00:00`. Unlike the reference, which has none on a denial, the artifact
/// hash is always there.
#[must_use]
pub const fn route_decision<'a>(decision: &'a Decision, decision_id: &'a str, timestamp: &'a str) -> RouteDecision<'a> {
    RouteDecision { decision, decision_id, timestamp }
}

impl Serialize for RouteDecision<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Decision { input, verdict, tenant_risk, artifact_hash, .. } = self.decision;
        let mut map = s.serialize_map(Some(23))?;
        map.serialize_entry("decision_id", self.decision_id)?;
        map.serialize_entry("timestamp", self.timestamp)?;
        map.serialize_entry("correlation_id", &*input.correlation_id)?;
        map.serialize_entry("tenant_id", &*input.tenant_id)?;
        map.serialize_entry("capability_id", &*input.capability_id)?;
        map.serialize_entry("matched_rule_id", &*verdict.matched_rule_id)?;
        map.serialize_entry("env", &input.env)?;
        map.serialize_entry("data_label", &input.data_label)?;
        map.serialize_entry("tenant_risk", tenant_risk)?;
        map.serialize_entry("qos_class", &input.qos_class)?;
        map.serialize_entry("denied", &verdict.denied())?;
        map.serialize_entry("deny_reason_if_denied", &verdict.denial)?;
        map.serialize_entry("selected_worker_species_id", &verdict.selected_species)?;
        map.serialize_entry("candidate_workers_ranked", &verdict.candidates)?;
        map.serialize_entry("required_controls_effective", &*verdict.required_controls)?;
        map.serialize_entry("recommended_profiles_effective", &verdict.recommended_profiles)?;
        map.serialize_entry("escalation_effective", &verdict.escalation)?;
        map.serialize_entry("preconditions_checked", &verdict.preconditions)?;
        map.serialize_entry("artifact_hash", artifact_hash)?;
        map.serialize_entry("worker_attestation_checked", &verdict.attestation_checked)?;
        map.serialize_entry("worker_attestation_valid", &verdict.attestation_valid)?;
        map.serialize_entry("dry_run", &input.dry_run)?;
        map.serialize_entry("telemetry_envelopes", &Envelopes(*self))?;
        map.end()
    }
}

/// `{code, message, …}` with the reference's extra fields.
impl Serialize for Denial {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(Some(2 + self.extras.len()))?;
        map.serialize_entry("code", self.code.as_str())?;
        map.serialize_entry("message", &self.message)?;
        for (name, value) in &self.extras {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The telemetry events of a decision, in order.
struct Envelopes<'a>(RouteDecision<'a>);

impl Serialize for Envelopes<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let events = &self.0.decision.verdict.events;
        let mut seq = s.serialize_seq(Some(events.len()))?;
        for event in events {
            seq.serialize_element(&Envelope { of: self.0, event: *event })?;
        }
        seq.end()
    }
}

struct Envelope<'a> {
    of: RouteDecision<'a>,
    event: Event,
}

impl Serialize for Envelope<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Decision { input, verdict, policy_version, .. } = self.of.decision;
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("event_id", self.event.as_str())?;
        // The reference's skipped event has neither time nor tenant.
        if self.event != Event::AttestationSkipped {
            map.serialize_entry("timestamp", self.of.timestamp)?;
        }
        map.serialize_entry("correlation_id", &sanitised(&input.correlation_id))?;
        if self.event != Event::AttestationSkipped {
            map.serialize_entry("tenant_id", &sanitised(&input.tenant_id))?;
        }
        let species = &verdict.selected_species;
        match self.event {
            Event::BlastScored | Event::PrivilegeEnvelopeChecked => {
                map.serialize_entry("env", &input.env)?;
                map.serialize_entry("data_label", &input.data_label)?;
                map.serialize_entry("policy_version", policy_version)?;
                if self.event == Event::BlastScored {
                    map.serialize_entry("blast_score", &verdict.blast_score)?;
                } else {
                    map.serialize_entry("worker_species_id", species)?;
                }
                map.serialize_entry("decision", "ALLOW")?;
            }
            Event::AttestationSkipped => {
                map.serialize_entry("worker_species_id", species)?;
                map.serialize_entry("env", &input.env)?;
                map.serialize_entry("reason", "require_worker_attestation=False or hall_config=None")?;
                map.serialize_entry("severity", "warn")?;
            }
            Event::TaskRouted => {
                map.serialize_entry("task_id", "task_default")?;
                map.serialize_entry("capability_id", &sanitised(&input.capability_id))?;
                map.serialize_entry("matched_rule_id", &*verdict.matched_rule_id)?;
                map.serialize_entry("selected_worker_species_id", species)?;
                map.serialize_entry("policy_version", policy_version)?;
                map.serialize_entry("qos_class", &input.qos_class)?;
            }
            Event::WorkerSelected => {
                map.serialize_entry("capability_id", &sanitised(&input.capability_id))?;
                map.serialize_entry("selected_worker_species_id", species)?;
                map.serialize_entry("reason", "first_available_candidate")?;
            }
            Event::PolicyGated => {
                map.serialize_entry("capability_id", &sanitised(&input.capability_id))?;
                map.serialize_entry("decision", "ALLOW")?;
                map.serialize_entry("policy_version", policy_version)?;
                let gated = verdict.escalation.policy_gate;
                map.serialize_entry("reason", if gated { "policy_gate_allow" } else { "no_gate_required" })?;
            }
            Event::TaskDenied => {
                map.serialize_entry("capability_id", &sanitised(&input.capability_id))?;
                map.serialize_entry("deny_code", &verdict.denial.as_ref().map(|denial| denial.code.as_str()))?;
                map.serialize_entry("deny_message", &verdict.denial.as_ref().map(|denial| &denial.message))?;
                map.serialize_entry("matched_rule_id", &*verdict.matched_rule_id)?;
            }
        }
        if input.dry_run {
            map.serialize_entry("dry_run", &true)?;
        }
        map.end()
    }
}

/// An id as events carry it: without control characters, so that a line of a log stays one line.
fn sanitised(id: &str) -> String {
    id.chars().filter(|c| !c.is_ascii_control()).collect()
}
