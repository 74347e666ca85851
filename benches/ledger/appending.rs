//! Appending as the doors do it: what is recorded, how many at a time, and what the writer's thread uses for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hallgate::engine::decision::{Escalation, Gated, Preconditions};
use hallgate::engine::input::HttpFacts;
use hallgate::engine::{Decision, Outcome, RouteInput, Verdict};
use hallgate::ids::{DataLabel, Digest, Env, TenantRisk};
use hallgate::ledger::{Door, Durability, Ledger, Record, Retention, Settings};
use tokio::runtime::Runtime;

/// Requests that wait for the writer at a time.
const IN_FLIGHT: u64 = 64;

/// An allowed decision, of about a thousand bytes as an entry.
pub fn record() -> Record {
    let input = RouteInput {
        worker_id: Some(Arc::from("wrk_make_acme_prod")),
        data_label: DataLabel::Internal,
        data_label_defaulted: false,
        correlation_id: Arc::from("11111111-1111-4111-8111-111111111111"),
        http: Some(HttpFacts { method: Arc::from("POST"), host: Arc::from("orders"), path: Arc::from("/orders/1") }),
        ..RouteInput::new("cap.data.write.v1", Env::Prod, "org.acme")
    };
    let verdict = Verdict {
        outcome: Outcome::Dispatch,
        denial: None,
        would_be: None,
        matched_rule_id: Arc::from("rr_data_write_prod_001"),
        selected_species: Some(Arc::from("wrk.data.writer")),
        worker_id: Some(Arc::from("wrk_make_acme_prod")),
        candidates: Arc::from([]),
        required_controls: Arc::new(BTreeSet::from([Arc::from("ctrl.obs.audit-log-append-only")])),
        recommended_profiles: Arc::from([]),
        escalation: Escalation::default(),
        preconditions: Preconditions::default(),
        blast_score: Some(45),
        gated: Gated::default(),
        attestation_checked: false,
        attestation_valid: None,
        attested: None,
        events: Vec::new(),
    };
    let decision = Decision {
        input,
        verdict: Arc::new(verdict),
        tenant_risk: TenantRisk::Low,
        artifact_hash: Digest::of(b"artifact"),
        snapshot: Digest::of(b"snapshot"),
        policy_version: Arc::from("policy.v1"),
        cached: true,
        shadow: None,
        approval: None,
    };
    Record::Decision {
        decision: Arc::new(decision),
        door: Door::Gate,
        token: None,
        raw_body: None,
        worker_optional: false,
        kept: None,
    }
}

/// CPU time that a thread has used, from the scheduler.
pub fn cpu_of(task: &Path) -> Option<Duration> {
    let stat = fs::read_to_string(task.join("schedstat")).ok()?;
    stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// CPU time that the writer thread has used.
pub fn writer_cpu() -> Duration {
    let threads = fs::read_dir("/proc/self/task").expect("the benchmark runs on Linux");
    let of = |task: std::path::PathBuf| {
        let name = fs::read_to_string(task.join("comm")).ok()?;
        if name.trim() == "ledger-write" { cpu_of(&task) } else { None }
    };
    threads.flatten().find_map(|task| of(task.path())).expect("the ledger is open")
}

/// Appends so many entries, with [`IN_FLIGHT`] requests in flight.
pub fn append(ledger: &Ledger, runtime: &Runtime, record: &Record, entries: u64) {
    runtime.block_on(async {
        let tasks: Vec<_> = (0..IN_FLIGHT)
            .map(|n| {
                let (ledger, record) = (ledger.clone(), record.clone());
                let share = entries / IN_FLIGHT + u64::from(n < entries % IN_FLIGHT);
                tokio::spawn(async move {
                    for _ in 0..share {
                        ledger.record(record.clone()).await.expect("the disk takes it");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no task panics");
        }
    });
}

/// A ledger in this folder, as it is configured by default.
pub fn settings(folder: &Path) -> Settings {
    Settings {
        path: folder.join("ledger"),
        durability: Durability::Process,
        key_file: folder.join("key"),
        origin: "hallgate.bench/ledger".to_owned(),
        checkpoint_every: Duration::from_secs(5),
        queue: 4096,
        segment_bytes: 64 << 20,
        request_attributes: true,
        retention: Retention::default(),
    }
}
