//! The strict rules (S1 to S9): for each a policy as files, requests that pass under it, and requests that it refuses.
//! What does not load in strict is beside the other mistakes, in `tests/config`.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;

use hallgate::engine::Json;
use serde_json::Value;

#[path = "policy/folder.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod folder;

use folder::{Folder, differences, folders, input, written};

/// The request that all cases share, with what one case changes.
fn asked(shared: &Value, changes: &Value) -> Json {
    let mut asked = shared.clone();
    asked.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Json::parse(asked.to_string().as_bytes()).unwrap()
}

#[test]
fn each_strict_rule_passes_and_refuses_what_it_should() {
    let mut differing = Vec::new();
    for folder in folders("tests/strict") {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let policy = Folder::load(&folder).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let golden: Value = serde_json::from_str(&fs::read_to_string(folder.join("cases.json")).unwrap()).unwrap();
        let mut seen = [false; 2];
        for case in golden["cases"].as_array().unwrap() {
            let decision = policy.decide(input(&asked(&golden["input"], &case["with"])));
            seen[usize::from(decision.verdict.denied())] = true;
            let differences = differences(&case["expect"], &written(&decision));
            if !differences.is_empty() {
                differing.push(format!("{name}: {}\n{}", case["case"], differences.join("\n")));
            }
        }
        assert_eq!(seen, [true; 2], "{name} has no case that passes, or none that is refused");
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}
