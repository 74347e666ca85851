//! What was agreed to rests on a policy's text and a worker's standing: another one voids it or denies, and what is nobody's of it does not.

use serde_json::{Value, json};
use support::{Answer, Fixture, Process, post, until};

use crate::desk::{ASKER, BEA, DAN, ask, denied, fixture, granted, held, look, resolve, write};

/// A Hall that keeps a registry, over which Dan may enroll and ban.
fn started() -> (Fixture, Process) {
    let fixture = fixture("{ ttl: 1h }");
    fixture.edit("scopes: [approve, admin], owner: dan", "scopes: [approve, admin, enroll], owner: dan");
    fixture.edit("workers: enrolled,", "workers: enrolled, store: registry.db,");
    let process = fixture.serve();
    (fixture, process)
}

fn agreed(process: &Process, fields: Value) -> String {
    let id = held(&ask(process.hall(), fields));
    resolve(process.hall(), BEA, &id, "approve", json!({})).ok();
    id
}

fn reload(process: &Process) {
    let before = process.log().matches("reloaded: in force").count();
    process.hang_up();
    until(|| process.log().matches("reloaded: in force").count() > before);
}

#[test]
fn another_text_of_the_policy_voids_it_and_another_policy_does_not() {
    let (fixture, process) = started();
    let id = agreed(&process, json!({}));
    fixture.write("policies/more.cedar", "forbid(principal, action, resource) when { context.env == \"edge\" };");
    reload(&process);
    assert_eq!(granted(&ask(process.hall(), json!({})), &id), ["bea"]);

    let id = agreed(&process, json!({}));
    let text = fixture.read("policies/all.cedar");
    fixture
        .write("policies/all.cedar", &text.replace("RESTRICTED data needs a human", "RESTRICTED data needs two eyes"));
    reload(&process);
    let anew = held(&ask(process.hall(), json!({})));
    assert_ne!(anew, id);
    assert_eq!(look(process.hall(), BEA, &id).ok()["state"], "void");
    process.end();
    fixture.verify();
}

#[test]
fn of_a_worker_that_is_revoked_or_banned_nothing_runs_that_was_agreed_to() {
    let (fixture, process) = started();
    let hall = process.hall();
    let change = |path: &str, body: Value| -> Answer { post(hall, DAN, path, &body.to_string()) };
    let id = agreed(&process, json!({}));
    let probe = || ask(hall, json!({}));
    change("/wcp/workers/wrk_make_acme_prod/revoke", json!({"reason": "stolen"})).ok();
    denied(&probe(), "DENY_WORKER_REVOKED");
    change("/wcp/workers/wrk_make_acme_prod/restore", json!({"reason": "found"})).ok();
    let (_, hash, _) = fixture.run(&["worker", "hash", "enrolled/wrk_make_acme_prod.json"]);
    change("/wcp/registry/ban", json!({"hash": hash.trim(), "reason": "bad code"})).ok();
    denied(&probe(), "DENY_WORKER_BANNED");
    assert_eq!(look(hall, BEA, &id).ok()["state"], "approved", "it is there, and runs for nobody");
    resolve(hall, BEA, &id, "withdraw", json!({})).ok();
    change("/wcp/registry/unban", json!({"hash": hash.trim()})).ok();
    assert_ne!(held(&probe()), id);
    process.end();
    fixture.verify();
}

#[test]
fn another_worker_or_tenant_asks_for_itself() {
    let (_fixture, process) = started();
    let hall = process.hall();
    let id = agreed(&process, json!({}));
    for fields in [json!({"worker_id": "wrk_report_acme_prod"}), json!({"tenant_id": "org.globex"})] {
        let other = post(hall, ASKER, "/api/route", &write(fields)).ok();
        assert_eq!(other["denied"], true, "{other}");
        assert_ne!(other["pending_approval_id"], json!(id));
    }
    assert_eq!(granted(&ask(hall, json!({})), &id), ["bea"]);
}
