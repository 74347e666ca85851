//! Decisions of a real ledger and of JSON lines, decided again.

use serde_json::{Value, json};
use support::{TOKEN, post};

use super::*;

/// A ledger with decisions of every kind in it, made by the real binary through `POST /api/route`, and the answers.
fn record(fixture: &Fixture, requests: &[Value]) -> Vec<Value> {
    let config = format!(
        "hall:\n  listen: 127.0.0.1:0\n  tokens: [{{ name: make, secret: {TOKEN}, scopes: [route], worker_optional: true, \
         tenant_id: org.acme }}]\npolicy: {{ tenants: {{ org.acme: {{ risk: low }} }} }}\nshutdown: {{ linger: 0s }}\n"
    );
    fixture.configure(&config);
    let process = fixture.serve();
    let answers = requests.iter().map(|request| post(process.hall(), TOKEN, "/api/route", &request.to_string()).body);
    let answers = answers.collect();
    process.end();
    answers
}

fn ask(capability: &str, more: Value) -> Value {
    let mut request = json!({"capability_id": capability, "worker_id": "wrk_make_acme_prod", "env": "prod",
        "data_label": "INTERNAL", "tenant_id": "org.acme"});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

fn requests() -> Vec<Value> {
    vec![
        ask("cap.data.write.v1", json!({})),
        ask(
            "cap.data.read.v1",
            json!({"request": {"egress": 1, "writes": "yes", "secret": "never kept"}, "qos_class": "P0",
            "data_label": "CONFIDENTIAL"}),
        ),
        ask("cap.data.read.v1", json!({"blast_score": 84})),
        ask("cap.data.read.v1", json!({"blast_score": 101})),
        ask("cap.data.read.v1", json!({"tenant_risk": "high", "dry_run": true})),
        // No worker is named, which this token need not do.
        ask("cap.data.read.v1", json!({"worker_id": null})),
        ask("cap.data.read.v1", json!({"worker_id": "wrk_nobody", "correlation_id": ""})),
        ask("cap.data.delete.v1", json!({"data_label": ""})),
        // The token's tenant is another.
        ask("cap.data.read.v1", json!({"tenant_id": "org.other"})),
        // Refused before it could be described.
        ask("cap.data.read.v1", json!({"env": "Prod"})),
    ]
}

#[test]
fn a_ledger_is_decided_again_without_a_flip_and_with_those_that_another_policy_makes() {
    let fixture = sample();
    let answers = record(&fixture, &requests());
    assert!(answers.iter().any(|answer| answer["allowed"] == true) && answers[1]["deny_code"] == "DENY_REQUIRES_HUMAN");
    let replay = |config: &str, more: &[&str]| fixture.run(&[&["replay", "--config", config, "ledger"], more].concat());
    let (code, out, err) = replay("hallgate.yaml", &["--all"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.starts_with("9 decisions replayed: 0 flip, 0 have the same verdict for another reason; 1 were refused"),
        "{out}"
    );

    // Writing is no longer allowed, reading is for low risk only, and every request has to name its worker's tenant.
    let rules = fs::read_to_string(fixture.path("rules.json")).unwrap();
    let rules = rules.replace("\"cap.data.write.v1\"", "\"cap.data.other.v1\"").replace(
        "\"capability_id\": \"cap.data.read.v1\",",
        "\"capability_id\": \"cap.data.read.v1\", \"tenant_risk\": \"low\",",
    );
    fixture.write("other.json", &rules);
    let policy = "policy: { rules: other.json, version: policy.v1, tenants: { org.acme: { risk: low } } }\n";
    fixture.write("other.yaml", policy);
    let (code, out, err) = replay("other.yaml", &[]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    let id = |at: usize| answers[at]["decision_id"].as_str().unwrap();
    for at in [0, 4] {
        let flip = format!("flips {}:", id(at));
        assert!(out.contains(&flip), "{flip} in:\n{out}");
    }
    assert!(
        out.contains("was  DISPATCH by rule `rr_data_write`") && out.contains("now  DENY DENY_NO_MATCHING_RULE"),
        "{out}"
    );
    assert!(out.contains("9 decisions replayed: 2 flip (2 DISPATCH -> DENY)"), "{out}");
    assert!(!out.contains("never kept"));

    let (code, out, _) = replay("other.yaml", &["--json"]);
    assert_eq!(code, Some(1));
    let flips: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(flips.len(), 2);
    assert_eq!((&flips[0]["was"]["outcome"], &flips[0]["now"]["outcome"]), (&json!("DISPATCH"), &json!("DENY")));
    assert_eq!(flips[0]["now"]["deny_code"], "DENY_NO_MATCHING_RULE");

    // Where the policy no longer scores blast, what was too much passes.
    fixture
        .write("lax.yaml", "policy: { enforce_blast_scoring_in_prod: false, tenants: { org.acme: { risk: low } } }\n");
    let (code, out, _) = replay("lax.yaml", &[]);
    assert_eq!(code, Some(1));
    assert!(out.contains(&format!("flips {}:", id(1))) && out.contains("1 DENY -> DISPATCH"), "{out}");
}

#[test]
fn where_policies_read_the_object_an_entry_is_not_decided_again_by_guess() {
    let fixture = sample();
    let answers = record(&fixture, &requests());
    let rules = json!({"rules": [{"rule_id": "rr_read", "match": {"capability_id": "cap.data.read.v1"}, "decision": {
        "candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}], "escalation": {"policy_gate": true}}}]});
    fixture.write("asking.json", &rules.to_string());
    fixture.write(
        "asking.yaml",
        "policy: { rules: asking.json, gate: gate.cedar, tenants: { org.acme: { risk: low } } }\n",
    );
    let replay = |forbids: &str| {
        let policies = format!(
            "@id(\"yes\") permit(principal, action, resource);\n@id(\"no\") forbid(principal, action, resource) when {{ {forbids} }};\n"
        );
        fixture.write("gate.cedar", &policies);
        fixture.run(&["replay", "--config", "asking.yaml", "ledger"])
    };
    let (_, out, err) = replay("context.request has secret");
    assert!(err.contains("the policies read `request.secret`, which the entry does not keep"), "{out}{err}");
    // Those that no policy is asked about are decided all the same: nothing is allowed to write now.
    assert!(out.contains(&format!("flips {}:", answers[0]["decision_id"].as_str().unwrap())), "{out}");
    // What an entry holds is enough for policies that read nothing else.
    let (code, out, err) = replay("context.blast_score >= 60 || context.dry_run");
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    for at in [0, 2, 4] {
        assert!(out.contains(&format!("flips {}:", answers[at]["decision_id"].as_str().unwrap())), "{at} in {out}");
    }
    assert!(out.contains("9 decisions replayed: 3 flip (3 DISPATCH -> DENY)"), "{out}");
}

#[test]
fn what_policies_read_of_the_object_is_kept_whole_or_not_at_all() {
    let fixture = sample();
    let rules = json!({"rules": [{"rule_id": "rr_read", "match": {"capability_id": "cap.data.read.v1"}, "decision": {
        "candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}], "escalation": {"policy_gate": true}}}]});
    fixture.write("asking.json", &rules.to_string());
    let policies = |text: &str| fixture.write("gate.cedar", &format!("permit(principal, action, resource);\n{text}"));
    policies(
        "@id(\"large\") forbid(principal, action, resource) when { context.request has amount && context.request.amount > 100 };
         @id(\"to\") forbid(principal, action, resource) when { context.request has to && context.request.to == \"x\" };
         @id(\"card\") forbid(principal, action, resource) when { context.request has card };",
    );
    let policy = "{ rules: asking.json, gate: gate.cedar, tenants: { org.acme: { risk: low } } }";
    fixture.configure(&format!(
        "hall:\n  listen: 127.0.0.1:0\n  tokens: [{{ name: make, secret: {TOKEN}, scopes: [route] }}]\npolicy: {policy}\n\
         shutdown: {{ linger: 0s }}\n"
    ));
    let process = fixture.serve();
    let request = |request: Value| ask("cap.data.read.v1", json!({ "request": request })).to_string();
    for sent in [
        json!({}),
        json!({"amount": 7, "to": "y", "other": 1}),
        json!({"amount": 700}),
        json!({"amount": 7.5}),
        json!({"amount": 7, "card": "4111 1111 1111 1111"}),
        json!({"amount": 7, "to": "y".repeat(600)}),
    ] {
        post(process.hall(), TOKEN, "/api/route", &request(sent)).ok();
    }
    process.end();
    let replay = || fixture.run(&["replay", "--config", "hallgate.yaml", "--all", "ledger"]);
    // Only the last turns on what is too long to be kept.
    let (code, out, err) = replay();
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(
        out.contains("5 decisions replayed: 0 flip, 0 have the same verdict for another reason; 1 cannot"),
        "{out}"
    );
    assert!(err.contains("the policies read `request.to`, which the entry does not keep"), "{err}");
    let ledger = format!("{:?}", fixture.entries());
    assert!(!ledger.contains("4111") && !ledger.contains("other") && !ledger.contains("yyyy"), "{ledger}");
    // Another bound is tried on what is known; what these policies did not read is not known.
    policies("forbid(principal, action, resource) when { context.request has amount && context.request.amount > 5 };");
    let (code, out, _) = replay();
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("6 decisions replayed: 2 flip (2 DISPATCH -> DENY)"), "{out}");
    policies("forbid(principal, action, resource) when { context.request has other };");
    let (code, out, err) = replay();
    assert!(code == Some(2) && err.contains("the policies read `request.other`"), "{out}{err}");
    assert_eq!(fixture.verify(), (6, 0));
}

#[test]
fn the_vectors_are_replayed_as_lines_of_inputs_with_decisions() {
    let folder = root().join("tests/vectors/015");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let policy: Value = serde_json::from_str(&read("hallgate.yaml")).unwrap();
    let fixture = Fixture::new("");
    let pairs: Vec<String> = read("inputs.jsonl")
        .lines()
        .zip(read("decisions.jsonl").lines())
        // Privilege envelopes are not checked yet.
        .filter(|(_, decision)| !decision.contains("privilege_envelope") && !decision.contains("PRIVILEGE"))
        .map(|(input, decision)| format!("{{\"input\": {input}, \"decision\": {decision}}}\n"))
        .collect();
    fixture.write("pairs.jsonl", &pairs.concat());
    let mut section = policy["policy"].as_object().unwrap().clone();
    section.insert("rules".to_owned(), json!(folder.join("rules.json")));
    section.insert("workers".to_owned(), json!(folder.join("enrolled")));
    let config = |section: &serde_json::Map<String, Value>| {
        fixture.configure(&json!({ "policy": section }).to_string());
    };
    config(&section);
    let (code, out, err) = fixture.run(&["replay", "--config", "hallgate.yaml", "pairs.jsonl"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with(&format!("{} decisions replayed: 0 flip", pairs.len())), "{out}");
    // Nobody is a signatory: all that was allowed is not.
    section.insert("require_signatory".to_owned(), json!(true));
    section.insert("allowed_tenants".to_owned(), json!([]));
    config(&section);
    let (code, out, _) = fixture.run(&["replay", "--config", "hallgate.yaml", "pairs.jsonl"]);
    let allowed = pairs.iter().filter(|line| line.contains("\"denied\": false")).count();
    assert!(allowed > 0 && code == Some(1), "{out}");
    assert!(out.contains(&format!("{allowed} DISPATCH -> DENY")), "{allowed} in {out}");
}

#[test]
fn what_cannot_be_decided_again_is_told_each_by_its_place() {
    let fixture = sample();
    let lines = [
        "7",
        "not json",
        "{\"kind\":\"decision\",\"capability_id\":\"cap.a.b\",\"decision_id\":\"d-1\"}",
        "{\"input\":{\"env\":\"dev\"},\"decision\":{\"denied\":true}}",
        "{\"input\":{\"capability_id\":\"cap.a.b\",\"env\":\"dev\"},\"decision\":{}}",
    ];
    fixture.write("lines", &lines.join("\n"));
    let (code, out, err) = fixture.run(&["replay", "--config", "hallgate.yaml", "lines", "none"]);
    assert_eq!(code, Some(2), "{out}");
    for said in [
        "`lines`, line 1 cannot be decided again: an entry is an object",
        "`lines`, line 2 cannot",
        "d-1 cannot be decided again: the entry does not hold what else was asked",
        "line 4 cannot be decided again: missing field: capability_id",
        "`decision.denied` must be",
        "`none` cannot be decided again: No such file",
    ] {
        assert!(err.contains(said), "{said} in:\n{err}");
    }
    assert!(out.contains("0 decisions replayed") && out.contains("6 cannot be decided again"), "{out}");
    let (code, _, err) = fixture.run(&["replay", "--config", "hallgate.yaml", "cases"]);
    assert!(code == Some(2) && err.contains("version` cannot be read"), "a folder that is no ledger: {err}");
}
