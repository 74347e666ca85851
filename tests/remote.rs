//! The remote registry against a real `serve`: what it says is in force within a refresh, whatever it does decisions go on, and what
//! is too old denies.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "remote/bans.rs"]
mod bans;
#[path = "remote/enrols.rs"]
mod enrols;
#[path = "remote/fixture.rs"]
mod fixture;
#[path = "remote/misbehaves.rs"]
mod misbehaves;
#[path = "remote/online.rs"]
mod online;
#[path = "remote/registry.rs"]
mod registry;
#[path = "remote/terminate.rs"]
mod terminate;
#[path = "remote/tls.rs"]
mod tls;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fixture::{Fixture, KEY, LOCAL, NAMESPACED, ROUTES, TOKEN};
use registry::{Registry, Way};
use serde_json::{Value, json};
use support::until;

/// The entries of a ledger that holds, in order.
fn entries(fixture: &Fixture) -> Vec<Value> {
    fixture.verify();
    fixture.entries()
}

#[test]
fn what_the_registry_says_of_a_worker_is_in_force_within_a_refresh_and_on_record_before() {
    let registry = Registry::start(&[NAMESPACED, LOCAL]);
    let process = Fixture::asking(&registry.url(), "60s").serve();
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
    // A verdict that is remembered must not outlive what it depended on.
    assert_eq!(process.verdict(NAMESPACED, "prod"), "ALLOWED");
    for (status, code) in
        [("revoked", "DENY_WORKER_REVOKED"), ("banned", "DENY_WORKER_BANNED"), ("retired", "DENY_WORKER_REVOKED")]
    {
        let before = registry.times(NAMESPACED);
        registry.say(NAMESPACED, status);
        until(|| process.verdict(NAMESPACED, "prod") == code);
        // One question may have been under way.
        assert!(registry.times(NAMESPACED) <= before + 3, "more than a refresh");
        assert_eq!(process.verdict(NAMESPACED, "dev"), code, "everywhere");
        assert_eq!(process.verdict(LOCAL, "prod"), "ALLOWED", "nobody else");
    }
    registry.say(NAMESPACED, "active");
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
    // One that the registry need not vouch for is not let through against its word.
    registry.say(LOCAL, "banned");
    until(|| process.verdict(LOCAL, "prod") == "DENY_WORKER_BANNED");

    let (fixture, log) = process.end();
    assert!(!log.contains(KEY), "the key is in the log");
    let entries = entries(&fixture);
    let mut standing = "unverified".to_owned();
    let mut seen = Vec::new();
    // What the worker's standing is under each snapshot that came into force so far.
    let mut under = BTreeMap::new();
    let mut decided = 0;
    for entry in &entries {
        if entry["kind"] == "registry" && entry["workers"].as_array().unwrap().contains(&json!(NAMESPACED)) {
            assert_eq!(entry["registry"], registry.url());
            standing = entry["standing"].as_str().unwrap().to_owned();
            seen.push(standing.clone());
        }
        if entry["kind"] == "policy" {
            under.insert(entry["snapshot"].as_str().unwrap(), standing.clone());
        }
        if entry["kind"] == "decision" && entry["worker_id"] == NAMESPACED && entry["env"] == "prod" {
            let expected = match under[entry["snapshot"].as_str().unwrap()].as_str() {
                "active" => None,
                "unverified" => Some("DENY_REGISTRY_UNAVAILABLE"),
                "banned" => Some("DENY_WORKER_BANNED"),
                _ => Some("DENY_WORKER_REVOKED"),
            };
            assert_eq!(entry.get("deny_code").and_then(Value::as_str), expected, "{entry}");
            decided += 1;
        }
    }
    assert!(decided > 5, "{decided}");
    assert_eq!(seen, ["active", "revoked", "banned", "revoked", "active"]);
    let causes: Vec<_> =
        entries.iter().filter(|entry| entry["kind"] == "policy").map(|entry| &entry["cause"]).collect();
    assert_eq!(causes[0], "start");
    assert!(causes.len() >= 7 && causes[1..].iter().all(|cause| *cause == "registry"), "{causes:?}");
}

#[test]
fn code_on_the_ban_list_is_run_by_nobody() {
    let hash = "b348ddb1e23127821fc5053a8049587f4a80eaa7040e2f0a40b2da07798f0ffa";
    let registry = Registry::start(&[NAMESPACED]);
    let fixture = Fixture::asking(&registry.url(), "60s");
    fixture.enroll(LOCAL, Some(hash));
    let process = fixture.serve();
    until(|| process.verdict(LOCAL, "prod") == "ALLOWED" && process.readyz()["registry"]["banned_hashes"] == 0);
    registry.ban(json!([{"sha256": hash, "reason": "leaks", "reported_at": "2026-01-01", "source": "x", "review_status": "pending"}]));
    until(|| process.verdict(LOCAL, "prod") == "DENY_WORKER_BANNED");
    assert_eq!(process.verdict(NAMESPACED, "prod"), "ALLOWED");
    let (status, list) = process.call("GET", "/wcp/registry/ban-list", TOKEN);
    assert_eq!(
        (status, &list["count"], &list["hashes"][0], &list["stale"]),
        (200, &json!(1), &json!(hash), &json!(false))
    );
    assert_eq!((&list["entries"][0]["reason"], &list["source"]), (&json!("leaks"), &json!("local-cache")));
    assert!(list["updated_at"].is_string());
    assert_eq!(process.metric("hallgate_registry_banned_hashes"), 1.0);
    registry.ban(json!([]));
    until(|| process.verdict(LOCAL, "prod") == "ALLOWED");
}

#[test]
fn a_worker_that_the_registry_does_not_know_acts_only_if_it_need_not() {
    let registry = Registry::start(&[]);
    let process = Fixture::asking(&registry.url(), "60s").serve();
    until(|| process.verdict(NAMESPACED, "prod") == "DENY_WORKER_REVOKED");
    assert_eq!(process.verdict(LOCAL, "prod"), "ALLOWED");
    registry.say(NAMESPACED, "active");
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
}

#[test]
fn a_reload_lifts_nothing_that_the_registry_took_away() {
    let registry = Registry::start(&[NAMESPACED, LOCAL]);
    registry.say(NAMESPACED, "banned");
    let process = Fixture::asking(&registry.url(), "60s").serve();
    until(|| process.verdict(NAMESPACED, "prod") == "DENY_WORKER_BANNED");
    until(|| process.verdict(LOCAL, "prod") == "ALLOWED");
    // From here on it is asked in vain.
    registry.goes(Way::Closes);
    let rules = process.fixture.read("rules.json").replace("rr_read", "rr_other");
    process.fixture.write("rules.json", &rules);
    until(|| {
        assert_eq!(process.verdict(NAMESPACED, "prod"), "DENY_WORKER_BANNED");
        process.route(LOCAL, "prod", false).1["matched_rule_id"] == "rr_other"
    });
    assert_eq!(process.verdict(NAMESPACED, "prod"), "DENY_WORKER_BANNED");
    process.fixture.enroll(NAMESPACED, Some("b348ddb1e23127821fc5053a8049587f4a80eaa7040e2f0a40b2da07798f0ffa"));
    let before = process.readyz()["snapshot"].clone();
    until(|| process.readyz()["snapshot"] != before);
    assert_eq!(process.verdict(NAMESPACED, "prod"), "DENY_WORKER_BANNED");
}

#[test]
fn a_worker_that_is_newly_enrolled_is_asked_for_at_once() {
    let registry = Registry::start(&[NAMESPACED, "org.acme.late"]);
    let rare = format!("registry: {{ url: \"{}\", api_key: {KEY}, refresh: 1h, max_stale: 2h }}", registry.url());
    let process = Fixture::build(&rare).serve();
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
    assert_eq!(process.verdict("org.acme.late", "prod"), "DENY_WORKER_NOT_ENROLLED");
    process.fixture.enroll("org.acme.late", None);
    until(|| {
        let verdict = process.verdict("org.acme.late", "prod");
        let before = ["DENY_WORKER_NOT_ENROLLED", "DENY_REGISTRY_UNAVAILABLE"].contains(&verdict.as_str());
        assert!(before || verdict == "ALLOWED", "{verdict}");
        verdict == "ALLOWED"
    });
    assert_eq!((registry.times(NAMESPACED), registry.times("org.acme.late")), (1, 1));
}

#[test]
fn dispatches_are_counted_until_the_registry_has_taken_the_counts() {
    let registry = Registry::start(&[NAMESPACED]);
    registry.goes_for("telemetry", Way::Status(500));
    let process = Fixture::asking(&registry.url(), "60s").serve();
    until(|| process.route(NAMESPACED, "prod", true).1["denied"] == false);
    let counted = |accepted: bool| {
        let mut counts = BTreeMap::new();
        let reports = registry.asked().into_iter().filter(|asked| asked.path.contains("telemetry"));
        for report in reports.filter(|report| (report.way == Way::Sound) == accepted) {
            assert_eq!((report.method.as_str(), report.authorization), ("POST", Some(format!("Bearer {KEY}"))));
            let body: Value = serde_json::from_str(&report.body).unwrap();
            assert_eq!(body.as_object().unwrap().len(), 1, "nothing else leaves: {body}");
            for count in body["decisions"].as_array().unwrap() {
                assert_eq!(count.as_object().unwrap().len(), 2, "nothing else leaves: {body}");
                *counts.entry(count["worker_id"].as_str().unwrap().to_owned()).or_insert(0) +=
                    count["count"].as_u64().unwrap();
            }
        }
        counts
    };
    for _ in 0..3 {
        assert_eq!(process.verdict(NAMESPACED, "prod"), "ALLOWED");
    }
    assert_eq!((process.verdict(LOCAL, "prod"), process.through().0), ("ALLOWED".to_owned(), 200));
    assert_eq!(process.verdict("org.acme.nobody", "prod"), "DENY_WORKER_NOT_ENROLLED");
    until(|| counted(false).len() == 2);
    assert_eq!(process.readyz()["registry"]["error"], Value::Null, "no decision depends on it");
    until(|| process.metric("hallgate_registry_unreported_dispatches") == 5.0);
    registry.goes(Way::Sound);
    let all = BTreeMap::from([(NAMESPACED.to_owned(), 3), (LOCAL.to_owned(), 2)]);
    until(|| counted(true) == all);
    // Taken once, they are not reported again.
    let rounds = registry.times("ban-list");
    until(|| registry.times("ban-list") > rounds + 1);
    assert_eq!(counted(true), all);
    assert_eq!(process.metric("hallgate_registry_unreported_dispatches"), 0.0);
}

#[test]
fn what_the_registry_said_is_told_from_memory() {
    let registry = Registry::start(&[NAMESPACED]);
    let process = Fixture::asking(&registry.url(), "60s").serve();
    until(|| process.call("GET", &format!("/wcp/registry/verify/{NAMESPACED}"), TOKEN).0 == 200);
    let (_, known) = process.call("GET", &format!("/wcp/registry/verify/{NAMESPACED}"), TOKEN);
    assert_eq!(
        (&known["worker_id"], &known["status"], &known["banned"]),
        (&json!(NAMESPACED), &json!("active"), &json!(false))
    );
    assert_eq!(
        (&known["source"], &known["stale"], &known["current_hash"]),
        (&json!("local-cache"), &json!(false), &Value::Null)
    );
    assert!(known["checked_at"].is_string() && known["attested_at"].is_string());
    let before = registry.asked().len();
    for (worker, status) in [("org.acme.nobody", "unknown"), (LOCAL, "unknown")] {
        until(|| process.call("GET", &format!("/wcp/registry/verify/{worker}"), TOKEN).0 == 200);
        let (_, unknown) = process.call("GET", &format!("/wcp/registry/verify/{worker}"), TOKEN);
        assert_eq!((&unknown["status"], &unknown["banned"]), (&json!(status), &json!(false)));
    }
    for path in ["/wcp/registry/verify/org.acme.reader", "/wcp/registry/ban-list"] {
        assert_eq!(process.call("GET", path, ROUTES).0, 403, "{path}");
        assert_eq!(process.call("GET", path, "").0, 401, "{path}");
        assert_eq!(process.call("POST", path, TOKEN).0, 405, "{path}");
    }
    let nobody = registry.asked().iter().skip(before).filter(|asked| asked.path.contains("nobody")).count();
    assert_eq!(nobody, 0, "a request of ours makes none of the registry's");
}

#[test]
fn without_a_key_it_is_off_and_says_so_once() {
    let registry = Registry::start(&[]);
    let process =
        Fixture::build(&format!("registry: {{ url: \"{}\", api_key: \"${{PYHALL_API_KEY:-}}\" }}", registry.url()))
            .serve();
    assert_eq!(process.verdict(NAMESPACED, "prod"), "ALLOWED");
    assert_eq!(process.readyz().get("registry"), None);
    let (status, answer) = process.call("GET", &format!("/wcp/registry/verify/{NAMESPACED}"), TOKEN);
    assert_eq!((status, &answer["source"], &answer["denied"]), (503, &json!("local-only"), &json!(true)));
    let (status, list) = process.call("GET", "/wcp/registry/ban-list", TOKEN);
    assert_eq!(
        (status, &list["count"], &list["stale"], &list["source"]),
        (200, &json!(0), &json!(true), &json!("local-only"))
    );
    let (_, log) = process.end();
    assert_eq!(log.matches("the registry is off").count(), 1, "{log}");
    assert!(registry.asked().is_empty());
}

#[test]
fn a_configuration_is_checked_without_asking_anybody_and_names_one_registry() {
    let registry = Registry::start(&[]);
    let fixture = Fixture::asking(&registry.url(), "60s");
    let check = ["check", "--config", "hallgate.yaml"];
    let (code, _, err) = fixture.run(&check);
    assert_eq!(code, Some(0), "{err}");
    assert!(registry.asked().is_empty(), "check asks nobody");
    let one = [("PYHALL_REGISTRY", "https://one.example.org"), ("PYHALL_REGISTRY_URL", "https://one.example.org/")];
    assert_eq!(fixture.run_with(&check, &one).0, Some(0));
    let two = [("PYHALL_REGISTRY", "https://one.example.org"), ("PYHALL_REGISTRY_URL", "https://two.example.org")];
    for command in ["check", "serve"] {
        let (code, _, said) = fixture.run_with(&[command, "--config", "hallgate.yaml"], &two);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("`PYHALL_REGISTRY` and `PYHALL_REGISTRY_URL` name different registries"), "{said}");
    }
}

#[test]
fn the_environment_names_the_registry_and_its_key() {
    let fixture = Fixture::build("");
    let check = |environment: &[(&str, &str)]| {
        let (code, _, said) = fixture.run_with(&["check", "--config", "hallgate.yaml"], environment);
        (code, said)
    };
    for name in ["PYHALL_REGISTRY", "PYHALL_REGISTRY_URL"] {
        assert_eq!(check(&[(name, "https://registry.example.org"), ("PYHALL_API_KEY", KEY)]).0, Some(0));
        let (code, said) = check(&[(name, "http://registry.example.org"), ("PYHALL_API_KEY", KEY)]);
        assert_eq!(code, Some(2));
        assert!(
            said.contains("registry.url")
                && said.contains("in the clear")
                && said.contains(name)
                && !said.contains(KEY),
            "{said}"
        );
    }
    let (code, said) = check(&[("PYHALL_API_KEY", "two words")]);
    assert_eq!(code, Some(2));
    assert!(said.contains("`PYHALL_API_KEY` has spaces") && !said.contains("two words"), "{said}");
}

#[test]
fn a_hall_is_ready_once_the_registry_has_been_asked_however_that_went() {
    let registry = Registry::start(&[NAMESPACED]);
    registry.goes(Way::Slow);
    let began = Instant::now();
    let process = Fixture::asking(&registry.url(), "60s").serve();
    if began.elapsed() < Duration::from_millis(800) {
        let ready = process.readyz();
        assert_eq!(
            (&ready["ready"], &ready["reasons"][0]),
            (&json!(false), &json!("the registry has not been asked yet")),
            "{ready}"
        );
    }
    assert_eq!(process.verdict(NAMESPACED, "prod"), "DENY_REGISTRY_UNAVAILABLE", "never loaded");
    assert_eq!(process.verdict(NAMESPACED, "dev"), "ALLOWED");
    until(|| process.readyz()["ready"] == true);
    assert_eq!(process.verdict(NAMESPACED, "prod"), "DENY_REGISTRY_UNAVAILABLE", "asked, and not answered");
    assert_eq!(process.readyz()["registry"]["answered_at"], Value::Null);
    let (status, answer) = process.call("GET", &format!("/wcp/registry/verify/{NAMESPACED}"), TOKEN);
    assert_eq!((status, &answer["source"], &answer["error"]), (503, &json!("pyhall-registry"), &json!("unavailable")));
    registry.goes(Way::Sound);
    until(|| process.verdict(NAMESPACED, "prod") == "ALLOWED");
}
