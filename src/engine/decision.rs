//! What is answered: the verdict, which may be remembered, and the decision, which is one request's own.

mod approval;
mod event;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::engine::artifact::artifact_hash;
use crate::engine::{Fingerprint, Json, RouteInput, Snapshot};
use crate::ids::{Digest, SupervisorLevel, TenantRisk};

pub use approval::{ApprovalMark, Granted};
pub use event::Event;

/// What happens now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The request may be dispatched.
    Dispatch,
    /// It may not.
    Deny,
    /// It may not until a human agrees.
    Hold,
}

impl Outcome {
    /// Every verdict.
    pub const ALL: &'static [Self] = &[Self::Dispatch, Self::Deny, Self::Hold];

    /// `DISPATCH`, `DENY` or `STEWARD_HOLD`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispatch => "DISPATCH",
            Self::Deny => "DENY",
            Self::Hold => "STEWARD_HOLD",
        }
    }
}

/// Defines the deny codes once: variant, meaning, what to do.
macro_rules! deny_codes {
    ($($variant:ident $code:literal $meaning:literal $remedy:literal),+ $(,)?) => {
        /// Why a request is denied. The text is the wire's `deny_code`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DenyCode { $(#[doc = $meaning] $variant),+ }

        impl DenyCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The code on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $code),+ } }
            /// What it means, as half a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str { match self { $(Self::$variant => $meaning),+ } }
            /// What to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str { match self { $(Self::$variant => $remedy),+ } }
        }
    };
}

deny_codes! {
    UnknownTenant "DENY_UNKNOWN_TENANT" "the tenant is not one that this hall or this credential may act for" "add the tenant to policy.allowed_tenants, or use the tenant's own token",
    MissingTenantId "DENY_MISSING_TENANT_ID" "the request names no tenant" "send tenant_id, or bind the token to one",
    InvalidInput "DENY_INVALID_INPUT" "a field holds a value that is not allowed" "correct the field that the reason names",
    UnknownCapability "DENY_UNKNOWN_CAPABILITY" "the capability is not in the catalogue" "correct capability_id, or add it to the file that policy.catalogue names",
    MissingWorkerId "DENY_MISSING_WORKER_ID" "the request names no worker where one is required" "send worker_id, or take the environment out of policy.require_worker_id",
    CredentialInvalid "DENY_CREDENTIAL_INVALID" "the credential is not bound to this worker" "use the worker's own token, or add the worker to the token's worker_ids",
    ShadowRulesDetected "DENY_SHADOW_RULES_DETECTED" "the rule set holds rules that can never match" "remove or reorder the rules that are named",
    NoMatchingRule "DENY_NO_MATCHING_RULE" "no rule matches the request" "add a rule for this capability, environment and label",
    MissingCorrelationId "DENY_MISSING_CORRELATION_ID" "the request has no correlation id" "send a correlation_id that is not blank",
    MissingRequiredControls "DENY_MISSING_REQUIRED_CONTROLS" "controls that the rule requires are not implemented" "enroll a worker that implements the missing controls",
    RequiresHuman "DENY_REQUIRES_HUMAN" "the blast score is too high to go on without a human" "lower the blast radius, or have a human do it",
    PolicyGateUnconfigured "DENY_POLICY_GATE_UNCONFIGURED" "the rule asks for a policy gate and none is configured" "configure policy.gate, or take policy_gate from the rule",
    PolicyGate "DENY_POLICY_GATE" "the policy gate refused" "see the policy that the reason names, or permit it in one",
    RequiresHumanApproval "DENY_REQUIRES_HUMAN_APPROVAL" "a human must approve first" "have a human agree and send the same again; where nobody can be asked, change the rule or policy that asks, or configure `approvals`",
    RefusedByHuman "DENY_REFUSED_BY_HUMAN" "a human was asked, and said no" "ask whoever is named why; what is asked again is denied until the approval would have expired",
    TooManyPending "DENY_TOO_MANY_PENDING" "too much waits for a human already" "wait until some of it is decided, or have the operator raise the limit that the reason names",
    CannotBeHeld "DENY_CANNOT_BE_HELD" "a human would have to agree, and this request cannot wait for one" "send it with a body that has an end and is no upgrade, or change the rule or policy that asks",
    ApprovalsUnavailable "DENY_APPROVALS_UNAVAILABLE" "what waits for a human cannot be kept or read now" "try again after Retry-After; the operator sees why in the log",
    PolicyGateInvalidResponse "DENY_POLICY_GATE_INVALID_RESPONSE" "the policy gate gave an unknown answer" "correct the policy gate",
    InternalError "DENY_INTERNAL_ERROR" "the decision failed inside" "see the log under the decision id",
    NoAvailableWorker "DENY_NO_AVAILABLE_WORKER" "no candidate worker of the rule is enrolled" "enroll a worker of a candidate species",
    WorkerNotEnrolled "DENY_WORKER_NOT_ENROLLED" "the worker that is named is not enrolled here" "enroll the worker, or correct worker_id",
    WorkerBanned "DENY_WORKER_BANNED" "the worker is banned" "replace the worker",
    WorkerRevoked "DENY_WORKER_REVOKED" "the worker is not active" "activate the worker, or use another",
    RegistryUnavailable "DENY_REGISTRY_UNAVAILABLE" "the registry that must vouch for the worker has not, or not lately" "see `registry` in /readyz for why it does not answer, or change registry.require",
    WorkerCapabilityMismatch "DENY_WORKER_CAPABILITY_MISMATCH" "the worker does not declare this capability" "add the capability to the worker's record",
    EnvNotAllowed "DENY_ENV_NOT_ALLOWED" "the worker or the credential is not allowed in this environment" "add the environment to the record or the token",
    WorkerNotCandidate "DENY_WORKER_NOT_CANDIDATE" "the worker's species is no candidate of the matched rule" "add the species to the rule's candidates",
    AttestationUnconfigured "DENY_ATTESTATION_UNCONFIGURED" "attestation is required and nothing looked at the worker's code" "report it: the hall looks at every worker whose attestation is required",
    WorkerAttestationMissing "DENY_WORKER_ATTESTATION_MISSING" "the worker has no registered hash" "attest the worker: write attestation.code_hash into its record",
    WorkerHashUnavailable "DENY_WORKER_HASH_UNAVAILABLE" "the worker's code could not be read whole and unchanged" "name a readable attestation.source_file inside of policy.allowed_worker_dirs",
    WorkerTampered "DENY_WORKER_TAMPERED" "the worker's code is not what was attested" "find out who changed the worker, then attest it again",
    PrivilegeEnvelopeViolated "DENY_PRIVILEGE_ENVELOPE_VIOLATED" "the worker's privilege envelope forbids this" "narrow the worker's envelope, or extend the allow-list",
    MalformedClaim "DENY_MALFORMED_CLAIM" "the request is not sound: a claim, header or target is malformed" "correct what the reason names",
    NoRoute "DENY_NO_ROUTE" "the gate has no route for this host, path and method" "add a route, or correct the request",
    CapabilityNotOnRoute "DENY_CAPABILITY_NOT_ON_ROUTE" "the capability that is claimed is not one of this route" "claim one that the route lists",
    Unauthenticated "DENY_UNAUTHENTICATED" "no valid credential was given" "send Authorization: Bearer with a session token",
    RateLimited "DENY_RATE_LIMITED" "the token, the tenant or the network sends more than it may" "wait for Retry-After seconds, or have the operator raise the limit that the reason names",
    Overloaded "DENY_OVERLOADED" "there is more to do than can be done, and this is less urgent" "try again later; urgent requests say so in qos_class",
    AuditUnavailable "DENY_AUDIT_UNAVAILABLE" "the decision could not be recorded" "try again after Retry-After; the operator sees why in the log",
    HallOffline "DENY_HALL_OFFLINE" "the hall is not ready" "try again after Retry-After",
}

impl DenyCode {
    /// Whether a route that only observes the policy lets pass what is denied so. That is what rules, policies and what a record says
    /// of a worker's place in them come to. Who somebody is, whether a worker is in good standing and has the code that was attested,
    /// what a request must be, and what the hall can take are enforced everywhere.
    #[must_use]
    pub const fn yields_to_observing(self) -> bool {
        match self {
            Self::NoMatchingRule
            | Self::PolicyGate
            | Self::RequiresHuman
            | Self::RequiresHumanApproval
            | Self::MissingRequiredControls
            | Self::PrivilegeEnvelopeViolated
            | Self::WorkerNotCandidate
            | Self::WorkerCapabilityMismatch
            // The worker's: a credential's is refused before a rule is looked for, and nothing of that yields.
            | Self::EnvNotAllowed => true,
            Self::UnknownTenant
            | Self::MissingTenantId
            | Self::InvalidInput
            | Self::UnknownCapability
            | Self::MissingWorkerId
            | Self::CredentialInvalid
            | Self::ShadowRulesDetected
            | Self::MissingCorrelationId
            | Self::PolicyGateUnconfigured
            | Self::PolicyGateInvalidResponse
            | Self::InternalError
            | Self::NoAvailableWorker
            | Self::WorkerNotEnrolled
            | Self::WorkerBanned
            | Self::WorkerRevoked
            | Self::RegistryUnavailable
            | Self::AttestationUnconfigured
            | Self::WorkerAttestationMissing
            | Self::WorkerHashUnavailable
            | Self::WorkerTampered
            | Self::MalformedClaim
            | Self::NoRoute
            | Self::CapabilityNotOnRoute
            | Self::Unauthenticated
            | Self::RateLimited
            | Self::Overloaded
            | Self::AuditUnavailable
            | Self::RefusedByHuman
            | Self::TooManyPending
            | Self::CannotBeHeld
            | Self::ApprovalsUnavailable
            | Self::HallOffline => false,
        }
    }
}

/// Why a verdict is no, with the reference's extra fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Denial {
    /// The code.
    pub code: DenyCode,
    /// One sentence for a human, lower-case, no full stop, free of secrets.
    pub message: String,
    /// The reference's extra fields by name, as JSON values.
    pub extras: BTreeMap<&'static str, serde_json::Value>,
}

/// One candidate of the matched rule, in the rule's order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Its species, as the rule writes it.
    pub worker_species_id: Arc<str>,
    /// The rule's hint; never used to choose.
    pub score_hint: Option<Json>,
    /// The rule's minimum controls, verbatim.
    pub requires_controls_minimum: Option<Json>,
    /// Why it was passed over; `None` for the one selected.
    pub skip_reason: Option<&'static str>,
}

/// When a rule wants more than rules (WCP_SPEC 5.8).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Escalation {
    /// The policy gate is asked.
    pub policy_gate: bool,
    /// A second approval step outside of the hall.
    pub msavx_step_up: bool,
    /// A human must always agree.
    pub human_required_default: bool,
    /// A human must agree when one of these holds, verbatim.
    pub human_required_if: Arc<[Json]>,
    /// Why, in the rule's words; in the gate's, once it refused.
    pub rationale: Option<Arc<str>>,
}

impl Default for Escalation {
    fn default() -> Self {
        Self {
            policy_gate: false,
            msavx_step_up: false,
            human_required_default: false,
            human_required_if: Arc::from([]),
            rationale: None,
        }
    }
}

/// What must hold before a rule dispatches (WCP_SPEC 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Preconditions {
    /// A correlation id is demanded.
    pub must_have_correlation_id: bool,
    /// The policy's version is on the decision; it always is.
    pub must_attach_policy_version: bool,
    /// The artifact hash is recorded; it always is.
    pub must_record_artifact_hash_if_executes: bool,
    /// Controls that the rule requires and nothing implements deny.
    pub deny_if_missing_required_controls: bool,
    /// An unsigned artifact is denied in production.
    pub deny_if_unsigned_artifact_in_prod: bool,
    /// A worker without attestation is denied in production.
    pub deny_if_no_attestation_in_prod: bool,
}

impl Default for Preconditions {
    fn default() -> Self {
        Self {
            must_have_correlation_id: true,
            must_attach_policy_version: true,
            must_record_artifact_hash_if_executes: true,
            deny_if_missing_required_controls: true,
            deny_if_unsigned_artifact_in_prod: false,
            deny_if_no_attestation_in_prod: false,
        }
    }
}

/// What the policy gate, or the rule in its place, added to a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gated {
    /// The policies that decided, by id, in the order of the files.
    pub policies: Arc<[Arc<str>]>,
    /// Who must act, or with advisory is told.
    pub supervisor: Option<SupervisorLevel>,
    /// Whether a policy could not be evaluated.
    pub erred: bool,
}

impl Default for Gated {
    fn default() -> Self {
        Self { policies: Arc::from([]), supervisor: None, erred: false }
    }
}

/// The hashes that attestation compared. Evidence: a caller never sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attested {
    /// The registered hash, where there is one.
    pub registered: Option<Digest>,
    /// The hash of the code as it was found, where it could be read.
    pub current: Option<Digest>,
}

/// What would have become of a request if the policy were enforced where it is only observed.
#[derive(Debug, Clone, PartialEq)]
pub struct WouldBe {
    /// A denial or a hold.
    pub outcome: Outcome,
    /// Why.
    pub denial: Denial,
}

/// The answer to a question: everything that equal questions share. Holds no id, time or echo of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What happens now.
    pub outcome: Outcome,
    /// Why not, when it is no.
    pub denial: Option<Denial>,
    /// What would have been said instead of a dispatch, where the policy is only observed.
    pub would_be: Option<Box<WouldBe>>,
    /// The rule that matched, `NO_MATCH` or `PRE_ROUTING`.
    pub matched_rule_id: Arc<str>,
    /// The species selected; `None` on a denial.
    pub selected_species: Option<Arc<str>>,
    /// The worker that acts, when the request named one and it may; `None` on a denial.
    pub worker_id: Option<Arc<str>>,
    /// The matched rule's candidates with what became of each.
    pub candidates: Arc<[Candidate]>,
    /// The controls that the matched rule requires, sorted. Where the policy is only observed, nobody knows whether they are there.
    pub required_controls: Arc<BTreeSet<Arc<str>>>,
    /// The profiles that the matched rule recommends, verbatim; none on a denial.
    pub recommended_profiles: Arc<[Json]>,
    /// The matched rule's escalation, as far as the gates came.
    pub escalation: Escalation,
    /// The matched rule's preconditions.
    pub preconditions: Preconditions,
    /// The blast score that counted, when one was computed.
    pub blast_score: Option<i64>,
    /// What the policy gate had to do with it.
    pub gated: Gated,
    /// Whether attestation was checked.
    pub attestation_checked: bool,
    /// Whether the attestation held.
    pub attestation_valid: Option<bool>,
    /// The hashes that attestation compared, for the ledger and nobody else.
    pub attested: Option<Attested>,
    /// Telemetry events in order.
    pub events: Vec<Event>,
}

/// How many bytes of memory a JSON value takes, about.
fn json_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(json_bytes).sum(),
            Value::Object(members) => {
                members.iter().map(|(key, value)| size_of::<String>() + key.len() + json_bytes(value)).sum()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

impl Verdict {
    /// How many bytes of memory are its own, about: what it shares with the rules is theirs.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // A map's node has room for eleven members.
        let extras = |denial: &Denial| match denial.extras.is_empty() {
            true => 0,
            false => {
                11 * size_of::<(&str, serde_json::Value)>() + denial.extras.values().map(json_bytes).sum::<usize>()
            }
        };
        let denial = self.refusal().map_or(0, |denial| denial.message.capacity() + extras(denial));
        let would_be = if self.would_be.is_some() { size_of::<WouldBe>() } else { 0 };
        let rationale = self.escalation.rationale.as_ref().map_or(0, |text| text.len());
        let named = |name: &Option<Arc<str>>| name.as_ref().map_or(0, |name| name.len());
        size_of::<Self>()
            + denial
            + would_be
            + rationale
            + named(&self.worker_id)
            + self.candidates.len() * size_of::<Candidate>()
            + self.gated.policies.len() * size_of::<Arc<str>>()
            + self.events.capacity() * size_of::<Event>()
    }

    /// The denial of what would else be held: nobody is asked.
    #[must_use]
    pub fn denied_instead(&self, code: DenyCode, message: String) -> Self {
        Self {
            outcome: Outcome::Deny,
            denial: Some(Denial { code, message, extras: BTreeMap::new() }),
            gated: Gated::default(),
            ..self.clone()
        }
    }

    /// What the policy says, enforced or not: its outcome, and the code of what is not a dispatch.
    #[must_use]
    pub fn of_policy(&self) -> (Outcome, Option<DenyCode>) {
        let outcome = self.would_be.as_ref().map_or(self.outcome, |would_be| would_be.outcome);
        (outcome, self.refusal().map(|denial| denial.code))
    }

    /// What the policy says against the request, enforced or not.
    #[must_use]
    pub fn refusal(&self) -> Option<&Denial> {
        self.denial.as_ref().or_else(|| self.would_be.as_ref().map(|would_be| &would_be.denial))
    }

    /// Whether the request is denied: for anything but a dispatch.
    #[must_use]
    pub fn denied(&self) -> bool {
        self.outcome != Outcome::Dispatch
    }

    /// Whether the caller's credential stood against it, which no policy can change.
    #[must_use]
    pub fn is_refused_for_the_credential(&self) -> bool {
        let Some(denial) = self.denial.as_ref().filter(|_| &*self.matched_rule_id == "PRE_ROUTING") else {
            return false;
        };
        match denial.code {
            DenyCode::CredentialInvalid | DenyCode::EnvNotAllowed => true,
            // A tenant that is not listed is named in the denial; one that the credential is not bound to is not.
            DenyCode::UnknownTenant => !denial.extras.contains_key("tenant_id"),
            _ => false,
        }
    }

    /// Whether the blast score was low enough; `None` when none was computed.
    #[must_use]
    pub fn blast_gate_passed(&self) -> Option<bool> {
        self.blast_score.map(|_| self.refusal().is_none_or(|denial| denial.code != DenyCode::RequiresHuman))
    }

    /// Whether the privilege envelope held; `None` when none was checked.
    #[must_use]
    pub fn privilege_envelope_ok(&self) -> Option<bool> {
        match self.refusal() {
            Some(denial) if denial.code == DenyCode::PrivilegeEnvelopeViolated => Some(false),
            _ => self.events.contains(&Event::PrivilegeEnvelopeChecked).then_some(true),
        }
    }
}

/// What a policy that is not in force says of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowVerdict {
    /// What it says, as if it were enforced.
    pub verdict: Arc<Verdict>,
    /// Its snapshot.
    pub snapshot: Fingerprint,
}

/// One request's decision: what was asked, and the verdict on it under a named policy.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What was asked.
    pub input: RouteInput,
    /// The verdict; shared with every equal question.
    pub verdict: Arc<Verdict>,
    /// The tenant's risk that counted: the caller's word in reference mode; in strict mode the record's, or higher.
    pub tenant_risk: TenantRisk,
    /// SHA-256 of the request as the reference writes it.
    pub artifact_hash: Digest,
    /// The snapshot that was in force.
    pub snapshot: Fingerprint,
    /// The operator's name of the policy in force.
    pub policy_version: Arc<str>,
    /// Whether the verdict was remembered.
    pub cached: bool,
    /// What the shadow says, where there is one and it could be asked. Nothing follows from it.
    pub shadow: Option<ShadowVerdict>,
    /// Who is asked about it, or has agreed to it.
    pub approval: Option<Box<ApprovalMark>>,
}

impl Decision {
    /// One request's decision from the verdict on its question.
    #[must_use]
    pub fn new(input: RouteInput, verdict: Arc<Verdict>, snapshot: &Snapshot, cached: bool) -> Self {
        let tenant_risk = snapshot.tenant_risk(&input);
        let artifact_hash = artifact_hash(&input, tenant_risk);
        let policy_version = Arc::clone(&snapshot.settings.version);
        let snapshot = snapshot.fingerprint;
        Self {
            input,
            verdict,
            tenant_risk,
            artifact_hash,
            snapshot,
            policy_version,
            cached,
            shadow: None,
            approval: None,
        }
    }

    /// Who acts, or else who asks.
    #[must_use]
    pub fn worker(&self) -> Option<&str> {
        self.verdict.worker_id.as_deref().or(self.input.worker_id.as_deref())
    }

    /// What a denial's code means, what to do about it, and what was asked; `None` for a dispatch.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        let code = self.verdict.denial.as_ref()?.code;
        Some(format!("{}: {} (asked for {})", code.meaning(), code.remedy(), self.input.in_words()))
    }
}
