//! What is in force is the same with and without a shadow, whatever the shadow says and whatever becomes of it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cache;
use crate::engine::policy_gate::Ruling;
use crate::engine::policy_gate::fixed::FixedGate;
use crate::engine::snapshot::{RegistryOverlay, Worker, WorkerStatus};
use crate::engine::{Mode, RuleSet, Settings};
use crate::hall::tests::{ledger_in, settings};
use crate::hall::{Ask, Caller, Door, TokenBook};
use crate::ids::{DataLabel, Env};
use crate::ledger::{Ledger, LogReader};
use crate::telemetry::Metrics;

/// A gate that says this, or panics.
fn says(ruling: Option<Ruling>) -> Arc<FixedGate> {
    Arc::new(match ruling {
        Some(ruling) => FixedGate::says(ruling),
        None => FixedGate { sees: |_| panic!("a mistake of ours"), ..FixedGate::says(Ruling::Failed) },
    })
}

fn worker(status: WorkerStatus) -> Worker {
    let capabilities = ["cap.a".parse().unwrap(), "cap.b".parse().unwrap()].into();
    Worker { status, ..Worker::new("wrk_a".parse().unwrap(), "wrk.a".parse().unwrap(), capabilities) }
}

/// A policy that lets one capability pass, up to a label.
fn policy(settings: Settings, capability: &str, labels: &[&str]) -> Snapshot {
    let rules = json!({ "rules": [{
        "rule_id": format!("rr_{capability}"), "match": { "capability_id": capability, "data_label": { "in": labels } },
        "decision": { "candidate_workers_ranked": [{ "worker_species_id": "wrk.a" }] },
    }] });
    let rules = RuleSet::parse(&rules.to_string(), settings.mode).unwrap();
    Snapshot::build(settings, rules, vec![worker(WorkerStatus::Active)]).unwrap()
}

fn in_force() -> Snapshot {
    policy(settings(), "cap.a", &["PUBLIC", "INTERNAL"])
}

fn hall(snapshot: Snapshot) -> (Hall, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&ledger_in(folder.path(), 64)).unwrap();
    let verdicts = Verdicts::new(cache::Settings { max_bytes: 1 << 20 });
    (Hall::new(snapshot, verdicts, ledger, TokenBook::default(), Arc::new(Metrics::new())), folder)
}

fn request(capability: &str, label: DataLabel) -> RouteInput {
    RouteInput {
        data_label: label,
        data_label_defaulted: false,
        worker_id: Some("wrk_a".into()),
        correlation_id: "c".into(),
        ..RouteInput::new(capability, Env::Dev, "org.acme")
    }
}

async fn ruled(hall: &Hall, input: RouteInput, observed_until: Option<i64>) -> Arc<Decision> {
    let ask = Ask { caller: Caller::default(), input, door: Door::Gate, raw_body: None, observed_until };
    Arc::clone(hall.rule(ask).await.unwrap().recorded().decision())
}

/// The decisions in a ledger, without what no two entries have in common.
fn entries(folder: &tempfile::TempDir) -> Vec<Value> {
    let mut reader = LogReader::new(&folder.path().join("ledger")).entries().unwrap();
    let mut entries = Vec::new();
    while let Some((_, json)) = reader.next().unwrap() {
        let mut entry: Value = serde_json::from_slice(json).unwrap();
        for own in ["receipt_id", "decision_id", "recorded_at", "dispatched_at", "prev_receipt_hash"] {
            entry.as_object_mut().unwrap().remove(own);
        }
        entries.push(entry);
    }
    entries.retain(|entry| entry["kind"] == "decision");
    entries
}

fn shadow() -> impl Strategy<Value = Snapshot> {
    let attesting = || Settings { require_worker_attestation: true, ..settings() };
    prop_oneof![
        Just(()).prop_map(|()| in_force()),
        Just(()).prop_map(|()| policy(settings(), "cap.b", &["PUBLIC", "RESTRICTED"])),
        Just(()).prop_map(|()| policy(Settings { mode: Mode::Reference, ..settings() }, "cap.a", &["RESTRICTED"])),
        Just(()).prop_map(move |()| policy(attesting(), "cap.a", &["PUBLIC"])),
        prop_oneof![Just(None), Just(Some(Ruling::Deny)), Just(Some(Ruling::Failed)), Just(Some(Ruling::Erred))]
            .prop_map(|ruling| in_force().gated_by(says(ruling))),
    ]
}

fn asked() -> impl Strategy<Value = Vec<(RouteInput, Option<i64>)>> {
    let one = ("cap\\.[abc]", 0..4_usize, prop::option::of(0..101_i64), any::<(bool, bool)>());
    let one = one.prop_map(|(capability, label, blast_score, (dry_run, observed))| {
        let input = RouteInput { blast_score, dry_run, ..request(&capability, DataLabel::ALL[label]) };
        (input, observed.then_some(i64::MAX))
    });
    prop::collection::vec(one, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_in_force_is_byte_for_byte_the_same_with_and_without_a_shadow(shadow in shadow(), asked in asked()) {
        let (alone, shadowed) = (hall(in_force()), hall(in_force().shadowed_by(shadow)));
        prop_assert_eq!(alone.0.snapshot().fingerprint, shadowed.0.snapshot().fingerprint);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for (input, observed_until) in asked {
                let one = ruled(&alone.0, input.clone(), observed_until).await;
                let other = ruled(&shadowed.0, input, observed_until).await;
                assert_eq!(one.verdict, other.verdict);
                assert_eq!((one.cached, one.artifact_hash, one.snapshot), (other.cached, other.artifact_hash, other.snapshot));
                assert_eq!(one.shadow, None);
            }
        });
        let (expected, mut entries) = (entries(&alone.1), entries(&shadowed.1));
        for entry in &mut entries {
            entry.as_object_mut().unwrap().remove("shadow");
        }
        prop_assert_eq!(entries, expected);
    }
}

#[tokio::test]
async fn what_the_shadow_says_is_recorded_and_what_it_says_otherwise_is_counted() {
    let (hall, folder) = hall(in_force().shadowed_by(policy(settings(), "cap.b", &["PUBLIC"])));
    for _ in 0..3 {
        ruled(&hall, request("cap.a", DataLabel::Public), None).await;
        ruled(&hall, request("cap.b", DataLabel::Public), Some(i64::MAX)).await;
        ruled(&hall, request("cap.c", DataLabel::Public), None).await;
    }
    let snapshot = hall.snapshot().shadow.as_ref().unwrap().fingerprint;
    assert_ne!(snapshot, hall.snapshot().fingerprint);
    let said: Vec<Value> = entries(&folder).into_iter().map(|entry| entry["shadow"].clone()).collect();
    assert_eq!((&said[0]["outcome"], &said[0]["code"]), (&json!("DENY"), &json!("DENY_NO_MATCHING_RULE")));
    assert!(said[0]["reason"].as_str().is_some_and(|said| said.starts_with("no rule")), "{}", said[0]);
    assert_eq!(said[1], json!({ "outcome": "DISPATCH", "snapshot": snapshot }));
    // Why is said where it is otherwise.
    assert_eq!(said[2], json!({ "code": "DENY_NO_MATCHING_RULE", "outcome": "DENY", "snapshot": snapshot }));
    let metrics = hall.metrics_text();
    for line in [
        "hallgate_shadow_decisions_total 9",
        r#"hallgate_shadow_flips_total{verdict="DISPATCH",shadow="DENY",code="DENY_NO_MATCHING_RULE",capability="cap.a"} 3"#,
        r#"hallgate_shadow_flips_total{verdict="DENY",shadow="DISPATCH",code="DENY_NO_MATCHING_RULE",capability="other"} 3"#,
        "hallgate_shadow_errors_total 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let remembered = hall.shadow_verdicts.get().unwrap();
    assert!(remembered.bytes() > 0);
    assert_eq!(remembered.len(), 3);
}

#[tokio::test]
async fn a_shadow_that_fails_breaks_no_request_and_is_counted() {
    for (ruling, shadow_code, errors) in [
        (None, Value::Null, 2),
        (Some(Ruling::Failed), json!("DENY_INTERNAL_ERROR"), 2),
        (Some(Ruling::Erred), json!("DENY_POLICY_GATE"), 2),
        (Some(Ruling::Deny), json!("DENY_POLICY_GATE"), 0),
    ] {
        let (hall, folder) = hall(in_force().shadowed_by(in_force().gated_by(says(ruling))));
        for _ in 0..2 {
            let decision = ruled(&hall, request("cap.a", DataLabel::Public), None).await;
            assert!(!decision.verdict.denied());
        }
        let entries = entries(&folder);
        assert_eq!(
            (entries.len(), &entries[0]["outcome"], &entries[1]["shadow"]["code"]),
            (2, &json!("DISPATCH"), &shadow_code)
        );
        assert!(hall.metrics_text().contains(&format!("hallgate_shadow_errors_total {errors}")), "{ruling:?}");
        assert!(hall.metrics_text().contains("hallgate_policy_errors_total 0"), "that is for what is in force");
    }
}

/// Its own question of a worker's code would have a request wait for a file.
#[tokio::test]
async fn code_that_nobody_looked_at_for_the_policy_in_force_is_not_looked_at() {
    let attesting = || policy(Settings { require_worker_attestation: true, ..settings() }, "cap.a", &["PUBLIC"]);
    for (snapshot, code, errors) in [
        (in_force().shadowed_by(attesting()), Value::Null, 1),
        (attesting().shadowed_by(attesting()), json!("DENY_WORKER_ATTESTATION_MISSING"), 0),
    ] {
        let (hall, folder) = hall(snapshot);
        ruled(&hall, request("cap.a", DataLabel::Public), None).await;
        assert_eq!(entries(&folder)[0]["shadow"]["code"], code);
        assert!(hall.metrics_text().contains(&format!("hallgate_shadow_errors_total {errors}")));
    }
}

#[test]
fn a_shadow_is_over_the_workers_that_are_in_force() {
    let shadowed = in_force().shadowed_by(policy(settings(), "cap.b", &["PUBLIC"]));
    let (of_shadow, alone) = (shadowed.shadow.as_ref().unwrap().fingerprint, in_force());
    let statuses = |snapshot: &Snapshot| {
        snapshot.shadow.as_ref().unwrap().workers.values().map(|worker| worker.status).collect::<Vec<_>>()
    };
    let banned = || vec![Arc::new(worker(WorkerStatus::Banned))];
    let changed = shadowed.with_workers(banned()).unwrap();
    assert_eq!(statuses(&changed), [WorkerStatus::Banned]);
    assert_eq!(changed.fingerprint, alone.with_workers(banned()).unwrap().fingerprint);
    assert_ne!(changed.shadow.as_ref().unwrap().fingerprint, of_shadow);
    let silent = RegistryOverlay { required: crate::engine::snapshot::Required::All, ..RegistryOverlay::default() };
    let heeding = shadowed.heeding(Arc::new(silent));
    assert_eq!(statuses(&heeding), [WorkerStatus::Unverified]);
    let again = heeding.with_workers(vec![Arc::new(worker(WorkerStatus::Active))]).unwrap();
    assert_eq!(statuses(&again), [WorkerStatus::Unverified]);
    assert_eq!(again.shadow.as_ref().unwrap().local, of_shadow);
}

#[test]
fn another_shadow_is_a_change_and_what_is_in_force_stays() {
    let (hall, _folder) = hall(in_force());
    let other = || in_force().shadowed_by(policy(settings(), "cap.b", &["PUBLIC"]));
    let roster = hall.roster.load_full();
    assert!(hall.holds(&in_force(), &roster, &[]) && !hall.holds(&other(), &roster, &[]));
    let changed = hall.activate(other(), TokenBook::default()).unwrap();
    assert_eq!((changed.snapshot.is_some(), changed.shadow), (false, true));
    assert!(hall.holds(&other(), &roster, &[]) && !hall.holds(&in_force(), &roster, &[]));
    let changed = hall.activate(other(), TokenBook::default()).unwrap();
    assert!(!changed.shadow);
}
