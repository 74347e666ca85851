//! Who may ask: exactly one bearer header with a known token of the right scope, and nothing that looks like one.

use crate::harness::{ACME, READER, Running, UNBOUND};

const BODY: &str = r#"{"capability_id":"cap.data.read.v1","env":"dev","tenant_id":"org.acme"}"#;

#[test]
fn the_scheme_is_read_in_any_case() {
    let running = Running::start();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let answer = running.connect().post(&format!("Authorization: {scheme} {ACME}\r\n"), BODY);
        assert_eq!(answer.status, 200, "{scheme}");
    }
}

#[test]
fn anything_but_one_known_bearer_header_is_unauthorized_and_leaves_no_entry() {
    let running = Running::start();
    let forgeries = [
        String::new(),
        "authorization: \r\n".to_owned(),
        "authorization: Bearer\r\n".to_owned(),
        "authorization: Bearer wrong\r\n".to_owned(),
        format!("authorization: {ACME}\r\n"),
        format!("authorization: Basic {ACME}\r\n"),
        format!("authorization: Bearer {ACME}x\r\n"),
        format!("authorization: Bearer {ACME}, Bearer {ACME}\r\n"),
        format!("authorization: Bearer {ACME}\r\nauthorization: Bearer {ACME}\r\n"),
        format!("authorization: Bearer {ACME}\r\nAUTHORIZATION: Bearer wrong\r\n"),
        format!("proxy-authorization: Bearer {ACME}\r\n"),
        format!("cookie: pyhall_session={ACME}; authorization=Bearer {ACME}\r\n"),
        format!("x-authorization: Bearer {ACME}\r\nwcp-token: {ACME}\r\n"),
    ];
    for headers in &forgeries {
        let answer = running.connect().post(headers, BODY);
        let body = answer.refused(401, "unauthorized");
        assert_eq!(body["deny_reason"], "DENY_UNAUTHENTICATED");
        assert!(body["decision_id"].is_null());
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let request =
        format!("POST /api/route?token={ACME}&access_token={ACME} HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
    running.connect().send(request).receive().unwrap().refused(401, "unauthorized");
    assert_eq!(running.entries(), 0);
    let counted = format!("code=\"DENY_UNAUTHENTICATED\"}} {}", forgeries.len() + 1);
    let metrics = running.hall.metrics_text();
    assert!(metrics.contains(&counted), "{metrics}");
}

#[test]
fn a_token_without_the_scope_is_forbidden_and_on_record() {
    let running = Running::start();
    let body = running.route(READER, BODY).refused(403, "forbidden");
    assert_eq!(body["deny_reason"], "DENY_CREDENTIAL_INVALID");
    assert!(body["decision_id"].is_string());
    assert_eq!(running.entries(), 1);
}

#[test]
fn no_answer_repeats_the_token() {
    let running = Running::start();
    for body in [BODY, "{", r#"{"capability_id":"x","env":"y"}"#] {
        let answer = running.route(UNBOUND, body);
        assert!(!answer.text().contains(UNBOUND));
    }
}

#[test]
fn metrics_need_a_reader_unless_they_are_public() {
    let get = |headers: &str| format!("GET /metrics HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
    let running = Running::start();
    running.connect().send(get("")).receive().unwrap().refused(401, "unauthorized");
    let wrong_scope = get(&format!("authorization: Bearer {ACME}\r\n"));
    running.connect().send(wrong_scope).receive().unwrap().refused(403, "forbidden");
    let answer = running.connect().send(get(&format!("authorization: Bearer {READER}\r\n"))).receive().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let text = answer.text();
    assert!(text.contains("hallgate_refusals_total{") && text.ends_with("# EOF\n"), "{text}");

    let public = Running::with(crate::harness::Setup { metrics_need_token: false, ..Default::default() });
    assert_eq!(public.connect().send(get("")).receive().unwrap().status, 200);
}
