//! The store beside the folder, under reloads, and when something is wrong with it.

use std::fs;

use rusqlite::{Connection, TransactionBehavior};
use serde_json::{Value, json};

use crate::fixture::{ACME, ADMIN, ENROLL, Fixture, GLOBEX, READER, hashed, reader};
use support::until;

#[test]
fn a_reload_keeps_who_was_enrolled_and_no_worker_is_in_both_places() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    assert_eq!(process.enroll(ENROLL, reader("wrk_a", json!({}))).0, 201);
    let ready = || serde_json::from_str::<Value>(&process.get(READER, "/readyz").1).unwrap();
    let before = ready()["snapshot"].clone();

    // Another worker in the folder: both count.
    fixture.write("enrolled/b.json", &reader("wrk_b", json!({})).to_string());
    until(|| ready()["snapshot"] != before);
    assert_eq!([process.ask("wrk_a"), process.ask("wrk_b")], [Ok(()), Ok(())]);
    let (status, answer) = process.enroll(ADMIN, reader("wrk_b", json!({})));
    assert_eq!((status, &answer["error"]), (409, &"conflict".into()), "{answer}");
    assert!(answer["reason"].as_str().unwrap().contains("`policy.workers`"), "{answer}");

    // One that the store has: the change is refused whole.
    let in_force = ready()["snapshot"].clone();
    fixture.write("enrolled/a.json", &reader("wrk_a", json!({"status": "revoked"})).to_string());
    until(|| ready().get("refused_change").is_some());
    let first = ready()["refused_change"]["first"].to_string();
    assert!(first.contains("wrk_a") && first.contains("over the API, too"), "{first}");
    assert_eq!((process.ask("wrk_a"), &ready()["snapshot"]), (Ok(()), &in_force));
    process.end();
    let (code, _, err) = fixture.run(&["serve", "--config", "hallgate.yaml"]);
    assert!(code == Some(2) && err.contains("wrk_a") && err.contains("remove its record there"), "{err}");
    fs::remove_file(fixture.path("enrolled/a.json")).unwrap();
    let process = fixture.serve();
    assert_eq!([process.ask("wrk_a"), process.ask("wrk_b")], [Ok(()), Ok(())]);
    process.end();
    fixture.verify();
}

#[test]
fn whose_a_worker_of_the_folder_is_changes_with_its_file() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    let own = |owner: &str| json!({"worker_id": "wrk_own", "worker_species_id": "wrk.own", "capabilities": ["cap.own"], "owner": owner});
    fixture.write("enrolled/own.json", &own("org.acme").to_string());
    until(|| process.post(ACME, "/wcp/workers/wrk_own/revoke", "").0 == 200);
    // No decision reads the owner: the same snapshot stays in force.
    fixture.write("enrolled/own.json", &own("org.globex").to_string());
    until(|| process.post(ACME, "/wcp/workers/wrk_own/revoke", "").0 == 404);
    assert_eq!(process.post(GLOBEX, "/wcp/workers/wrk_own/restore", "").0, 200);
}

#[test]
fn a_store_that_cannot_be_used_is_refused_at_the_start() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    assert_eq!(process.enroll(ENROLL, reader("wrk_a", json!({}))).0, 201);
    // Another Hall on the same store.
    let other = Fixture::with(&format!("  store: {}\n", fixture.path("registry.db").display()));
    let (code, _, err) = other.run(&["serve", "--config", "hallgate.yaml"]);
    assert!(code == Some(2) && err.contains("registry.db` is in use by another process"), "{err}");
    process.end();

    let mut connection = Connection::open(fixture.path("registry.db")).unwrap();
    let held = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let (code, _, err) = fixture.run(&["serve", "--config", "hallgate.yaml"]);
    assert!(code == Some(2) && err.contains("registry.db` is locked by another process"), "{err}");
    drop(held);
    drop(connection);

    let sound = fs::read(fixture.path("registry.db")).unwrap();
    fs::write(fixture.path("registry.db"), "this is no database".repeat(500)).unwrap();
    for command in [["serve", "--config", "hallgate.yaml"], ["check", "--config", "hallgate.yaml"]] {
        let (code, _, err) = fixture.run(&command);
        assert!(code == Some(2) && err.contains("registry.db` is damaged"), "{err}");
        assert!(err.contains("made again from the ledger"), "{err}");
    }
    fs::write(fixture.path("registry.db"), sound).unwrap();
    assert_eq!(fixture.serve().ask("wrk_a"), Ok(()));
}

#[test]
fn a_record_that_the_policy_no_longer_admits_is_told_and_not_dropped() {
    let fixture = Fixture::new();
    fixture.write("a.py", "def run(): pass\n");
    let configuration = fixture.configuration();
    let wide = configuration.replace("  store:", "  allowed_worker_dirs: [.]\n  store:");
    fixture.configure(&wide);
    let process = fixture.serve();
    let attested = json!({"attestation": {"code_hash": "0".repeat(64), "source_file": "a.py"}});
    assert_eq!(process.post(ENROLL, "/enroll", &hashed(reader("wrk_a", attested))).0, 201);
    process.end();
    let narrow = configuration.replace("  store:", "  allowed_worker_dirs: [enrolled]\n  store:");
    fixture.configure(&narrow);
    let (code, _, err) = fixture.run(&["serve", "--config", "hallgate.yaml"]);
    assert!(code == Some(2) && err.contains("worker `wrk_a` was enrolled over the API"), "{err}");
    assert!(err.contains("attestation.source_file") && err.contains("policy.allowed_worker_dirs"), "{err}");
}
