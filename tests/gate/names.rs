//! Names in other spellings: what could be taken for a header of ours or of the upstream's never gets there beside it.

use hallgate::proxy::settings::{Identity, TrustedHeaders};

use crate::fixture::{self, CREDENTIAL, Fixture, TENANT, WORKER, at, fixed};
use crate::upstream::Upstream;
use crate::wire::{Message, ask, get};

/// Every character of a name that is neither letter nor digit, twice over: two marks differ.
const MARKS: &[u8] = b"!#$%&'*+-.^_`|~-_.";

/// A name with each of these marks in the place of its first `-`, and the next one in the place of all others.
fn spellings(name: &str) -> impl Iterator<Item = String> {
    let name = name.to_owned();
    MARKS.windows(2).map(move |marks| {
        let mut left = name.splitn(2, '-');
        let (first, rest) = (left.next().unwrap(), left.next().unwrap_or_default());
        format!(
            "{first}{}{}",
            char::from(marks[0]),
            rest.replace('-', &char::from(marks[1]).to_string()).to_uppercase()
        )
    })
}

fn forged(got: &Message) -> bool {
    format!("{got:?}").contains("forged")
}

#[tokio::test]
async fn no_spelling_of_what_is_ours_reaches_an_upstream() {
    let upstream = Upstream::ok().await;
    let mut to = at(upstream.address);
    to.headers.push(("x-api-key".parse().unwrap(), "k".parse().unwrap()));
    let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
    for name in ["x-api-key", "x-goog-api-key", "proxy-authorization", "x-forwarded-for", "x-real-ip", "client-cert"] {
        let headers: String = spellings(name).map(|name| format!("{name}: forged\r\n")).collect();
        assert_eq!(ask(fixture.gate, get("/public/a", &headers)).await.status(), 200, "{name}");
    }
    let proxys = "Proxy: http://forged\r\nForwarded: for=forged\r\nX-Forwarded-Prefix: /forged\r\nX-Host: forged\r\n";
    assert_eq!(ask(fixture.gate, get("/public/a", proxys)).await.status(), 200);
    for got in upstream.seen() {
        assert!(!forged(&got), "{got:?}");
        assert_eq!((got.header("authorization"), got.header("x-api-key")), (Some(CREDENTIAL), Some("k")));
    }
    assert_eq!(upstream.seen().len(), 7);
}

#[tokio::test]
async fn what_another_could_read_as_a_claim_a_length_or_a_path_is_refused() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    for (name, value) in [
        ("wcp-worker-id", "wrk_other"),
        ("wcp-decision-id", "00000000-0000-7000-8000-000000000000"),
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/secret/a"),
    ] {
        let sound = |spelling: &String| spelling.eq_ignore_ascii_case(name);
        for name in spellings(name).filter(|spelling| !sound(spelling)) {
            let answer = ask(fixture.gate, get("/public/a", &format!("{name}: {value}\r\n"))).await;
            assert_eq!(answer.status(), 400, "{name}");
            let reason = answer.json()["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains(&name.to_lowercase()), "{reason}");
        }
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_claim_that_there_is_none_of_is_refused_by_name() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let answer = ask(fixture.gate, get("/public/a", "WCP-Label: RESTRICTED\r\n")).await;
    assert_eq!(answer.status(), 400);
    let reason = answer.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("wcp-label is not a claim") && reason.contains("wcp-data-label"), "{reason}");
    assert!(upstream.seen().is_empty());
    // What another gate before this one said of its own decision.
    let chained = "wcp-decision-id: forged\r\nwcp-artifact-hash: forged\r\nwcp-receipt: forged\r\nwcp-code: forged\r\n";
    assert_eq!(ask(fixture.gate, get("/public/a", chained)).await.status(), 200);
    assert!(!forged(&upstream.only()));
}

#[tokio::test]
async fn an_identity_has_one_spelling() {
    let upstream = Upstream::ok().await;
    let identity = Identity::TrustedHeaders(TrustedHeaders {
        peers: vec!["127.0.0.0/8".parse().unwrap()],
        worker: "x-auth-worker".parse().unwrap(),
        tenant: "x-auth-tenant".parse().unwrap(),
    });
    let fixture = Fixture::start(fixture::settings(identity, at(upstream.address))).await;
    let proved = format!("X-Auth-Worker: {WORKER}\r\nX-Auth-Tenant: {TENANT}\r\n");
    for spelling in spellings("x-auth-worker").filter(|spelling| !spelling.eq_ignore_ascii_case("x-auth-worker")) {
        let answer = ask(fixture.gate, get("/public/a", &format!("{proved}{spelling}: wrk_forged\r\n"))).await;
        assert_eq!(answer.status(), 400, "{spelling}");
    }
    assert_eq!(ask(fixture.gate, get("/public/a", &proved)).await.status(), 200);
    assert_eq!(upstream.only().header("x-auth-worker"), None);
}

#[tokio::test]
async fn a_method_is_in_upper_case_and_not_long() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let request = |method: &str| format!("{method} /public/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    for method in ["delete", "Get", "pOST", &"X".repeat(33), &"X".repeat(60_000)] {
        let answer = ask(fixture.gate, request(method)).await;
        assert_eq!(answer.status(), 400, "{}", method.len());
        assert!(answer.body.len() < 2000);
    }
    assert!(upstream.seen().is_empty());
    assert!(fixture.entries().iter().all(|entry| entry.to_string().len() < 2000));
    assert_eq!(ask(fixture.gate, request("PROPFIND")).await.status(), 200);
}
