//! The conformance vectors: policies, requests, and what the public reference implementation says to each.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::Path;

use hallgate::engine::{DenyCode, Json};
use serde_json::{Value, json};

#[path = "policy/folder.rs"]
mod folder;

use folder::{Folder, copy_all, differences, folders, input, written};

/// A vector's policy in a copy of its folder, with the rest of a configuration around it; and whether it has a gate, which
/// cannot be loaded yet.
fn completed(folder: &Path) -> (tempfile::TempDir, bool) {
    let copy = tempfile::tempdir().unwrap();
    copy_all(folder, copy.path());
    let file = copy.path().join("hallgate.yaml");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let has_gate = config["policy"].as_object_mut().unwrap().remove("gate").is_some();
    config["hall"] = json!({ "tokens": [{ "name": "t", "secret": "0123456789abcdef", "scopes": ["route"] }] });
    fs::write(file, config.to_string()).unwrap();
    (copy, has_gate)
}

#[test]
fn decisions_agree_with_the_reference() {
    let (mut compared, mut wanted_gate) = (0, 0);
    let mut differing = Vec::new();
    for folder in folders("tests/vectors") {
        let (copy, has_gate) = completed(&folder);
        let policy = Folder::load(copy.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        for (line, expected) in read("inputs.jsonl").lines().zip(read("decisions.jsonl").lines()) {
            let decision = policy.decide(input(&Json::parse(line.as_bytes()).unwrap()));
            // A case that is skipped is a denial all the same: what cannot be asked is never let through.
            let unconfigured = Some(DenyCode::PolicyGateUnconfigured);
            if has_gate && decision.verdict.denial.as_ref().map(|denial| denial.code) == unconfigured {
                wanted_gate += 1;
                continue;
            }
            let differences = differences(&serde_json::from_str(expected).unwrap(), &written(&decision));
            if !differences.is_empty() {
                differing.push(format!("{}\n{line}\n{}", folder.display(), differences.join("\n")));
            }
            compared += 1;
        }
    }
    assert!(differing.is_empty(), "{} of {compared} differ:\n{}", differing.len(), differing.join("\n\n"));
    // What is left needs the policy gate; the number compared may only rise.
    assert_eq!((compared, wanted_gate), (547, 53));
}
