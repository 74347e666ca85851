//! Every body in `tests/bodies`, with the status and the fields that its client must find in the answer.
//!
//! `name.json` is sent as it is, to the byte; `name.expect.json` beside it holds `status`, `fields` (each with its value),
//! `absent` (keys that must not be there) and, where it is not the one bound to `org.acme`, the `token`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::harness::{ACME, Running};

/// The keys of every decision that is answered, `reason` apart.
const SUPERSET: &[&str] = &[
    "allowed",
    "artifact_hash",
    "blast_gate_passed",
    "blast_score",
    "candidate_workers_ranked",
    "capability_id",
    "controls_applied",
    "correlation_id",
    "data_label",
    "decided_at",
    "decision_id",
    "denied",
    "deny_code",
    "deny_reason",
    "deny_reason_if_denied",
    "dry_run",
    "env",
    "escalation_effective",
    "matched_rule_id",
    "outcome",
    "policy_version",
    "preconditions_checked",
    "privilege_envelope_ok",
    "proof",
    "qos_class",
    "receipt_id",
    "recommended_profiles_effective",
    "required_controls_effective",
    "selected_worker_species_id",
    "snapshot",
    "supervisor_required",
    "telemetry_envelopes",
    "tenant_id",
    "tenant_risk",
    "timestamp",
    "worker_attestation_checked",
    "worker_attestation_valid",
    "worker_id",
];

#[test]
fn every_client_gets_the_answer_that_it_reads() {
    let running = Running::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bodies");
    let mut cases = 0;
    let mut wrong = Vec::new();
    for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".expect.json") {
            continue;
        }
        let expected =
            std::fs::read(file.with_extension("expect.json")).unwrap_or_else(|_| panic!("{name} expects nothing"));
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let before = running.entries();
        let answer = running.route(expected["token"].as_str().unwrap_or(ACME), std::fs::read(&file).unwrap());
        let body = answer.json();
        cases += 1;
        assert_eq!(running.entries(), before + 1, "{name}: each answer has its entry");
        if expected["status"] != answer.status {
            wrong.push(format!("{name}: status {} {body}", answer.status));
        }
        for (key, value) in expected["fields"].as_object().unwrap() {
            if body.get(key) != Some(value) {
                wrong.push(format!("{name}: {key} is {:?}, not {value}", body.get(key)));
            }
        }
        for key in expected["absent"].as_array().into_iter().flatten() {
            if body.get(key.as_str().unwrap()).is_some() {
                wrong.push(format!("{name}: {key} is there"));
            }
        }
        if answer.status == 200 {
            is_superset(&name, &body);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let metrics = running.hall.metrics_text();
    assert!(metrics.contains("hallgate_policy_errors_total 1\n"), "{metrics}");
    assert!(cases >= 25, "only {cases} cases were found");
}

/// What holds for every decision, whatever it says.
fn is_superset(name: &str, body: &Value) {
    let keys: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let denied = body["denied"].as_bool().unwrap();
    let mut expected: BTreeSet<&str> = SUPERSET.iter().copied().collect();
    if denied {
        expected.insert("reason");
        expected.insert("detail");
    }
    if body["supervisor_required"] == true {
        expected.extend(["supervisor_level", "escalation_context"]);
    }
    if body.get("determining_policies").is_some_and(|policies| policies != &Value::Array(Vec::new())) {
        expected.insert("determining_policies");
    }
    assert_eq!(keys, expected, "{name}");
    let hex = |key: &str| {
        let text = body[key].as_str().unwrap();
        assert!(
            text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            "{name} {key}"
        );
    };
    hex("artifact_hash");
    hex("proof");
    assert_eq!(body["allowed"], !denied, "{name}");
    assert_eq!(body["decision_id"], body["receipt_id"], "{name}");
    assert!(body["decision_id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok(), "{name}");
    assert_eq!(body["timestamp"], body["decided_at"], "{name}");
    let time = body["timestamp"].as_str().unwrap();
    assert!(time.len() == 32 && time.ends_with("+00:00") && time.starts_with("20"), "{name} {time}");
    assert_eq!(body["deny_reason"], body["deny_code"], "{name}");
    if denied {
        assert_eq!(body["deny_reason_if_denied"]["code"], body["deny_reason"], "{name}");
        assert_eq!(body["deny_reason_if_denied"]["message"], body["reason"], "{name}");
        assert!(body["selected_worker_species_id"].is_null() && body["worker_id"].is_null(), "{name}");
    } else {
        assert!(body["deny_reason"].is_null() && body["deny_reason_if_denied"].is_null(), "{name}");
        assert_eq!(body["outcome"], "DISPATCH", "{name}");
    }
}
