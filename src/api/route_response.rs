//! The body of an answer to a request for a decision: the reference's RouteDecision, and beside it every field that some client reads.
//!
//! `POST /api/route` sends it once it is recorded; `hallgate decide` prints it without a receipt.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::api::access_log::AnswerSummary;
use crate::api::response::json;
use crate::clock::timestamp;
use crate::engine::input::written::{Unacceptable, sound_correlation_id};
use crate::engine::{Decision, DenyCode, Outcome, Snapshot, route_decision};
use crate::hall::{Receipt, Recorded};
use crate::ids::{DataLabel, Digest, QosClass, SupervisorLevel, TenantRisk, TokenName};

/// A RouteDecision and the fields that only some clients know. Those that repeat another say the same thing: `allowed` and
/// `outcome` come from the one [`Outcome`], the three deny fields from the one code.
#[derive(Serialize)]
struct RouteResponse<'a, D> {
    #[serde(flatten)]
    decision: D,
    allowed: bool,
    outcome: &'static str,
    worker_id: Option<&'a str>,
    /// Left out of a dispatch, not null: the Make page says that it is only there on a denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// What the code means, what to do, and what was asked; where there is a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    deny_reason: Option<&'static str>,
    deny_code: Option<&'static str>,
    /// The receipt's hash: it covers the verdict, the worker, the token and the body as it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt_id: Option<&'a str>,
    decided_at: &'a str,
    blast_score: Option<i64>,
    blast_gate_passed: Option<bool>,
    privilege_envelope_ok: Option<bool>,
    supervisor_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    supervisor_level: Option<SupervisorLevel>,
    /// Under which id a human is asked; the same sent again goes through once they have agreed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_approval_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_expires_at: Option<String>,
    /// Who has agreed, where that is why it is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<GivenApproval<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    escalation_context: Option<EscalationContext<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    determining_policies: &'a [Arc<str>],
    controls_applied: &'a BTreeSet<Arc<str>>,
    policy_version: &'a str,
    /// The fingerprint of the snapshot that decided.
    snapshot: Digest,
}

/// What the human who is needed or told has to know (WCP_SPEC 5.8).
#[derive(Serialize)]
struct EscalationContext<'a> {
    capability_id: &'a str,
    blast_score: Option<i64>,
    tenant_risk: TenantRisk,
    data_label: DataLabel,
    policy_version: &'a str,
}

/// That humans have agreed.
#[derive(Serialize)]
struct GivenApproval<'a> {
    approval_id: &'a str,
    approved_by: &'a [TokenName],
    supervisor_level: SupervisorLevel,
}

/// What a denial applies.
static NO_CONTROLS: BTreeSet<Arc<str>> = BTreeSet::new();

/// The answer to a request that was decided and recorded.
pub(super) fn decided(recorded: &Recorded) -> Response {
    let (decision, receipt) = (recorded.decision(), recorded.receipt());
    let (id, time) = (receipt.id().to_string(), timestamp(receipt.recorded_at_micros()));
    let mut response = json(StatusCode::OK, &on_decision(decision, &id, &time, Some(receipt.hash())));
    response.extensions_mut().insert(AnswerSummary {
        code: decision.verdict.denial.as_ref().map_or("", |denial| denial.code.as_str()),
        decision_id: Some(receipt.id()),
        correlation_id: sound_correlation_id(&decision.input.correlation_id),
        decision: Some(Arc::clone(decision)),
        refusal: None,
        worker: None,
    });
    response
}

/// What is said of a decision. `proof` is the hash of its receipt, when it has one.
pub(crate) fn on_decision<'a>(
    decision: &'a Decision,
    id: &'a str,
    time: &'a str,
    proof: Option<Digest>,
) -> impl Serialize + 'a {
    let verdict = &decision.verdict;
    let denial = verdict.denial.as_ref();
    let code = denial.map(|denial| denial.code);
    let dispatched = !verdict.denied();
    let mark = decision.approval.as_deref();
    let pending = mark.filter(|mark| mark.granted.is_none());
    let granted = mark.and_then(|mark| Some((mark, mark.granted.as_ref()?)));
    RouteResponse {
        decision: route_decision(decision, id, time),
        allowed: dispatched,
        outcome: verdict.outcome.as_str(),
        worker_id: verdict.worker_id.as_deref(),
        reason: denial.map(|denial| &*denial.message),
        detail: decision.detail(),
        deny_reason: code.map(DenyCode::as_str),
        deny_code: code.map(DenyCode::as_str),
        proof,
        receipt_id: proof.map(|_| id),
        decided_at: time,
        blast_score: verdict.blast_score,
        blast_gate_passed: verdict.blast_gate_passed(),
        privilege_envelope_ok: verdict.privilege_envelope_ok(),
        supervisor_required: verdict.gated.supervisor.is_some() && granted.is_none(),
        pending_approval_id: pending.map(|mark| &*mark.id),
        approval_expires_at: pending.map(|mark| timestamp(mark.expires_at_micros)),
        approval: granted.map(|(mark, granted)| GivenApproval {
            approval_id: &mark.id,
            approved_by: &granted.by,
            supervisor_level: mark.level,
        }),
        supervisor_level: verdict.gated.supervisor,
        escalation_context: verdict.gated.supervisor.map(|_| EscalationContext {
            capability_id: &decision.input.capability_id,
            blast_score: verdict.blast_score,
            tenant_risk: decision.tenant_risk,
            data_label: decision.input.data_label,
            policy_version: &decision.policy_version,
        }),
        determining_policies: &verdict.gated.policies,
        controls_applied: if dispatched { &verdict.required_controls } else { &NO_CONTROLS },
        policy_version: &decision.policy_version,
        snapshot: decision.snapshot,
    }
}

/// The RouteDecision of a request that never became a question, because a value in it means nothing. Echoes what was sent.
#[derive(Serialize)]
struct Undecided<'a> {
    decision_id: &'a str,
    timestamp: &'a str,
    correlation_id: &'a str,
    tenant_id: &'a str,
    capability_id: &'a str,
    matched_rule_id: &'static str,
    env: &'a str,
    data_label: &'a str,
    tenant_risk: Option<&'a str>,
    qos_class: &'a str,
    denied: bool,
    deny_reason_if_denied: DenyReason<'a>,
    selected_worker_species_id: (),
    candidate_workers_ranked: [(); 0],
    required_controls_effective: [(); 0],
    recommended_profiles_effective: [(); 0],
    escalation_effective: Empty,
    preconditions_checked: Empty,
    artifact_hash: Digest,
    worker_attestation_checked: bool,
    worker_attestation_valid: (),
    dry_run: bool,
    telemetry_envelopes: [(); 0],
}

#[derive(Serialize)]
struct DenyReason<'a> {
    code: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Empty {}

/// The answer to a request with an unacceptable value, once its refusal is recorded.
pub(super) fn refused(unacceptable: &Unacceptable, receipt: &Receipt, snapshot: &Snapshot) -> Response {
    let (id, time) = (receipt.id().to_string(), timestamp(receipt.recorded_at_micros()));
    let mut response = json(StatusCode::OK, &on_unacceptable(unacceptable, &id, &time, Some(receipt.hash()), snapshot));
    response.extensions_mut().insert(AnswerSummary {
        code: DenyCode::InvalidInput.as_str(),
        decision_id: Some(receipt.id()),
        correlation_id: unacceptable.written.sound_correlation_id(),
        decision: None,
        refusal: Some(unacceptable.message.clone().into()),
        worker: unacceptable.written.worker_id.clone(),
    });
    response
}

/// What is said of a request with an unacceptable value.
pub(crate) fn on_unacceptable<'a>(
    unacceptable: &'a Unacceptable,
    id: &'a str,
    time: &'a str,
    proof: Option<Digest>,
    snapshot: &'a Snapshot,
) -> impl Serialize + 'a {
    let written = &unacceptable.written;
    let code = DenyCode::InvalidInput.as_str();
    RouteResponse {
        decision: Undecided {
            decision_id: id,
            timestamp: time,
            correlation_id: &written.correlation_id,
            tenant_id: &written.tenant_id,
            capability_id: &written.capability_id,
            matched_rule_id: "PRE_ROUTING",
            env: &written.env,
            data_label: written.data_label.as_deref().unwrap_or(DataLabel::Restricted.as_str()),
            tenant_risk: written.tenant_risk.as_deref(),
            qos_class: written.qos_class.as_deref().unwrap_or(QosClass::P2.as_str()),
            denied: true,
            deny_reason_if_denied: DenyReason { code, message: &unacceptable.message },
            selected_worker_species_id: (),
            candidate_workers_ranked: [],
            required_controls_effective: [],
            recommended_profiles_effective: [],
            escalation_effective: Empty {},
            preconditions_checked: Empty {},
            artifact_hash: written.artifact_hash(),
            worker_attestation_checked: false,
            worker_attestation_valid: (),
            dry_run: written.dry_run,
            telemetry_envelopes: [],
        },
        allowed: false,
        outcome: Outcome::Deny.as_str(),
        worker_id: None,
        reason: Some(&unacceptable.message),
        detail: Some(format!("{}: {}", DenyCode::InvalidInput.meaning(), DenyCode::InvalidInput.remedy())),
        deny_reason: Some(code),
        deny_code: Some(code),
        proof,
        receipt_id: proof.map(|_| id),
        decided_at: time,
        blast_score: None,
        blast_gate_passed: None,
        privilege_envelope_ok: None,
        supervisor_required: false,
        supervisor_level: None,
        pending_approval_id: None,
        approval_expires_at: None,
        approval: None,
        escalation_context: None,
        determining_policies: &[],
        controls_applied: &NO_CONTROLS,
        policy_version: &snapshot.settings.version,
        snapshot: snapshot.fingerprint,
    }
}
