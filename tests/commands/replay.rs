//! Decisions of a real ledger and of JSON lines, decided again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::{Value, json};

use super::*;

const TOKEN: &str = "hst_0123456789abcdef";

/// A ledger with decisions of every kind in it, made by the real binary through `POST /api/route`, and the answers.
fn record(folder: &Path, requests: &[Value]) -> Vec<Value> {
    let config = format!(
        "hall:\n  listen: 127.0.0.1:0\n  tokens: [{{ name: make, secret: {TOKEN}, scopes: [route], worker_optional: true, \
         tenant_id: org.acme }}]\npolicy: {{ tenants: {{ org.acme: {{ risk: low }} }} }}\nshutdown: {{ linger: 0s }}\n"
    );
    fs::write(folder.join("serve.yaml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallgate"));
    command.args(["serve", "--config", "serve.yaml"]).current_dir(folder).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    let hall = loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended:\n{said}");
        said.push_str(&line);
        if let Ok(line) = serde_json::from_str::<Value>(&line)
            && let Some(hall) = line["hall"].as_str()
        {
            break hall.to_owned();
        }
    };
    // So that it never waits for somebody to read its log.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let answers = requests.iter().map(|request| {
        let body = request.to_string();
        let mut connection = TcpStream::connect(&hall).unwrap();
        let head = format!(
            "POST /api/route HTTP/1.1\r\nhost: hall\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    });
    let answers = answers.collect();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
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
    let folder = sample();
    let answers = record(folder.path(), &requests());
    assert!(answers.iter().any(|answer| answer["allowed"] == true) && answers[1]["deny_code"] == "DENY_REQUIRES_HUMAN");
    let replay =
        |config: &str, more: &[&str]| run(folder.path(), &[&["replay", "--config", config, "ledger"], more].concat());
    let (code, out, err) = replay("serve.yaml", &["--all"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.starts_with("9 decisions replayed: 0 flip, 0 have the same verdict for another reason; 1 were refused"),
        "{out}"
    );

    // Writing is no longer allowed, reading is for low risk only, and every request has to name its worker's tenant.
    let rules = fs::read_to_string(folder.path().join("rules.json")).unwrap();
    let rules = rules.replace("\"cap.data.write.v1\"", "\"cap.data.other.v1\"").replace(
        "\"capability_id\": \"cap.data.read.v1\",",
        "\"capability_id\": \"cap.data.read.v1\", \"tenant_risk\": \"low\",",
    );
    fs::write(folder.path().join("other.json"), rules).unwrap();
    let policy = "policy: { rules: other.json, version: policy.v1, tenants: { org.acme: { risk: low } } }\n";
    fs::write(folder.path().join("other.yaml"), policy).unwrap();
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
    fs::write(
        folder.path().join("lax.yaml"),
        "policy: { enforce_blast_scoring_in_prod: false, tenants: { org.acme: { risk: low } } }\n",
    )
    .unwrap();
    let (code, out, _) = replay("lax.yaml", &[]);
    assert_eq!(code, Some(1));
    assert!(out.contains(&format!("flips {}:", id(1))) && out.contains("1 DENY -> DISPATCH"), "{out}");
}

#[test]
fn where_policies_read_the_object_an_entry_is_not_decided_again_by_guess() {
    let folder = sample();
    let answers = record(folder.path(), &requests());
    let rules = json!({"rules": [{"rule_id": "rr_read", "match": {"capability_id": "cap.data.read.v1"}, "decision": {
        "candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}], "escalation": {"policy_gate": true}}}]});
    fs::write(folder.path().join("asking.json"), rules.to_string()).unwrap();
    fs::write(
        folder.path().join("asking.yaml"),
        "policy: { rules: asking.json, gate: gate.cedar, tenants: { org.acme: { risk: low } } }\n",
    )
    .unwrap();
    let replay = |forbids: &str| {
        let policies = format!(
            "@id(\"yes\") permit(principal, action, resource);\n@id(\"no\") forbid(principal, action, resource) when {{ {forbids} }};\n"
        );
        fs::write(folder.path().join("gate.cedar"), policies).unwrap();
        run(folder.path(), &["replay", "--config", "asking.yaml", "ledger"])
    };
    let (_, out, err) = replay("context.request has secret");
    assert!(err.contains("the policies read the caller's `request` object"), "{out}{err}");
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
fn the_vectors_are_replayed_as_lines_of_inputs_with_decisions() {
    let folder = root().join("tests/vectors/015");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let policy: Value = serde_json::from_str(&read("hallgate.yaml")).unwrap();
    let dir = TempDir::new().unwrap();
    let pairs: Vec<String> = read("inputs.jsonl")
        .lines()
        .zip(read("decisions.jsonl").lines())
        // Privilege envelopes are not checked yet.
        .filter(|(_, decision)| !decision.contains("privilege_envelope") && !decision.contains("PRIVILEGE"))
        .map(|(input, decision)| format!("{{\"input\": {input}, \"decision\": {decision}}}\n"))
        .collect();
    fs::write(dir.path().join("pairs.jsonl"), pairs.concat()).unwrap();
    let mut section = policy["policy"].as_object().unwrap().clone();
    section.insert("rules".to_owned(), json!(folder.join("rules.json")));
    section.insert("workers".to_owned(), json!(folder.join("enrolled")));
    let config = |section: &serde_json::Map<String, Value>| {
        fs::write(dir.path().join("hallgate.yaml"), json!({ "policy": section }).to_string()).unwrap();
    };
    config(&section);
    let (code, out, err) = run(dir.path(), &["replay", "--config", "hallgate.yaml", "pairs.jsonl"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with(&format!("{} decisions replayed: 0 flip", pairs.len())), "{out}");
    // Nobody is a signatory: all that was allowed is not.
    section.insert("require_signatory".to_owned(), json!(true));
    section.insert("allowed_tenants".to_owned(), json!([]));
    config(&section);
    let (code, out, _) = run(dir.path(), &["replay", "--config", "hallgate.yaml", "pairs.jsonl"]);
    let allowed = pairs.iter().filter(|line| line.contains("\"denied\": false")).count();
    assert!(allowed > 0 && code == Some(1), "{out}");
    assert!(out.contains(&format!("{allowed} DISPATCH -> DENY")), "{allowed} in {out}");
}

#[test]
fn what_cannot_be_decided_again_is_told_each_by_its_place() {
    let folder = sample();
    let lines = [
        "7",
        "not json",
        "{\"kind\":\"decision\",\"capability_id\":\"cap.a.b\",\"decision_id\":\"d-1\"}",
        "{\"input\":{\"env\":\"dev\"},\"decision\":{\"denied\":true}}",
        "{\"input\":{\"capability_id\":\"cap.a.b\",\"env\":\"dev\"},\"decision\":{}}",
    ];
    fs::write(folder.path().join("lines"), lines.join("\n")).unwrap();
    let (code, out, err) = run(folder.path(), &["replay", "--config", "hallgate.yaml", "lines", "none"]);
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
    let (code, _, err) = run(folder.path(), &["replay", "--config", "hallgate.yaml", "cases"]);
    assert!(code == Some(2) && err.contains("version` cannot be read"), "a folder that is no ledger: {err}");
}
