//! Whatever the registry does: decisions go on by its last good answers, then deny where its word is needed, and recover by themselves.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::until;

use crate::fixture::{Fixture, KEY, LOCAL, NAMESPACED, TOKEN};
use crate::registry::{Registry, Way};

const MAX_STALE: Duration = Duration::from_secs(5);

/// Goes that way, and back. `result` is what the rounds count as meanwhile.
fn survives(way: Way, result: &str) {
    let registry = Registry::start(&[NAMESPACED, LOCAL]);
    let process = Fixture::asking(&registry.url(), "5s").serve();
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
    let healthy = process.readyz();
    assert_eq!((&healthy["registry"]["error"], &healthy["registry"]["url"]), (&Value::Null, &json!(registry.url())));

    registry.goes(way);
    let began = Instant::now();
    let rounds = format!("hallgate_registry_refreshes_total{{result=\"{result}\"}}");
    until(|| process.metric(&rounds) >= 1.0);
    let verdict = process.verdict(NAMESPACED, "prod");
    // An answer from just before may have been a refresh old.
    if began.elapsed() < MAX_STALE - Duration::from_secs(2) {
        assert_eq!(verdict, "ALLOWED", "the last good answer counts");
    }
    until(|| process.readyz()["registry"]["error"].is_string());
    until(|| process.verdict(NAMESPACED, "prod") == "DENY_REGISTRY_UNAVAILABLE");
    // The last answer was a refresh old when this began, or a little more on a busy machine.
    assert!(began.elapsed() > Duration::from_secs(1), "sooner than it is too old: {:?}", began.elapsed());
    assert!(began.elapsed() < MAX_STALE * 4, "later than it may be: {:?}", began.elapsed());
    assert_eq!(process.verdict(NAMESPACED, "edge"), "DENY_REGISTRY_UNAVAILABLE");
    assert_eq!(process.verdict(NAMESPACED, "dev"), "ALLOWED");
    assert_eq!(process.verdict(LOCAL, "prod"), "ALLOWED");
    assert_eq!(process.through().0, 200);
    let ready = process.readyz();
    assert_eq!((&ready["ready"], &ready["registry"]["unverified_workers"]), (&json!(true), &json!(1)), "{ready}");
    assert_eq!(process.metric("hallgate_registry_unverified_workers"), 1.0);
    assert!(process.metric("hallgate_registry_answer_age_seconds") >= 3.0);
    let (_, list) = process.call("GET", "/wcp/registry/ban-list", TOKEN);
    assert_eq!((&list["stale"], &list["count"]), (&json!(true), &json!(0)));
    until(|| process.call("GET", "/alerts", TOKEN).1.to_string().contains("REGISTRY_STALE"));
    let (_, health) = process.call("GET", "/wcp/health", TOKEN);
    assert_eq!(health["registry"]["reachable"], false, "{health}");

    registry.goes(Way::Sound);
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
    until(|| process.readyz()["registry"]["error"].is_null());
    assert_eq!(process.metric("hallgate_panics_total"), 0.0);
    let (_, log) = process.end();
    assert!(!log.contains(KEY), "the key is in the log");
    assert!(log.contains("the registry gives all answers again"), "{log}");
    for asked in registry.asked() {
        assert_eq!(asked.authorization.as_deref(), Some(format!("Bearer {KEY}").as_str()));
    }
}

#[test]
fn slow() {
    survives(Way::Slow, "unreachable");
}

#[test]
fn dripping() {
    survives(Way::Dripping, "unreachable");
}

#[test]
fn truncated() {
    survives(Way::Truncated, "unreachable");
}

#[test]
fn wrong_types() {
    survives(Way::WrongTypes, "malformed");
}

#[test]
fn an_error() {
    survives(Way::Status(500), "status");
}

#[test]
fn no_content() {
    survives(Way::Status(204), "status");
}

#[test]
fn the_key_refused() {
    survives(Way::Status(401), "refused");
}

#[test]
fn limited() {
    survives(Way::Limited("1"), "rate_limited");
}

#[test]
fn huge() {
    survives(Way::Huge, "malformed");
}

#[test]
fn another_content_type() {
    survives(Way::Html, "malformed");
}

#[test]
fn closing() {
    survives(Way::Closes, "unreachable");
}

#[test]
fn no_http() {
    survives(Way::NoHttp, "unreachable");
}

#[test]
fn a_redirect_is_not_followed_and_the_key_stays() {
    let elsewhere = Registry::start(&[NAMESPACED]);
    survives(Way::Redirect(elsewhere.addr), "status");
    assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
}

#[test]
fn a_limit_is_kept() {
    let registry = Registry::start(&[NAMESPACED]);
    let process = Fixture::asking(&registry.url(), "60s").serve();
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
    registry.goes(Way::Limited("4"));
    let limits = || registry.asked().into_iter().filter(|asked| asked.way == Way::Limited("4")).collect::<Vec<_>>();
    until(|| !limits().is_empty());
    // Enrolling somebody is no reason to ask sooner.
    process.fixture.enroll("org.acme.late", None);
    until(|| process.verdict("org.acme.late", "prod") == "DENY_REGISTRY_UNAVAILABLE");
    let (status, answer) = process.call("GET", "/wcp/registry/verify/org.acme.late", TOKEN);
    assert_eq!((status, &answer["error"], &answer["source"]), (429, &json!("rate limited"), &json!("pyhall-registry")));
    assert_eq!(process.verdict(NAMESPACED, "prod"), "ALLOWED");
    until(|| limits().len() > 1);
    let times: Vec<_> = limits().iter().map(|asked| asked.at).collect();
    assert!(times[1] - times[0] >= Duration::from_secs(4), "{:?}", times[1] - times[0]);
    registry.say("org.acme.late", "active");
    registry.goes(Way::Sound);
    until(|| process.verdict("org.acme.late", "prod") == "ALLOWED");
}

#[test]
fn a_worker_that_cannot_be_answered_for_costs_nobody_else_its_word() {
    let registry = Registry::start(&[NAMESPACED, "org.acme.other"]);
    let fixture = Fixture::asking(&registry.url(), "3s");
    fixture.enroll("org.acme.other", None);
    let process = fixture.serve();
    until(|| process.verdict("org.acme.other", "prod") == "ALLOWED");
    registry.goes_for("org.acme.other", Way::Status(500));
    until(|| process.verdict("org.acme.other", "prod") == "DENY_REGISTRY_UNAVAILABLE");
    let before = registry.times(NAMESPACED);
    until(|| registry.times(NAMESPACED) > before + 3);
    assert_eq!(process.verdict(NAMESPACED, "prod"), "ALLOWED");
    registry.goes(Way::Sound);
    until(|| process.verdict("org.acme.other", "prod") == "ALLOWED");
}

#[test]
fn what_speaks_against_a_worker_does_not_grow_old() {
    let registry = Registry::start(&[LOCAL]);
    registry.say(NAMESPACED, "revoked");
    let process = Fixture::asking(&registry.url(), "2s").serve();
    until(|| process.verdict(NAMESPACED, "dev") == "DENY_WORKER_REVOKED");
    registry.goes(Way::Closes);
    until(|| process.call("GET", "/wcp/registry/ban-list", TOKEN).1["stale"] == true);
    assert_eq!(process.verdict(NAMESPACED, "dev"), "DENY_WORKER_REVOKED");
    assert_eq!(process.verdict(NAMESPACED, "prod"), "DENY_WORKER_REVOKED");
}
