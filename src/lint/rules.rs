//! Lints of the rules: what they match, who could act for them, and what they ask that is not there.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::DenyCode;
use crate::engine::json::Step;
use crate::engine::rules::{Capabilities, Rule};
use crate::engine::snapshot::Skip;
use crate::ids::{CapabilityId, Env, meant};

use super::{At, Finding, Findings, Loaded};

/// The rules with their places.
fn rules<'a>(loaded: &Loaded<'a>) -> impl Iterator<Item = (usize, &'a Rule)> + use<'a> {
    loaded.snapshot.rules.rules.iter().enumerate()
}

/// In one of the rules.
fn at(rule: usize, inside: &[&str]) -> At {
    let steps = [Step::from("rules"), Step::At(rule)].into_iter();
    At::Rules(steps.chain(inside.iter().map(|step| Step::from(*step))).collect())
}

/// There is no rule, so that everything is denied.
pub(super) fn none(loaded: &Loaded<'_>) -> Findings {
    if !loaded.snapshot.rules.is_empty() {
        return Findings::default();
    }
    let message = format!("there is no rule: every request will be denied with {}", DenyCode::NoMatchingRule.as_str());
    let help = "write a rule for each capability that may be asked for";
    Findings::one(Finding::new(At::Rules(vec![Step::from("rules")]), message, help))
}

/// A rule without any condition takes every request, also for capabilities that nobody has thought of.
pub(super) fn matches_everything(loaded: &Loaded<'_>) -> Findings {
    let everything =
        |rule: &Rule| matches!(rule.capabilities, Capabilities::Any) && rule.cells.constrains() == [false; 4];
    let finding = |(place, rule): (usize, &Rule)| {
        let message = format!("rule `{}` matches every request, of any capability", rule.id);
        let help = "name capabilities, such as { \"capability_id\": \"cap.data.read.v1\" }";
        Finding::new(at(place, &["match"]), message, help)
    };
    rules(loaded).filter(|(_, rule)| everything(rule)).map(finding).collect()
}

/// A rule without a candidate can dispatch nobody.
pub(super) fn without_candidates(loaded: &Loaded<'_>) -> Findings {
    let finding = |(place, rule): (usize, &Rule)| {
        let message = format!(
            "rule `{}` has no candidate: every request that it matches will be denied with {}",
            rule.id,
            DenyCode::NoAvailableWorker.as_str()
        );
        let help = "write `candidate_workers_ranked` with the species that may act, or remove the rule";
        Finding::new(at(place, &["decision", "candidate_workers_ranked"]), message, help)
    };
    rules(loaded).filter(|(_, rule)| rule.candidates.is_empty()).map(finding).collect()
}

/// A rule asks the policy gate, and there is none.
pub(super) fn asks_missing_gate(loaded: &Loaded<'_>) -> Findings {
    if loaded.snapshot.gate.is_some() {
        return Findings::default();
    }
    let finding = |(place, rule): (usize, &Rule)| {
        let message = format!(
            "rule `{}` asks the policy gate, and `policy.gate` names none: every request that it matches will be denied with {}",
            rule.id,
            DenyCode::PolicyGateUnconfigured.as_str()
        );
        let help = "name Cedar policies in `policy.gate`, or take `policy_gate` out of the rule";
        Finding::new(at(place, &["decision", "escalation", "policy_gate"]), message, help)
    };
    rules(loaded).filter(|(_, rule)| rule.escalation.policy_gate).map(finding).collect()
}

/// A rule names a capability that none of its candidates' workers declares, so that none that is named may act.
pub(super) fn capability_not_declared(loaded: &Loaded<'_>) -> Findings {
    if loaded.is_open || loaded.snapshot.workers.is_empty() {
        return Findings::default();
    }
    let workers = &loaded.snapshot.workers;
    let mut declared: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for worker in workers.values() {
        let of_species = declared.entry(worker.species.as_str()).or_default();
        of_species.extend(worker.capabilities.iter().map(CapabilityId::as_str));
    }
    let mut findings = Findings::default();
    for (place, rule) in rules(loaded) {
        let candidates: Vec<_> =
            rule.candidates.iter().filter_map(|candidate| declared.get(&*candidate.species)).collect();
        if candidates.is_empty() {
            continue;
        }
        for capability in rule.named().filter(|name| candidates.iter().all(|theirs| !theirs.contains(&***name))) {
            if findings.is_full() {
                return findings;
            }
            let message = format!(
                "rule `{}` is for `{capability}`, which no worker of its candidates declares: requests that name a worker will be denied with {}",
                rule.id,
                DenyCode::WorkerCapabilityMismatch.as_str()
            );
            let declared = workers.values().flat_map(|worker| &worker.capabilities).map(CapabilityId::as_str);
            let help = meant(capability, declared, || {
                format!("add `{capability}` to the `capabilities` of a worker, or correct the rule")
            });
            findings.push(Finding::new(at(place, &["match", "capability_id"]), message, help));
        }
    }
    findings
}

/// Only capabilities of the catalogue count, and a rule is for another.
pub(super) fn capability_unknown(loaded: &Loaded<'_>) -> Findings {
    let (settings, catalogue) = (&loaded.snapshot.settings, &loaded.snapshot.catalogue);
    if !settings.require_known_capability {
        return Findings::default();
    }
    let mut findings = Findings::default();
    for (place, rule) in rules(loaded) {
        for capability in rule.named().filter(|name| catalogue.capability(name).is_none()) {
            if findings.is_full() {
                return findings;
            }
            let message = format!(
                "rule `{}` is for `{capability}`, which is not in the catalogue: every request for it will be denied with {}",
                rule.id,
                DenyCode::UnknownCapability.as_str()
            );
            let help = meant(capability, catalogue.entities().map(|(id, _)| &**id), || {
                "add it to the file that `policy.catalogue` names, or set `policy.require_known_capability` to `false`"
                    .to_owned()
            });
            findings.push(Finding::new(at(place, &["match", "capability_id"]), message, help));
        }
    }
    findings
}

/// No candidate of a rule may act in any environment that the rule is for.
pub(super) fn candidates_cannot_act(loaded: &Loaded<'_>) -> Findings {
    if loaded.is_open {
        return Findings::default();
    }
    let mut findings = Findings::default();
    for ((place, rule), prepared) in rules(loaded).zip(&loaded.snapshot.prepared) {
        if findings.is_full() {
            break;
        }
        let envs = Env::ALL.iter().filter(|env| rule.is_for(**env));
        let refused: Option<Vec<_>> = envs.map(|env| prepared.unnamed(*env).chosen.as_ref().err()).collect();
        // What came nearest is what is most likely to be mended.
        let Some(nearest) = refused.into_iter().flatten().max().filter(|_| !rule.candidates.is_empty()) else {
            continue;
        };
        let (why, code) = match nearest {
            Skip::Unavailable => ("no active worker of their species is enrolled", DenyCode::NoAvailableWorker),
            Skip::EnvironmentNotAllowed => {
                ("their workers are allowed in none of its environments", DenyCode::EnvNotAllowed)
            }
            // The registry has not been asked; and a rule may well demand a control that nobody has yet.
            Skip::Unverified | Skip::MissingControls => continue,
        };
        let message = format!(
            "rule `{}` has no candidate that could act: {why}; every request that it matches will be denied with {}",
            rule.id,
            code.as_str()
        );
        let help = "correct the records of its candidates, or add a candidate whose workers can";
        findings.push(Finding::new(at(place, &["decision", "candidate_workers_ranked"]), message, help));
    }
    findings
}
