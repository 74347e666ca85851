//! What the ledger promises, tried on real files: with threads, faults behind the disk, restarts and tampering.

mod bundling;
mod looking;
mod proving;
mod publishing;
mod recovering;
mod restarting;
mod retaining;
mod rotating;
mod stalling;
mod tampering;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::*;
use crate::clock::now_micros;
use crate::engine::{self, Decision, Denial, DenyCode, RouteInput, Verdict};
use crate::ids::{DataLabel, Digest, Env, TenantRisk};
use crate::ledger::format::{canonical, chain, checkpoint, frame, ids, index, pruned, segment, tree};
use crate::ledger::layout;
use crate::ledger::layout::{checkpoint_file, heads_file, index_file, rotations, segments, version_file};
use crate::ledger::recover::state::{By, Now};
use crate::ledger::recover::{boot, recovery};
use crate::ledger::write::active_segment::Through;
use crate::ledger::write::checkpointer;
use crate::ledger::write::clock::Clock;

/// A ledger in this folder that signs only its first entry and when it is closed.
pub(super) fn settings(folder: &Path) -> Settings {
    Settings {
        path: folder.join("ledger"),
        durability: Durability::Process,
        key_file: folder.join("hallgate.key"),
        origin: "hallgate.test/ledger".to_owned(),
        checkpoint_every: Duration::from_secs(3600),
        queue: 1000,
        segment_bytes: 1 << 20,
        request_attributes: true,
        retention: Retention::default(),
    }
}

/// A decision on a tenant's request.
pub(super) fn decision(tenant: &str, outcome: engine::Outcome) -> Decision {
    let allowed = outcome == engine::Outcome::Dispatch;
    let denial = Denial {
        code: DenyCode::NoMatchingRule,
        message: "no rule matches `cap.data.write.v1` in prod".to_owned(),
        extras: BTreeMap::new(),
    };
    Decision {
        input: RouteInput {
            worker_id: Some(Arc::from("wrk_make_acme_prod")),
            data_label: DataLabel::Internal,
            data_label_defaulted: false,
            correlation_id: Arc::from("11111111-1111-4111-8111-111111111111"),
            ..RouteInput::new("cap.data.write.v1", Env::Prod, tenant)
        },
        verdict: Arc::new(Verdict {
            outcome,
            denial: (!allowed).then_some(denial),
            would_be: None,
            matched_rule_id: Arc::from("rr_data_write_prod_001"),
            selected_species: allowed.then(|| Arc::from("wrk.data.writer")),
            worker_id: allowed.then(|| Arc::from("wrk_make_acme_prod")),
            candidates: Arc::from([]),
            required_controls: Arc::new(BTreeSet::from([Arc::from("ctrl.obs.audit-log-append-only")])),
            recommended_profiles: Arc::from([]),
            escalation: engine::decision::Escalation::default(),
            preconditions: engine::decision::Preconditions::default(),
            blast_score: Some(45),
            gated: engine::decision::Gated::default(),
            attestation_checked: false,
            attestation_valid: None,
            attested: None,
            events: Vec::new(),
        }),
        tenant_risk: TenantRisk::Low,
        artifact_hash: Digest::of(b"artifact"),
        snapshot: Digest::of(b"snapshot"),
        policy_version: Arc::from("policy.v1"),
        cached: false,
        shadow: None,
        approval: None,
    }
}

/// An allowed decision to be recorded.
fn allowed(tenant: &str) -> Record {
    decided(decision(tenant, engine::Outcome::Dispatch))
}

/// A decision to be recorded.
pub(super) fn decided(decision: Decision) -> Record {
    let decision = Arc::new(decision);
    Record::Decision { decision, door: Door::Gate, token: None, raw_body: None, worker_optional: false, kept: None }
}

/// A denial because the tenant is not known.
pub(super) fn of_unknown_tenant(tenant: &str) -> Decision {
    let mut unknown = decision(tenant, engine::Outcome::Deny);
    let verdict = Arc::make_mut(&mut unknown.verdict);
    verdict.denial.as_mut().unwrap().code = DenyCode::UnknownTenant;
    unknown
}

/// A refusal to be recorded.
pub(super) fn refusal() -> Record {
    Record::Refusal(Refusal {
        door: Door::Gate,
        code: DenyCode::NoRoute,
        message: "no route".to_owned(),
        tenant: None,
        worker: None,
        token: None,
        correlation_id: None,
        raw_body: None,
    })
}

/// The end of an exchange.
pub(super) fn ended() -> ExchangeEnd {
    ExchangeEnd {
        status: Some(200),
        request_bytes: 12,
        response_bytes: u64::MAX,
        duration: Duration::from_micros(1234),
        ending: Ending::Complete,
    }
}

/// Records by the side of any runtime.
fn record(ledger: &Ledger, record: Record) -> Result<Receipt, RecordError> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(ledger.record(record))
}

/// Some decisions of three tenants, each with its outcome, and refusals in between: `3 * rounds` entries.
fn fill(ledger: &Ledger, rounds: usize) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for round in 0..rounds {
        let receipt = record(ledger, allowed(["org.acme", "org.globex", "org.initech"][round % 3])).unwrap();
        ledger.outcome(&receipt, ended());
        receipts.push(receipt);
        receipts.push(record(ledger, refusal()).unwrap());
    }
    receipts
}

/// A ledger that was filled so and closed.
fn filled(settings: &Settings, rounds: usize) -> Vec<Receipt> {
    let ledger = Ledger::open(settings).unwrap();
    let receipts = fill(&ledger, rounds);
    ledger.close();
    receipts
}

/// Waits for what must come by itself.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Verifies a ledger with the key beside it.
fn check(settings: &Settings) -> Result<verify::Report, verify::VerifyError> {
    let vkey = fs::read_to_string(settings.key_file.with_extension("key.pub")).unwrap();
    verify::verify(&settings.path, &vkey)
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to);
        } else {
            // What a running ledger is about to put in place may be there already.
            if let Err(error) = fs::copy(file.path(), to) {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
            }
        }
    }
}

/// The entries of a ledger, in order, as JSON.
fn entries(settings: &Settings) -> Vec<serde_json::Value> {
    let mut entries = Vec::new();
    for first in segment::list(&segments(&settings.path)).unwrap() {
        let bytes = fs::read(segment::path(&segments(&settings.path), first)).unwrap();
        let frames = frame::Frames::from(&bytes, segment::HEADER);
        entries.extend(frames.map(|frame| serde_json::from_slice::<serde_json::Value>(frame.entry).unwrap()));
    }
    entries
}
