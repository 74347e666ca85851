//! The policy gate, and what needs a human. WCP_SPEC 5.8; reference router step 5.
//!
//! A rule with `policy_gate` needs a permit of the policies; without any it is denied. In strict mode what they forbid is forbidden
//! to every rule, so that a forgotten mark switches no `forbid` off; and a rule that asks for a human or for a step-up needs one of
//! level gatekeeper, whatever the policies say (S4). Whether one is held or denied for that is [`human`](super::human)'s.

use std::sync::Arc;

use crate::engine::decision::{Denial, DenyCode, Escalation, Gated};
use crate::engine::policy_gate::{Asked, GateAnswer, Policies, PolicyGate, Ruling};
use crate::engine::question::{Capability, NamedWorker};
use crate::engine::snapshot::{Mode, Settings};
use crate::ids::SupervisorLevel;

use super::{Case, blast};

pub(super) fn gate(case: &Case<'_>) -> Result<(), Denial> {
    if is_hopeless(case) {
        return Ok(());
    }
    let policies = match asked(case) {
        Some(policies) => Some(answered(case, policies)?),
        None => None,
    };
    let by_rule = if case.snapshot.settings.mode == Mode::Strict { wants_human(&case.rule.escalation) } else { None };
    let Some(answer) = stricter(policies, by_rule) else { return Ok(()) };
    let supervisor = match answer.ruling {
        Ruling::RequireHuman(level) => Some(level),
        Ruling::Allow | Ruling::Deny | Ruling::Erred | Ruling::Failed => None,
    };
    let erred = answer.ruling == Ruling::Erred;
    // Each case passes here once.
    let _ = case.gated.set(Gated { policies: Arc::clone(&answer.policies), supervisor, erred });
    refused(&answer, &case.snapshot.settings).map_or(Ok(()), Err)
}

/// A worker that is named and may not act is refused by the next gate: no policy and no human could let it.
fn is_hopeless(case: &Case<'_>) -> bool {
    let named = matches!(case.question.worker, NamedWorker::Enrolled(_) | NamedWorker::NotEnrolled);
    named && case.choice.chosen.is_err()
}

/// Which policies are asked about a case.
pub(super) fn asked(case: &Case<'_>) -> Option<Policies> {
    let forbids = || case.snapshot.gate.as_ref().is_some_and(|gate| gate.forbids());
    if is_hopeless(case) {
        None
    } else if case.rule.escalation.policy_gate {
        Some(Policies::All)
    } else {
        (case.snapshot.settings.mode == Mode::Strict && forbids()).then_some(Policies::Forbids)
    }
}

/// What the policies answer.
fn answered(case: &Case<'_>, policies: Policies) -> Result<GateAnswer, Denial> {
    let Some(gate) = &case.snapshot.gate else {
        let message = "the rule asks for the policy gate, and none is configured";
        return Err(Denial::new(DenyCode::PolicyGateUnconfigured, message));
    };
    Ok(ask(case, &**gate, policies))
}

fn ask(case: &Case<'_>, gate: &dyn PolicyGate, policies: Policies) -> GateAnswer {
    put(case, |asked| gate.answer(policies, asked))
}

/// Gives what the policies are asked about a case.
pub(super) fn put<T>(case: &Case<'_>, to: impl FnOnce(&Asked<'_>) -> T) -> T {
    let (question, reads) = (case.question, case.snapshot.reads.gate);
    let said = question.said.as_deref();
    let asked = Asked {
        tenant: said.and_then(|said| said.tenant.as_deref()),
        worker: match &question.worker {
            NamedWorker::Enrolled(id) => Some(id),
            NamedWorker::Nobody | NamedWorker::Missing | NamedWorker::NotEnrolled => None,
        },
        capability: match &question.capability {
            Capability::Known(capability) if reads.capability => Some(capability),
            _ => None,
        },
        env: question.env,
        label: question.label,
        tenant_risk: question.tenant_risk,
        qos: question.qos,
        blast: blast::known(question, case.snapshot, &case.choice),
        dry_run: said.and_then(|said| said.dry_run),
        species: case.choice.chosen.as_ref().ok().and_then(|chosen| chosen.species.as_deref()),
        http: said.and_then(|said| said.http()),
        claims: said.map_or(&[], |said| &said.claims),
    };
    to(&asked)
}

/// Why the rule itself wants a human, if it does (S4).
fn wants_human(escalation: &Escalation) -> Option<Arc<str>> {
    let Escalation { msavx_step_up, human_required_default, human_required_if, rationale, policy_gate: _ } = escalation;
    let field = if *human_required_default {
        "human_required_default"
    } else if !human_required_if.is_empty() {
        "human_required_if"
    } else if *msavx_step_up {
        "msavx_step_up"
    } else {
        return None;
    };
    Some(rationale.clone().unwrap_or_else(|| Arc::from(field)))
}

/// The stricter of what the policies and the rule say.
fn stricter(policies: Option<GateAnswer>, by_rule: Option<Arc<str>>) -> Option<GateAnswer> {
    let Some(reason) = by_rule else { return policies };
    let of_rule =
        GateAnswer { ruling: Ruling::RequireHuman(SupervisorLevel::Gatekeeper), reason, policies: Arc::from([]) };
    match policies {
        None => Some(of_rule),
        Some(answer) => match answer.ruling {
            Ruling::Allow | Ruling::RequireHuman(SupervisorLevel::Advisory) => Some(of_rule),
            _ => Some(answer),
        },
    }
}

/// The denial that an answer means, if it means one.
fn refused(answer: &GateAnswer, settings: &Settings) -> Option<Denial> {
    let GateAnswer { ruling, reason, policies } = answer;
    let who = policies.first().map_or_else(|| "the rule".to_owned(), |policy| format!("policy `{policy}`"));
    // A reason that is only the policy's name says nothing more.
    let why =
        if policies.first().is_some_and(|policy| policy == reason) { String::new() } else { format!(": {reason}") };
    let (code, message) = match ruling {
        Ruling::Allow | Ruling::RequireHuman(SupervisorLevel::Advisory) => return None,
        Ruling::Deny if policies.is_empty() => (DenyCode::PolicyGate, reason.to_string()),
        Ruling::Deny => (DenyCode::PolicyGate, format!("{who} forbids this{why}")),
        Ruling::Erred => (DenyCode::PolicyGate, reason.to_string()),
        Ruling::Failed => return Some(Denial::new(DenyCode::InternalError, &**reason)),
        Ruling::RequireHuman(level) => {
            let nobody = if settings.may_ask() { "" } else { ", and nobody can agree here: it stays denied" };
            (DenyCode::RequiresHumanApproval, format!("{who} asks for a human ({level}){nobody}{why}"))
        }
    };
    let denial = Denial::new(code, message).with("reason", &**reason).with("policy_version", &*settings.version);
    Some(match ruling {
        Ruling::RequireHuman(level) => {
            denial.with("supervisor_required", true).with("supervisor_level", level.as_str())
        }
        _ => denial,
    })
}
