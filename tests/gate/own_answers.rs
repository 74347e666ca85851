//! What the gate answers by itself: probes of its health and preflights of web pages; and which page may read what else it says.

use std::net::SocketAddr;

use bytes::Bytes;
use hallgate::proxy::Settings;
use hallgate::proxy::settings::Identity;
use http::Request;
use http_body_util::{BodyExt, Full};

use crate::fixture::{self, Fixture, TOKEN, at, fixed};
use crate::http2;
use crate::upstream::Upstream;
use crate::wire::{Message, Wire, ask, get};

const PAGE: &str = "https://app.example";

fn settings(identity: Identity, upstream: SocketAddr) -> Settings {
    let mut settings = fixture::settings(identity, at(upstream));
    settings.health_path = Some("/public/-/health".parse().unwrap());
    settings.cors_origins = vec![PAGE.parse().unwrap()];
    settings
}

fn preflight(path: &str, origin: &str, headers: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: {headers}\r\n\r\n"
    )
}

fn readable(answer: &Message) -> bool {
    answer.header("access-control-allow-origin") == Some(PAGE)
        && answer
            .headers
            .iter()
            .any(|(name, value)| name == "access-control-expose-headers" && value.contains("wcp-receipt"))
}

#[tokio::test]
async fn the_gates_health_is_told_to_anybody_and_nobody_else_is_asked() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(settings(Identity::Token, upstream.address)).await;
    let before = fixture.entries().len();
    let mut wire = Wire::to(fixture.gate).await;
    for path in ["/public/-/health", "/public/%2D/health", "/public/-/health/", "/public/-/health?from=lb"] {
        let answer = wire.ask(get(path, "")).await;
        assert_eq!((answer.status(), &*answer.body), (200, &b"ok\n"[..]), "{path}");
        assert_eq!(answer.header("wcp-decision-id"), None);
    }
    wire.send("HEAD /public/-/health HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(wire.head().await.unwrap().status(), 200);
    for method in ["POST", "DELETE", "OPTIONS"] {
        let answer =
            wire.ask(format!("{method} /public/-/health HTTP/1.1\r\nHost: h\r\nwcp-token: {TOKEN}\r\n\r\n")).await;
        assert_eq!((answer.status(), answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    assert_eq!(fixture.entries().len(), before);
    // What is unsound is nobody's probe, and the path has no more than its own.
    assert_eq!(wire.ask(get("/public/-/../-/health", "")).await.status(), 400);
    assert_eq!(ask(fixture.gate, get("/public/-/healthy", "")).await.status(), 401);
    assert_eq!(ask(fixture.gate, get("/public/-/health/x", "")).await.status(), 401);
    assert_eq!(upstream.seen().len(), 0);

    fixture.break_ledger();
    let answer = ask(fixture.gate, get("/public/-/health", "")).await;
    assert_eq!((answer.status(), &*answer.body), (503, &b"not ready\n"[..]));
}

#[tokio::test]
async fn a_listed_pages_preflight_needs_no_credential_and_goes_no_further() {
    let upstream = Upstream::ok().await;
    for identity in [Identity::Token, fixed()] {
        let known = identity != Identity::Token;
        let fixture = Fixture::start(settings(identity, upstream.address)).await;
        let before = fixture.entries().len();
        let mut wire = Wire::to(fixture.gate).await;
        for path in ["/public/a", "/get", "/nowhere"] {
            wire.send(preflight(path, PAGE, "Authorization,content-type,x-stainless-lang")).await;
            let answer = wire.head().await.unwrap();
            assert_eq!((answer.status(), answer.header("content-length")), (204, None));
            assert!(readable(&answer), "{answer:?}");
            assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
            let allowed = "authorization, content-type, x-stainless-lang";
            assert_eq!(answer.header("access-control-allow-headers"), Some(allowed));
            assert_eq!(answer.header("vary"), Some("origin"));
        }
        assert_eq!((fixture.entries().len(), upstream.seen().len()), (before, 0));
        let answer = wire.ask(preflight("/public/a", PAGE, "a b")).await;
        assert_eq!((answer.status(), readable(&answer)), (400, true));
        assert!(answer.json()["reason"].as_str().unwrap().contains("access-control-request-headers"));
        // Another page's is a request like any other.
        let answer = wire.ask(preflight("/get", "https://evil.example", "x-a")).await;
        assert_eq!(answer.status(), if known { 404 } else { 401 });
        assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (None, Some("origin")));
    }
}

/// Browsers speak HTTP/2 wherever they can.
#[tokio::test]
async fn by_http2_it_is_the_same() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(settings(Identity::Token, upstream.address)).await;
    let mut sender = http2::connect(fixture.h2c).await;
    let request = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(format!("http://gate.example{path}"));
        request.header("origin", PAGE).header("access-control-request-method", "PUT")
    };
    for (method, path, status) in [
        ("OPTIONS", "/public/a", 204),
        ("GET", "/public/-/health", 200),
        ("HEAD", "/public/-/health", 200),
        ("PUT", "/public/a", 401),
    ] {
        let answer = sender.send_request(request(method, path).body(Full::<Bytes>::from("")).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
        assert_eq!(answer.headers().get("access-control-allow-methods").is_some(), status == 204);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body == "ok\n", (method, status) == ("GET", 200), "{body:?}");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_listed_page_reads_every_answer() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\r\nok",
    )
    .await;
    let fixture = Fixture::start(settings(fixed(), upstream.address)).await;
    let page = format!("Origin: {PAGE}\r\n");
    for (path, status) in [("/public/a", 200), ("/secret/a", 403), ("/nowhere", 404), ("/public//a", 400)] {
        let answer = ask(fixture.gate, get(path, &page)).await;
        assert_eq!((answer.status(), readable(&answer)), (status, true), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        for other in ["", "Origin: https://evil.example\r\n", "Origin: null\r\n"] {
            let answer = ask(fixture.gate, get(path, other)).await;
            assert_eq!((answer.status(), answer.header("vary")), (status, Some("origin")));
            assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{answer:?}");
        }
    }
    // Neither does one that the upstream never gave.
    let fixture = Fixture::start(settings(fixed(), ([127, 0, 0, 1], 9).into())).await;
    let answer = ask(fixture.gate, get("/public/a", &page)).await;
    assert_eq!((answer.status(), readable(&answer)), (502, true));
}
