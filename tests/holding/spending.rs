//! What was agreed to runs once, and what it rests on is still the same.

use std::thread;

use serde_json::{Value, json};
use support::until;

use crate::gate::{ASKER, ROW, held, refused, rules, started};

/// In the log, once new files count.
const RELOADED: &str = "reloaded: in force";

#[test]
fn the_same_again_is_forwarded_once_as_it_came() {
    let gate = started("{}", "");
    let answer = gate.write();
    let id = held(&answer);
    let problem = &answer.body;
    assert_eq!(
        (&problem["supervisor_level"], &problem["error"]["pending_approval_id"]),
        (&json!("gatekeeper"), &json!(id))
    );
    assert_eq!(problem["poll"], format!("/wcp/approvals/{id}"));
    assert_eq!(held(&gate.write()), id, "the same again waits for the same");

    let seen = gate.look(&id);
    assert_eq!(seen["contents"]["body"], ROW, "{seen:#}");
    assert!(seen["contents"]["http"].as_str().unwrap().starts_with("POST http://127.0.0.1:"), "{seen:#}");
    assert!(!seen.to_string().contains(ASKER), "{seen:#}");
    gate.resolve(&id, "approve");
    let answer = gate.write();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(gate.upstream.bodies(), [ROW.as_bytes()]);
    let other = held(&gate.write());
    assert_ne!(other, id, "it was for one");
    gate.resolve(&other, "deny");
    assert!(refused(&gate.write(), 403, "DENY_REFUSED_BY_HUMAN").contains("`bea` said no"));
    assert_eq!(gate.upstream.bodies(), Vec::<Vec<u8>>::new());

    gate.process.end();
    gate.fixture.verify();
    let entries = gate.fixture.entries();
    let spent: Vec<&Value> = entries.iter().filter(|entry| entry["approval"]["receipt_hash"].is_string()).collect();
    assert_eq!(spent.len(), 1);
    assert_eq!((&spent[0]["approval"]["id"], &spent[0]["approval"]["approved_by"]), (&json!(id), &json!(["bea"])));
    assert_eq!((&spent[0]["outcome"], &spent[0]["supervisor_level"]), (&json!("DISPATCH"), &json!("gatekeeper")));
    let text = gate.fixture.read("ledger/checkpoint") + &entries.iter().map(Value::to_string).collect::<String>();
    assert!(!text.contains("as it came"), "what would run is in no entry");
}

#[test]
fn of_many_repeats_at_once_exactly_one_is_forwarded() {
    let gate = started("{}", "");
    let id = held(&gate.write());
    gate.resolve(&id, "approve");
    let repeats = support::repeats();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let asks: Vec<_> = (0..repeats).map(|_| scope.spawn(|| gate.write().status)).collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    // Of so many at once not every body may be read at once.
    assert!(statuses.iter().all(|status| [200, 403, 503].contains(status)), "{statuses:?}");
    assert!(repeats > 256 || !statuses.contains(&503), "{statuses:?}");
    assert_eq!(gate.upstream.bodies().len(), 1);
    gate.process.end();
    gate.fixture.verify();
}

#[test]
fn what_it_rests_on_has_to_be_the_same() {
    let gate = started("{}", "");
    let id = held(&gate.write());
    gate.resolve(&id, "approve");
    gate.fixture.write("rules.json", &rules("somebody looks twice"));
    gate.process.hang_up();
    gate.process.wait_for_log(RELOADED);
    let anew = held(&gate.write());
    assert_ne!(anew, id, "the rule is another");
    assert_eq!(gate.look(&id)["state"], "void");

    // Another worker's enrolment changes nothing of it.
    gate.resolve(&anew, "approve");
    let other = json!({"worker_id": "wrk_other", "worker_species_id": "wrk.data.other", "capabilities": ["cap.x"], "risk_tier": "low"});
    gate.fixture.write("enrolled/other.json", &other.to_string());
    gate.process.hang_up();
    until(|| gate.process.log().matches(RELOADED).count() >= 2);
    assert_eq!(gate.write().status, 200);
    assert_eq!(gate.upstream.bodies().len(), 1);

    // Of a worker that may not act any more nothing is agreed to.
    let id = held(&gate.write());
    gate.resolve(&id, "approve");
    let before = gate.process.log().matches(RELOADED).count();
    let retired = gate.fixture.read("enrolled/writer.json").replace("\"dev\"", "\"prod\"");
    gate.fixture.write("enrolled/writer.json", &retired);
    gate.process.hang_up();
    until(|| gate.process.log().matches(RELOADED).count() > before);
    refused(&gate.write(), 403, "DENY_ENV_NOT_ALLOWED");
    assert_eq!(gate.upstream.bodies(), Vec::<Vec<u8>>::new());
    gate.process.end();
    gate.fixture.verify();
}
