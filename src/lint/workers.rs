//! Lints of the enrolled workers' records, each by itself and against the rules.

use std::collections::BTreeSet;

use crate::engine::DenyCode;
use crate::engine::json::Step;
use crate::engine::snapshot::WorkerStatus;
use crate::ids::meant;
use crate::registry::hash;
use crate::registry::records::Enrolled;

use super::{At, Finding, Findings, Loaded};

/// What a record may say (WCP_SPEC 6 and its schema), read here or not.
const KEYS: &[&str] = &[
    "worker_id",
    "worker_species_id",
    "capabilities",
    "risk_tier",
    "status",
    "currently_implements",
    "required_controls",
    "allowed_environments",
    "blast_radius",
    "privilege_envelope",
    "attestation",
    "artifact_hash",
    "owner",
    "tenant_id",
    "contact",
    "name",
    "description",
    "version",
    "notes",
    "tags",
    "metadata",
    "idempotency",
    "determinism",
    "catalog_version_min",
];

/// The words of `status`.
const STATUSES: [&str; 4] = ["active", "revoked", "retired", "banned"];

fn at(enrolled: &Enrolled, key: &str) -> At {
    At::Record(enrolled.worker.worker_id.clone(), if key.is_empty() { Vec::new() } else { vec![Step::from(key)] })
}

/// The records, as they are written.
fn records<'a>(loaded: &Loaded<'a>) -> impl Iterator<Item = &'a Enrolled> + use<'a> {
    loaded.roster.listed().map(|listed| listed.enrolled)
}

/// Nobody is enrolled.
pub(super) fn none(loaded: &Loaded<'_>) -> Findings {
    if loaded.is_open || !loaded.snapshot.workers.is_empty() {
        return Findings::default();
    }
    let message = "holds no record: no worker is enrolled, and every request will be denied";
    let help = "write a registry record into the folder or in its place, or let workers be enrolled over the API with `policy.store`";
    Findings::one(Finding::new(At::Key("policy.workers".to_owned()), message, help))
}

/// A key that no record has is most likely a slip of the pen, and what it should say does not count.
pub(super) fn unknown_key(loaded: &Loaded<'_>) -> Findings {
    let mut findings = Findings::default();
    for enrolled in records(loaded) {
        let members = enrolled.record.as_object();
        // What begins so is somebody's own.
        let own = |key: &str| key.starts_with(['_', '$']) || key.starts_with("x-") || key.starts_with("x_");
        for key in members.into_iter().flat_map(|members| members.keys()).filter(|key| !own(key)) {
            if findings.is_full() {
                return findings;
            }
            if !KEYS.contains(&&**key) {
                let help = meant(key, KEYS.iter().copied(), || {
                    "remove it, or begin it with `x-` if it is a note of your own".to_owned()
                });
                findings.push(Finding::new(at(enrolled, key), "is no key of a record: nothing reads it", help));
            }
        }
    }
    findings
}

/// Every status but `active` takes the right to act away, and a word that is none most likely should not.
pub(super) fn unknown_status(loaded: &Loaded<'_>) -> Findings {
    let said = records(loaded).filter_map(|enrolled| Some((enrolled, enrolled.text("status")?)));
    let unknown = said.filter(|(_, status)| !STATUSES.contains(&&***status));
    let finding = |(enrolled, status): (&Enrolled, &std::sync::Arc<str>)| {
        let message = format!(
            "`{status}` is not a status, and counts as revoked: requests that name `{}` will be denied with {}",
            enrolled.worker.worker_id,
            DenyCode::WorkerRevoked.as_str()
        );
        let help = meant(status, STATUSES, || format!("write one of {}", STATUSES.join(", ")));
        Finding::new(at(enrolled, "status"), message, help)
    };
    unknown.map(finding).collect()
}

/// A record is not the one that its hash says; only reference mode loads such a one, as the reference does.
pub(super) fn wrong_hash(loaded: &Loaded<'_>) -> Findings {
    let wrong = records(loaded).filter(|enrolled| {
        let written = enrolled.text(hash::ARTIFACT_HASH);
        written.is_some_and(|text| text.strip_prefix("sha256:").unwrap_or(text) != enrolled.hash.to_hex())
    });
    let finding = |enrolled: &Enrolled| {
        let message = "is not the hash of this record: somebody changed one of them, and it is enrolled all the same";
        let help = format!("look at the record; if it is as it should be, write `sha256:{}`", enrolled.hash);
        Finding::new(at(enrolled, hash::ARTIFACT_HASH), message, help)
    };
    wrong.map(finding).collect()
}

/// A worker of a species that no rule names can never act.
pub(super) fn never_candidate(loaded: &Loaded<'_>) -> Findings {
    let rules = &loaded.snapshot.rules.rules;
    if rules.is_empty() {
        return Findings::default();
    }
    let candidates: BTreeSet<&str> =
        rules.iter().flat_map(|rule| rule.candidates.iter().map(|candidate| &*candidate.species)).collect();
    let never = records(loaded).filter(|enrolled| !candidates.contains(enrolled.worker.species.as_str()));
    let finding = |enrolled: &Enrolled| {
        let species = &enrolled.worker.species;
        let message = format!(
            "no rule has the species `{species}` as a candidate: requests that name `{}` will be denied with {}",
            enrolled.worker.worker_id,
            DenyCode::WorkerNotCandidate.as_str()
        );
        let help = meant(species.as_str(), candidates.iter().copied(), || {
            "add it to the `candidate_workers_ranked` of the rules that it is for".to_owned()
        });
        Finding::new(at(enrolled, "worker_species_id"), message, help)
    };
    never.map(finding).collect()
}

/// An empty list of environments allows none.
pub(super) fn nowhere_allowed(loaded: &Loaded<'_>) -> Findings {
    let nowhere = records(loaded)
        .filter(|enrolled| enrolled.worker.allowed_environments.as_ref().is_some_and(BTreeSet::is_empty));
    let finding = |enrolled: &Enrolled| {
        let message = format!(
            "is empty: requests that name `{}` will be denied with {} everywhere",
            enrolled.worker.worker_id,
            DenyCode::EnvNotAllowed.as_str()
        );
        let help = "list environments, such as [\"prod\"], or remove the key to allow all";
        Finding::new(at(enrolled, "allowed_environments"), message, help)
    };
    nowhere.map(finding).collect()
}

/// The file that was attested is not there, so that nobody can say what the worker's code is.
pub(super) fn attestation_file_missing(loaded: &Loaded<'_>) -> Findings {
    let active = records(loaded).filter(|enrolled| enrolled.worker.status == WorkerStatus::Active);
    let sources = active.filter_map(|enrolled| Some((enrolled, enrolled.worker.attestation.source.as_ref()?)));
    let missing = sources.filter(|(_, source)| !source.path.is_file());
    let finding = |(enrolled, source): (&Enrolled, &crate::engine::snapshot::Source)| {
        let message = format!(
            "there is no file `{}`: where attestation is required, `{}` will be denied with {}",
            source.path.display(),
            enrolled.worker.worker_id,
            DenyCode::WorkerHashUnavailable.as_str()
        );
        let steps = vec![Step::from("attestation"), Step::from("source_file")];
        let help = "name the file with the worker's code; a relative path is relative to the configuration";
        Finding::new(At::Record(enrolled.worker.worker_id.clone(), steps), message, help)
    };
    missing.map(finding).collect()
}
