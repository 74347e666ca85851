//! The fingerprint: SHA-256 over a canonical description of a snapshot, the same in every process.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::RuleSet;
use crate::engine::description::Description;
use crate::ids::Digest;
use crate::ids::WorkerId;

use super::{Acting, Approvable, Attestation, Envelope, Fingerprint, Mode, Settings, Source, Worker, WorkerStatus};

// Everything is taken apart by name, so that a new field does not compile before it is described here.
pub(super) fn of(
    settings: &Settings,
    rules: &RuleSet,
    workers: &BTreeMap<WorkerId, Arc<Worker>>,
    acting: &BTreeMap<Arc<str>, Arc<Acting>>,
) -> Fingerprint {
    let mut all = Description::with_capacity(4096);
    all.text("hallgate snapshot 3");
    let Settings {
        mode,
        version,
        require_worker_id,
        require_signatory,
        allowed_tenants,
        require_worker_attestation,
        enforce_correlation_id,
        enforce_required_controls,
        enforce_blast_scoring_in_prod,
        enforce_privilege_envelopes,
        require_known_capability,
        egress_allowlist,
        tenants,
        approvals,
    } = settings;
    all.flags([
        *mode == Mode::Strict,
        *require_signatory,
        *require_worker_attestation,
        *enforce_correlation_id,
        *enforce_required_controls,
        *enforce_blast_scoring_in_prod,
        *enforce_privilege_envelopes,
        *require_known_capability,
    ]);
    all.text(version);
    all.texts(require_worker_id.iter().map(|env| env.as_str()));
    all.texts(allowed_tenants.iter());
    all.number(egress_allowlist.len() as u64);
    for (env, destinations) in egress_allowlist {
        all.text(env.as_str());
        all.texts(destinations.iter());
    }
    all.number(tenants.len() as u64);
    for (tenant, risk) in tenants {
        all.text(tenant.as_str());
        all.text(risk.as_str());
    }
    all.text(&rules.digest.to_hex());
    all.number(workers.len() as u64);
    for worker in workers.values() {
        described(worker, &mut all);
    }
    // Besides the workers themselves, because in reference mode it matters in which order they came.
    all.number(acting.len() as u64);
    for acting in acting.values() {
        let Acting { who, attestation, envelope } = &**acting;
        all.text(who);
        attested(attestation, &mut all);
        enveloped(envelope.as_ref(), &mut all);
    }
    // Only where they are: a policy that asks nobody is what it was before there were any.
    if let Some(Approvable { blast }) = approvals {
        all.text("approvals 1");
        all.texts(blast.iter().map(|level| level.as_str()));
    }
    all.end()
}

/// The fingerprint of a snapshot with a policy gate.
pub(super) fn with_gate(snapshot: &Fingerprint, policies: &Digest) -> Fingerprint {
    with("hallgate gated snapshot 1", snapshot, policies)
}

/// The fingerprint of a snapshot with another catalogue than the built-in one.
pub(super) fn with_catalogue(snapshot: &Fingerprint, catalogue: &Digest) -> Fingerprint {
    with("hallgate catalogued snapshot 1", snapshot, catalogue)
}

fn with(heading: &str, snapshot: &Fingerprint, more: &Digest) -> Fingerprint {
    let mut all = Description::with_capacity(128);
    all.text(heading);
    all.digest(snapshot);
    all.digest(more);
    all.end()
}

pub(crate) fn described(worker: &Worker, all: &mut Description) {
    let Worker {
        worker_id,
        species,
        capabilities,
        implements,
        required_controls,
        allowed_environments,
        blast_sum,
        status,
        attestation,
        envelope,
        risk_tier,
    } = worker;
    all.text(worker_id.as_str());
    all.text(species.as_str());
    all.texts(capabilities.iter().map(|id| id.as_str()));
    all.texts(implements.iter().map(|id| id.as_str()));
    all.texts(required_controls.iter().map(|id| id.as_str()));
    all.flags([allowed_environments.is_some(), blast_sum.is_some()]);
    all.texts(allowed_environments.iter().flatten().map(|env| env.as_str()).collect::<Vec<_>>().into_iter());
    all.number(u64::from(blast_sum.unwrap_or(0)));
    all.number(match status {
        WorkerStatus::Active => 0,
        WorkerStatus::Revoked => 1,
        WorkerStatus::Banned => 2,
        WorkerStatus::Unverified => 3,
    });
    attested(attestation, all);
    enveloped(envelope.as_ref(), all);
    all.texts(risk_tier.iter().map(|tier| tier.as_str()));
}

pub(crate) fn attested(Attestation { registered, source }: &Attestation, all: &mut Description) {
    all.flags([registered.is_some(), source.is_some()]);
    all.texts(registered.iter().map(|hash| hash.to_hex()).collect::<Vec<_>>().into_iter());
    if let Some(Source { path, within }) = source {
        all.bytes(path.as_os_str().as_encoded_bytes());
        all.flags([within.is_some()]);
        let within = within.as_deref().unwrap_or_default();
        all.number(within.len() as u64);
        for folder in within {
            all.bytes(folder.as_os_str().as_encoded_bytes());
        }
    }
}

pub(crate) fn enveloped(envelope: Option<&Envelope>, all: &mut Description) {
    all.flags([envelope.is_some()]);
    if let Some(Envelope { egress }) = envelope {
        all.texts(egress.iter());
    }
}
