//! The conformance vectors: policies, requests, and what the public reference implementation says to each.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::Path;

use hallgate::engine::Json;
use serde_json::{Value, json};

#[path = "policy/folder.rs"]
mod folder;

use folder::{Folder, copy_all, differences, folders, input, written};

/// A vector's policy in a copy of its folder, with the rest of a configuration around it.
fn completed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_all(folder, copy.path());
    let file = copy.path().join("hallgate.yaml");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    config["hall"] = json!({ "tokens": [{ "name": "t", "secret": "0123456789abcdef", "scopes": ["route"] }] });
    fs::write(file, config.to_string()).unwrap();
    copy
}

#[test]
fn decisions_agree_with_the_reference() {
    let mut compared = 0;
    let mut differing = Vec::new();
    for folder in folders("tests/vectors") {
        let copy = completed(&folder);
        let policy = Folder::load(copy.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        for (line, expected) in read("inputs.jsonl").lines().zip(read("decisions.jsonl").lines()) {
            let decision = policy.decide(input(&Json::parse(line.as_bytes()).unwrap()));
            let differences = differences(&serde_json::from_str(expected).unwrap(), &written(&decision));
            if !differences.is_empty() {
                differing.push(format!("{}\n{line}\n{}", folder.display(), differences.join("\n")));
            }
            compared += 1;
        }
    }
    assert!(differing.is_empty(), "{} of {compared} differ:\n{}", differing.len(), differing.join("\n\n"));
    assert_eq!(compared, 600);
}
