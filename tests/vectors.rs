//! The conformance vectors: policies, requests, and what the public reference implementation says to each.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hallgate::engine::{
    Decision, DenyCode, Facts, Json, Mode, Question, RouteInput, RuleSet, Settings, Snapshot, decide, route_decision,
};
use hallgate::policy as policies;
use hallgate::registry::records;
use serde_json::Value;

/// A vector's `policy` section; the files are JSON, which is YAML.
struct Policy(Value);

impl Policy {
    fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or_else(|| panic!("policy.{key}"))
    }

    fn settings(&self) -> Settings {
        assert_eq!(self.0["mode"], "reference");
        let texts = |value: &Value| {
            value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        Settings {
            mode: Mode::Reference,
            version: self.0["version"].as_str().unwrap().into(),
            require_worker_id: [].into(),
            require_signatory: self.flag("require_signatory"),
            allowed_tenants: texts(&self.0["allowed_tenants"]).into_iter().map(Arc::from).collect(),
            require_worker_attestation: self.flag("require_worker_attestation"),
            enforce_correlation_id: self.flag("enforce_correlation_id"),
            enforce_required_controls: self.flag("enforce_required_controls"),
            enforce_blast_scoring_in_prod: self.flag("enforce_blast_scoring_in_prod"),
            enforce_privilege_envelopes: self.flag("enforce_privilege_envelopes"),
            egress_allowlist: self.0["egress_allowlist"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(env, destinations)| (env.parse().unwrap(), texts(destinations).into_iter().collect()))
                .collect(),
            tenants: BTreeMap::new(),
        }
    }

    /// Why a case cannot be compared yet: its policy configures what we answer as unconfigured.
    fn not_yet(&self, code: DenyCode) -> Option<&'static str> {
        match code {
            DenyCode::AttestationUnconfigured if self.flag("require_worker_attestation") => Some("attestation"),
            DenyCode::PrivilegeEnvelopeUnconfigured => Some("privilege envelopes"),
            _ => None,
        }
    }
}

fn input(line: &str) -> RouteInput {
    let json = Json::parse(line.as_bytes()).unwrap();
    let fields = json.as_object().unwrap();
    let text = |key: &str| Arc::clone(fields[key].as_str().unwrap());
    RouteInput {
        capability_id: text("capability_id"),
        worker_id: None,
        env: text("env").parse().unwrap(),
        data_label: text("data_label").parse().unwrap(),
        data_label_defaulted: false,
        tenant_id: text("tenant_id"),
        tenant_risk: Some(text("tenant_risk").parse().unwrap()),
        qos_class: text("qos_class").parse().unwrap(),
        correlation_id: text("correlation_id"),
        request: fields["request"].clone(),
        blast_radius: fields.get("blast_radius").cloned(),
        blast_score: fields.get("blast_score").map(|score| score.as_i64().unwrap()),
        privilege_context: fields.get("privilege_context").cloned(),
        tenant_credential: None,
        dry_run: fields.get("dry_run").is_some_and(|flag| flag.as_bool().unwrap()),
        http: None,
    }
}

/// Every key of what is expected is there with the same value; ours may carry more.
fn agrees(expected: &Value, ours: &Value) -> bool {
    match (expected, ours) {
        (Value::Object(expected), Value::Object(ours)) => {
            expected.iter().all(|(key, value)| ours.get(key).is_some_and(|ours| agrees(value, ours)))
        }
        (Value::Array(expected), Value::Array(ours)) => {
            expected.len() == ours.len() && expected.iter().zip(ours).all(|(a, b)| agrees(a, b))
        }
        _ => expected == ours,
    }
}

#[test]
fn decisions_agree_with_the_reference() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let (mut compared, mut skipped) = (0, BTreeMap::<&str, usize>::new());
    for folder in 0..30 {
        let folder = root.join(format!("{folder:03}"));
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let policy = Policy(serde_json::from_str::<Value>(&read("hallgate.yaml")).unwrap()["policy"].take());
        let rules = RuleSet::parse(&read("rules.json"), Mode::Reference).unwrap();
        let workers = records::load(&folder.join("enrolled"), Mode::Reference).unwrap();
        let snapshot = Snapshot::build(policy.settings(), rules, workers).unwrap();
        let snapshot = match policy.0.get("gate") {
            Some(gate) => snapshot.gated_by(Arc::new(policies::load(&folder.join(gate.as_str().unwrap())).unwrap())),
            None => snapshot,
        };
        for (line, expected) in read("inputs.jsonl").lines().zip(read("decisions.jsonl").lines()) {
            let input = input(line);
            let question = Question::ask(&input, &Facts::default(), &snapshot);
            let decision = Decision::new(input, Arc::new(decide(&question, &snapshot)), &snapshot, false);
            // A case that is skipped is a denial all the same: what cannot be checked is never let through.
            if let Some(why) = decision.verdict.denial.as_ref().and_then(|denial| policy.not_yet(denial.code)) {
                *skipped.entry(why).or_default() += 1;
                continue;
            }
            let ours =
                serde_json::to_value(route_decision(&decision, "id", "2026-01-01T00:00:00.000000+00:00")).unwrap();
            let expected: Value = serde_json::from_str(expected).unwrap();
            let differing = |(key, value): (&String, &Value)| {
                (!agrees(value, &ours[key])).then(|| format!("{key}: expected {value}, not {}", ours[key]))
            };
            let differences: Vec<_> = expected.as_object().unwrap().iter().filter_map(differing).collect();
            assert!(differences.is_empty(), "{}\n{line}\n{}", folder.display(), differences.join("\n"));
            compared += 1;
        }
    }
    // What is left needs attestation or envelopes; the number may only rise.
    let expected = BTreeMap::from([("attestation", 42), ("privilege envelopes", 44)]);
    assert_eq!((compared, skipped), (514, expected));
}
