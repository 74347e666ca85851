//! Lints of the policies: files that hold none, and entities that there are not, for which a policy never applies.

use std::collections::BTreeSet;

use crate::engine::rules::Capabilities;
use crate::ids::{CapabilityId, EntityKind, WorkerId, nearest};
use crate::policy::NamedEntity;
use crate::proxy::settings::{CapabilityChoice, Identity};

use super::{At, Finding, Findings, Loaded};

/// A file without a policy, most likely one that was meant to have some.
pub(super) fn file_empty(loaded: &Loaded<'_>) -> Findings {
    let empty = loaded.origins.empty_policies.iter();
    let finding = |file: &std::path::PathBuf| {
        let at = At::Policy { file: file.clone(), place: None, policy: String::new() };
        Finding::new(at, "holds no policy", "write what it should permit or forbid, or remove it")
    };
    empty.map(finding).collect()
}

/// What may be named of one type.
struct Known<'a> {
    kind: &'static str,
    names: BTreeSet<&'a str>,
    /// Whether there may be others, too: then only a near miss is most likely a mistake.
    is_open: bool,
    /// What a name that is none is, and what to do about it.
    is: &'static str,
    help: &'static str,
}

impl Known<'_> {
    fn findings(&self, named: &[NamedEntity]) -> Findings {
        let unknown = named.iter().filter(|named| *named.kind == *self.kind && !self.names.contains(&*named.id));
        unknown.filter_map(|named| self.finding(named)).collect()
    }

    fn finding(&self, named: &NamedEntity) -> Option<Finding> {
        let meant = nearest(&named.id, self.names.iter().copied());
        if self.is_open && meant.is_none() {
            return None;
        }
        let NamedEntity { kind, id, policy, file, place } = named;
        let at = At::Policy { file: file.clone(), place: Some(*place), policy: policy.to_string() };
        let message = format!("`{kind}::\"{id}\"` {}: for it the policy never applies", self.is);
        let help = meant.map_or_else(|| self.help.to_owned(), |meant| format!("did you mean `{kind}::\"{meant}\"`?"));
        Some(Finding::new(at, message, help))
    }
}

/// A policy names a worker that is not enrolled.
pub(super) fn worker_unknown(loaded: &Loaded<'_>) -> Findings {
    let known = Known {
        kind: "Worker",
        names: loaded.snapshot.workers.keys().map(WorkerId::as_str).collect(),
        // That there is nobody at all is said once.
        is_open: loaded.is_open || loaded.snapshot.workers.is_empty(),
        is: "is not enrolled",
        help: "correct the id, or enroll the worker",
    };
    known.findings(&loaded.origins.named)
}

/// A policy names a tenant that nothing in the configuration names.
pub(super) fn tenant_unknown(loaded: &Loaded<'_>) -> Findings {
    let settings = &loaded.snapshot.settings;
    let bound = loaded.tokens.iter().map(|token| token.binding.tenant.as_ref());
    let mut names: BTreeSet<&str> = settings.tenants.keys().map(|tenant| tenant.as_str()).collect();
    names.extend(settings.allowed_tenants.iter().map(|tenant| &**tenant));
    names.extend(bound.clone().flatten().map(|tenant| tenant.as_str()));
    let by_gate = match loaded.gate.map(|gate| &gate.identity) {
        Some(Identity::Fixed { tenant_id, .. }) => {
            names.insert(tenant_id.as_str());
            false
        }
        Some(Identity::Mtls(workloads)) => {
            names.extend(workloads.ids.values().map(|(_, tenant)| tenant.as_str()));
            workloads.pattern.is_some()
        }
        Some(Identity::TrustedHeaders { .. }) => true,
        Some(Identity::Token) | None => false,
    };
    // Without a door nobody knows who will ask.
    let anybody = by_gate || loaded.tokens.is_empty() || bound.into_iter().any(|tenant| tenant.is_none());
    let known = Known {
        kind: "Tenant",
        names,
        is_open: anybody && !settings.require_signatory,
        is: "is no tenant that anything here names",
        help: "correct the id, or write the tenant into `policy.tenants`",
    };
    known.findings(&loaded.origins.named)
}

/// Every capability that something names, and whether requests may ask for others, too.
fn capabilities<'a>(loaded: &Loaded<'a>) -> (BTreeSet<&'a str>, bool) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let mut any = false;
    for rule in &loaded.snapshot.rules.rules {
        match &rule.capabilities {
            Capabilities::Any => any = true,
            Capabilities::Only(only) => names.extend(only.iter().map(|name| &**name)),
        }
    }
    for route in loaded.gate.into_iter().flat_map(|gate| &gate.routes) {
        match &route.capability {
            CapabilityChoice::Fixed(one) => drop(names.insert(one.as_str())),
            CapabilityChoice::Header(some) => names.extend(some.iter().map(CapabilityId::as_str)),
        }
    }
    let declared = loaded.snapshot.workers.values().flat_map(|worker| &worker.capabilities);
    names.extend(declared.map(CapabilityId::as_str));
    let entities = loaded.snapshot.catalogue.entities();
    names.extend(entities.filter(|(_, entity)| entity.kind == EntityKind::Capability).map(|(id, _)| &**id));
    (names, any)
}

/// A policy names a capability that nothing else does.
pub(super) fn capability_unknown(loaded: &Loaded<'_>) -> Findings {
    let (names, is_open) = capabilities(loaded);
    let (is, help) = ("is a capability that no rule, route, worker or catalogue names", "correct the id");
    Known { kind: "Capability", names, is_open, is, help }.findings(&loaded.origins.named)
}

/// A policy names a domain in which no capability is.
pub(super) fn domain_unknown(loaded: &Loaded<'_>) -> Findings {
    let (capabilities, is_open) = capabilities(loaded);
    let within = capabilities.iter().flat_map(|name| name.match_indices('.').filter_map(|(dot, _)| name.get(..dot)));
    let names = within.collect();
    let help = "write the beginning of a capability, up to one of its dots, such as `Domain::\"cap.data\"`";
    Known { kind: "Domain", names, is_open, is: "is a domain in which no capability is", help }
        .findings(&loaded.origins.named)
}
