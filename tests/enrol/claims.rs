//! What is refused, and in which words: records that are none, hashes that do not fit, and what is another's.

use serde_json::{Value, json};

use crate::fixture::{ACME, ADMIN, ENROLL, Fixture, GLOBEX, Process, READER, ROUTE, hashed, reader};

#[test]
fn every_mistake_in_a_record_is_named_and_nothing_is_enrolled() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    let sound: Value = serde_json::from_str(&hashed(reader("wrk_a", json!({})))).unwrap();
    let without = |key: &str| {
        let mut record = sound.clone();
        record.as_object_mut().unwrap().remove(key);
        record.to_string()
    };
    let with = |key: &str, value: Value| {
        let mut record = sound.clone();
        record[key] = value;
        record.to_string()
    };
    let hashed_with = |key: &str, value: Value| hashed(reader("wrk_a", json!({ key: value })));
    let many: String = "x".repeat(31_000);
    let cases: &[(String, &str, &str)] = &[
        (String::new(), "invalid json", "the body is not JSON"),
        ("{\"worker_id\":\"a\",\"worker_id\":\"b\"}".to_owned(), "invalid json", "worker_id"),
        ("[]".to_owned(), "invalid record", "the body is an array, not an object"),
        (without("worker_id"), "missing field: worker_id", "`worker_id` is missing or empty"),
        (with("worker_id", json!(" ")), "missing field: worker_id", "`worker_id` is missing or empty"),
        (with("worker_id", json!(7)), "invalid field: worker_id", "`worker_id` is a number; write a text"),
        (without("worker_species_id"), "missing field: worker_species_id", "`worker_species_id` is missing"),
        (without("capabilities"), "missing field: capabilities", "write a list of one capability or more"),
        (with("capabilities", json!([])), "missing field: capabilities", "write a list of one capability or more"),
        (with("capabilities", json!("cap.a")), "invalid field: capabilities", "`capabilities` is a string"),
        (without("artifact_hash"), "missing field: artifact_hash", "write what `hallgate worker hash` prints"),
        (with("artifact_hash", json!("sha256:00")), "invalid field: artifact_hash", "`sha256:00` is not a hash"),
        (hashed_with("worker_id", json!("a b")), "invalid field: worker_id", "`a b` is not a worker id"),
        (hashed_with("worker_species_id", json!("reader")), "invalid field: worker_species_id", "`reader` is not"),
        (hashed_with("capabilities", json!(["cap.a", "Cap"])), "invalid field: capabilities[1]", "`Cap` is not"),
        (hashed_with("currently_implements", json!(["x"])), "invalid field: currently_implements[0]", "`x` is not"),
        (
            hashed_with("allowed_environments", json!(["moon"])),
            "invalid field: allowed_environments[0]",
            "`moon` is not",
        ),
        (hashed_with("blast_radius", json!({"data": 6})), "invalid field: blast_radius.data", "integer from 0 to 5"),
        (
            hashed_with("attestation", json!({"code_hash": "00"})),
            "invalid field: attestation.code_hash",
            "64 lower-case",
        ),
        (hashed_with("privilege_envelope", json!({"x": 1})), "invalid field: privilege_envelope.x", "is not a key"),
        (hashed_with("note", json!(many)), "record too large", "30000 are the most"),
    ];
    for (body, error, reason) in cases {
        let (status, answer) = process.post(ENROLL, "/enroll", body);
        assert_eq!((status, &answer["error"]), (400, &Value::from(*error)), "{answer}");
        assert!(answer["reason"].as_str().unwrap().contains(reason), "{reason:?} is not in {answer}");
        assert_eq!((&answer["denied"], &answer["code"]), (&true.into(), &"DENY_INVALID_INPUT".into()), "{answer}");
        assert!(answer["decision_id"].is_string(), "what is refused is on record: {answer}");
    }
    // All that is wrong is told at once.
    let two = hashed(reader("wrk_a", json!({"capabilities": ["Cap"], "worker_species_id": "reader"})));
    let reason = process.post(ENROLL, "/enroll", &two).1["reason"].to_string();
    assert!(reason.contains("capabilities[0]") && reason.contains("worker_species_id"), "{reason}");
    assert_eq!(process.ask("wrk_a"), Err("DENY_WORKER_NOT_ENROLLED".to_owned()));
    assert!(fixture.registry_entries().is_empty());
    for (path, body, error) in [
        ("/wcp/registry/ban", "{}", "missing field: hash"),
        ("/wcp/registry/ban", "{\"hash\":\"00\"}", "invalid field: hash"),
        ("/wcp/registry/unban", "{\"hash\":7}", "invalid field: hash"),
        ("/wcp/registry/ban", "", "invalid json"),
        ("/wcp/workers/wrk_own/revoke", "[]", "invalid body"),
        ("/wcp/workers/wrk_own/revoke", "{\"reason\":7}", "invalid field: reason"),
    ] {
        let (status, answer) = process.post(ADMIN, path, body);
        assert_eq!((status, &answer["error"]), (400, &error.into()), "{path} {body}: {answer}");
    }
    for id in ["%ff", "a%20b", "%2e%2e"] {
        let (status, answer) = process.post(ADMIN, &format!("/wcp/workers/{id}/revoke"), "");
        assert_eq!((status, &answer["denied"]), (404, &true.into()), "{id}: {answer}");
    }
    process.end();
    fixture.verify();
}

#[test]
fn a_record_names_no_file_but_of_a_listed_folder() {
    let fixture = Fixture::new();
    let attested = |file: &str| {
        let attestation = json!({ "code_hash": "0".repeat(64), "source_file": file });
        hashed(reader("wrk_a", json!({ "attestation": attestation })))
    };
    let refused = |process: &Process, file: &str, reason: &str| {
        let (status, answer) = process.post(ENROLL, "/enroll", &attested(file));
        let error = &answer["error"];
        assert_eq!((status, error), (400, &json!("invalid field: attestation.source_file")), "{file}: {answer}");
        assert!(answer["reason"].as_str().unwrap().contains(reason), "{file}: {answer}");
        answer["reason"].clone()
    };
    let process = fixture.serve();
    for file in ["/etc/shadow", "hallgate.yaml", "../x", "/proc/self/environ", "/no/such/file"] {
        refused(&process, file, "lists no folder");
    }
    process.end();

    fixture.write("workers/a.py", "");
    std::os::unix::fs::symlink("/etc/passwd", fixture.path("workers/out.py")).unwrap();
    std::os::unix::fs::symlink("/nowhere", fixture.path("workers/nowhere.py")).unwrap();
    fixture.edit("  store:", "  allowed_worker_dirs: [workers]\n  store:");
    let process = fixture.serve();
    let outside = ["/etc/shadow", "workers/../hallgate.yaml", "workers/out.py", "/no/such/file"];
    let reasons = outside.map(|file| refused(&process, file, "is outside of policy.allowed_worker_dirs"));
    assert!(reasons.iter().all(|reason| *reason == reasons[0]), "whether a file is there is told: {reasons:?}");
    assert_eq!(process.post(ENROLL, "/enroll", &attested("workers/a.py")).0, 201);
}

#[test]
fn a_record_that_is_not_the_one_that_was_hashed_is_tampered_with() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    let tampered = hashed(reader("wrk_a", json!({}))).replace("\"low\"", "\"critical\"");
    let (status, answer) = process.post(ENROLL, "/enroll", &tampered);
    assert_eq!((status, &answer["code"]), (400, &"DENY_WORKER_TAMPERED".into()), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("artifact_hash"), "{answer}");
    let id = answer["decision_id"].as_str().unwrap();
    let entries = fixture.entries();
    let entry = entries.iter().find(|entry| entry.to_string().contains(id)).unwrap();
    assert!(entry.to_string().contains("DENY_WORKER_TAMPERED") && entry["token"] == "enroll", "{entry}");
    assert_eq!(process.ask("wrk_a"), Err("DENY_WORKER_NOT_ENROLLED".to_owned()));
}

#[test]
fn without_the_scope_nothing_is_changed() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    assert_eq!(process.enroll(ENROLL, reader("wrk_a", json!({}))).0, 201);
    let record = hashed(reader("wrk_b", json!({})));
    let hash = json!({"hash": "0".repeat(64)}).to_string();
    for (token, path, body, scope) in [
        (ROUTE, "/enroll", &*record, "enroll"),
        (READER, "/enroll", &*record, "enroll"),
        (ROUTE, "/wcp/workers/wrk_a/revoke", "", "enroll"),
        (ENROLL, "/wcp/workers/wrk_a/restore", "", "admin"),
        (ENROLL, "/wcp/registry/ban", &*hash, "admin"),
        (ENROLL, "/wcp/registry/unban", &*hash, "admin"),
    ] {
        let (status, answer) = process.post(token, path, body);
        assert_eq!((status, &answer["error"]), (403, &"forbidden".into()), "{path}: {answer}");
        assert!(answer["reason"].as_str().unwrap().contains(&format!("`{scope}`")), "{path}: {answer}");
    }
    for path in ["/enroll", "/wcp/workers/wrk_a/revoke", "/wcp/workers/wrk_a/restore", "/wcp/registry/ban"] {
        let (status, answer) = process.post("hst_of_nobody_at_all", path, &record);
        assert_eq!((status, &answer["error"]), (401, &"unauthorized".into()), "{path}");
    }
    assert_eq!((process.ask("wrk_a"), fixture.registry_entries().len()), (Ok(()), 1));
}

#[test]
fn a_tenants_token_changes_its_own_workers_and_learns_nothing_of_others() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    assert_eq!(process.enroll(ACME, reader("org.acme.a", json!({}))).0, 201);
    assert_eq!(process.enroll(ACME, reader("wrk_acme", json!({"owner": "org.acme"}))).0, 201);
    assert_eq!(process.enroll(ENROLL, reader("wrk_nobodys", json!({}))).0, 201);
    for (token, record) in [
        (ACME, reader("org.globex.a", json!({}))),
        (ACME, reader("org.globex.a", json!({"owner": "org.acme"}))),
        (ACME, reader("org.acme.b", json!({"owner": "org.globex"}))),
        (ACME, reader("org.acme-evil.b", json!({}))),
        (ACME, reader("wrk_b", json!({}))),
        (ACME, reader("wrk_nobodys", json!({"owner": "org.acme"}))),
        (ACME, reader("wrk_own", json!({"owner": "org.acme"}))),
        (GLOBEX, reader("wrk_acme", json!({"owner": "org.globex"}))),
        (GLOBEX, reader("org.acme.a", json!({"owner": "org.globex"}))),
    ] {
        let (status, answer) = process.enroll(token, record.clone());
        assert_eq!((status, &answer["error"]), (403, &"forbidden".into()), "{record}: {answer}");
        assert!(answer["reason"].as_str().unwrap().starts_with("`worker_id`: "), "{answer}");
    }
    // Another's worker and none at all are answered alike.
    let nobody = process.post(GLOBEX, "/wcp/workers/wrk_none/revoke", "");
    for id in ["org.acme.a", "wrk_acme", "wrk_nobodys", "wrk_own"] {
        let (status, mut answer) = process.post(GLOBEX, &format!("/wcp/workers/{id}/revoke"), "");
        answer["decision_id"] = nobody.1["decision_id"].clone();
        assert_eq!((status, &answer), (404, &nobody.1), "{id}");
    }
    // A ban is about everybody.
    let (status, answer) = process.post(GLOBEX, "/wcp/registry/ban", &json!({"hash": "0".repeat(64)}).to_string());
    assert_eq!((status, &answer["error"]), (403, &"forbidden".into()), "{answer}");
    assert_eq!([process.ask("org.acme.a"), process.ask("wrk_acme")], [Ok(()), Ok(())]);
    assert_eq!(process.post(ACME, "/wcp/workers/org.acme.a/revoke", "").0, 200);
    assert_eq!(process.ask("org.acme.a"), Err("DENY_WORKER_REVOKED".to_owned()));
    let entries = fixture.registry_entries();
    assert_eq!(entries.len(), 4);
    assert!(entries.iter().all(|entry| (entry["stream"] == "org.acme") == (entry["token"] == "acme")), "{entries:?}");
}

#[test]
fn species_and_owner_change_by_an_admin_only() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    let owned = |more: Value| {
        let mut record = reader("wrk_a", json!({"owner": "org.acme"}));
        for (key, value) in more.as_object().unwrap() {
            record[key] = value.clone();
        }
        record
    };
    assert_eq!(process.enroll(ENROLL, owned(json!({}))).0, 201);
    for (more, field) in [
        (json!({"worker_species_id": "wrk.own"}), "`worker_species_id`"),
        (json!({"owner": "org.globex"}), "`owner`"),
        (json!({"owner": null}), "`owner`"),
        (json!({"tenant_id": "org.acme"}), "`tenant_id`"),
    ] {
        let (status, answer) = process.enroll(ENROLL, owned(more.clone()));
        assert_eq!((status, &answer["error"]), (403, &"forbidden".into()), "{more}: {answer}");
        let reason = answer["reason"].as_str().unwrap();
        assert!(reason.contains(field) && reason.contains("scope `admin`"), "{reason}");
        assert_eq!(process.ask("wrk_a"), Ok(()));
    }
    assert_eq!(process.enroll(ENROLL, owned(json!({"risk_tier": "high"}))).0, 200, "anything else changes");
    let (status, answer) = process.enroll(ADMIN, owned(json!({"worker_species_id": "wrk.own", "owner": "org.globex"})));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(process.ask("wrk_a"), Err("DENY_WORKER_NOT_CANDIDATE".to_owned()));
}

#[test]
fn without_a_store_nothing_is_enrolled_over_the_api() {
    let fixture = Fixture::with("");
    // A rule may not wait for a worker that can never come.
    let rules = fixture.read("rules.json").replace("wrk.data.reader", "wrk.own");
    fixture.write("rules.json", &rules);
    let process = fixture.serve();
    for (path, body) in [
        ("/enroll", hashed(reader("wrk_a", json!({})))),
        ("/wcp/workers/wrk_own/revoke", String::new()),
        ("/wcp/workers/wrk_own/restore", String::new()),
        ("/wcp/registry/ban", json!({"hash": "0".repeat(64)}).to_string()),
    ] {
        let (status, answer) = process.post(ADMIN, path, &body);
        assert_eq!((status, &answer["error"]), (501, &"enrolment is off".into()), "{answer}");
        assert!(answer["reason"].as_str().unwrap().contains("`policy.store`"), "{answer}");
    }
}
