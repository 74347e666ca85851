//! Online and offline: who may switch a hall, on which standing of its account, and what it answers meanwhile.

use serde_json::{Value, json};
use support::until;

use crate::entries;
use crate::fixture::{Fixture, KEY, LOCAL, NAMESPACED, ROUTES, TOKEN};
use crate::registry::{Registry, Way};

const ON: &str = "/api/server/go-online";
const OFF: &str = "/api/server/go-offline";

#[test]
fn offline_nothing_is_decided_at_either_door() {
    let process = Fixture::build("").serve();
    assert_eq!((process.verdict(LOCAL, "prod").as_str(), process.through().0), ("ALLOWED", 200));
    for (token, status) in [("", 401), (ROUTES, 403)] {
        for path in [ON, OFF] {
            assert_eq!(process.call("POST", path, token).0, status, "{path}");
        }
    }
    assert_eq!(process.call("GET", OFF, TOKEN).0, 405);
    assert_eq!(process.verdict(LOCAL, "prod"), "ALLOWED");

    assert_eq!(process.call("POST", OFF, TOKEN), (200, json!({"ok": true})));
    let (status, answer) = process.route(LOCAL, "prod", false);
    assert_eq!((status, &answer["deny_reason"], &answer["denied"]), (503, &json!("DENY_HALL_OFFLINE"), &json!(true)));
    let (status, answer) = process.through();
    assert_eq!((status, &answer["code"]), (503, &json!("DENY_HALL_OFFLINE")));
    let ready = process.readyz();
    assert_eq!((&ready["ready"], &ready["reasons"]), (&json!(false), &json!(["offline"])));
    assert_eq!(process.metric("hallgate_online"), 0.0);
    assert_eq!(process.metric("hallgate_refusals_total{door=\"gate\",code=\"DENY_HALL_OFFLINE\"}"), 1.0);

    // Without a registry there is no account to ask about: the operator's word is enough.
    let (status, answer) = process.call("POST", ON, TOKEN);
    assert_eq!((status, answer), (200, json!({"ok": true, "account_standing": null, "tier_id": null})));
    assert_eq!((process.verdict(LOCAL, "prod").as_str(), process.through().0), ("ALLOWED", 200));
    assert_eq!(process.metric("hallgate_online"), 1.0);

    let (fixture, _) = process.end();
    let switches: Vec<_> = entries(&fixture).into_iter().filter(|entry| entry["kind"] == "registry").collect();
    let causes: Vec<_> = switches.iter().map(|entry| (&entry["cause"], &entry["token"])).collect();
    assert_eq!(causes, [(&json!("go-offline"), &json!("ops")), (&json!("go-online"), &json!("ops"))]);
}

#[test]
fn a_hall_that_was_switched_off_stays_off_through_restarts_and_crashes() {
    let process = Fixture::build("").serve();
    assert_eq!(process.call("POST", OFF, TOKEN).0, 200);
    let process = process.kill().serve();
    assert_eq!((process.route(LOCAL, "prod", false).0, process.through().0), (503, 503));
    assert_eq!(process.readyz()["reasons"], json!(["offline"]));
    // Alive, or a kubelet would not let it stay up to be switched on.
    assert_eq!(process.call("GET", "/livez", "").0, 200);
    let (fixture, log) = process.end();
    assert!(log.contains("the hall is offline, as it was left"), "{log}");
    let process = fixture.serve();
    assert_eq!(process.route(LOCAL, "prod", false).0, 503);
    assert_eq!(process.call("POST", ON, TOKEN).0, 200);
    assert_eq!(process.verdict(LOCAL, "prod"), "ALLOWED");
    let process = process.kill().serve();
    assert_eq!((process.verdict(LOCAL, "prod").as_str(), process.through().0), ("ALLOWED", 200));
}

#[test]
fn only_an_account_in_good_standing_goes_online() {
    let registry = Registry::start(&[NAMESPACED]);
    let process = Fixture::asking(&registry.url(), "60s").serve();
    assert_eq!(process.call("POST", OFF, TOKEN).0, 200);
    for standing in ["grace", "degraded", "suspended", "OK", ""] {
        registry.standing(standing);
        let (status, answer) = process.call("POST", ON, TOKEN);
        assert_eq!(
            (status, &answer["ok"], &answer["account_standing"]),
            (403, &json!(false), &json!(standing)),
            "{answer}"
        );
        assert!(answer["message"].as_str().unwrap().contains("only `ok` may go online"));
        assert_eq!(process.route(LOCAL, "dev", false).0, 503, "{standing}");
    }
    for (way, expected) in [
        (Way::Status(500), 502),
        (Way::Status(401), 502),
        (Way::WrongTypes, 502),
        (Way::Redirect(registry.addr), 502),
        (Way::Closes, 503),
        (Way::Limited("1"), 503),
    ] {
        registry.goes_for("standing", way.clone());
        let (status, answer) = process.call("POST", ON, TOKEN);
        // JSON of another shape has no standing, which counts as degraded.
        let expected = if way == Way::WrongTypes { 403 } else { expected };
        assert_eq!((status, &answer["ok"]), (expected, &json!(false)), "{way:?}: {answer}");
        assert!(!answer.to_string().contains(KEY));
        assert_eq!(process.route(LOCAL, "dev", false).0, 503, "{way:?}");
    }
    registry.goes(Way::Sound);
    registry.standing("ok");
    let (status, answer) = process.call("POST", ON, TOKEN);
    assert_eq!((status, answer), (200, json!({"ok": true, "account_standing": "ok", "tier_id": "pro"})));
    assert_eq!(process.verdict(LOCAL, "dev"), "ALLOWED");
    let (fixture, log) = process.end();
    assert!(!log.contains(KEY));
    let last = entries(&fixture).into_iter().rfind(|entry| entry["cause"] == "go-online").unwrap();
    assert_eq!((&last["account_standing"], &last["stream"]), (&json!("ok"), &json!(":hall")));
}

#[test]
fn where_a_good_standing_is_required_the_hall_follows_it() {
    let registry = Registry::start(&[NAMESPACED]);
    registry.standing("grace");
    let section = format!(
        "registry: {{ url: \"{}\", api_key: {KEY}, refresh: 1s, max_stale: 60s, require_standing: true }}",
        registry.url()
    );
    let process = Fixture::build(&section).serve();
    until(|| registry.times("standing") > 1);
    assert_eq!(process.route(LOCAL, "dev", false).0, 503);
    registry.standing("ok");
    until(|| process.route(LOCAL, "dev", false).0 == 200);
    // A registry that does not answer takes nothing away: what it last said counts.
    registry.goes_for("standing", Way::Status(500));
    let before = registry.times("standing");
    until(|| registry.times("standing") > before + 1);
    assert_eq!(process.route(LOCAL, "dev", false).0, 200);
    registry.goes(Way::Sound);
    registry.standing("suspended");
    until(|| process.route(LOCAL, "dev", false).0 == 503);
    registry.standing("ok");
    until(|| process.route(LOCAL, "dev", false).0 == 200);
    // What an operator switches off no standing switches on.
    assert_eq!(process.call("POST", OFF, TOKEN).0, 200);
    let before = registry.times("standing");
    until(|| registry.times("standing") > before + 1);
    assert_eq!(process.route(LOCAL, "dev", false).0, 503);

    let entries = entries(&process.end().0);
    let said = |entry: &Value| (entry["cause"].clone(), entry["account_standing"].clone(), entry["online"].clone());
    let changes: Vec<_> = entries
        .iter()
        .filter(|entry| entry["stream"] == ":hall" && entry["cause"] != "remote" && entry["kind"] == "registry")
        .map(said)
        .collect();
    let account = |standing, online| (json!("account"), json!(standing), json!(online));
    let off = (json!("go-offline"), Value::Null, Value::Null);
    let expected =
        [account("grace", false), account("ok", true), account("suspended", false), account("ok", true), off];
    assert_eq!(changes, expected);
}
