//! What a no looks like, and that nothing is forwarded with it.

use std::time::Duration;

use hallgate::proxy::settings::Identity;
use tokio::net::TcpListener;

use crate::fixture::{self, Fixture, at, fixed};
use crate::upstream::Upstream;
use crate::wire::{Message, Wire, ask, get};

/// The fields that every problem has.
fn problem(response: &Message, status: u16, code: &str) -> serde_json::Value {
    assert_eq!(response.status(), status, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let body = response.json();
    assert_eq!((&body["status"], &body["code"], &body["denied"]), (&status.into(), &code.into(), &true.into()));
    for field in ["type", "title", "detail", "reason"] {
        assert!(body[field].is_string(), "{field}: {body}");
    }
    for field in ["decision_id", "artifact_hash", "correlation_id"] {
        assert!(body.get(field).is_some(), "{field}: {body}");
    }
    assert_eq!(body["decision_id"].as_str(), response.header("wcp-decision-id"));
    // Where the SDKs of model APIs look there is all of it again.
    let members = body.as_object().unwrap().iter().filter(|(name, _)| *name != "type" && *name != "error");
    let error = body["error"].as_object().expect("an error object");
    assert!(members.clone().all(|(name, value)| error.get(name) == Some(value)) && members.count() > 8, "{body}");
    assert!(
        error["message"].as_str().unwrap().starts_with(code) && error["type"].as_str().unwrap().ends_with("_error")
    );
    assert!(error["param"].is_null() && error.contains_key("param"), "{body}");
    body
}

#[tokio::test]
async fn a_denial_is_a_403_with_its_reason() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let response = ask(fixture.gate, get("/secret/a", "wcp-correlation-id: c-9\r\n")).await;
    let body = problem(&response, 403, "DENY_NO_MATCHING_RULE");
    assert_eq!(body["correlation_id"], "c-9");
    let reason = "no rule takes cap.data.read.v1 like this: the nearest, `rr_open`, takes data_label PUBLIC or INTERNAL \
                  or CONFIDENTIAL, not RESTRICTED";
    assert_eq!(body["reason"], reason);
    let asked = "(asked for cap.data.read.v1 on RESTRICTED in prod for org.acme, worker wrk_a)";
    assert!(body["detail"].as_str().unwrap().ends_with(asked), "{body}");
    assert_eq!(body["artifact_hash"].as_str().map(str::len), Some(64));
    let id = body["decision_id"].as_str().unwrap();
    assert_eq!(fixture.entry("decision", id).await["outcome"], "DENY");
    assert_eq!(response.header("wcp-receipt").map(str::len), Some(64));
    assert_eq!(response.header("connection"), Some("keep-alive"));
    // To HEAD there is no body.
    let mut wire = Wire::to(fixture.gate).await;
    wire.send("HEAD /secret/a HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(wire.head().await.unwrap().status(), 403);
    assert_eq!(wire.ask(get("/public/a", "")).await.status(), 200);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_policy_sees_the_request_on_the_wire() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    assert_eq!(ask(fixture.gate, get("/public/a", "")).await.status(), 200);
    assert_eq!(
        ask(fixture.gate, "POST /public/vault/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await.status(),
        200
    );
    let response = ask(fixture.gate, get("/public/vault/1", "")).await;
    let body = problem(&response, 403, "DENY_REQUIRES_HUMAN_APPROVAL");
    let entry = fixture.entry("decision", body["decision_id"].as_str().unwrap()).await;
    assert_eq!((&entry["outcome"], &entry["supervisor_level"]), (&"STEWARD_HOLD".into(), &"gatekeeper".into()));
    assert_eq!(entry["policies"], serde_json::json!(["vault"]));
    // What is not remembered is decided again, and nothing of it is forwarded.
    assert_eq!(ask(fixture.gate, get("/public/vault/1", "")).await.status(), 403);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_described_is_refused_and_recorded() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    for (request, status, code) in [
        (get("/nowhere", ""), 404, "DENY_NO_ROUTE"),
        ("POST /get HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 404, "DENY_NO_ROUTE"),
        (get("/public/%2e%2e/secret", ""), 400, "DENY_MALFORMED_CLAIM"),
        (get("/public/a", "wcp-data-label: PUBLIC\r\nWCP-Data-Label: PUBLIC\r\n"), 400, "DENY_MALFORMED_CLAIM"),
        (get("/public/a", "wcp-data-label: public\r\n"), 400, "DENY_MALFORMED_CLAIM"),
        (get("/public/a", "wcp-data-label:\r\n"), 400, "DENY_MALFORMED_CLAIM"),
        (get("/public/a", "wcp-worker-id: a\tb\r\n"), 400, "DENY_MALFORMED_CLAIM"),
        (get("/public/a", &format!("wcp-worker-id: {}\r\n", "w".repeat(600))), 400, "DENY_MALFORMED_CLAIM"),
        (get("/public/a", "wcp-blast-score: many\r\n"), 400, "DENY_MALFORMED_CLAIM"),
        (get("/public/a", "wcp-capability: cap.data.write.v1\r\n"), 403, "DENY_CAPABILITY_NOT_ON_ROUTE"),
    ] {
        let response = ask(fixture.gate, &request).await;
        let body = problem(&response, status, code);
        let entry = fixture.entry("decision", body["decision_id"].as_str().unwrap()).await;
        assert_eq!(entry["deny_code"], code, "{request}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn who_is_not_known_is_not_recorded() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(Identity::Token, at(upstream.address))).await;
    let response = ask(fixture.gate, get("/public/a", "wcp-token: hst_wrong\r\n")).await;
    problem(&response, 401, "DENY_UNAUTHENTICATED");
    assert_eq!(response.header("www-authenticate"), Some("wcp-token realm=\"hallgate\""));
    assert!(!String::from_utf8_lossy(&response.body).contains("hst_wrong"));
    assert!(fixture.entries().is_empty());
    fixture.metric(r#"refusals_total{door="gate",code="DENY_UNAUTHENTICATED"} 1"#).await;
}

#[tokio::test]
async fn without_a_record_nothing_is_forwarded() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    fixture.break_ledger();
    for path in ["/public/a", "/secret/a", "/nowhere", "/public//a"] {
        let response = ask(fixture.gate, get(path, "")).await;
        problem(&response, 503, "DENY_AUDIT_UNAVAILABLE");
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_dry_run_is_answered_with_the_decision() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    for (path, denied) in [("/public/a", false), ("/secret/a", true)] {
        let response = ask(fixture.gate, get(path, "wcp-dry-run: true\r\n")).await;
        assert_eq!((response.status(), response.header("content-type")), (200, Some("application/json")));
        let body = response.json();
        assert_eq!(body["denied"], denied);
        let id = body["decision_id"].as_str().unwrap();
        assert_eq!(fixture.entry("decision", id).await["dry_run"], true);
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_upstream_that_fails_is_a_502_or_504_with_the_decision() {
    // Nobody listens where a listener was.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fixture = Fixture::start(fixture::settings(fixed(), at(gone))).await;
    let body = problem(&ask(fixture.gate, get("/public/a", "")).await, 502, "UPSTREAM_UNREACHABLE");
    let outcome = fixture.entry("outcome", body["decision_id"].as_str().unwrap()).await;
    assert_eq!(outcome["ending"], "upstream_failed");
    fixture.metric(r#"upstream_responses_total{upstream="u",status="failed"} 1"#).await;

    let broken = Upstream::script(|mut wire, _| async move {
        wire.message().await;
    })
    .await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(broken.address))).await;
    problem(&ask(fixture.gate, get("/public/a", "")).await, 502, "UPSTREAM_UNREACHABLE");

    let silent = Upstream::script(|mut wire, _| async move { while wire.more().await {} }).await;
    let mut to = at(silent.address);
    to.read_timeout = Duration::from_millis(200);
    let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
    let body = problem(&ask(fixture.gate, get("/public/a", "")).await, 504, "UPSTREAM_TIMEOUT");
    let outcome = fixture.entry("outcome", body["decision_id"].as_str().unwrap()).await;
    assert_eq!(outcome["ending"], "upstream_failed");
}

#[tokio::test]
async fn a_header_that_takes_forever_is_not_waited_for() {
    let upstream = Upstream::ok().await;
    let mut settings = fixture::settings(fixed(), at(upstream.address));
    settings.header_timeout = Duration::from_millis(300);
    let fixture = Fixture::start(settings).await;
    let mut wire = Wire::to(fixture.gate).await;
    let began = std::time::Instant::now();
    let mut slowly = get("/public/a", "").into_bytes().into_iter();
    let closed = loop {
        // Each byte is in time for a limit per read; all of them together are not.
        tokio::select! {
            closed = wire.closed() => break closed,
            () = tokio::time::sleep(Duration::from_millis(50)) => match slowly.next() {
                Some(byte) => wire.send([byte]).await,
                None => break false,
            },
        }
    };
    assert!(closed, "a slow header was read to its end");
    assert!(began.elapsed() < Duration::from_secs(2));
    // On the other listener not even a first byte is waited for.
    assert!(Wire::to(fixture.h2c).await.closed().await);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_answer_that_cannot_be_passed_on_says_what_is_wrong_with_it() {
    for (answer, why) in [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer coding"),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0"),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "not asked for"),
    ] {
        let upstream = Upstream::answering(answer).await;
        let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
        let body = problem(&ask(fixture.gate, get("/public/a", "")).await, 502, "UPSTREAM_MALFORMED");
        assert!(body["reason"].as_str().unwrap().contains(why), "{body}");
        let outcome = fixture.entry("outcome", body["decision_id"].as_str().unwrap()).await;
        assert_eq!(outcome["ending"], "upstream_failed");
    }
}
