//! An entry's canonical JSON: which fields a decision, a refusal, an outcome, a policy, a change of the registry and a step of an approval have (WCP_SPEC 5.7).
//!
//! Every entry has `canon` (which pins the specification's version), `kind`, `receipt_id`, `recorded_at`, `stream` and
//! `prev_receipt_hash`; what else it has is its kind's. A new kind is a new [`Record`], a function here that writes it, and a
//! check in `verify`: the frame, the chain, the tree and the proofs ask only for the common fields.
//!
//! A field without a value is left out, but for `prev_receipt_hash`, which is null at the head of a stream. `receipt_hash`, the
//! SHA-256 of these bytes, is derived and never stored in them. Texts that callers choose are cut, visibly, so that an entry
//! always fits a transparency log's bundle; `artifact_hash` covers the whole of what was asked.
//!
//! `asked` is what else a verdict can depend on, so that [`past`](crate::ledger::read::past) can have it decided again: the caller's own claims
//! on risk and blast, and of the caller's object, which may be anyone's private data, whether it declares egress and writes, and what
//! policies read.

use uuid::Uuid;

use crate::engine::{self, Decision, DenyCode, KeptRequest};
use crate::ids::{Digest, SupervisorLevel, TokenName};
use crate::ledger::format::canonical::{self, Object};
use crate::ledger::format::record::{
    AnonymousRefusals, Door, OutcomeEntry, PolicyActivation, Record, Refusal, RegistryChange,
};
use crate::ledger::format::stamp::{PATH, Stamp, TEXT, cut};
use crate::ledger::format::{approval, asked, recovered, status};

/// The most policies that are named, and the most characters of each.
const POLICIES: usize = 16;
const POLICY: usize = 128;

/// The tenant in whose stream a record belongs; `None` for the hall's own.
pub(crate) fn tenant(record: &Record) -> Option<&str> {
    match record {
        Record::Decision { decision, .. } => {
            let unknown = decision.verdict.denial.as_ref().is_some_and(|denial| denial.code == DenyCode::UnknownTenant);
            (!unknown).then_some(&*decision.input.tenant_id)
        }
        Record::Refusal(refusal) => refusal.tenant.as_deref(),
        Record::AnonymousRefusals(_) | Record::Policy(_) | Record::Status(_) | Record::Recovery(_) => None,
        Record::Registry(change) => change.tenant.as_deref(),
        Record::Approval(step) => Some(&*step.tenant).filter(|tenant| !tenant.is_empty()),
    }
}

/// Appends the entry of a record.
pub(crate) fn push_record(out: &mut Vec<u8>, record: &Record, stamp: &Stamp<'_>) {
    match record {
        Record::Decision { decision, door, token, raw_body, worker_optional, kept } => {
            let (token, raw_body, kept) = (token.as_ref(), raw_body.as_ref(), kept.as_deref());
            let asking = Asking { door: *door, token, raw_body, worker_optional: *worker_optional, kept };
            push_decision(out, decision, asking, stamp);
        }
        Record::Refusal(refusal) => push_refusal(out, refusal, stamp),
        Record::AnonymousRefusals(crowd) => push_crowd(out, crowd, stamp),
        Record::Policy(policy) => push_policy(out, policy, stamp),
        Record::Registry(change) => push_registry(out, change, stamp),
        Record::Status(change) => status::push(out, change, stamp),
        Record::Recovery(change) => recovered::push(out, change, stamp),
        Record::Approval(step) => approval::push(out, step, stamp),
    }
}

/// How a decision was asked for.
struct Asking<'a> {
    door: Door,
    token: Option<&'a TokenName>,
    raw_body: Option<&'a Digest>,
    worker_optional: bool,
    kept: Option<&'a KeptRequest>,
}

fn push_decision(out: &mut Vec<u8>, decision: &Decision, asking: Asking<'_>, stamp: &Stamp<'_>) {
    let Decision { input, verdict, .. } = decision;
    let Asking { door, token, raw_body, worker_optional, kept } = asking;
    let allowed = verdict.outcome == engine::Outcome::Dispatch;
    let mut id = Uuid::encode_buffer();
    let id = &*stamp.id.as_hyphenated().encode_lower(&mut id);

    let mut entry = Object::begin(out);
    if let Some(mark) = &decision.approval {
        approval::push_mark(entry.object("approval"), mark);
    }
    entry.digest("artifact_hash", &decision.artifact_hash);
    asked::push(entry.object("asked"), decision, worker_optional, kept);
    if let Some(score) = verdict.blast_score {
        entry.integer("blast_score", score);
    }
    entry.boolean("cached", decision.cached);
    entry.string("canon", canonical::NAME);
    entry.string("capability_id", &cut(&input.capability_id, TEXT));
    // A denial, enforced or observed, may have come before the controls were looked at.
    let verified = verdict.required_controls.iter().filter(|_| allowed && verdict.would_be.is_none());
    entry.strings("controls_verified", verified.map(|control| &**control));
    entry.string("correlation_id", &cut(&input.correlation_id, TEXT));
    let attested = verdict.attested.as_ref();
    if let Some(hash) = attested.and_then(|attested| attested.current) {
        entry.digest("current_hash", &hash);
    }
    entry.string("data_label", input.data_label.as_str());
    entry.boolean("data_label_defaulted", input.data_label_defaulted);
    entry.string("decision_id", id);
    if let Some(denial) = &verdict.denial {
        entry.string("deny_code", denial.code.as_str());
        entry.string("deny_message", &cut(&denial.message, TEXT));
    }
    if allowed && !input.dry_run {
        entry.string("dispatched_at", stamp.recorded_at);
    }
    entry.string("door", door.as_str());
    entry.boolean("dry_run", input.dry_run);
    entry.string("env", input.env.as_str());
    if let Some(facts) = &input.http {
        let mut http = entry.object("http");
        http.string("host", &cut(&facts.host, TEXT));
        http.string("method", &cut(&facts.method, TEXT));
        http.string("path", &cut(&facts.path, PATH));
        http.end();
    }
    entry.string("kind", "decision");
    entry.string("matched_rule_id", &cut(&verdict.matched_rule_id, TEXT));
    entry.string("outcome", verdict.outcome.as_str());
    if !verdict.gated.policies.is_empty() {
        let policies = verdict.gated.policies.iter().take(POLICIES);
        entry.strings("policies", policies.map(|id| cut(id, POLICY)));
    }
    entry.string("policy_decision", policy_decision(verdict.outcome));
    entry.string("policy_version", &cut(&decision.policy_version, TEXT));
    stamp.previous(&mut entry);
    entry.string("qos_class", input.qos_class.as_str());
    if let Some(digest) = raw_body {
        entry.digest("raw_body_hash", digest);
    }
    entry.string("receipt_id", id);
    entry.string("recorded_at", stamp.recorded_at);
    if let Some(hash) = attested.and_then(|attested| attested.registered) {
        entry.digest("registered_hash", &hash);
    }
    if let Some(shadow) = &decision.shadow {
        push_shadow(entry.object("shadow"), shadow, verdict);
    }
    entry.digest("snapshot", &decision.snapshot);
    entry.string("stream", stamp.stream);
    entry.maybe("supervisor_level", verdict.gated.supervisor.map(SupervisorLevel::as_str));
    entry.string("tenant_id", &cut(&input.tenant_id, TEXT));
    entry.string("tenant_risk", decision.tenant_risk.as_str());
    entry.maybe("token", token.map(TokenName::as_str));
    entry.boolean("worker_attestation_checked", verdict.attestation_checked);
    if let Some(valid) = verdict.attestation_valid {
        entry.boolean("worker_attestation_valid", valid);
    }
    let worker = verdict.worker_id.as_ref().or(input.worker_id.as_ref());
    entry.maybe("worker_id", worker.map(|id| cut(id, TEXT)).as_deref());
    entry.maybe("worker_species_id", verdict.selected_species.as_ref().map(|id| cut(id, TEXT)).as_deref());
    if let Some(engine::WouldBe { outcome, denial }) = verdict.would_be.as_deref() {
        let mut would_be = entry.object("would_be");
        would_be.string("code", denial.code.as_str());
        would_be.string("outcome", outcome.as_str());
        would_be.string("reason", &cut(&denial.message, TEXT));
        would_be.end();
    }
    entry.end();
}

/// What a policy that is not in force says; why, where it says otherwise.
fn push_shadow(mut said: Object<'_>, shadow: &engine::ShadowVerdict, in_force: &engine::Verdict) {
    let (outcome, code) = shadow.verdict.of_policy();
    said.maybe("code", code.map(DenyCode::as_str));
    said.string("outcome", outcome.as_str());
    if in_force.of_policy() != (outcome, code) {
        let reason = shadow.verdict.refusal().map(|denial| cut(&denial.message, TEXT));
        said.maybe("reason", reason.as_deref());
    }
    said.digest("snapshot", &shadow.snapshot);
    said.end();
}

fn push_refusal(out: &mut Vec<u8>, refusal: &Refusal, stamp: &Stamp<'_>) {
    let mut id = Uuid::encode_buffer();
    let id = &*stamp.id.as_hyphenated().encode_lower(&mut id);
    let text = |text: &Option<std::sync::Arc<str>>| text.as_ref().map(|text| cut(text, TEXT).into_owned());

    let mut entry = Object::begin(out);
    entry.string("canon", canonical::NAME);
    entry.maybe("correlation_id", text(&refusal.correlation_id).as_deref());
    entry.string("decision_id", id);
    entry.string("deny_code", refusal.code.as_str());
    entry.string("deny_message", &cut(&refusal.message, TEXT));
    entry.string("door", refusal.door.as_str());
    entry.string("kind", "decision");
    entry.string("outcome", engine::Outcome::Deny.as_str());
    entry.string("policy_decision", policy_decision(engine::Outcome::Deny));
    stamp.previous(&mut entry);
    if let Some(digest) = &refusal.raw_body {
        entry.digest("raw_body_hash", digest);
    }
    entry.string("receipt_id", id);
    entry.string("recorded_at", stamp.recorded_at);
    entry.string("stream", stamp.stream);
    entry.maybe("tenant_id", text(&refusal.tenant).as_deref());
    entry.maybe("token", refusal.token.as_ref().map(TokenName::as_str));
    entry.maybe("worker_id", text(&refusal.worker).as_deref());
    entry.end();
}

/// A refusal like any other, of more than one request.
fn push_crowd(out: &mut Vec<u8>, crowd: &AnonymousRefusals, stamp: &Stamp<'_>) {
    let mut id = Uuid::encode_buffer();
    let id = &*stamp.id.as_hyphenated().encode_lower(&mut id);

    let mut entry = Object::begin(out);
    entry.string("canon", canonical::NAME);
    entry.string("decision_id", id);
    entry.string("deny_code", crowd.code.as_str());
    entry.string("deny_message", &cut(&crowd.message, TEXT));
    entry.string("door", crowd.door.as_str());
    entry.string("kind", "decision");
    entry.strings("networks", crowd.networks.iter());
    entry.string("outcome", engine::Outcome::Deny.as_str());
    entry.string("policy_decision", policy_decision(engine::Outcome::Deny));
    stamp.previous(&mut entry);
    entry.string("receipt_id", id);
    entry.string("recorded_at", stamp.recorded_at);
    entry.count("requests", crowd.requests);
    entry.string("stream", stamp.stream);
    entry.end();
}

fn push_policy(out: &mut Vec<u8>, policy: &PolicyActivation, stamp: &Stamp<'_>) {
    let mut id = Uuid::encode_buffer();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);

    let mut entry = Object::begin(out);
    entry.string("canon", canonical::NAME);
    entry.string("cause", policy.cause.as_str());
    entry.string("kind", "policy");
    entry.string("mode", policy.mode.as_str());
    entry.string("policy_version", &cut(&policy.version, TEXT));
    stamp.previous(&mut entry);
    entry.string("receipt_id", stamp.id.as_hyphenated().encode_lower(&mut id));
    entry.string("recorded_at", stamp.recorded_at);
    if let Some(replaced) = &policy.replaces {
        entry.digest("replaces", replaced);
    }
    entry.count("rules", count(policy.rules));
    entry.digest("snapshot", &policy.snapshot);
    entry.string("stream", stamp.stream);
    entry.count("workers", count(policy.workers));
    entry.end();
}

/// The record is there whole, as text: it may hold numbers that canonical JSON has no form for.
fn push_registry(out: &mut Vec<u8>, change: &RegistryChange, stamp: &Stamp<'_>) {
    let mut id = Uuid::encode_buffer();

    let mut entry = Object::begin(out);
    entry.string("action", change.action.as_str());
    entry.string("canon", canonical::NAME);
    if let Some(hash) = &change.hash {
        entry.digest("hash", hash);
    }
    entry.string("kind", "registry");
    stamp.previous(&mut entry);
    entry.maybe("reason", change.reason.as_ref().map(|reason| cut(reason, TEXT)).as_deref());
    entry.string("receipt_id", stamp.id.as_hyphenated().encode_lower(&mut id));
    entry.maybe("record", change.record.as_deref());
    entry.string("recorded_at", stamp.recorded_at);
    entry.string("stream", stamp.stream);
    entry.maybe("tenant_id", change.tenant.as_deref());
    entry.maybe("token", change.token.as_ref().map(TokenName::as_str));
    entry.maybe("worker_id", change.worker.as_deref());
    entry.end();
}

/// Appends the entry of an exchange's end, bound to the decision that allowed it.
pub(crate) fn push_outcome(out: &mut Vec<u8>, ended: &OutcomeEntry, stamp: &Stamp<'_>) {
    let outcome = &ended.outcome;
    let mut buffers = [Uuid::encode_buffer(); 2];
    let [decision, own] = &mut buffers;

    let mut entry = Object::begin(out);
    entry.string("canon", canonical::NAME);
    entry.string("decision_id", ended.decision_id.as_hyphenated().encode_lower(decision));
    entry.digest("decision_receipt_hash", &ended.decision_hash);
    entry.count("duration_us", u64::try_from(outcome.duration.as_micros()).unwrap_or(u64::MAX));
    entry.string("ending", outcome.ending.as_str());
    entry.string("kind", "outcome");
    stamp.previous(&mut entry);
    entry.string("receipt_id", stamp.id.as_hyphenated().encode_lower(own));
    entry.string("recorded_at", stamp.recorded_at);
    entry.count("request_bytes", outcome.request_bytes);
    entry.count("response_bytes", outcome.response_bytes);
    if let Some(status) = outcome.status {
        entry.count("status", status.into());
    }
    entry.string("stream", stamp.stream);
    entry.end();
}

/// The specification's word for a verdict (WCP_SPEC 5.7).
const fn policy_decision(outcome: engine::Outcome) -> &'static str {
    match outcome {
        engine::Outcome::Dispatch => "ALLOW",
        engine::Outcome::Deny => "DENY",
        engine::Outcome::Hold => "REQUIRE_HUMAN",
    }
}

#[cfg(test)]
mod tests;
