//! What becomes of approvals when whoever asked has left at some moment: what is on record is in force.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::approvals::{UnboundHeaders, WaitingLimits};
use crate::engine::input::tests::plain;
use crate::engine::snapshot::{Approvable, Worker};
use crate::engine::{Mode, RouteInput, RuleSet, Snapshot};
use crate::hall::tests::{ledger_in, over, settings};
use crate::hall::{Ask, Door};
use crate::ids::{DataLabel, Digest, SupervisorLevel};
use crate::ledger::Ledger;

fn snapshot(reason: &str) -> Snapshot {
    let rules = json!({"rules": [{
        "rule_id": "write", "match": {"capability_id": "cap.data.write.v1"},
        "decision": {
            "candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}],
            "escalation": {"human_required_default": true, "rationale": reason},
        },
    }]});
    let rules = RuleSet::parse(&rules.to_string(), Mode::Strict).unwrap();
    let worker = Worker::new(
        "wrk_writer".parse().unwrap(),
        "wrk.data.writer".parse().unwrap(),
        ["cap.data.write.v1".parse().unwrap()].into(),
    );
    let approvals = Some(Approvable::default());
    Snapshot::build(crate::engine::Settings { approvals, ..settings() }, rules, vec![worker]).unwrap()
}

async fn asking() -> (Arc<Hall>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let hall = over(Ledger::open(&ledger_in(folder.path(), 64)).unwrap());
    hall.snapshot.store(Arc::new(snapshot("somebody looks")));
    hall.ask_humans(Settings {
        store: folder.path().join("approvals.db"),
        ttl: Duration::from_secs(600),
        quorum: std::collections::BTreeMap::new(),
        blast: None,
        most: 8,
        most_for_one: 8,
        most_a_minute: 100,
        no_contents_from: None,
        unbound_headers: UnboundHeaders::default(),
        waiting: WaitingLimits { most: 1, most_for_one: 1, bytes: 1 },
        callbacks: None,
    })
    .unwrap();
    (hall, folder)
}

async fn held(hall: &Hall) -> HeldRequest {
    let input = RouteInput { data_label: DataLabel::Internal, ..plain() };
    let ask = Ask { caller: Caller::default(), input, door: Door::Gate, raw_body: None, observed_until: None };
    match hall.rule(ask).await.unwrap() {
        Ruled::Held(held) => *held,
        Ruled::Recorded(recorded) => panic!("{:?}", recorded.decision().verdict),
    }
}

fn contents() -> Contents {
    Contents::of_body(b"x")
}

fn what() -> HeldContents<'static> {
    HeldContents { subject: Digest::of(b"what would run"), contents: &contents, returning: None, callback: None }
}

/// Waits until it is so, for a minute at most.
async fn until(so: impl Fn() -> bool) {
    for _ in 0..6000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never was");
}

/// Asks, and has somebody agree: the approval's id.
async fn agreed(hall: &Arc<Hall>) -> Uuid {
    let recorded = hall.hold(held(hall).await, what()).await.unwrap();
    let id: Uuid = recorded.decision().approval.as_ref().unwrap().id.parse().unwrap();
    let by = Approver {
        token: "bea".parse().unwrap(),
        owner: "bea".into(),
        levels: [SupervisorLevel::Gatekeeper].into(),
        max_label: DataLabel::Restricted,
        binding: crate::engine::Binding::default(),
    };
    hall.resolve(by, id, Resolution::Approve(None), None).await.unwrap();
    id
}

#[tokio::test]
async fn what_is_void_on_record_is_void_though_whoever_asked_has_left() {
    let (hall, _folder) = asking().await;
    let id = agreed(&hall).await;
    hall.snapshot.store(Arc::new(snapshot("somebody looks twice")));
    let held = held(&hall).await;
    let mut leaves = Box::pin(hall.hold(held, what()));
    assert!(matches!(poll!(leaves.as_mut()), Poll::Pending), "its entry takes a moment");
    drop(leaves);
    until(|| hall.approval(id).unwrap().state == ApprovalState::Void).await;
    // Nor is it agreed to again when the rule is as it was.
    hall.snapshot.store(Arc::new(snapshot("somebody looks")));
    let recorded = hall.hold(self::held(&hall).await, what()).await.unwrap();
    assert!(recorded.permit().is_err());
}

#[tokio::test]
async fn what_was_agreed_to_is_spent_though_whoever_asked_has_left() {
    let (hall, _folder) = asking().await;
    let id = agreed(&hall).await;
    let held = held(&hall).await;
    let mut leaves = Box::pin(hall.hold(held, what()));
    assert!(matches!(poll!(leaves.as_mut()), Poll::Pending), "its entry takes a moment");
    drop(leaves);
    assert_eq!(hall.approval(id).unwrap().state, ApprovalState::Spent);
    let recorded = hall.hold(self::held(&hall).await, what()).await.unwrap();
    assert!(recorded.permit().is_err());
}

#[tokio::test]
async fn only_so_many_bodies_are_read_at_once() {
    let (hall, _folder) = asking().await;
    let caller = Caller::default();
    let reading: Vec<_> = (0..READING.most_for_one).map(|_| hall.read_for_human(&caller).unwrap()).collect();
    assert!(hall.read_for_human(&caller).is_err());
    drop(reading);
    assert!(hall.read_for_human(&caller).is_ok());
}
