//! What is forwarded: with whose identity, under which headers, and what is left on record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hallgate::proxy;
use hallgate::proxy::settings::Identity;

use crate::fixture::{self, CREDENTIAL, Fixture, TENANT, TOKEN, WORKER, at, fixed};
use crate::upstream::Upstream;
use crate::wire::{Wire, ask, get};

#[tokio::test]
async fn an_allowed_request_is_forwarded_under_its_decision() {
    let upstream = Upstream::answering(
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nWcp-Receipt: forged\r\nwcp-else: x\r\nKeep-Alive: timeout=5\r\nX-Own: 1\r\n\r\nok",
    )
    .await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let request = "POST /public/things?q=%2F..&r HTTP/1.1\r\nHost: Gate.Example:8080\r\nContent-Length: 5\r\n\
        WCP-Correlation-Id: c-1\r\nAuthorization: Bearer mine\r\nX-Other: 2\r\n\r\nhello";
    let response = ask(fixture.gate, request).await;

    assert_eq!((response.status(), &*response.body), (201, &b"ok"[..]));
    let id = response.header("wcp-decision-id").unwrap().to_owned();
    assert_eq!(response.header("wcp-receipt").map(str::len), Some(64));
    assert_eq!(
        (response.header("x-own"), response.header("wcp-else"), response.header("keep-alive")),
        (Some("1"), None, None)
    );

    let got = upstream.only();
    assert_eq!(got.first, "POST /public/things?q=%2F..&r HTTP/1.1");
    assert_eq!(got.body, b"hello");
    assert_eq!(got.header("host"), Some(&*upstream.address.to_string()));
    assert_eq!(got.header("authorization"), Some(CREDENTIAL));
    assert_eq!(got.header("x-other"), Some("2"));
    assert_eq!(got.header("wcp-decision-id"), Some(&*id));
    assert_eq!((got.header("wcp-artifact-hash"), got.header("wcp-correlation-id")), (None, Some("c-1")));

    let decision = fixture.entry("decision", &id).await;
    assert_eq!(decision["outcome"], "DISPATCH");
    assert_eq!((&decision["worker_id"], &decision["tenant_id"]), (&WORKER.into(), &TENANT.into()));
    assert_eq!(decision["http"]["path"], "/public/things");
    let outcome = fixture.entry("outcome", &id).await;
    assert_eq!(outcome["ending"], "complete");
    assert_eq!(
        (&outcome["status"], &outcome["request_bytes"], &outcome["response_bytes"]),
        (&201.into(), &5.into(), &2.into())
    );
    fixture.metric(r#"upstream_responses_total{upstream="u",status="201"} 1"#).await;
    fixture.metric("exchanges_in_flight 0").await;
}

#[tokio::test]
async fn an_upstream_is_told_as_much_of_a_decision_as_it_is_to_be() {
    for (told_all, correlation, told) in [
        (false, "", None),
        (false, "wcp-correlation-id: c-7\r\n", Some("c-7")),
        // One that only the decision has.
        (false, "x-request-id: r-1\r\n", None),
        (true, "x-request-id: r-1\r\n", Some("r-1")),
        (true, "wcp-correlation-id: c-7\r\nx-request-id: r-1\r\n", Some("c-7")),
    ] {
        let upstream = Upstream::ok().await;
        let to = proxy::settings::Upstream { told_all, ..at(upstream.address) };
        let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
        let response = ask(fixture.gate, get("/public/a", correlation)).await;
        let (id, got) = (response.header("wcp-decision-id").unwrap().to_owned(), upstream.only());
        assert_eq!(got.header("wcp-decision-id"), Some(&*id));
        assert_eq!(got.header("wcp-correlation-id"), told, "{correlation}");
        let hash = fixture.entry("decision", &id).await["artifact_hash"].as_str().map(str::to_owned);
        assert_eq!(got.header("wcp-artifact-hash").map(str::to_owned), hash.filter(|_| told_all));
    }
}

#[tokio::test]
async fn claims_and_credentials_never_reach_the_upstream() {
    let upstream = Upstream::ok().await;
    let mut to = at(upstream.address);
    to.headers.push(("x-api-key".parse().unwrap(), "k".parse().unwrap()));
    let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
    let headers = "wcp-decision-id: forged\r\nWCP-Artifact-Hash: forged\r\nwcp-token: hst_mine\r\nwcp-worker-id: wrk_other\r\n\
        wcp-tenant-id: org.other\r\nwcp-env: dev\r\nwcp-qos-class: P1\r\nwcp-receipt: 1\r\nwcp-receipt: 2\r\n\
        X_Api-Key: forged\r\nX-Api-Key: forged\r\n";
    let response = ask(fixture.gate, get("/public/a", headers)).await;
    assert_eq!(response.status(), 200);
    let got = upstream.only();
    let ours: Vec<_> =
        got.headers.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("wcp")).collect();
    assert_eq!(ours, ["wcp-decision-id"], "{got:?}");
    assert!(!format!("{got:?}").contains("forged"), "{got:?}");
    assert!(!format!("{got:?}").contains("hst_mine"));
    assert_eq!(got.header("x-api-key"), Some("k"));
    // A fixed identity believes no claim.
    let decision = fixture.entry("decision", response.header("wcp-decision-id").unwrap()).await;
    assert_eq!((&decision["worker_id"], &decision["tenant_id"]), (&WORKER.into(), &TENANT.into()));
    assert_eq!(decision["env"], "prod");
}

#[tokio::test]
async fn where_the_gate_holds_a_credential_no_other_gets_there() {
    // SDKs change the header that they send a key in, and send it in two.
    const APPS: &str = "Authorization: Bearer mine\r\nApi-Key: mine\r\nX-Goog-Api-Key: mine\r\nApiKey: mine\r\n\
        X_Goog_Api_Key: mine\r\nProxy-Authorization: Basic mine\r\nCookie: shop=1\r\n";
    for (ours, passes) in [(Some("x-api-key"), false), (Some("x-region"), true), (None, true)] {
        let upstream = Upstream::ok().await;
        let mut to = at(upstream.address);
        to.headers = ours.map(|name| (name.parse().unwrap(), "ours".parse().unwrap())).into_iter().collect();
        let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
        assert_eq!(ask(fixture.gate, get("/public/a", APPS)).await.status(), 200);
        let got = upstream.only();
        let mine = got.headers.iter().filter(|(_, value)| value.contains("mine")).count();
        assert_eq!(mine, if passes { 5 } else { 0 }, "{ours:?}: {got:?}");
        assert_eq!(got.header("authorization").is_some(), passes, "{ours:?}");
        assert_eq!((got.header("proxy-authorization"), got.header("cookie")), (None, Some("shop=1")), "{ours:?}");
        assert_eq!(ours.and_then(|name| got.header(name)), ours.map(|_| "ours"));
    }
}

#[tokio::test]
async fn a_key_in_the_query_or_a_subprotocol_does_not_get_there_beside_ours() {
    let upstream = Upstream::ok().await;
    let mut to = at(upstream.address);
    to.headers = vec![("x-goog-api-key".parse().unwrap(), "ours".parse().unwrap())];
    let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
    let apps = "Ocp-Apim-Subscription-Key: mine\r\nX-Functions-Key: mine\r\n\
        Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.mine\r\nIdempotency-Key: kept\r\n";
    for (asked, got) in [
        ("/public/m?alt=sse&key=mine", "/public/m?alt=sse"),
        ("/public/m?%6bey=mine&a=%2F+;b", "/public/m?a=%2F+;b"),
        ("/public/%61?api_key=mine", "/public/a"),
        ("/public/m?keys=kept", "/public/m?keys=kept"),
    ] {
        assert_eq!(ask(fixture.gate, get(asked, apps)).await.status(), 200, "{asked}");
        let last = upstream.seen().pop().unwrap();
        assert_eq!(last.target(), got);
        assert!(!format!("{last:?}").contains("mine"), "{last:?}");
        assert_eq!(last.header("sec-websocket-protocol"), Some("realtime"));
        assert_eq!((last.header("x-goog-api-key"), last.header("idempotency-key")), (Some("ours"), Some("kept")));
    }
}

#[tokio::test]
async fn a_token_says_who_asks() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(Identity::Token, at(upstream.address))).await;
    let status = async |headers: &str| ask(fixture.gate, get("/public/a", headers)).await.status();

    let response = ask(fixture.gate, get("/public/a", &format!("wcp-token: {TOKEN}\r\n"))).await;
    assert_eq!(response.status(), 200);
    let decision = fixture.entry("decision", response.header("wcp-decision-id").unwrap()).await;
    assert_eq!(decision["token"], "a");
    assert_eq!((&decision["worker_id"], &decision["tenant_id"]), (&WORKER.into(), &TENANT.into()));
    assert_eq!(
        status(&format!("wcp-token: {TOKEN}\r\nwcp-worker-id: {WORKER}\r\nwcp-tenant-id: {TENANT}\r\n")).await,
        200
    );
    // Outside of what the token is bound to.
    assert_eq!(status(&format!("wcp-token: {TOKEN}\r\nwcp-worker-id: wrk_b\r\n")).await, 403);
    assert_eq!(status(&format!("wcp-token: {TOKEN}\r\nwcp-tenant-id: org.other\r\n")).await, 403);
    // Its worker is not enrolled.
    assert_eq!(status("wcp-token: hst_secret_of_b\r\n").await, 403);
    for nobody in [
        "",
        "wcp-token: hst_wrong\r\n",
        "wcp-token: hst_secret_of_reader\r\n",
        "authorization: Bearer hst_secret_of_a\r\n",
    ] {
        assert_eq!(status(nobody).await, 401, "{nobody}");
    }
    assert_eq!(upstream.seen().len(), 2);
    assert!(upstream.seen().iter().all(|got| got.header("wcp-token").is_none()));
}

#[tokio::test]
async fn a_label_is_only_raised_and_a_capability_only_chosen() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let decided = async |path: &str, headers: &str| {
        let response = ask(fixture.gate, get(path, headers)).await;
        let id = response.header("wcp-decision-id").unwrap();
        (response.status(), fixture.entries().into_iter().find(|entry| entry["receipt_id"] == id).unwrap())
    };
    let (status, entry) = decided("/choose/a", "wcp-capability: cap.data.write.v1\r\nwcp-data-label: PUBLIC\r\n").await;
    assert_eq!(
        (status, &entry["data_label"], &entry["capability_id"]),
        (200, &"INTERNAL".into(), &"cap.data.write.v1".into())
    );
    let (status, entry) = decided("/public/a", "wcp-data-label: CONFIDENTIAL\r\n").await;
    assert_eq!((status, &entry["data_label"]), (200, &"CONFIDENTIAL".into()));
    let (status, entry) = decided("/public/a", "wcp-data-label: SECRET\r\n").await;
    assert_eq!(
        (status, &entry["data_label"], &entry["deny_code"]),
        (403, &"RESTRICTED".into(), &"DENY_NO_MATCHING_RULE".into())
    );
    for headers in ["", "wcp-capability: cap.ml.infer\r\n"] {
        let (status, entry) = decided("/choose/a", headers).await;
        assert_eq!((status, &entry["deny_code"]), (403, &"DENY_CAPABILITY_NOT_ON_ROUTE".into()));
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_base_path_goes_before_the_path_that_was_matched() {
    let upstream = Upstream::ok().await;
    let mut to = at(upstream.address);
    to.base_path = "/api/v2".to_owned();
    let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
    for (asked, got) in [
        ("/public/a?x=1", "/api/v2/public/a?x=1"),
        ("/public/%61%2e", "/api/v2/public/a."),
        ("/public/?", "/api/v2/public/?"),
    ] {
        assert_eq!(ask(fixture.gate, get(asked, "")).await.status(), 200);
        assert_eq!(upstream.seen().last().unwrap().target(), got);
    }
}

#[tokio::test]
async fn a_connection_goes_on_after_answers_of_every_kind() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let mut wire = Wire::to(fixture.gate).await;
    let post = "POST /secret/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    for _ in 0..2 {
        assert_eq!(wire.ask(get("/secret/a", "")).await.status(), 403);
        assert_eq!(wire.ask(post).await.status(), 403);
        assert_eq!(wire.ask(get("/nowhere", "")).await.status(), 404);
        assert_eq!(wire.ask(get("/public//a", "")).await.status(), 400);
        assert_eq!(wire.ask(get("/public/a", "wcp-dry-run: true\r\n")).await.status(), 200);
        assert_eq!(wire.ask(get("/public/a", "")).await.status(), 200);
    }
    assert_eq!(upstream.seen().len(), 2);
    // A caller that says so is let go.
    let last = wire.ask(get("/public/a", "Connection: close\r\n")).await;
    assert_eq!(last.header("connection"), Some("close"));
    assert!(wire.closed().await);
}

#[tokio::test]
async fn requests_that_are_sent_early_are_answered_in_order() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let mut wire = Wire::to(fixture.gate).await;
    let all =
        [get("/public/1", ""), get("/secret/2", ""), get("/public/3", ""), get("/nowhere", ""), get("/public/5", "")];
    wire.send(all.concat()).await;
    let mut ids = Vec::new();
    for status in [200, 403, 200, 404, 200] {
        let response = wire.message().await.unwrap();
        assert_eq!(response.status(), status);
        ids.push(response.header("wcp-decision-id").unwrap().to_owned());
    }
    let targets: Vec<_> = upstream.seen().iter().map(|got| got.target().to_owned()).collect();
    assert_eq!(targets, ["/public/1", "/public/3", "/public/5"]);
    for (n, kind) in [(0, "outcome"), (1, "decision"), (2, "outcome"), (4, "outcome")] {
        fixture.entry(kind, &ids[n]).await;
    }
    let outcomes =
        fixture.entries().iter().filter(|entry| entry["kind"] == "outcome" && entry["ending"] == "complete").count();
    assert_eq!(outcomes, 3);
}

#[tokio::test]
async fn a_connection_that_the_upstream_soon_closes_is_not_used_again() {
    for (answer, connections) in [
        ("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok", 3),
        ("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nContent-Length: 2\r\n\r\nok", 2),
    ] {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let upstream = Upstream::script(move |mut wire, seen| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                while let Some(request) = wire.message().await {
                    seen.lock().unwrap().push(request);
                    wire.send(answer).await;
                }
            }
        });
        let upstream = upstream.await;
        let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
        for _ in 0..3 {
            assert_eq!(ask(fixture.gate, get("/public/a", "")).await.status(), 200);
            // Longer than the first connection waits, of which nothing is known when it is made, and shorter than four seconds.
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
        assert_eq!(opened.load(Ordering::Relaxed), connections, "{answer}");
    }
}
