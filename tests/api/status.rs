//! Every status but 200, the probes, and CORS.

use crate::harness::{ACME, Answer, ORIGIN, Running, Setup, UNBOUND};

const BODY: &str = r#"{"capability_id":"cap.data.read.v1","env":"dev","tenant_id":"org.acme"}"#;

fn say(running: &Running, head: &str) -> Answer {
    running.connect().send(format!("{head}\r\nhost: hall\r\n\r\n")).receive().unwrap()
}

#[test]
fn other_paths_are_404_and_never_a_redirect() {
    let running = Running::start();
    for path in
        ["/api/route/", "//api/route", "/api//route", "/API/ROUTE", "/api/%72oute", "/api/route%2f", "/metrics/"]
    {
        say(&running, &format!("POST {path} HTTP/1.1")).refused(404, "not found");
    }
    assert_eq!(running.entries(), 0);
}

#[test]
fn other_methods_are_405_and_say_which_are_allowed() {
    let running = Running::start();
    for method in ["GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        let answer = say(&running, &format!("{method} /api/route HTTP/1.1"));
        answer.refused(405, "method not allowed");
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    assert_eq!(say(&running, "POST /livez HTTP/1.1").header("allow"), Some("GET,HEAD"));
}

#[test]
fn other_content_types_are_415() {
    let running = Running::start();
    let bearer = format!("authorization: Bearer {ACME}\r\n");
    for headers in [
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: application/json; charset=latin1\r\n",
        "content-type: application/json\r\ncontent-type: text/plain\r\n",
        "content-type: application/json\r\ncontent-encoding: gzip\r\n",
    ] {
        let body = running.connect().post(&format!("{bearer}{headers}"), BODY).refused(415, "unsupported content type");
        assert!(body["decision_id"].is_string());
    }
    assert_eq!(running.entries(), 5);
    for headers in ["", "content-type: application/json; charset=UTF-8\r\n", "content-type: application/wcp+json\r\n"] {
        assert_eq!(running.connect().post(&format!("{bearer}{headers}"), BODY).status, 200, "{headers}");
    }
}

/// A body of exactly this many bytes.
fn sized(bytes: usize) -> String {
    let padding = bytes - BODY.len() - r#","pad":"""#.len();
    format!("{},\"pad\":\"{}\"}}", BODY.trim_end_matches('}'), "x".repeat(padding))
}

#[test]
fn a_body_over_256_kib_is_413_and_one_of_256_kib_is_not() {
    let running = Running::start();
    assert_eq!(running.route(ACME, sized(256 * 1024)).status, 200);
    running.route(ACME, sized(256 * 1024 + 1)).refused(413, "body too large");
    running.route(ACME, sized(900 * 1024)).refused(413, "body too large");
    assert_eq!(running.entries(), 3);
}

#[test]
fn a_huge_announced_body_is_413_without_being_read() {
    let running = Running::start();
    let head = format!(
        "POST /api/route HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {ACME}\r\ncontent-length: 10000000000\r\n\r\n"
    );
    let mut client = running.connect();
    client.send(head).receive().unwrap().refused(413, "body too large");
    assert!(client.closed());
}

#[test]
fn an_endless_chunked_body_is_413_long_before_its_end() {
    let running = Running::start();
    let mut client = running.connect();
    client.send(format!(
        "POST /api/route HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {ACME}\r\ntransfer-encoding: chunked\r\n\r\n"
    ));
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(65536));
    // Never says that it is done: only a server that stops by itself answers.
    for _ in 0..20 {
        client.send(&chunk);
    }
    client.receive().unwrap().refused(413, "body too large");
}

#[test]
fn a_chunked_body_is_read_like_any_other() {
    let running = Running::start();
    let mut client = running.connect();
    client.send(format!(
        "POST /api/route HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {ACME}\r\ntransfer-encoding: chunked\r\n\r\n"
    ));
    for byte in BODY.as_bytes() {
        client.send([b"1\r\n", &[*byte][..], b"\r\n"].concat());
    }
    assert_eq!(client.send("0\r\n\r\n").receive().unwrap().status, 200);
}

#[test]
fn a_closed_ledger_is_503_with_retry_after() {
    let running = Running::start();
    running.ledger.close();
    for body in [BODY, "{", r#"{"capability_id":"","env":""}"#] {
        let answer = running.route(ACME, body);
        assert_eq!(answer.refused(503, "unavailable")["deny_reason"], "DENY_AUDIT_UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

#[test]
fn probes_say_alive_and_ready_and_then_draining() {
    let running = Running::start();
    assert_eq!(say(&running, "GET /livez HTTP/1.1").json()["status"], "ok");
    let told = format!("GET /readyz HTTP/1.1\r\nauthorization: Bearer {UNBOUND}");
    let answer = say(&running, &told);
    let ready = answer.json();
    assert_eq!((answer.status, ready["ready"].as_bool()), (200, Some(true)));
    assert_eq!(ready["snapshot"], running.hall.snapshot().fingerprint.to_hex());
    assert_eq!(ready["ledger"]["writing"], true);
    running.hall.drain();
    let answer = say(&running, &told);
    assert_eq!((answer.status, answer.json()["reasons"][0].as_str()), (503, Some("draining")));
    // Strangers, those with a wrong token and those who are bound are told yes or no.
    for head in ["", "\r\nauthorization: Bearer nobody's", &format!("\r\nauthorization: Bearer {ACME}")] {
        let answer = say(&running, &format!("GET /readyz HTTP/1.1{head}"));
        assert_eq!((answer.status, answer.json()), (503, serde_json::json!({"ready": false})), "{head}");
    }
    assert_eq!(say(&running, "GET /livez HTTP/1.1").status, 200);
    assert_eq!(running.route(ACME, BODY).status, 200, "a draining hall still answers");
}

fn with_origin(running: &Running, head: &str, origin: &str) -> Answer {
    say(running, &format!("{head}\r\norigin: {origin}\r\naccess-control-request-method: POST"))
}

#[test]
fn a_listed_origin_may_call_and_read_every_answer() {
    let running = Running::with(Setup { cors_origins: vec![ORIGIN.to_owned()], ..Default::default() });
    let preflight = with_origin(&running, "OPTIONS /api/route HTTP/1.1", ORIGIN);
    assert_eq!((preflight.status, preflight.bytes.len()), (204, 0));
    assert_eq!(preflight.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization, content-type"));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("POST"));
    for head in ["POST /api/route HTTP/1.1", "GET /api/route HTTP/1.1", "GET /nowhere HTTP/1.1", "GET /livez HTTP/1.1"]
    {
        let answer = with_origin(&running, head, ORIGIN);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{head}");
        assert_eq!(answer.header("vary"), Some("origin"), "{head}");
    }
    for other in ["https://app.example.org.evil.test", "https://APP.example.org", "http://app.example.org", "null", "*"]
    {
        let answer = with_origin(&running, "OPTIONS /api/route HTTP/1.1", other);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{other}");
        assert_eq!(answer.header("vary"), Some("origin"), "{other}");
    }
}

#[test]
fn without_origins_there_is_no_cors() {
    let running = Running::start();
    let preflight = with_origin(&running, "OPTIONS /api/route HTTP/1.1", ORIGIN);
    assert_eq!(preflight.status, 204);
    for name in ["access-control-allow-origin", "access-control-allow-headers", "vary"] {
        assert_eq!(preflight.header(name), None);
    }
    with_origin(&running, "OPTIONS /nowhere HTTP/1.1", ORIGIN).refused(404, "not found");
}
