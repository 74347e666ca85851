//! Nasty requests as raw bytes: each is refused, or arrives upstream as exactly the path that a route matched.

use hallgate::ids::DataLabel;
use hallgate::proxy::settings::Route;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::fixture::{self, Fixture, at, fixed};
use crate::upstream::Upstream;
use crate::wire::{PATIENCE, Wire, get};

#[tokio::test]
async fn a_target_is_refused_or_forwarded_as_it_was_matched() {
    let upstream = Upstream::ok().await;
    let mut settings = fixture::settings(fixed(), at(upstream.address));
    let like = settings.routes[0].clone();
    settings.routes.extend(["/slash/a/get", "/slash/*:get", "/slash/*"].map(|path| Route {
        path: path.parse().unwrap(),
        keeps_encoded_slash: path == "/slash/*",
        data_label: if path == "/slash/a/get" { DataLabel::Internal } else { DataLabel::Public },
        ..like.clone()
    }));
    let fixture = Fixture::start(settings).await;
    for (target, arrives) in [
        ("/public/a", Some("/public/a")),
        ("/%70ublic/%61", Some("/public/a")),
        ("/public/a%2Eb%7e", Some("/public/a.b~")),
        // What a `*` covers may be signed: its spelling stays.
        ("/public/%e2%82%ac%20x%3A0%3a%40", Some("/public/%e2%82%ac%20x%3A0%3a%40")),
        ("/public/a%2fb", None),
        ("/public%2fa", None),
        ("/slash/arn%3Aaws%2fx/y", Some("/slash/arn%3Aaws%2fx/y")),
        ("/slash/..%2f..%2fsecret", None),
        ("/slash/%2fsecret", None),
        ("/slash/a%252fb", None),
        // To a reader that takes it for a slash this is another route's.
        ("/slash/a%2Fget", None),
        ("/slash/x:get", Some("/slash/x:get")),
        ("/slash/x%3Aget", Some("/slash/x:get")),
        ("/public/a?/../admin/%2e%2e&b=%2F", Some("/public/a?/../admin/%2e%2e&b=%2F")),
        ("/public/a#/../../secret", Some("/public/a")),
        ("/public/...", Some("/public/...")),
        // To any reader these might be, or once have been, /secret.
        ("/public/../secret/a", None),
        ("/public/./a", None),
        ("/public/..", None),
        ("/public/%2e%2e/secret/a", None),
        ("/public/.%2E/secret/a", None),
        ("/public/..%2fsecret/a", None),
        ("/public/..%5csecret", None),
        ("/public/..\\secret", None),
        ("/public/..;/secret/a", None),
        ("/public/;/../secret", None),
        ("/public/%252e%252e/secret", None),
        ("/public/%c0%ae%c0%ae/secret", None),
        ("/public/%00/secret", None),
        ("/public/%0d%0aHost:x", None),
        ("/public/%", None),
        ("/public/%2", None),
        ("/public/%u002e%u002e", None),
        ("/public/a b", None),
        ("//public/a", None),
        ("/public//secret", None),
        ("/public/\u{e9}", None),
        ("http://gate.example/public/a", None),
        ("http://gate.example", None),
        ("*", None),
        ("public/a", None),
        ("?public", None),
        ("gate.example:80", None),
    ] {
        let before = upstream.seen().len();
        let mut wire = Wire::to(fixture.gate).await;
        let response = wire.ask(get(target, "")).await;
        let seen = upstream.seen();
        match arrives {
            Some(path) => {
                assert_eq!(response.status(), 200, "{target}");
                assert_eq!(seen.last().unwrap().target(), path, "{target}");
                let id = response.header("wcp-decision-id").unwrap();
                let recorded = fixture.entry("decision", id).await;
                let decoded =
                    |path: &str| percent_encoding::percent_decode_str(path).decode_utf8().unwrap().into_owned();
                let recorded = recorded["http"]["path"].as_str().map(decoded);
                assert_eq!(recorded, path.split('?').next().map(decoded), "{target}");
            }
            None => {
                assert!(matches!(response.status(), 400 | 404), "{target}: {response:?}");
                assert_eq!(seen.len(), before, "{target} was forwarded");
            }
        }
    }
}

#[tokio::test]
async fn requests_that_two_readers_could_frame_differently_are_refused() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let target = "/public/a HTTP/1.1\r\n";
    for request in [
        format!("TRACE {target}Host: h\r\n\r\n"),
        "CONNECT gate.example:80 HTTP/1.1\r\nHost: gate.example:80\r\n\r\n".to_owned(),
        format!("GET {target}\r\n"),
        format!("GET {target}Host:\r\n\r\n"),
        format!("GET {target}Host: a\r\nHost: b\r\n\r\n"),
        format!("GET {target}Host: a\r\nHost: a\r\n\r\n"),
        format!("GET {target}Host: u@h\r\n\r\n"),
        format!("GET {target}Host: h\r\nConnection: close, wcp-worker-id\r\n\r\n"),
        format!("GET {target}Host: h\r\nConnection: authorization\r\n\r\n"),
        format!("GET {target}Host: h\r\nConnection: upgrade, authorization\r\nUpgrade: h2c\r\n\r\n"),
        format!("GET {target}Host: h\r\nX-HTTP-Method-Override: DELETE\r\n\r\n"),
        format!("GET {target}Host: h\r\nwcp_worker_id: w\r\n\r\n"),
        format!("GET {target}Host: h\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
    ] {
        let response = Wire::to(fixture.gate).await.ask(&request).await;
        assert!(matches!(response.status(), 400 | 405), "{request:.200}: {response:?}");
        assert!(upstream.seen().is_empty(), "{request:.200} was forwarded");
    }
    // Behind these nobody knows where the next request begins: the connection ends, and what follows is not looked at.
    for head in [
        "GET /public/a HTTP/1.1\r\nHost: h\nX: y",
        "GET /public/a HTTP/1.1\r\nHost: h\r\nX: y\n",
        "GET /public/a HTTP/1.1\nHost: h",
        "GET /public/a HTTP/1.1\r\nHost: h\r\n X: folded",
        "GET /public/a HTTP/1.1\r\nHost: h\r\nX : y",
        "GET  /public/a HTTP/1.1\r\nHost: h",
        "GET /public/a  HTTP/1.1\r\nHost: h",
        "GET /public/a b HTTP/1.1\r\nHost: h",
        "POST /public/a HTTP/1.1\r\nHost: h\nContent-Length: 3",
        "POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1",
        "POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1",
        "POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: +1",
        "POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2",
        "POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nTransfer-Encoding: chunked",
        "POST /public/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "POST /public/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked",
        "POST /public/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity",
        "POST /public/a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked",
        "GET /public/a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1",
        "GET /public/a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked",
    ] {
        let mut wire = Wire::to(fixture.gate).await;
        wire.send(format!("{head}\r\n\r\n0\r\n\r\n{}", get("/public/smuggled", ""))).await;
        let response = wire.message().await.unwrap();
        assert_eq!((response.status(), response.header("connection")), (400, Some("close")), "{head}: {response:?}");
        assert!(wire.closed().await, "{head}: the connection goes on");
        assert!(upstream.seen().is_empty(), "{head} was forwarded");
    }
    // One that does not end is not waited for.
    let mut wire = Wire::to(fixture.gate).await;
    let endless = format!("GET {target}Host: h\r\n{}", format!("X: {}\r\n", "x".repeat(1000)).repeat(90));
    assert_eq!(wire.ask(endless).await.status(), 400);
    assert!(wire.closed().await);
    // Empty lines before a request are passed over.
    assert_eq!(Wire::to(fixture.gate).await.ask(format!("\r\n\r\n{}", get("/public/a", ""))).await.status(), 200);
    // What HTTP/1.0 may leave out it may leave out.
    assert_eq!(Wire::to(fixture.gate).await.ask("GET /public/a HTTP/1.0\r\n\r\n").await.status(), 200);
}

#[tokio::test]
async fn what_is_malformed_is_refused_in_its_turn() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let chunked = "POST /public/b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n;\r\n";
    for behind in [chunked, "GET /public/b HTTP/1.1\nHost: h\r\n\r\n"] {
        let before = upstream.seen().len();
        let mut wire = Wire::to(fixture.gate).await;
        wire.send(get("/public/a", "") + behind).await;
        assert_eq!(wire.message().await.unwrap().status(), 200, "{behind}");
        let answer = wire.message().await.unwrap();
        assert_eq!((answer.status(), answer.header("connection")), (400, Some("close")), "{behind}");
        assert!(wire.closed().await);
        assert_eq!(upstream.seen().len(), before + 1, "{behind}");
    }
    // Nor is the one before it blamed for what is behind it.
    let gone = Fixture::start(fixture::settings(fixed(), fixture::upstream("127.0.0.1", 1))).await;
    let answer = Wire::to(gone.gate).await.ask(get("/public/a", "") + chunked).await;
    assert_eq!((answer.status(), &answer.json()["code"]), (502, &"UPSTREAM_UNREACHABLE".into()));
}

#[tokio::test]
async fn a_body_that_two_readers_could_frame_differently_is_not_forwarded_to_its_end() {
    let (tell, mut whole) = mpsc::unbounded_channel();
    let upstream = Upstream::script(move |mut wire, _| {
        let tell = tell.clone();
        async move {
            wire.head().await;
            // To the end of the connection, that is.
            while wire.more().await {}
            tell.send(wire.ahead().to_vec()).unwrap();
        }
    })
    .await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let smuggled = get("/public/smuggled", "");
    for chunk in
        ["\r\n\r\n", ";\r\n", ";x\r\n\r\n", " \r\n\r\n", "5;a\nb\r\n", "5;\0\r\n", "0;\nX\r\n\r\n", "5 \r\n", "5\n"]
    {
        let mut wire = Wire::to(fixture.gate).await;
        wire.send("POST /public/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
        wire.send(format!("{chunk}hello\r\n0\r\n\r\n{smuggled}")).await;
        let response = wire.message().await.unwrap();
        assert_eq!((response.status(), response.header("connection")), (400, Some("close")), "{chunk:?}: {response:?}");
        assert_eq!(response.json()["code"], "REQUEST_BROKEN");
        assert!(wire.closed().await, "{chunk:?}: the connection goes on");
        let got = timeout(PATIENCE, whole.recv()).await.expect("the upstream is not told").unwrap();
        // Without an end, and without a byte of what is not clear.
        assert!(b"2\r\nhi\r\n".starts_with(&got), "{chunk:?}: {}", got.escape_ascii());
        let id = response.header("wcp-decision-id").unwrap();
        assert_eq!(fixture.entry("outcome", id).await["ending"], "aborted");
    }
}
