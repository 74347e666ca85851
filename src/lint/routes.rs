//! Lints of the routes: requests that no rule, or nobody, can let through.

use std::sync::Arc;

use crate::clock::timestamp;
use crate::engine::rules::{Cells, Rule};
use crate::engine::{Denial, DenyCode};
use crate::ids::{CapabilityId, QosClass, TenantRisk, meant};
use crate::proxy::settings::{CapabilityChoice, Identity, Route};

use super::asking::{Asking, Outlook};
use super::{At, Finding, Findings, Loaded};

/// What becomes of every capability of every route that has no good outlook, with the key of the capability.
fn outlooks<'a, 'b>(
    asking: &'b Asking<'a>,
) -> impl Iterator<Item = (String, &'a Route, &'a CapabilityId, Outlook)> + use<'a, 'b> {
    let choices = asking.gate().routes.iter().enumerate().flat_map(|(at, route)| {
        let key = format!("gate.routes[{at}].capability");
        let choices = match &route.capability {
            CapabilityChoice::Fixed(only) => vec![(key, only)],
            CapabilityChoice::Header(some) => {
                some.iter().enumerate().map(|(at, one)| (format!("{key}.header[{at}]"), one)).collect()
            }
        };
        choices.into_iter().map(move |(key, capability)| (key, route, capability))
    });
    choices.filter_map(|(key, route, capability)| {
        asking.outlook(route, capability).map(|outlook| (key, route, capability, outlook))
    })
}

/// What is denied with a code.
fn denied(asking: &Asking<'_>, route: &Route, capability: &CapabilityId, outlook: &Outlook) -> String {
    let which = if asking.otherwise(route, capability) { " that does not raise its label, risk or class" } else { "" };
    let code = outlook.denial.code;
    let when = match route.observed_until {
        Some(until) if code.yields_to_observing() => format!(" from {} on", timestamp(until)),
        _ => String::new(),
    };
    format!("every request for it{which} will be denied{when} with {}", code.as_str())
}

/// No rule matches what a route asks for.
pub(super) fn without_rule(loaded: &Loaded<'_>) -> Findings {
    // Where there is none at all, one word is enough.
    let asking = Asking::at_gate(loaded).filter(|_| !loaded.snapshot.rules.is_empty());
    let Some(asking) = asking else { return Findings::default() };
    let unmatched = outlooks(&asking).filter(|(.., outlook)| outlook.denial.code == DenyCode::NoMatchingRule);
    let finding = |(key, route, capability, outlook): (String, &Route, &CapabilityId, Outlook)| {
        let rules = &loaded.snapshot.rules.rules;
        let cell = Cells::of(asking.gate().env, route.data_label, TenantRisk::High, QosClass::P2);
        let known = loaded.snapshot.rules.known_capability(capability.as_str());
        let about = loaded.snapshot.rules.nearest(known.as_deref(), cell);
        let why = match about {
            None => format!("no rule is for `{capability}`"),
            Some(rule) => format!("rule `{}` is for `{capability}`, but not {}", rule.id, missed(rule, cell)),
        };
        let help = if about.is_some() {
            "correct the route's `data_label` or `gate.env`, widen the rule, or add one".to_owned()
        } else {
            let named = rules.iter().flat_map(Rule::named);
            meant(capability.as_str(), named.map(|name| &**name), || format!("add a rule for `{capability}`"))
        };
        Finding::new(At::Key(key), format!("{why}: {}", denied(&asking, route, capability, &outlook)), help)
    };
    unmatched.map(finding).collect()
}

/// What of a request a rule is not for, as far as the route and the gate say it.
fn missed(rule: &Rule, cell: Cells) -> String {
    let said = rule.misses(cell).into_iter().filter_map(|miss| match miss.field {
        "env" => Some(format!("in {}", miss.asked.join(", "))),
        "data_label" => Some(format!("for {}", miss.asked.join(", "))),
        _ => None,
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() { "for the callers of this gate".to_owned() } else { said.join(" and not ") }
}

/// A rule matches what a route asks for, and nobody who may come can be dispatched.
pub(super) fn always_denied(loaded: &Loaded<'_>) -> Findings {
    let Some(asking) = Asking::at_gate(loaded) else { return Findings::default() };
    let refused = outlooks(&asking).filter(|(.., outlook)| !is_said_elsewhere(loaded, &outlook.denial));
    let finding = |(key, route, capability, outlook): (String, &Route, &CapabilityId, Outlook)| {
        let Denial { code, message, .. } = &outlook.denial;
        let help = help(loaded, *code, capability, outlook.worker.as_ref());
        Finding::new(
            At::Key(key),
            format!("`{capability}`: {}: {message}", denied(&asking, route, capability, &outlook)),
            help,
        )
    };
    refused.map(finding).collect()
}

/// Whether another lint says it once, and not for each route.
fn is_said_elsewhere(loaded: &Loaded<'_>, denial: &Denial) -> bool {
    use DenyCode as Code;
    let fixed = matches!(loaded.gate.map(|gate| &gate.identity), Some(Identity::Fixed { .. }));
    let workers = &loaded.snapshot.workers;
    match denial.code {
        Code::NoMatchingRule => true,
        // Of the gate's own worker, and of its tenant.
        Code::WorkerNotEnrolled
        | Code::WorkerRevoked
        | Code::WorkerBanned
        | Code::EnvNotAllowed
        | Code::UnknownTenant => fixed,
        Code::MissingWorkerId | Code::NoAvailableWorker => workers.is_empty() || loaded.is_open,
        Code::PolicyGateUnconfigured => true,
        _ => false,
    }
}

fn help(loaded: &Loaded<'_>, code: DenyCode, capability: &CapabilityId, worker: Option<&Arc<str>>) -> String {
    let worker = worker.and_then(|id| loaded.snapshot.workers.get(&**id));
    match (code, worker) {
        (DenyCode::WorkerCapabilityMismatch, Some(worker)) => {
            let declared = worker.capabilities.iter().map(CapabilityId::as_str);
            let add = || format!("add `{capability}` to the `capabilities` of `{}`", worker.worker_id);
            meant(capability.as_str(), declared, add)
        }
        _ => code.remedy().to_owned(),
    }
}
