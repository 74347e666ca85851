//! Whoever asks: held, let through once, refused; what is the same request and what is another.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};
use support::{get, metric, post, until};

use crate::desk::{
    ASKER, ASKER2, BEA, CYD, READER, ask, denied, fixture, granted, held, look, pending, resolve, state, write,
};

#[test]
fn what_a_human_agrees_to_runs_once_and_nothing_else_does() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let first = ask(hall, json!({}));
    let id = held(&first);
    // The specification's five fields.
    assert_eq!((&first["supervisor_required"], &first["supervisor_level"]), (&json!(true), &json!("gatekeeper")));
    assert!(first["approval_expires_at"].is_string(), "{first}");
    assert_eq!(first["escalation_context"]["data_label"], "RESTRICTED", "{first}");
    assert_eq!(first["deny_code"], "DENY_REQUIRES_HUMAN_APPROVAL");

    // Whoever asks again joins; so does whoever does at /wcp/route.
    assert_eq!(held(&ask(hall, json!({"correlation_id": "another"}))), id);
    let whole = json!({"tenant_risk": "low", "qos_class": "P2", "correlation_id": "a-third"});
    assert_eq!(held(&post(hall, ASKER, "/wcp/route", &write(whole)).ok()), id);

    let listed = get(hall, BEA, "/wcp/approvals/pending").ok();
    let row = &listed["approvals"][0];
    let expected = json!({
        "pending_approval_id": id, "state": "pending", "supervisor_level": "gatekeeper", "requested_by": "asker",
        "tenant_id": "org.acme", "worker_id": "wrk_make_acme_prod", "capability_id": "cap.data.write.v1", "env": "prod",
        "data_label": "RESTRICTED", "door": "api", "matched_rule_id": "rr_data_write", "policies": ["restricted"],
        "votes": [], "quorum": 1, "may_decide": true, "why_not": null, "note": null, "resolved_by": null,
        "expires_at": first["approval_expires_at"], "correlation_id": first["correlation_id"],
        "blast_score": first["blast_score"],
    });
    assert_eq!(listed["count"], 1);
    assert!(support::agrees(&expected, row), "{row:#}");
    assert!(row.get("contents").is_none(), "a list shows no contents: {row}");
    assert!(row["reason"].as_str().unwrap().contains("RESTRICTED data needs a human"), "{row}");
    let seen = look(hall, BEA, &id).ok();
    assert_eq!(seen["contents"]["body"], r#"{"row": "a row of the ledger of wages"}"#, "{seen:#}");
    assert_eq!(seen["contents"]["bytes"], 39, "{seen:#}");

    let own = look(hall, ASKER, &id).ok();
    let keys: BTreeSet<&str> = own.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        BTreeSet::from(["expires_at", "note", "pending_approval_id", "state", "supervisor_level"]),
        "{own}"
    );
    assert_eq!(own["state"], "pending");

    let digest = json!({"digest": seen["digest"], "note": "it is payday"});
    let resolved = resolve(hall, BEA, &id, "approve", digest).ok();
    assert_eq!((&resolved["state"], &resolved["votes"]), (&json!("approved"), &json!(["bea"])), "{resolved}");
    assert_eq!((state(hall, &id), pending(hall, BEA)), ("approved".to_owned(), Vec::new()));
    let approved = get(hall, BEA, "/wcp/approvals/pending?state=approved").ok();
    assert_eq!((&approved["count"], &approved["approvals"][0]["pending_approval_id"]), (&json!(1), &json!(id)));
    let why = get(hall, BEA, "/wcp/approvals/pending?state=over").refused(400);
    assert!(why.contains("`state`"), "{why}");

    let second = ask(hall, json!({}));
    assert_eq!(granted(&second, &id), ["bea"]);
    assert_eq!(second["supervisor_required"], false, "{second}");
    assert_eq!(second["selected_worker_species_id"], "wrk.data.writer", "{second}");
    assert_eq!(state(hall, &id), "spent");
    let third = held(&ask(hall, json!({})));
    assert_ne!(third, id, "it asks anew");

    // What Hall Monitor shows.
    let events = get(hall, READER, "/api/dispatches/recent?n=1").ok();
    let event = &events["events"][0];
    assert_eq!((&event["outcome"], &event["decision"]), (&json!("STEWARD_HOLD"), &json!("deny")), "{event}");
    assert_eq!(metric(hall, "hallgate_approvals_opened_total"), 2);
    assert_eq!(metric(hall, r#"hallgate_approval_steps_total{action="approved"}"#), 1);
    until(|| metric(hall, "hallgate_approvals_pending") == 1);

    process.end();
    assert_eq!(fixture.verify(), (5, 0));
    let entries = fixture.entries();
    let about: Vec<&Value> = entries.iter().filter(|entry| entry["approval"]["id"] == id).collect();
    let said = |entry: &&Value| entry["action"].as_str().or(entry["outcome"].as_str()).map(str::to_owned);
    let steps: Vec<_> =
        about.iter().map(|entry| said(entry).unwrap_or_else(|| entry["policy_decision"].to_string())).collect();
    assert_eq!(about.len(), 5, "three holds, the agreement and the dispatch: {steps:?}");
    let (agreed, spent) = (about[3], about[4]);
    assert_eq!(
        (&agreed["kind"], &agreed["action"], &agreed["note"]),
        (&json!("approval"), &json!("approved"), &json!("it is payday"))
    );
    assert_eq!(
        (&agreed["approver"]["token"], &agreed["approver"]["owner"]),
        (&json!("bea"), &json!("bea")),
        "{agreed}"
    );
    assert_eq!(agreed["approval"]["digest"], seen["digest"]);
    assert_eq!(spent["approval"]["approved_by"], json!(["bea"]), "{spent}");
    assert!(spent["approval"]["receipt_hash"].is_string(), "{spent}");
}

#[test]
fn hall_monitor_shows_what_is_held_and_what_runs_then() {
    let fixture = fixture("{}");
    fixture.edit("hall:\n", "hall:\n  monitor_unauthenticated_loopback: true\n");
    let process = fixture.serve();
    let hall = process.hall();
    // It sends no token, and draws each event by these fields.
    let newest = || {
        let answer = support::ask(hall, "GET /api/dispatches/recent?n=100", &[("host", "localhost:8765")], "").ok();
        let event = answer["events"][0].clone();
        assert!(event["id"].is_string() && event["timestamp"].is_string(), "{answer}");
        assert_eq!(
            (&event["capability"], &event["worker"]),
            (&json!("cap.data.write.v1"), &json!("wrk_make_acme_prod"))
        );
        (event["outcome"].clone(), event["decision"].clone())
    };
    let id = held(&ask(hall, json!({})));
    assert_eq!(newest(), (json!("STEWARD_HOLD"), json!("deny")));
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    granted(&ask(hall, json!({})), &id);
    assert_eq!(newest(), (json!("DISPATCHED"), json!("allow")));
    let again = held(&ask(hall, json!({})));
    resolve(hall, BEA, &again, "deny", json!({})).ok();
    denied(&ask(hall, json!({})), "DENY_REFUSED_BY_HUMAN");
    assert_eq!(newest(), (json!("REFUSED"), json!("deny")));
}

#[test]
fn a_changed_field_is_another_request_and_another_credential_asks_for_itself() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({})));
    let mut ids = BTreeSet::from([id.clone()]);
    for changed in [
        json!({"request": {"row": "another row"}}),
        json!({"request": {"row": "a row of the ledger of wages", "more": null}}),
        json!({"capability_id": "cap.data.read.v1"}),
        json!({"privilege_context": {"network": []}}),
        json!({"data_label": "CONFIDENTIAL"}),
    ] {
        assert!(ids.insert(held(&ask(hall, changed.clone()))), "{changed} is the same");
    }
    let of_another = post(hall, ASKER2, "/api/route", &write(json!({}))).ok();
    assert!(ids.insert(held(&of_another)), "another credential asks for itself");
    look(hall, ASKER2, &id).refused(404);
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    assert_eq!(held(&post(hall, ASKER2, "/api/route", &write(json!({}))).ok()), held(&of_another));
    // None of the others runs for it.
    let other = ask(hall, json!({"request": {"row": "another row"}}));
    assert!(ids.contains(&held(&other)) && held(&other) != id, "{other}");
    // The order of members is no matter, nor are words that no decision depends on.
    let same = write(json!({})).replacen('{', r#"{"unknown_key":1,"#, 1);
    assert_eq!(granted(&post(hall, ASKER, "/api/route", &same).ok(), &id), ["bea"]);
}

#[test]
fn a_lost_answer_costs_no_second_human() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let once = json!({"correlation_id": "order-7"});
    let id = held(&ask(hall, once.clone()));
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    let first = ask(hall, once.clone());
    granted(&first, &id);
    let again = ask(hall, once);
    assert_eq!(granted(&again, &id), ["bea"]);
    assert_eq!(again["decision_id"], first["decision_id"], "the same decision, not a second one");
    held(&ask(hall, json!({"correlation_id": "order-8"})));
    process.end();
    let entries = fixture.entries();
    let dispatched = entries.iter().filter(|entry| entry["policy_decision"] == "ALLOW").count();
    assert_eq!(dispatched, 1);
}

#[test]
fn a_no_is_remembered_and_says_who_and_why() {
    let fixture = fixture("{ ttl: 10m }");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({})));
    let resolved = resolve(hall, BEA, &id, "deny", json!({"note": "not in December"})).ok();
    assert_eq!((&resolved["state"], &resolved["resolved_by"]), (&json!("denied"), &json!("bea")), "{resolved}");
    for _ in 0..2 {
        let why = denied(&ask(hall, json!({})), "DENY_REFUSED_BY_HUMAN");
        assert!(why.contains("`bea` said no") && why.contains("not in December"), "{why}");
    }
    let own = look(hall, ASKER, &id).ok();
    assert_eq!((&own["state"], &own["note"]), (&json!("denied"), &json!("not in December")), "{own}");
    assert!(look(hall, BEA, &id).ok().get("contents").is_none(), "contents are gone once it is decided");
    // Another request is another question.
    held(&ask(hall, json!({"request": {}})));
}

#[test]
fn what_a_person_has_to_do_is_done_by_one_and_never_runs() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let by_hand = json!({"data_label": "CONFIDENTIAL"});
    let id = held(&ask(hall, by_hand.clone()));
    let why = resolve(hall, CYD, &id, "approve", json!({})).refused(409);
    assert!(why.contains("executor"), "{why}");
    assert_eq!(resolve(hall, CYD, &id, "done", json!({"note": "by hand"})).ok()["state"], "done");
    let why = denied(&ask(hall, by_hand), "DENY_REFUSED_BY_HUMAN");
    assert!(why.contains("`cyd` has done it") && why.contains("by hand"), "{why}");
    // Of a gatekeeper's question nobody says so.
    let id = held(&ask(hall, json!({})));
    assert!(resolve(hall, CYD, &id, "done", json!({})).refused(409).contains("gatekeeper"));
}

#[test]
fn a_dry_run_asks_nobody_and_spends_nothing() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let probe = ask(hall, json!({"dry_run": true}));
    assert_eq!((&probe["outcome"], probe.get("pending_approval_id")), (&json!("STEWARD_HOLD"), None), "{probe}");
    assert!(pending(hall, BEA).is_empty());
    let id = held(&ask(hall, json!({})));
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    assert_eq!(ask(hall, json!({"dry_run": true}))["outcome"], "STEWARD_HOLD");
    assert_eq!(state(hall, &id), "approved");
    granted(&ask(hall, json!({})), &id);
}

#[test]
fn of_many_repeats_at_once_exactly_one_runs() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({})));
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    let ask = |n: usize| {
        let answer = post(hall, ASKER, "/api/route", &write(json!({"correlation_id": format!("c-{n}")})));
        // A disk that is busy for too long refuses some of them.
        assert!([200, 503].contains(&answer.status), "{}", answer.text());
        answer.body
    };
    let decisions: Vec<Value> = thread::scope(|scope| {
        let asking: Vec<_> = (0..support::repeats()).map(|n| scope.spawn(move || ask(n))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (allowed, others): (Vec<_>, Vec<_>) = decisions.iter().partition(|decision| decision["denied"] == false);
    assert_eq!(allowed.len(), 1);
    granted(allowed[0], &id);
    let others = others.into_iter().filter(|decision| decision["error"] != "unavailable");
    let asked_anew: BTreeSet<String> = others.map(held).collect();
    assert!(asked_anew.len() == 1 && !asked_anew.contains(&id), "{asked_anew:?}");
    process.end();
    fixture.verify();
    let entries = fixture.entries();
    assert_eq!(entries.iter().filter(|entry| entry["policy_decision"] == "ALLOW").count(), 1);
}

#[test]
fn over_a_cap_nothing_is_opened() {
    let fixture = fixture("{ most_for_one: 2 }");
    let process = fixture.serve();
    let hall = process.hall();
    let row = |n: i32| json!({"request": {"row": n}});
    let first = held(&ask(hall, row(1)));
    held(&ask(hall, row(2)));
    let why = denied(&ask(hall, row(3)), "DENY_TOO_MANY_PENDING");
    assert!(why.contains("approvals.most_for_one"), "{why}");
    assert_eq!(held(&ask(hall, row(1))), first, "whoever waits already may ask on");
    assert_eq!(pending(hall, BEA).len(), 2);
    resolve(hall, BEA, &first, "deny", json!({})).ok();
    held(&ask(hall, row(3)));
}

#[test]
fn one_credential_asks_only_so_often_within_a_minute_whatever_became_of_it() {
    let fixture = fixture("{ most_a_minute: 2 }");
    let process = fixture.serve();
    let hall = process.hall();
    let row = |n: i32| json!({"request": {"row": n}});
    for n in 1..=2 {
        resolve(hall, BEA, &held(&ask(hall, row(n))), "deny", json!({})).ok();
    }
    let why = denied(&ask(hall, row(3)), "DENY_TOO_MANY_PENDING");
    assert!(why.contains("within a minute, and `approvals.most_a_minute` is 2"), "{why}");
    let another = post(hall, ASKER2, "/api/route", &write(row(3))).ok();
    held(&another);
    process.end();
    // A restart is no way around it.
    let process = fixture.serve();
    let asked = || ask(process.hall(), row(4));
    until(|| asked()["deny_code"] == "DENY_TOO_MANY_PENDING");
}

#[test]
fn silence_is_a_no() {
    let fixture = fixture("{ ttl: 1s }");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({})));
    until(|| state(hall, &id) == "expired");
    let why = resolve(hall, BEA, &id, "approve", json!({})).refused(410);
    assert!(why.contains("expired"), "{why}");
    // What was agreed to and not sent again in time is over, too.
    let id = held(&ask(hall, json!({})));
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    until(|| state(hall, &id) == "expired");
    assert_ne!(held(&ask(hall, json!({}))), id);
    assert!(metric(hall, r#"hallgate_approval_steps_total{action="expired"}"#) >= 2);
}

#[test]
fn without_the_section_nobody_is_asked() {
    let fixture = fixture("{}");
    fixture.edit("approvals: {}\n", "");
    let process = fixture.serve();
    let hall = process.hall();
    let decision = ask(hall, json!({}));
    assert_eq!(
        (&decision["outcome"], decision.get("pending_approval_id")),
        (&json!("STEWARD_HOLD"), None),
        "{decision}"
    );
    assert!(pending(hall, BEA).is_empty());
    let none = uuid();
    look(hall, BEA, &none).refused(404);
    let why = resolve(hall, BEA, &none, "approve", json!({})).refused(501);
    assert!(why.contains("`approvals`"), "{why}");
    post(hall, crate::desk::DAN, "/wcp/approvals/void-all", r#"{"note": "all"}"#).refused(501);
}

/// An id of nothing.
fn uuid() -> String {
    "11111111-1111-4111-8111-111111111111".to_owned()
}
