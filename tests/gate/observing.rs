//! Routes that only observe the policy: what it denies passes and says so, and what is no policy's to say is refused as anywhere.

use hallgate::proxy::Settings;
use hallgate::proxy::settings::Identity;

use crate::fixture::{self, CREDENTIAL, Fixture, at, fixed};
use crate::upstream::Upstream;
use crate::wire::{ask, get};

/// All routes observe until then.
fn observing(mut settings: Settings, until: i64) -> Settings {
    for route in &mut settings.routes {
        route.observed_until = Some(until);
    }
    settings
}

#[tokio::test]
async fn what_the_policy_denies_passes_with_a_permit_and_its_entry_says_so() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(observing(fixture::settings(fixed(), at(upstream.address)), i64::MAX)).await;
    for (path, outcome, code) in [
        ("/secret/a", "DENY", "DENY_NO_MATCHING_RULE"),
        ("/public/vault/1", "STEWARD_HOLD", "DENY_REQUIRES_HUMAN_APPROVAL"),
    ] {
        let response = ask(fixture.gate, get(path, "")).await;
        assert_eq!(response.status(), 200);
        let id = response.header("wcp-decision-id").unwrap();
        let entry = fixture.entry("decision", id).await;
        assert_eq!((&entry["outcome"], &entry["policy_decision"]), (&"DISPATCH".into(), &"ALLOW".into()));
        assert_eq!((&entry["would_be"]["outcome"], &entry["would_be"]["code"]), (&outcome.into(), &code.into()));
        assert!(entry["would_be"]["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{entry}");
        // Nobody has looked whether they are there.
        assert_eq!((entry.get("deny_code"), &entry["controls_verified"]), (None, &serde_json::json!([])));
        assert_eq!(fixture.entry("outcome", id).await["status"], 200);
        let metric = format!(r#"observed_total{{verdict="{outcome}",code="{code}",capability="cap.data.read.v1"}} 1"#);
        fixture.metric(&metric).await;
    }
    assert_eq!(upstream.seen().len(), 2);
    assert!(upstream.seen().iter().all(|seen| seen.header("authorization") == Some(CREDENTIAL)));
    // What is allowed anyway says nothing of it.
    let response = ask(fixture.gate, get("/public/a", "")).await;
    let entry = fixture.entry("decision", response.header("wcp-decision-id").unwrap()).await;
    assert_eq!((response.status(), entry.get("would_be")), (200, None));

    let response = ask(fixture.gate, get("/secret/a", "wcp-dry-run: true\r\n")).await;
    let (body, seen) = (response.json(), upstream.seen().len());
    assert_eq!((response.status(), &body["denied"], seen), (200, &false.into(), 3));
    assert_eq!(body["would_be"]["code"], "DENY_NO_MATCHING_RULE");
}

#[tokio::test]
async fn after_its_date_a_route_enforces() {
    let upstream = Upstream::ok().await;
    let settings = observing(fixture::settings(fixed(), at(upstream.address)), hallgate::clock::now_micros());
    let fixture = Fixture::start(settings).await;
    let response = ask(fixture.gate, get("/secret/a", "")).await;
    assert_eq!((response.status(), &response.json()["code"]), (403, &"DENY_NO_MATCHING_RULE".into()));
    assert!(upstream.seen().is_empty());
}

/// Those that the engine says are in `src/engine/gates/tests/observing.rs`, those of rates and of too much to do in `tests/limits.rs`
/// and `src/hall/limits/tests.rs`.
#[tokio::test]
async fn what_is_no_policys_to_say_is_refused_as_anywhere() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(observing(fixture::settings(fixed(), at(upstream.address)), i64::MAX)).await;
    for (request, status, code) in [
        (get("/nowhere", ""), 404, "DENY_NO_ROUTE"),
        (get("/secret/a", "wcp-data-label: public\r\n"), 400, "DENY_MALFORMED_CLAIM"),
        (get("/secret/a", "wcp-capability: cap.data.write.v1\r\n"), 403, "DENY_CAPABILITY_NOT_ON_ROUTE"),
        (get("/secret/a", "wcp-blast-score: 101\r\n"), 403, "DENY_INVALID_INPUT"),
    ] {
        let response = ask(fixture.gate, &request).await;
        assert_eq!((response.status(), &response.json()["code"]), (status, &code.into()), "{request}");
    }
    fixture.hall.go_offline("ops".parse().unwrap()).await.unwrap();
    let response = ask(fixture.gate, get("/secret/a", "")).await;
    assert_eq!((response.status(), &response.json()["code"]), (503, &"DENY_HALL_OFFLINE".into()));
    fixture.hall.go_online("ops".parse().unwrap()).await.unwrap();
    fixture.break_ledger();
    let response = ask(fixture.gate, get("/secret/a", "")).await;
    assert_eq!((response.status(), &response.json()["code"]), (503, &"DENY_AUDIT_UNAVAILABLE".into()));

    let settings = observing(fixture::settings(Identity::Token, at(upstream.address)), i64::MAX);
    let fixture = Fixture::start(settings).await;
    let response = ask(fixture.gate, get("/secret/a", "wcp-token: hst_wrong\r\n")).await;
    assert_eq!((response.status(), &response.json()["code"]), (401, &"DENY_UNAUTHENTICATED".into()));
    // The worker of this token is not enrolled.
    let response = ask(fixture.gate, get("/secret/a", "wcp-token: hst_secret_of_b\r\n")).await;
    assert_eq!((response.status(), &response.json()["code"]), (403, &"DENY_WORKER_NOT_ENROLLED".into()));
    assert!(upstream.seen().is_empty());
}
