//! Recorded decisions of both doors, explained from the ledger.
#![expect(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use serde_json::Value;
use support::{Process, READ, TOKEN, Upstream, ask, post};

use super::*;

/// `hallgate explain` with these arguments: exit code and what it says.
fn explain(fixture: &Fixture, arguments: &[&str]) -> (Option<i32>, String) {
    let (code, out, err) = fixture.run(&[&["explain", "--config", "hallgate.yaml"], arguments].concat());
    (code, out + &err)
}

/// A gate and a Hall for a tenant of low risk.
fn served() -> (Upstream, Fixture, Process) {
    let upstream = Upstream::start();
    let fixture = Fixture::sample(upstream.address);
    fixture.edit("policy:\n", "policy:\n  tenants: { org.acme: { risk: low } }\n");
    let process = fixture.serve();
    (upstream, fixture, process)
}

fn decide(process: &Process, body: &str) -> String {
    let answer = post(process.hall(), TOKEN, "/api/route", body);
    let answer: Value = serde_json::from_str(&answer.text()).unwrap();
    answer["decision_id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is to be in:\n{text}");
    }
}

#[test]
fn a_recorded_decision_is_explained_gate_by_gate_with_what_would_change_it() {
    let (_upstream, fixture, process) = served();
    let gate = |target: &str| ask(process.gate(), target, &[], "").header("wcp-decision-id").unwrap().to_owned();
    let (dispatched, unrouted) = (gate("GET /orders"), gate("GET /nowhere"));
    let confidential = READ.replace("INTERNAL", "CONFIDENTIAL");
    let notify = confidential.replace("data.read.v1", "notify.send.v1");
    let denied = decide(&process, &notify.replace("wrk_make_acme_prod", "wrk_notify_acme_prod"));
    let further = decide(
        &process,
        &confidential.replace("data.read.v1", "report.generate.v1").replace("CONFIDENTIAL", "RESTRICTED"),
    );
    let unacceptable = decide(&process, &READ.replace("prod\"", "moon\""));

    // Beside the process that writes the ledger.
    let (code, text) = explain(&fixture, &[&denied]);
    assert_eq!(code, Some(0), "{text}");
    says(
        &text,
        &[
            &format!("decision {denied} of 20"),
            "DENY DENY_NO_MATCHING_RULE by rule `NO_MATCH`",
            "asked: cap.notify.send.v1 on CONFIDENTIAL in prod for org.acme, worker wrk_notify_acme_prod",
            "policy: policy.v0, the same now",
            "decided again: DENY",
            "matching         REFUSED DENY_NO_MATCHING_RULE",
            "near: rule `rr_notify` (number 4) takes data_label PUBLIC or INTERNAL, not CONFIDENTIAL",
            "what to do: add a rule",
            "what would change it:\n",
            "data_label PUBLIC or INTERNAL: DISPATCH by rule `rr_notify`",
        ],
    );
    // Where one member is not enough, what stands against it next is said.
    let (code, text) = explain(&fixture, &[&further]);
    assert_eq!(code, Some(0), "{text}");
    says(&text, &["what would change it:\n  data_label PUBLIC or INTERNAL or CONFIDENTIAL: DENY DENY_WORKER_"]);
    let (code, text) = explain(&fixture, &[&dispatched]);
    assert_eq!(code, Some(0), "{text}");
    says(
        &text,
        &[
            "DISPATCH by rule `rr_data_read`",
            "GET /orders on `here`",
            "data_label RESTRICTED: STEWARD_HOLD DENY_REQUIRES_HUMAN_APPROVAL",
        ],
    );
    for (refused, reason) in [(&unrouted, "no route for GET /nowhere"), (&unacceptable, "env")] {
        let (code, text) = explain(&fixture, &[refused]);
        assert_eq!(code, Some(2), "{text}");
        says(&text, &[reason, "it was refused before any policy was asked", "what to do: "]);
    }

    let (code, out, _) = fixture.run(&["explain", "--config", "hallgate.yaml", "--json", &denied]);
    let account: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &account["same"], &account["same_policy"]), (Some(0), &true.into(), &true.into()), "{account:#}");
    assert_eq!(account["was"], account["now"], "{account:#}");
    assert_eq!(
        account["explain"]["nearest_rules"][0]["takes"]["data_label"],
        serde_json::json!(["PUBLIC", "INTERNAL"])
    );
    let change = &account["changes"][0];
    assert_eq!((&change["member"], &change["outcome"]), (&"data_label".into(), &"DISPATCH".into()), "{account:#}");
    process.end();

    // By another policy it comes out otherwise, and that is said.
    let rules = fs::read_to_string(root().join("conf/rules.json")).unwrap();
    let read = r#""capability_id": "cap.data.read.v1""#;
    fixture.write("rules.json", &rules.replacen(read, &format!(r#"{read}, "data_label": "PUBLIC""#), 1));
    fixture.edit(&format!("{}/rules.json", root().join("conf").display()), "rules.json");
    let (code, text) = explain(&fixture, &[&dispatched]);
    assert_eq!(code, Some(1), "{text}");
    says(
        &text,
        &["NOW DECIDED OTHERWISE: DENY DENY_NO_MATCHING_RULE", "are others now", "data_label PUBLIC: DISPATCH"],
    );
}

#[test]
fn what_is_only_observed_is_explained_and_replayed_as_if_it_had_been_enforced() {
    let upstream = Upstream::start();
    let fixture = Fixture::sample(upstream.address);
    fixture.edit(
        "cap.data.read.v1, data_label: INTERNAL,",
        "cap.notify.send.v1, data_label: CONFIDENTIAL, observe: { until: 2999-12-31 },",
    );
    let process = fixture.serve();
    let answer = ask(process.gate(), "GET /orders", &[], "");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let line = process.wait_for_log("DENY_NO_MATCHING_RULE");
    says(&line, &[r#""verdict":"DISPATCH""#, r#""would_be":"DENY_NO_MATCHING_RULE""#, r#""code":"""#]);
    says(&process.log(), &["a route only observes the policy", "gate.routes[0]", "3000-01-01T00:00:00"]);
    process.end();
    assert_eq!(fixture.verify(), (1, 1));

    let (code, out, _) = fixture.run(&["check", "--config", "hallgate.yaml"]);
    says(&out, &["gate.routes[0] (any method /orders) only observes the policy until 3000-01-01T00:00:00"]);
    let (_, json, _) = fixture.run(&["check", "--config", "hallgate.yaml", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["observing"][0]["over"]), (Some(0), &false.into()), "{json:#}");

    let id = answer.header("wcp-decision-id").unwrap();
    let (code, text) = explain(&fixture, &[id]);
    assert_eq!(code, Some(0), "{text}");
    let would_be = "would be: DENY DENY_NO_MATCHING_RULE by rule `NO_MATCH`, if the route did not only observe";
    says(&text, &["DISPATCH by rule `NO_MATCH` to `wrk.", would_be, "decided again: DENY", "what would change it:"]);
    let (_, out, _) = fixture.run(&["explain", "--config", "hallgate.yaml", "--json", id]);
    let account: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&account["same"], &account["was"]["outcome"]), (&true.into(), &"DISPATCH".into()), "{account:#}");
    assert_eq!(account["would_be"], account["now"], "{account:#}");
    let (code, out, _) = fixture.run(&["replay", "--config", "hallgate.yaml", "ledger"]);
    assert_eq!(code, Some(0), "{out}");
    says(&out, &["1 decisions replayed: 0 flip, 0 have"]);

    fixture.edit("2999-12-31", "2026-01-31");
    let (code, out, err) = fixture.run(&["check", "--config", "hallgate.yaml"]);
    says(&out, &["enforces the policy since 2026-02-01T00:00:00"]);
    says(&err, &["warning[observe-over]"]);
    let process = fixture.serve();
    assert_eq!((code, ask(process.gate(), "GET /orders", &[], "").status), (Some(0), 403));
    process.end();
    assert_eq!(upstream.called().len(), 1);
}

#[test]
fn what_is_no_decision_is_said_to_be_none() {
    let (_upstream, fixture, process) = served();
    let decision = ask(process.gate(), "GET /orders", &[], "").header("wcp-decision-id").unwrap().to_owned();
    process.end();
    let entries = fixture.entries();
    let outcome = entries.iter().find(|entry| entry["kind"] == "outcome").unwrap();
    let (code, text) = explain(&fixture, &[outcome["receipt_id"].as_str().unwrap()]);
    assert_eq!(code, Some(2));
    says(&text, &[&format!("it is the end of the exchange of decision {decision}")]);
    let (code, text) = explain(&fixture, &["01a22add-6353-7218-9500-8b627eabd9c8"]);
    assert_eq!(code, Some(2));
    says(&text, &["has no entry 01a22add-6353-7218-9500-8b627eabd9c8"]);
    let (code, text) = explain(&fixture, &["--ledger", "elsewhere", &decision]);
    assert_eq!(code, Some(2));
    says(&text, &["elsewhere"]);
    // Its first word: the ledger is where the configuration says.
    fixture.add("ledger: { path: elsewhere }");
    let (code, text) = explain(&fixture, &["--ledger", "ledger", &decision]);
    assert_eq!(code, Some(0), "{text}");
    let (code, _) = explain(&fixture, &[&decision]);
    assert_eq!(code, Some(2));
}

/// Of the caller's object an entry holds what the policies read, and no more of it: that is decided again as it was.
#[test]
fn what_policies_read_of_the_callers_object_is_decided_again() {
    let (_upstream, fixture, process) = served();
    let sent = READ.replace("INTERNAL\"", "CONFIDENTIAL\",\"request\":{\"egress\":\"no\",\"secret\":\"never kept\"}");
    let erred = decide(&process, &sent);
    process.end();
    let (code, text) = explain(&fixture, &[&erred]);
    assert_eq!(code, Some(0), "{text}");
    says(
        &text,
        &["decided again: DENY DENY_POLICY_GATE", "`request.egress` is a text, and the policies read a boolean"],
    );
    let entries = fixture.entries();
    let asked = &entries.iter().find(|entry| entry["decision_id"] == *erred).unwrap()["asked"];
    assert_eq!(*asked, serde_json::json!({"egress": true, "request": r#"{"egress":"no"}"#}));
    assert!(!format!("{entries:?}").contains("never kept"));
    assert_eq!(fixture.verify(), (1, 0));
}

/// Where the operator keeps it out of the ledger, what turns on it is not decided again, and nothing is guessed.
#[test]
fn what_an_entry_does_not_hold_is_not_guessed() {
    let upstream = Upstream::start();
    let fixture = Fixture::sample(upstream.address);
    fixture.edit("policy:\n", "policy:\n  tenants: { org.acme: { risk: low } }\n");
    fixture.add("ledger: { request_attributes: false }");
    let process = fixture.serve();
    let sent = READ.replace("INTERNAL\"", "CONFIDENTIAL\",\"request\":{\"egress\":\"no\"}");
    let erred = decide(&process, &sent);
    process.end();
    assert!(!format!("{:?}", fixture.entries()).contains("\"no\""));
    let (code, text) = explain(&fixture, &[&erred]);
    assert_eq!(code, Some(2), "{text}");
    says(
        &text,
        &[
            "DENY DENY_POLICY_GATE",
            "cannot be decided again: the policies read `request.egress`, which the entry does not keep",
            "matching         passed",
        ],
    );
    assert!(!text.contains("  policy           "), "{text}");
}
