//! Enrolment by a real `serve`: who may enroll what, what counts from the next request on, and what no kill takes away.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "enrol/claims.rs"]
mod claims;
#[path = "enrol/commands.rs"]
mod commands;
#[path = "enrol/crowd.rs"]
mod crowd;
#[path = "enrol/fixture.rs"]
mod fixture;
#[path = "enrol/kills.rs"]
mod kills;
#[path = "enrol/store.rs"]
mod store;

use std::collections::BTreeSet;

use fixture::{ADMIN, ENROLL, Fixture, READER, hashed, reader};
use serde_json::{Value, json};

fn keys(answer: &Value) -> BTreeSet<&str> {
    answer.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_worker_is_enrolled_updated_and_kept_and_is_on_record() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    assert_eq!(process.ask("wrk_a"), Err("DENY_WORKER_NOT_ENROLLED".to_owned()));

    let (status, answer) = process.enroll(ENROLL, reader("wrk_a", json!({"note": "é", "ratio": 0.5})));
    assert_eq!(status, 201, "{answer}");
    let expected = ["artifact_hash_verified", "enrolled", "enrolled_at", "enrollment_id", "worker_id"];
    assert_eq!(keys(&answer), expected.into());
    assert_eq!((&answer["enrolled"], &answer["artifact_hash_verified"]), (&true.into(), &true.into()));
    assert!(answer["enrolled_at"].as_str().unwrap().ends_with("+00:00"), "{answer}");
    assert_eq!(process.ask("wrk_a"), Ok(()), "in force for the very next request");

    // The receipt that the enrollment names can be proved.
    let id = answer["enrollment_id"].as_str().unwrap().strip_prefix("enr_").unwrap();
    let (status, proof) = process.get(READER, &format!("/wcp/receipts/{id}"));
    assert_eq!(status, 200, "{proof}");
    assert!(proof.contains("\\\"kind\\\":\\\"registry\\\"") || proof.contains("\"kind\":\"registry\""), "{proof}");

    // The same again changes nothing, and something else does.
    let updated = ["artifact_hash_verified", "enrolled", "updated", "worker_id"];
    let (status, answer) = process.enroll(ENROLL, reader("wrk_a", json!({"note": "é", "ratio": 0.5})));
    assert_eq!((status, keys(&answer)), (200, updated.into()), "{answer}");
    let (status, answer) = process.enroll(ENROLL, reader("wrk_a", json!({"allowed_environments": ["prod"]})));
    assert_eq!((status, keys(&answer)), (200, updated.into()), "{answer}");
    assert_eq!(process.ask("wrk_a"), Err("DENY_ENV_NOT_ALLOWED".to_owned()));

    let entries = fixture.registry_entries();
    let actions: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["enrolled", "updated"]);
    let record = hashed(reader("wrk_a", json!({"note": "é", "ratio": 0.5})));
    let [record, recorded]: [Value; 2] =
        [&*record, entries[0]["record"].as_str().unwrap()].map(|text| serde_json::from_str(text).unwrap());
    assert_eq!(record, recorded, "the record is on record whole");
    assert_eq!((&entries[0]["token"], &entries[0]["worker_id"]), (&"enroll".into(), &"wrk_a".into()));
    assert_eq!(format!("sha256:{}", entries[0]["hash"].as_str().unwrap()), record["artifact_hash"].as_str().unwrap());
    process.end();
    fixture.verify();

    let process = fixture.serve();
    assert_eq!(process.ask("wrk_a"), Err("DENY_ENV_NOT_ALLOWED".to_owned()), "it is kept, with its last record");
    assert_eq!(fixture.registry_entries().len(), 2, "a start changes nothing");
    let (_, ready) = process.get(READER, "/readyz");
    let (code, checked, err) = fixture.run(&["check", "--config", "hallgate.yaml"]);
    assert_eq!(code, Some(0), "{err}");
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let fingerprint = ready["snapshot"].as_str().unwrap();
    assert!(
        checked.contains("2 workers") && checked.contains(fingerprint),
        "who reads the files sees the same: {checked}"
    );
    process.end();
    fixture.verify();
}

#[test]
fn a_revocation_counts_for_the_very_next_request_at_both_doors() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    assert_eq!(process.pass(), Err("DENY_WORKER_NOT_ENROLLED".to_owned()));
    assert_eq!(process.enroll(ENROLL, reader("wrk_gate", json!({}))).0, 201);
    assert_eq!((process.pass(), process.ask("wrk_gate")), (Ok(()), Ok(())));
    let revoked = || Err("DENY_WORKER_REVOKED".to_owned());
    for _ in 0..10 {
        let (status, answer) = process.post(ENROLL, "/wcp/workers/wrk_gate/revoke", r#"{"reason":"on leave"}"#);
        assert_eq!((status, &answer["status"], &answer["ok"]), (200, &"revoked".into(), &true.into()), "{answer}");
        assert!(answer["receipt_id"].is_string());
        assert_eq!((process.pass(), process.ask("wrk_gate")), (revoked(), revoked()));
        let (status, answer) = process.post(ADMIN, "/wcp/workers/wrk_gate/restore", "");
        assert_eq!((status, &answer["status"]), (200, &"active".into()), "{answer}");
        assert_eq!((process.pass(), process.ask("wrk_gate")), (Ok(()), Ok(())));
    }
    // What is so already is so, and no change.
    let (status, answer) = process.post(ADMIN, "/wcp/workers/wrk_gate/restore", "");
    assert_eq!((status, &answer["receipt_id"]), (200, &Value::Null), "{answer}");

    // A new record takes no revocation back, and neither does a start.
    process.post(ENROLL, "/wcp/workers/wrk_gate/revoke", "");
    assert_eq!(process.enroll(ENROLL, reader("wrk_gate", json!({"risk_tier": "high"}))).0, 200);
    assert_eq!((process.pass(), process.ask("wrk_gate")), (revoked(), revoked()));
    process.end();
    let process = fixture.serve();
    assert_eq!((process.pass(), process.ask("wrk_gate")), (revoked(), revoked()));
    assert_eq!(fixture.registry_entries().iter().filter(|entry| entry["reason"] == "on leave").count(), 10);

    // A worker of the folder, too; and one that is not there.
    let (status, answer) = process.post(ENROLL, "/wcp/workers/wrk_own/revoke", "");
    assert_eq!((status, &answer["status"]), (200, &"revoked".into()), "{answer}");
    let (status, answer) = process.post(ENROLL, "/wcp/workers/wrk_nobody/revoke", "");
    assert_eq!(
        (status, &answer["error"], &answer["code"]),
        (404, &"not found".into(), &"DENY_WORKER_NOT_ENROLLED".into())
    );
    process.end();
    fixture.verify();
}

#[test]
fn a_ban_of_a_record_or_of_code_counts_for_whoever_has_it() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    let code = "00000000000000000000000000000000000000000000000000000000000000aa";
    let attested = |id: &str| reader(id, json!({"attestation": {"code_hash": code}}));
    assert_eq!(process.enroll(ENROLL, attested("wrk_a")).0, 201);
    assert_eq!(process.enroll(ENROLL, attested("wrk_b")).0, 201);
    assert_eq!(process.enroll(ENROLL, reader("wrk_c", json!({}))).0, 201);
    let banned = || Err("DENY_WORKER_BANNED".to_owned());

    let (status, answer) =
        process.post(ADMIN, "/wcp/registry/ban", &json!({"hash": code, "reason": "leaks"}).to_string());
    assert_eq!(
        (status, &answer["banned"], &answer["workers"]),
        (200, &true.into(), &json!(["wrk_a", "wrk_b"])),
        "{answer}"
    );
    assert_eq!([process.ask("wrk_a"), process.ask("wrk_b"), process.ask("wrk_c")], [banned(), banned(), Ok(())]);
    let (status, answer) = process.enroll(ENROLL, attested("wrk_d"));
    assert_eq!((status, &answer["code"]), (403, &"DENY_WORKER_BANNED".into()), "{answer}");

    let record: Value = serde_json::from_str(&hashed(reader("wrk_c", json!({})))).unwrap();
    let ban = json!({"hash": record["artifact_hash"]}).to_string();
    assert_eq!(process.post(ADMIN, "/wcp/registry/ban", &ban).1["workers"], json!(["wrk_c"]));
    assert_eq!(process.ask("wrk_c"), banned());
    // A revocation is not what stands against it.
    let (status, answer) = process.post(ADMIN, "/wcp/workers/wrk_c/restore", "");
    assert_eq!((status, &answer["error"]), (409, &"conflict".into()), "{answer}");
    process.end();
    let process = fixture.serve();
    assert_eq!([process.ask("wrk_a"), process.ask("wrk_b"), process.ask("wrk_c")], [banned(), banned(), banned()]);
    assert_eq!(process.post(ADMIN, "/wcp/registry/unban", &ban).1["banned"], false);
    assert_eq!([process.ask("wrk_a"), process.ask("wrk_c")], [banned(), Ok(())]);
    process.end();
    fixture.verify();
}
