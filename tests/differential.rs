//! Random policies and requests, decided by us in reference mode and by the public reference implementation: every field of
//! every decision agrees, telemetry in order included.
//!
//! `DIFFERENTIAL_SEED`, `_POLICIES` and `_REQUESTS` choose what is tried; a difference names its seed, and its folder is kept.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use hallgate::engine::Json;
use serde_json::Value;

#[path = "policy/folder.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod folder;

use folder::{Folder, input, written};

/// The Python that has the reference.
fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    assert!(python.exists(), "{} is missing; run `make test`, which makes it", python.display());
    python
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(format!("DIFFERENTIAL_{name}")).map_or(default, |text| text.parse().unwrap())
}

/// Our decision as far as the reference has it: without ids and times, and with its wording blanked.
fn comparable(mut ours: Value, denied: bool) -> Value {
    let fields = ours.as_object_mut().unwrap();
    for key in ["decision_id", "timestamp"] {
        fields.remove(key).unwrap();
    }
    if denied {
        fields.remove("artifact_hash").unwrap();
        let reason = fields["deny_reason_if_denied"].as_object_mut().unwrap();
        reason.insert("message".into(), "".into());
        // The reference has no levels.
        reason.remove("supervisor_level");
    }
    for event in fields["telemetry_envelopes"].as_array_mut().unwrap() {
        for key in ["timestamp", "deny_message"] {
            if let Some(text) = event.get_mut(key) {
                *text = "".into();
            }
        }
    }
    ours
}

#[test]
fn every_decision_is_the_references() {
    let (seed, policies, requests) = (setting("SEED", 1), setting("POLICIES", 150), setting("REQUESTS", 12));
    let inputs = tempfile::tempdir().unwrap();
    let made = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/reference.py"))
        .arg(inputs.path())
        .args([seed, policies, requests].map(|number| number.to_string()))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let mut codes = BTreeMap::<String, usize>::new();
    let mut differing = Vec::new();
    for at in 0..policies {
        let folder = inputs.path().join(format!("{at:05}"));
        let policy = Folder::load(&folder).unwrap_or_else(|problems| panic!("{}: {problems}", folder.display()));
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        for (line, expected) in read("inputs.jsonl").lines().zip(read("decisions.jsonl").lines()) {
            let decision = policy.decide(input(&Json::parse(line.as_bytes()).unwrap()));
            let expected: Value = serde_json::from_str(expected).unwrap();
            let ours = comparable(written(&decision), decision.verdict.denied());
            let code = decision.verdict.denial.as_ref().map_or("allowed", |denial| denial.code.as_str());
            *codes.entry(code.to_owned()).or_default() += 1;
            let keys = expected.as_object().unwrap().keys().chain(ours.as_object().unwrap().keys());
            let told: std::collections::BTreeSet<String> = keys
                .filter(|key| expected.get(key) != ours.get(key))
                .map(|key| format!("{key}: expected {:?}, not {:?}", expected.get(key), ours.get(key)))
                .collect();
            if !told.is_empty() {
                let told: Vec<_> = told.into_iter().collect();
                differing.push(format!("{}\n{line}\n{}", folder.display(), told.join("\n")));
            }
        }
    }
    if !differing.is_empty() {
        let kept = inputs.keep();
        let first: Vec<_> = differing.iter().take(10).map(String::as_str).collect();
        panic!("seed {seed}, kept in {}: {} differ:\n{}", kept.display(), differing.len(), first.join("\n\n"));
    }
    println!("{codes:#?}");
    // A generator that reaches only a few gates would prove little.
    if policies >= 100 {
        for code in [
            "allowed",
            "DENY_UNKNOWN_TENANT",
            "DENY_INVALID_INPUT",
            "DENY_SHADOW_RULES_DETECTED",
            "DENY_NO_MATCHING_RULE",
            "DENY_MISSING_CORRELATION_ID",
            "DENY_MISSING_REQUIRED_CONTROLS",
            "DENY_REQUIRES_HUMAN",
            "DENY_POLICY_GATE_UNCONFIGURED",
            "DENY_POLICY_GATE",
            "DENY_REQUIRES_HUMAN_APPROVAL",
            "DENY_NO_AVAILABLE_WORKER",
            "DENY_WORKER_ATTESTATION_MISSING",
            "DENY_WORKER_HASH_UNAVAILABLE",
            "DENY_WORKER_TAMPERED",
            "DENY_PRIVILEGE_ENVELOPE_VIOLATED",
        ] {
            assert!(codes.contains_key(code), "no case reached {code}");
        }
    }
}

#[test]
fn the_references_own_router_tests_pass_with_us_in_its_place() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ran = Command::new(python())
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "router_suite"])
        .arg(here.join("target/reference/tests/test_router.py"))
        .env("PYTHONPATH", here.join("tests/differential"))
        // What other packages bring along is none of its business.
        .env("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        .env("HALLGATE", env!("CARGO_BIN_EXE_hallgate"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    // The seven are named, each with its reason, in `router_suite.py`.
    assert!(
        ran.status.success() && said.contains("64 passed, 7 skipped"),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
