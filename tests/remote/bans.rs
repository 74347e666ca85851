//! A ban list that is longer than one answer: all of it is enforced, and what cannot be read is said and clears nobody.

use serde_json::{Value, json};
use support::until;

use crate::fixture::{Fixture, LOCAL, NAMESPACED, Process, TOKEN};
use crate::registry::{Registry, Way};

const ALERT: &str = "BANS_UNREAD";

fn hash(n: usize) -> String {
    format!("{n:064x}")
}

/// So many entries.
fn bans(count: usize) -> Value {
    (0..count).map(|n| json!({"sha256": hash(n), "reason": "leaks"})).collect()
}

/// A fixture whose local worker runs the code of this number.
fn fixture(registry: &Registry, runs: usize, max_stale: &str) -> Process {
    let fixture = Fixture::asking(&registry.url(), max_stale);
    fixture.enroll(LOCAL, Some(&hash(runs)));
    fixture.serve()
}

/// Whether alert, metric and probe say that bans are unread; all of them say the same in the end.
fn said(process: &Process, unread: bool) {
    let metric = "hallgate_registry_bans_unread";
    let reason = |ready: &Value| ready["reasons"].to_string().contains("ban list cannot be read whole");
    until(|| (process.metric(metric) == 1.0) == unread && reason(&process.readyz()) == unread);
    assert_eq!(process.readyz()["ready"], true, "what it costs is denied by worker");
    if unread {
        until(|| process.call("GET", "/alerts", TOKEN).1.to_string().contains(ALERT));
    }
}

#[test]
fn a_list_of_several_pages_is_enforced_whole() {
    let registry = Registry::start(&[NAMESPACED]);
    registry.ban(bans(1_250));
    let process = fixture(&registry, 1_249, "60s");
    until(|| process.verdict(LOCAL, "prod") == "DENY_WORKER_BANNED");
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
    assert_eq!(process.metric("hallgate_registry_banned_hashes"), 1_250.0);
    // As many as one answer holds: nobody knows without asking that there are no more.
    registry.ban(bans(500));
    until(|| process.verdict(LOCAL, "prod") == "ALLOWED");
    assert_eq!(process.metric("hallgate_registry_banned_hashes"), 500.0);
    said(&process, false);
    assert!(!process.call("GET", "/alerts", TOKEN).1.to_string().contains(ALERT));
}

#[test]
fn a_list_that_cannot_be_read_whole_is_enforced_as_far_as_it_goes_and_clears_nobody() {
    let registry = Registry::start(&[NAMESPACED]);
    registry.ban(bans(700));
    registry.pages(false);
    let process = fixture(&registry, 499, "60s");
    until(|| process.verdict(LOCAL, "prod") == "DENY_WORKER_BANNED");
    said(&process, true);
    assert_eq!(process.verdict(NAMESPACED, "prod"), "DENY_REGISTRY_UNAVAILABLE");
    assert_eq!(process.verdict(NAMESPACED, "dev"), "ALLOWED");
    assert_eq!(process.call("GET", "/wcp/registry/ban-list", TOKEN).1["stale"], true);
    registry.pages(true);
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
    said(&process, false);
    until(|| process.log().contains("the registry's ban list is read whole again"));
}

#[test]
fn a_ban_that_was_read_holds_while_its_page_cannot_be_read_again() {
    let registry = Registry::start(&[NAMESPACED]);
    registry.ban(bans(700));
    let process = fixture(&registry, 699, "4s");
    until(|| process.verdict(LOCAL, "prod") == "DENY_WORKER_BANNED");
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
    registry.goes_for("offset=", Way::Status(500));
    said(&process, true);
    // The last whole list counts for as long as any answer does.
    until(|| process.verdict(NAMESPACED, "prod") == "DENY_REGISTRY_UNAVAILABLE");
    assert_eq!(process.verdict(LOCAL, "prod"), "DENY_WORKER_BANNED");
    assert_eq!(process.metric("hallgate_registry_banned_hashes"), 700.0);
    // A limit of the rate is kept wherever in the list it is met.
    registry.goes_for("offset=", Way::Limited("3600"));
    until(|| process.readyz()["registry"]["error"].to_string().contains("429"));
}
