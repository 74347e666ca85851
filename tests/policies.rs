//! Golden cases of policies: each folder of `tests/policies` is one configuration (without one of its own, the sample in
//! `conf/`), and each file of its `cases` one request with what must be in the decision on it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallgate::config::Config;
use hallgate::engine::{Decision, Facts, Json, Question, RouteInput, Snapshot, decide, route_decision};
use hallgate::ids::DataLabel;
use serde_json::{Value, json};

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn input(request: &Json) -> RouteInput {
    let fields = request.as_object().unwrap();
    let known = ["capability_id", "worker_id", "env", "data_label", "tenant_id", "tenant_risk", "request"];
    assert!(fields.keys().all(|key| known.contains(&&**key)), "{request:?}");
    let text = |key: &str| fields.get(key).map(|value| Arc::clone(value.as_str().unwrap()));
    RouteInput {
        worker_id: text("worker_id"),
        data_label: text("data_label").map_or(DataLabel::Restricted, |label| label.parse().unwrap()),
        data_label_defaulted: !fields.contains_key("data_label"),
        tenant_risk: text("tenant_risk").map(|risk| risk.parse().unwrap()),
        correlation_id: "c-1".into(),
        request: fields.get("request").cloned().unwrap_or_else(|| Json::Object(BTreeMap::new())),
        ..RouteInput::new(
            &text("capability_id").unwrap(),
            text("env").unwrap().parse().unwrap(),
            &text("tenant_id").unwrap(),
        )
    }
}

/// The decision as the reference writes it, and what it does not know.
fn decided(input: RouteInput, snapshot: &Snapshot) -> Value {
    let question = Question::ask(&input, &Facts::default(), snapshot);
    let decision = Decision::new(input, Arc::new(decide(&question, snapshot)), snapshot, false);
    let mut written = serde_json::to_value(route_decision(&decision, "id", "time")).unwrap();
    let verdict = &decision.verdict;
    written["outcome"] = json!(verdict.outcome.as_str());
    written["policies"] = json!(verdict.gated.policies.iter().map(|id| &**id).collect::<Vec<_>>());
    written["supervisor_level"] = json!(verdict.gated.supervisor);
    written["worker_id"] = json!(verdict.worker_id.as_deref());
    written
}

/// Every key of what is expected is there with the same value; the decision carries more keys.
fn agrees(expected: &Value, ours: &Value) -> bool {
    match (expected, ours) {
        (Value::Object(expected), Value::Object(ours)) => {
            expected.iter().all(|(key, value)| ours.get(key).is_some_and(|ours| agrees(value, ours)))
        }
        _ => expected == ours,
    }
}

#[test]
fn every_case_is_decided_as_its_file_says() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    for folder in entries(Path::new("tests/policies")) {
        let own = folder.join("hallgate.yaml");
        let file = if own.exists() { own } else { PathBuf::from("conf/hallgate.yaml") };
        let secret = |name: &str| !["PYHALL_REGISTRY", "OTEL_"].iter().any(|other| name.starts_with(other));
        let environment = |name: &str| secret(name).then(|| "hst_0123456789abcdef".to_owned());
        let config = Config::load(&file, &environment).unwrap_or_else(|problems| panic!("{problems}"));
        for case in entries(&folder.join("cases")) {
            let written = fs::read(&case).unwrap();
            let request = Json::parse(&written).unwrap().as_object().unwrap()["request"].clone();
            let expected = serde_json::from_slice::<Value>(&written).unwrap()["expect"].take();
            let ours = decided(input(&request), &config.snapshot);
            for (key, value) in expected.as_object().unwrap() {
                if !agrees(value, &ours[key]) {
                    wrong.push(format!("{}: {key} is {}, not {value}", case.display(), ours[key]));
                }
            }
            cases += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases > 30, "{cases}");
}
