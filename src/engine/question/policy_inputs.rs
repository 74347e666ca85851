//! Policy inputs: what only the policy gate reads of a request. It is part of the question, so it is part of the key.

use std::sync::Arc;

use crate::engine::input::RouteInput;
use crate::engine::policy_gate::{Claim, GateReads, HttpRead};
use crate::engine::snapshot::Snapshot;

/// What only the policies read. `None` stands for what none of them reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PolicyInputs {
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) dry_run: Option<bool>,
    http: Option<Http>,
    pub(crate) claims: Box<[Claim]>,
}

/// The request on the wire, when it came through the gate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Http {
    method: Option<Arc<str>>,
    host: Option<Arc<str>>,
    path: Option<Arc<str>>,
}

/// How many bytes a claim holds, about.
fn bytes_of(claim: &Claim) -> usize {
    match claim {
        Claim::Text(text) => text.len(),
        Claim::Set(elements) => elements.iter().map(|element| size_of::<Claim>() + bytes_of(element)).sum(),
        _ => 0,
    }
}

impl PolicyInputs {
    /// What the policies read of a request; `None` when that is nothing.
    pub(super) fn of(input: &RouteInput, snapshot: &Snapshot, reads: GateReads) -> Option<Box<Self>> {
        let GateReads { principal, dry_run, http, method, host, path, request, .. } = reads;
        let on_the_wire = input.http.as_ref().filter(|_| http).map(|facts| Http {
            method: method.then(|| Arc::clone(&facts.method)),
            host: host.then(|| Arc::clone(&facts.host)),
            path: path.then(|| Arc::clone(&facts.path)),
        });
        let said = Self {
            tenant: principal.then(|| Arc::clone(&input.tenant_id)),
            dry_run: dry_run.then_some(input.dry_run),
            http: on_the_wire,
            claims: match &snapshot.gate {
                Some(gate) if request => gate.claims(&input.request),
                _ => Box::default(),
            },
        };
        (principal || dry_run || http || request).then(|| Box::new(said))
    }

    /// How many bytes of the caller's it holds, about.
    pub(super) fn bytes(&self) -> usize {
        let Self { tenant, http, claims, dry_run: _ } = self;
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let on_the_wire = http.as_ref().map_or(0, |Http { method, host, path }| text(method) + text(host) + text(path));
        text(tenant) + on_the_wire + claims.iter().map(bytes_of).sum::<usize>()
    }

    /// How many texts and claims it holds.
    pub(super) fn texts(&self) -> usize {
        let on_the_wire =
            self.http.as_ref().map_or(0, |http| [&http.method, &http.host, &http.path].into_iter().flatten().count());
        usize::from(self.tenant.is_some()) + on_the_wire + 2 * self.claims.len()
    }

    pub(crate) fn http(&self) -> Option<HttpRead<'_>> {
        let Http { method, host, path } = self.http.as_ref()?;
        Some(HttpRead { method: method.as_deref(), host: host.as_deref(), path: path.as_deref() })
    }
}
