//! A registry far away and enrolment over the API in one hall: neither undoes the other, and a start reads both from one ledger.

use hallgate::engine::Json;
use hallgate::registry::hash;
use serde_json::{Value, json};
use support::until;

use crate::entries;
use crate::fixture::{Fixture, KEY, LOCAL, NAMESPACED, TOKEN};
use crate::registry::Registry;

const LATE: &str = "org.acme.late";

/// A record with its hash, as text.
fn record(worker: &str) -> String {
    let mut record =
        json!({"worker_id": worker, "worker_species_id": "wrk.data.reader", "capabilities": ["cap.data.read.v1"]});
    let json = Json::parse(record.to_string().as_bytes()).unwrap();
    record["artifact_hash"] = format!("sha256:{}", hash::of_record(json.as_object().unwrap())).into();
    record.to_string()
}

#[test]
fn an_enrolment_lifts_no_ban_and_whoever_is_enrolled_is_asked_for_at_once() {
    let registry = Registry::start(&[NAMESPACED, LOCAL, LATE]);
    registry.say(NAMESPACED, "banned");
    // After the first round nobody is asked for but who is new.
    let sections = format!(
        "  store: registry.db\nregistry: {{ url: \"{}\", api_key: {KEY}, refresh: 1h, max_stale: 2h }}",
        registry.url()
    );
    let process = Fixture::build(&sections).serve();
    until(|| process.readyz()["ready"] == true);
    until(|| {
        process.verdict(NAMESPACED, "prod") == "DENY_WORKER_BANNED" && process.verdict(LOCAL, "prod") == "ALLOWED"
    });

    for worker in ["wrk_one", "wrk_two", LATE] {
        let (status, answer) = process.post("/enroll", TOKEN, &record(worker));
        assert_eq!(status, 201, "{answer}");
        assert_eq!(process.verdict(NAMESPACED, "prod"), "DENY_WORKER_BANNED", "by the very next request");
        assert_eq!(process.verdict(NAMESPACED, "dev"), "DENY_WORKER_BANNED");
    }
    assert_eq!(process.verdict("wrk_one", "prod"), "ALLOWED");
    until(|| {
        let verdict = process.verdict(LATE, "prod");
        assert!(["DENY_REGISTRY_UNAVAILABLE", "ALLOWED"].contains(&verdict.as_str()), "{verdict}");
        verdict == "ALLOWED"
    });
    assert_eq!((registry.times(NAMESPACED), registry.times(LATE)), (1, 1));
    let (status, answer) = process.post(&format!("/wcp/workers/{NAMESPACED}/restore"), TOKEN, "");
    assert_eq!((status, &answer["status"]), (200, &json!("banned")), "it says what stands against it: {answer}");
    assert_eq!(process.call("POST", "/api/server/go-offline", TOKEN).0, 200);
    assert_eq!(process.call("POST", "/api/server/go-online", TOKEN).0, 200);

    let (fixture, _) = process.end();
    let all = entries(&fixture);
    let of_registry: Vec<&Value> = all.iter().filter(|entry| entry["kind"] == "registry").collect();
    let bans = of_registry.iter().filter(|entry| entry["standing"] == "banned").count();
    assert_eq!(bans, 1, "it was never lifted, and so never taken away again: {of_registry:?}");
    let actions = of_registry.iter().filter(|entry| entry["action"] == "enrolled").count();
    let switches = of_registry.iter().filter(|entry| entry["token"] == "ops" && entry["cause"].is_string()).count();
    assert_eq!((actions, switches), (3, 2));
    let (_, said, _) = fixture.run(&["audit", "verify"]);
    assert!(said.contains(&format!("{} registry changes", of_registry.len())), "{said}");

    // The store is made again from a ledger that has entries of both kinds.
    std::fs::remove_file(fixture.path("registry.db")).unwrap();
    let process = fixture.serve();
    until(|| process.log().contains("brought up to it"));
    until(|| process.verdict(LATE, "prod") == "ALLOWED" && process.verdict("wrk_two", "prod") == "ALLOWED");
    until(|| process.verdict(NAMESPACED, "prod") == "DENY_WORKER_BANNED");
}
