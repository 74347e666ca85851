//! The schemas of bodies that rooms without HTTP read and write; that they are as described is tested on real answers.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// A request for a decision. A value that means nothing is a denial, not an error; other keys are ignored.
#[derive(ToSchema)]
#[schema(example = json!({
    "capability_id": "cap.data.read.v1", "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": "PUBLIC",
    "tenant_id": "org.acme"
}))]
#[expect(dead_code, reason = "only described")]
pub(super) struct RouteRequest {
    /// Such as `cap.data.write.v1`.
    capability_id: String,
    /// dev, stage (staging), prod (production) or edge.
    env: String,
    /// The registered worker that makes the request; where the policy requires one, its absence is a denial.
    worker_id: Option<String>,
    /// PUBLIC, INTERNAL, CONFIDENTIAL or RESTRICTED (SECRET); absent or empty counts as RESTRICTED.
    data_label: Option<String>,
    /// The token's own, if it is left out.
    tenant_id: Option<String>,
    /// low, medium, high or critical. It can raise what is known of the tenant, never lower it.
    tenant_risk: Option<String>,
    /// P0 to P3; P2 if it is left out.
    qos_class: Option<String>,
    /// A fresh one if it is left out; a blank one is denied.
    correlation_id: Option<String>,
    /// About the request itself, such as `{"egress": true}`.
    #[schema(value_type = Option<Object>)]
    request: Option<()>,
    #[schema(value_type = Option<Object>)]
    blast_radius: Option<()>,
    /// 0 to 100; another is a denial.
    #[schema(schema_with = any_integer_or_null)]
    blast_score: Option<i64>,
    #[schema(value_type = Option<Object>)]
    privilege_context: Option<()>,
    tenant_credential: Option<String>,
    /// Where you are told that a human has decided, if one has to: the Hall posts `pending_approval_id`, `resolution`, `correlation_id`,
    /// `digest` and `expires_at` there, which is no verdict, and you send the same again. One that `approvals.callbacks` does not allow is a
    /// 400 where a human has to agree, and ignored where none has. At most 2,048 bytes.
    callback_url: Option<String>,
    /// Decide and record, but dispatch nothing.
    #[schema(value_type = bool, required = false)]
    dry_run: bool,
}

/// A whole RouteInput: a [`RouteRequest`] in which the specification lets less be left out.
pub(super) struct FullRouteRequest;

impl PartialSchema for FullRouteRequest {
    fn schema() -> RefOr<Schema> {
        let mut schema = RouteRequest::schema();
        if let RefOr::T(Schema::Object(whole)) = &mut schema {
            whole.description = Some("A whole RouteInput (WCP_SPEC 4.1).".to_owned());
            for (key, example) in [
                ("data_label", "PUBLIC"),
                ("tenant_id", "org.acme"),
                ("tenant_risk", "low"),
                ("qos_class", "P2"),
                ("correlation_id", "11111111-1111-4111-8111-111111111111"),
            ] {
                whole.required.push(key.to_owned());
                whole.properties.insert(key.to_owned(), Object::with_type(Type::String).into());
                if let Some(serde_json::Value::Object(all)) = &mut whole.example {
                    all.insert(key.to_owned(), example.into());
                }
            }
        }
        schema
    }
}

impl ToSchema for FullRouteRequest {}

/// An integer of any size: one that is too large is put within bounds.
pub(super) fn any_integer() -> Object {
    Object::with_type(Type::Integer)
}

/// The same, or null: one that is too large is a denial.
fn any_integer_or_null() -> Object {
    Object::with_type(SchemaType::from_iter([Type::Integer, Type::Null]))
}

/// A decision: the reference's RouteDecision, and beside it every field that some client reads.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct RouteAnswer {
    decision_id: String,
    timestamp: String,
    decided_at: String,
    /// Anything but true and the request must not go on.
    denied: bool,
    /// The opposite of `denied`.
    allowed: bool,
    /// DISPATCH, DENY or STEWARD_HOLD.
    outcome: String,
    /// One sentence; only there on a denial.
    #[schema(required = false, nullable = false)]
    reason: Option<String>,
    /// What the code means, what to do, and what was asked; only there on a denial.
    #[schema(required = false, nullable = false)]
    detail: Option<String>,
    #[schema(required)]
    deny_reason: Option<String>,
    #[schema(required)]
    deny_code: Option<String>,
    /// `{code, message, …}`.
    #[schema(required, value_type = Option<Object>)]
    deny_reason_if_denied: Option<()>,
    #[schema(required)]
    selected_worker_species_id: Option<String>,
    #[schema(required)]
    worker_id: Option<String>,
    /// SHA-256 of the request as the reference writes it.
    artifact_hash: String,
    /// The receipt's hash: it covers verdict, worker, token and the body as it was sent.
    proof: String,
    receipt_id: String,
    matched_rule_id: String,
    correlation_id: String,
    tenant_id: String,
    capability_id: String,
    env: String,
    data_label: String,
    #[schema(required)]
    tenant_risk: Option<String>,
    qos_class: String,
    #[schema(required)]
    blast_score: Option<i64>,
    #[schema(required)]
    blast_gate_passed: Option<bool>,
    #[schema(required)]
    privilege_envelope_ok: Option<bool>,
    supervisor_required: bool,
    /// Only there where a human is needed or told.
    #[schema(required = false, nullable = false)]
    supervisor_level: Option<String>,
    /// Under which id a human is asked, while one is.
    #[schema(required = false, nullable = false)]
    pending_approval_id: Option<String>,
    /// Until when somebody may agree, and the same may be sent again.
    #[schema(required = false, nullable = false)]
    approval_expires_at: Option<String>,
    /// Who has agreed, where that is why it is allowed.
    #[schema(required = false, nullable = false, value_type = Object)]
    approval: Option<()>,
    #[schema(required = false, nullable = false, value_type = Object)]
    escalation_context: Option<()>,
    /// The policies that decided.
    #[schema(required = false, nullable = false)]
    determining_policies: Option<Vec<String>>,
    controls_applied: Vec<String>,
    required_controls_effective: Vec<String>,
    #[schema(value_type = Vec<Value>)]
    recommended_profiles_effective: Vec<()>,
    #[schema(value_type = Vec<Object>)]
    candidate_workers_ranked: Vec<()>,
    #[schema(value_type = Object)]
    escalation_effective: (),
    #[schema(value_type = Object)]
    preconditions_checked: (),
    worker_attestation_checked: bool,
    #[schema(required)]
    worker_attestation_valid: Option<bool>,
    dry_run: bool,
    #[schema(value_type = Vec<Object>)]
    telemetry_envelopes: Vec<()>,
    policy_version: String,
    /// The fingerprint of the policy, rules and workers that decided.
    snapshot: String,
}

/// What is to be explained: either a decision that is on record, or a request that is not made.
#[derive(ToSchema)]
#[serde(untagged, deny_unknown_fields)]
#[schema(example = json!({"route": {"capability_id": "cap.data.read.v1", "env": "prod", "data_label": "PUBLIC", "tenant_id": "org.acme"}}))]
#[expect(dead_code, reason = "only described")]
pub(super) enum ExplainRequest {
    /// A decision that is on record.
    #[schema(title = "Recorded")]
    Recorded {
        /// The `decision_id` of an answer.
        #[schema(format = "uuid")]
        decision_id: String,
        #[schema(required = false, value_type = Option<PolicyDraft>)]
        draft: (),
    },
    /// A request that is not made.
    #[schema(title = "Request")]
    Request {
        #[schema(value_type = RouteRequest)]
        route: (),
        #[schema(required = false, value_type = Option<PolicyDraft>)]
        draft: (),
    },
}

/// What stands in for what is in force.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct PolicyDraft {
    /// As in a rules file.
    #[schema(value_type = Vec<Object>)]
    rules: Vec<()>,
}

/// Why a decision was made, or would be.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct Explained {
    /// Null for a request that is not on record, as are the three behind it.
    #[schema(required)]
    decision_id: Option<String>,
    #[schema(required)]
    recorded_at: Option<String>,
    #[schema(required)]
    was: Option<VerdictInShort>,
    #[schema(required)]
    policy_version: Option<String>,
    /// What was asked, in words.
    asked: String,
    /// What would have been said, where the policy was only observed.
    #[schema(required)]
    would_be: Option<VerdictInShort>,
    /// Why not, in a sentence.
    #[schema(required)]
    reason: Option<String>,
    /// What a policy said that was asked beside.
    #[schema(required, value_type = Option<Object>)]
    shadow: Option<()>,
    /// Whether rules, policies, workers and settings are those that had decided.
    same_policy: bool,
    /// What is decided now; null where that is not known.
    #[schema(required)]
    now: Option<VerdictInShort>,
    /// Whether it comes out now as it was; null where that is not known, or nothing is on record.
    #[schema(required)]
    same: Option<bool>,
    /// Why it cannot be decided again.
    #[schema(required)]
    cannot: Option<String>,
    #[schema(required)]
    explain: Option<GatesExplained>,
    /// Members of the request that would each, alone, change the verdict.
    changes: Vec<VerdictChange>,
}

/// A verdict in short.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct VerdictInShort {
    /// DISPATCH, DENY or STEWARD_HOLD.
    outcome: String,
    #[schema(required)]
    deny_code: Option<String>,
    #[schema(required)]
    matched_rule_id: Option<String>,
    #[schema(required)]
    selected_worker_species_id: Option<String>,
}

/// What each gate said, and what there is to say about rules.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct GatesExplained {
    gates: Vec<GateExplained>,
    /// The rule that matched: `{rule_id, number, of, match}`.
    #[schema(required = false, nullable = false, value_type = Object)]
    rule: Option<()>,
    /// When none matched, those that came nearest: `{rule_id, number, differs_in, takes}`.
    #[schema(required = false, nullable = false, value_type = Vec<Object>)]
    nearest_rules: Option<()>,
    /// What to do about a denial.
    #[schema(required = false, nullable = false)]
    remedy: Option<String>,
}

/// What a gate said.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct GateExplained {
    gate: String,
    /// passed, refused, wants a human, or not reached.
    said: String,
    #[schema(required = false, nullable = false)]
    note: Option<String>,
    #[schema(required = false, nullable = false)]
    code: Option<String>,
    #[schema(required = false, nullable = false)]
    message: Option<String>,
    #[schema(required = false, nullable = false)]
    supervisor_level: Option<String>,
}

/// What would come out if one member were another.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct VerdictChange {
    member: String,
    /// Each of them; null: the member is left out.
    values: Vec<Option<String>>,
    outcome: String,
    /// The rule of a dispatch, the code of a denial.
    why: String,
    /// Whether what the entry does not hold may say otherwise.
    in_doubt: bool,
}

/// A receipt, the proof that it is in the log, and the checkpoint under which it is.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct ProvenReceipt {
    format: String,
    /// The entry, canonical.
    #[schema(value_type = Object)]
    receipt: (),
    receipt_hash: String,
    inclusion: InclusionProof,
    /// A signed C2SP tlog-checkpoint.
    checkpoint: String,
}

/// An inclusion proof (RFC 6962 2.1.1).
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct InclusionProof {
    leaf_index: u64,
    tree_size: u64,
    hashes: Vec<String>,
}
