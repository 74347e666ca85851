//! Lints of who may ask: what tokens and identities are bound to, held against who there is.

use crate::engine::DenyCode;
use crate::hall::Scope;
use crate::ids::{TenantId, WorkerId, meant};
use crate::proxy::settings::Identity;

use super::{At, Finding, Findings, Loaded};

/// The key of a token, in the configuration or in its file of tokens.
pub(super) fn key(loaded: &Loaded<'_>, at: usize) -> String {
    let keys = &loaded.origins.keys;
    // Those of the file come behind those of the configuration.
    let here = (0..loaded.tokens.len()).take_while(|at| keys.has(&format!("hall.tokens[{at}]"))).count();
    if at < here { format!("hall.tokens[{at}]") } else { format!("tokens[{}]", at - here) }
}

/// A token is bound to a worker that is not enrolled.
pub(super) fn worker_not_enrolled(loaded: &Loaded<'_>) -> Findings {
    let mut findings = Findings::default();
    if loaded.is_open || loaded.snapshot.workers.is_empty() {
        return findings;
    }
    let asking = loaded.tokens.iter().enumerate().filter(|(_, token)| token.may(Scope::Route));
    for (at, token) in asking {
        let bound = token.binding.workers.iter().flat_map(|workers| workers.iter());
        for worker in bound.filter(|worker| !loaded.snapshot.workers.contains_key(*worker)) {
            if findings.is_full() {
                return findings;
            }
            let message = format!(
                "`{worker}` is not enrolled: what this token asks as it will be denied with {}",
                DenyCode::WorkerNotEnrolled.as_str()
            );
            let help = meant(worker.as_str(), loaded.snapshot.workers.keys().map(WorkerId::as_str), || {
                "add its record to `policy.workers`, or remove it here".to_owned()
            });
            findings.push(Finding::new(At::Key(format!("{}.worker_ids", key(loaded, at))), message, help));
        }
    }
    findings
}

/// Only signatories may ask, and a tenant that asks is none.
pub(super) fn tenant_not_allowed(loaded: &Loaded<'_>) -> Findings {
    let settings = &loaded.snapshot.settings;
    if !settings.require_signatory {
        return Findings::default();
    }
    let mut asking: Vec<(String, &TenantId)> = Vec::new();
    if let Some(Identity::Fixed { tenant_id, .. }) = loaded.gate.map(|gate| &gate.identity) {
        asking.push(("gate.identity.tenant_id".to_owned(), tenant_id));
    }
    let tokens = loaded.tokens.iter().enumerate().filter(|(_, token)| token.may(Scope::Route));
    asking
        .extend(tokens.filter_map(|(at, token)| {
            Some((format!("{}.tenant_id", key(loaded, at)), token.binding.tenant.as_ref()?))
        }));
    let allowed = &settings.allowed_tenants;
    if allowed.is_empty() {
        let message = format!(
            "is `true`, and `allowed_tenants` lists nobody: every request will be denied with {}",
            DenyCode::UnknownTenant.as_str()
        );
        let help = "list the tenants in `policy.allowed_tenants`";
        return Findings::one(Finding::new(At::Key("policy.require_signatory".to_owned()), message, help));
    }
    let refused = asking.into_iter().filter(|(_, tenant)| !allowed.contains(tenant.as_str()));
    let finding = |(key, tenant): (String, &TenantId)| {
        let message = format!(
            "`{tenant}` is not in `policy.allowed_tenants`: every request of it will be denied with {}",
            DenyCode::UnknownTenant.as_str()
        );
        let help = meant(tenant.as_str(), allowed.iter().map(|tenant| &**tenant), || {
            format!("add `{tenant}` to `policy.allowed_tenants`")
        });
        Finding::new(At::Key(key), message, help)
    };
    refused.map(finding).collect()
}

/// A configuration that says nothing is a policy of defaults, and most likely the wrong file.
pub(super) fn empty_configuration(loaded: &Loaded<'_>) -> Findings {
    if !loaded.origins.keys.is_empty() {
        return Findings::default();
    }
    let message = "says nothing: `rules.json` and `enrolled` beside it are all there is, and `serve` cannot run it";
    let help = "write a section `gate` or `hall`, or name the configuration that you meant";
    Findings::one(Finding::new(At::Key(String::new()), message, help))
}
