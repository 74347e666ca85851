//! What the log says of decisions: one line for each that is refused, and for as many of the others as the configuration wants.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};
use support::{Fixture, Process, READ, TOKEN, Upstream, ask, post, until};

const TELEMETRY: &str = "telemetry: { log_allowed: all }";

fn fixture(telemetry: &str) -> (Upstream, Fixture) {
    let upstream = Upstream::start();
    let fixture = Fixture::sample(upstream.address);
    fixture.add(telemetry);
    (upstream, fixture)
}

/// The line about a decision.
fn line(process: &Process, decision_id: &str) -> Value {
    let found = || -> Vec<Value> {
        let log = process.log();
        let lines = log.lines().filter(|line| line.contains(decision_id));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    until(|| !found().is_empty());
    assert_eq!(found().len(), 1, "{decision_id}");
    found().remove(0)
}

/// That a line has what is expected of it, a text as a part of what is there.
#[track_caller]
fn says(line: &Value, expected: &Value) {
    for (key, value) in expected.as_object().unwrap() {
        let agrees = match (value.as_str(), line[key].as_str()) {
            (Some(part), Some(said)) => said.contains(part),
            _ => *value == line[key],
        };
        assert!(agrees, "`{key}` is to be {value} in {line:#}");
    }
}

#[test]
fn each_decision_has_a_line_that_says_who_was_refused_what_and_why() {
    let (_upstream, fixture) = fixture(TELEMETRY);
    let process = fixture.serve();
    let gate = |target: &str, headers: &[(&str, &str)]| {
        let answer = ask(process.gate(), target, headers, "");
        line(&process, answer.header("wcp-decision-id").unwrap())
    };
    let who = json!({"worker_id": "wrk_make_acme_prod", "tenant_id": "org.acme"});
    let allowed = json!({
        "verdict": "DISPATCH", "code": "", "rule": "rr_data_read", "capability": "cap.data.read.v1", "data_label": "INTERNAL",
        "reason": null, "path": "/orders", "status": 200, "level": "INFO"
    });
    let held = json!({
        "verdict": "STEWARD_HOLD", "code": "DENY_REQUIRES_HUMAN_APPROVAL", "rule": "rr_data_read", "data_label": "RESTRICTED",
        "reason": "policy `restricted_in_production` asks for a human", "status": 403
    });
    let unrouted = json!({
        "verdict": null, "code": "DENY_NO_ROUTE", "path": "/nowhere/at/all", "reason": "no route for DELETE", "status": 404
    });
    let malformed = json!({"code": "DENY_MALFORMED_CLAIM", "reason": "wcp-data-label", "path": null, "status": 400});
    for (target, headers, expected) in [
        ("GET /orders", &[][..], allowed),
        ("GET /orders", &[("wcp-data-label", "RESTRICTED")], held),
        ("DELETE /nowhere/at/all?token=secret", &[], unrouted),
        ("GET /orders", &[("wcp-data-label", "SECRETS")], malformed),
    ] {
        let line = gate(target, headers);
        says(&line, &expected);
        says(&line, &who);
        assert!(!line.to_string().contains("token=secret"), "{line}");
    }

    let hall = |body: &str| {
        let answer = post(process.hall(), TOKEN, "/api/route", body);
        let body: Value = serde_json::from_str(&answer.text()).unwrap();
        line(&process, body["decision_id"].as_str().unwrap())
    };
    let allowed = json!({
        "verdict": "DISPATCH", "code": "", "rule": "rr_data_read", "capability": "cap.data.read.v1", "data_label": "INTERNAL",
        "reason": null, "path": "/api/route", "status": 200, "level": "INFO"
    });
    says(&hall(READ), &allowed);
    let denied = json!({
        "verdict": "DENY", "code": "DENY_NO_MATCHING_RULE", "rule": "NO_MATCH", "capability": "cap.ml.infer",
        "reason": "the nearest, `rr_model_call`, takes data_label PUBLIC or INTERNAL, not CONFIDENTIAL", "status": 200
    });
    says(&hall(&READ.replace("data.read.v1", "ml.infer").replace("INTERNAL", "CONFIDENTIAL")), &denied);
    let invalid =
        json!({"verdict": null, "code": "DENY_INVALID_INPUT", "reason": "env", "worker_id": "wrk_make", "status": 200});
    says(&hall(&READ.replace("prod\",", "moon\",")), &invalid);
    let unreadable = json!({"code": "DENY_INVALID_INPUT", "reason": "JSON", "token": "make", "status": 400});
    says(&hall("{"), &unreadable);
    process.end();
    assert!(!process.log().contains(TOKEN));
}

#[test]
fn what_is_let_through_has_no_line_where_none_is_wanted() {
    let (_upstream, fixture) = fixture("telemetry: { log_allowed: none }");
    let process = fixture.serve();
    let allowed = ask(process.gate(), "GET /orders", &[], "");
    let denied = ask(process.gate(), "GET /orders", &[("wcp-data-label", "RESTRICTED")], "");
    post(process.hall(), TOKEN, "/api/route", READ).ok();
    line(&process, denied.header("wcp-decision-id").unwrap());
    process.end();
    assert_eq!(allowed.status, 200);
    assert!(!process.log().contains("DISPATCH"), "{}", process.log());
}

#[test]
fn there_are_no_colours_where_there_is_no_terminal() {
    let (_upstream, fixture) = fixture("telemetry: { log: text }");
    let process = fixture.begin();
    until(|| process.log().contains(" INFO hallgate::cli::serve: starting"));
    assert!(!process.log().contains('\x1b'), "{}", process.log());
}

#[test]
fn a_line_is_short_however_long_what_is_asked_is() {
    let (_upstream, fixture) = fixture(TELEMETRY);
    let process = fixture.serve();
    let long = "x".repeat(200_000);
    for key in ["capability_id", "worker_id", "tenant_id", "correlation_id"] {
        let mut asked = json!({
            "capability_id": "cap.data.read.v1", "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": "INTERNAL",
            "tenant_id": "org.acme", "tenant_risk": "low", "qos_class": "P2", "correlation_id": "c-1"
        });
        asked[key] = long.as_str().into();
        let answer = post(process.hall(), TOKEN, "/api/route", &asked.to_string());
        let body: Value = serde_json::from_str(&answer.text()).unwrap();
        let line = line(&process, body["decision_id"].as_str().unwrap()).to_string();
        assert!(line.len() < 4096, "{key}: {} bytes", line.len());
    }
    let path = format!("GET /{}", &long[..6000]);
    let answer = ask(process.gate(), &path, &[], "");
    let line = line(&process, answer.header("wcp-decision-id").unwrap()).to_string();
    assert!(line.len() < 4096, "{} bytes", line.len());
}
