//! What no kill takes away: the ledger has each change first, and the store is brought up to it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use hallgate::registry::store::Store;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::json;

use crate::fixture::{ADMIN, ENROLL, Fixture, hashed, reader};
use support::{ask_if_there, until};

fn kept(fixture: &Fixture) -> BTreeSet<String> {
    Store::read(&fixture.path("registry.db")).unwrap().workers.into_iter().map(|row| row.worker_id).collect()
}

#[test]
fn what_is_recorded_and_not_yet_stored_when_it_is_killed_is_there_after_the_next_start() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    assert_eq!(process.enroll(ENROLL, reader("wrk_a", json!({}))).0, 201);
    assert_eq!(process.enroll(ENROLL, reader("wrk_b", json!({}))).0, 201);
    // Nobody can write the store now; the ledger can be written, and is what counts.
    let mut other = Connection::open(fixture.path("registry.db")).unwrap();
    let held = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    assert_eq!(process.enroll(ENROLL, reader("wrk_c", json!({}))).0, 201);
    assert_eq!(process.post(ENROLL, "/wcp/workers/wrk_a/revoke", "").0, 200);
    let states = || [process.ask("wrk_a"), process.ask("wrk_b"), process.ask("wrk_c")];
    let expected = [Err("DENY_WORKER_REVOKED".to_owned()), Ok(()), Ok(())];
    assert_eq!(states(), expected, "in force");
    assert_eq!(kept(&fixture), BTreeSet::from(["wrk_a".to_owned(), "wrk_b".to_owned()]), "and not stored");
    process.kill();
    drop(held);
    drop(other);

    let process = fixture.serve();
    assert_eq!([process.ask("wrk_a"), process.ask("wrk_b"), process.ask("wrk_c")], expected);
    assert!(kept(&fixture).contains("wrk_c"));
    // While it runs it catches up by itself.
    let mut other = Connection::open(fixture.path("registry.db")).unwrap();
    let held = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    assert_eq!(process.enroll(ENROLL, reader("wrk_d", json!({}))).0, 201);
    assert!(!kept(&fixture).contains("wrk_d"));
    drop(held);
    until(|| kept(&fixture).contains("wrk_d"));
    process.kill();
    fixture.verify();
}

#[test]
fn a_store_that_is_lost_or_old_is_made_again_from_the_ledger() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    assert_eq!(process.enroll(ENROLL, reader("wrk_a", json!({}))).0, 201);
    process.end();
    let old = fs::read(fixture.path("registry.db")).unwrap();
    let process = fixture.serve();
    assert_eq!(process.enroll(ENROLL, reader("wrk_b", json!({}))).0, 201);
    assert_eq!(process.post(ENROLL, "/wcp/workers/wrk_a/revoke", "").0, 200);
    let code = json!({"hash": "0".repeat(64)}).to_string();
    assert_eq!(process.post(ADMIN, "/wcp/registry/ban", &code).0, 200);
    process.end();
    let expected = Store::read(&fixture.path("registry.db")).unwrap();
    for put in [None, Some(old)] {
        fs::remove_file(fixture.path("registry.db")).unwrap();
        for beside in ["registry.db-wal", "registry.db-shm"] {
            let _ = fs::remove_file(fixture.path(beside));
        }
        if let Some(old) = put {
            fs::write(fixture.path("registry.db"), old).unwrap();
        }
        let process = fixture.serve();
        assert_eq!([process.ask("wrk_a"), process.ask("wrk_b")], [Err("DENY_WORKER_REVOKED".to_owned()), Ok(())]);
        process.end();
        let mut now = Store::read(&fixture.path("registry.db")).unwrap();
        assert!(now.taken >= expected.taken, "{now:?}");
        now.taken = expected.taken;
        assert_eq!(now, expected, "to the microsecond");
    }
    fixture.verify();
}

#[test]
fn what_the_store_keeps_and_the_ledger_has_lost_is_recorded_again() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    assert_eq!(process.enroll(ENROLL, reader("wrk_a", json!({}))).0, 201);
    assert_eq!(process.enroll(ENROLL, reader("wrk_b", json!({}))).0, 201);
    assert_eq!(process.post(ENROLL, "/wcp/workers/wrk_a/revoke", r#"{"reason":"on leave"}"#).0, 200);
    assert_eq!(process.post(ADMIN, "/wcp/registry/ban", &json!({"hash": "0".repeat(64)}).to_string()).0, 200);
    process.end();
    fs::remove_dir_all(fixture.path("ledger")).unwrap();
    for start in 0..2 {
        let process = fixture.serve();
        assert_eq!([process.ask("wrk_a"), process.ask("wrk_b")], [Err("DENY_WORKER_REVOKED".to_owned()), Ok(())]);
        let entries = fixture.registry_entries();
        let mut told: Vec<_> = entries.iter().map(|e| (e["action"].as_str(), e["worker_id"].as_str())).collect();
        told.sort_unstable();
        let (a, b) = (Some("wrk_a"), Some("wrk_b"));
        let expected = [(Some("banned"), None), (Some("enrolled"), a), (Some("enrolled"), b), (Some("revoked"), a)];
        assert_eq!(told, expected, "start {start}: once");
        assert!(entries.iter().any(|entry| entry["reason"] == "on leave" && entry["token"] == "enroll"));
        process.end();
        fixture.verify();
    }
}

#[test]
fn killed_at_any_moment_it_has_all_that_was_answered_and_all_that_is_recorded() {
    let fixture = Fixture::new();
    let answered = Mutex::new(BTreeSet::new());
    for round in 0..4_usize {
        let process = fixture.serve();
        let (hall, count) = (process.hall(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for caller in 0..4 {
                let (answered, count) = (&answered, &count);
                scope.spawn(move || {
                    for n in 0.. {
                        let id = format!("wrk_{round}_{caller}_{n}");
                        let record = hashed(reader(&id, json!({})));
                        let token = [("authorization", &*format!("Bearer {ENROLL}"))];
                        let Some(answer) = ask_if_there(hall, "POST /enroll", &token, &record) else { return };
                        assert_eq!(answer.status, 201, "{answer:?}");
                        answered.lock().unwrap().insert(id);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            until(|| count.load(Ordering::Relaxed) > 20 + 7 * round);
            process.kill();
        });
        let process = fixture.serve();
        let kept = kept(&fixture);
        let recorded: BTreeSet<String> =
            fixture.registry_entries().iter().map(|entry| entry["worker_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kept, recorded, "the store has what the ledger has");
        let answered = answered.lock().unwrap();
        assert!(answered.is_subset(&kept), "{:?}", answered.difference(&kept));
        let last = answered.iter().next_back().unwrap();
        assert_eq!(process.ask(last), Ok(()));
        process.end();
        fixture.verify();
    }
}
