//! What lasts: what waits and what was agreed to over a restart and a kill; and what does not: contents, once somebody has decided.

use std::fs;
use std::thread;

use serde_json::json;
use support::{Fixture, Process, until};

use crate::desk::{BEA, ask, denied, fixture, granted, held, look, pending, resolve, state};

/// Starts the Hall, and waits until it knows what was decided before.
fn started(fixture: &Fixture) -> Process {
    let process = fixture.serve();
    process.wait_for_log("approvals are as the ledger has them");
    // It says so a moment before it acts on it.
    let none = "11111111-1111-4111-8111-111111111111";
    until(|| resolve(process.hall(), BEA, none, "deny", json!({})).status == 404);
    process
}

#[test]
fn a_restart_keeps_what_waits_and_what_was_agreed_to() {
    let fixture = fixture("{ ttl: 1h }");
    let process = fixture.serve();
    let hall = process.hall();
    let row = |n: i32| json!({"request": {"row": n}});
    let [waits, agreed, refused] = [1, 2, 3].map(|n| held(&ask(hall, row(n))));
    let digest = look(hall, BEA, &waits).ok()["digest"].clone();
    resolve(hall, BEA, &agreed, "approve", json!({})).ok();
    resolve(hall, BEA, &refused, "deny", json!({"note": "no"})).ok();
    process.end();

    let process = started(&fixture);
    let hall = process.hall();
    let seen = look(hall, BEA, &waits).ok();
    assert_eq!((&seen["contents"]["body"], &seen["digest"]), (&json!(r#"{"row": 1}"#), &digest), "{seen:#}");
    assert_eq!(pending(hall, BEA), [&*waits]);
    assert_eq!(held(&ask(hall, row(1))), waits);
    assert_eq!(granted(&ask(hall, row(2)), &agreed), ["bea"]);
    assert!(denied(&ask(hall, row(3)), "DENY_REFUSED_BY_HUMAN").contains(": no"));
    resolve(hall, BEA, &waits, "approve", json!({"digest": digest})).ok();
    granted(&ask(hall, row(1)), &waits);
    process.end();

    // What was spent stays spent.
    let process = fixture.serve();
    assert_eq!(state(process.hall(), &agreed), "spent");
}

#[test]
fn a_kill_loses_no_approval_and_spends_none_twice() {
    let fixture = fixture("{ ttl: 1h }");
    for n in 0..5 {
        let row = json!({"request": {"row": n}});
        // The first one is there before its answer is, the others from the ledger; each kill comes at once. What the round before left
        // has to be known again first.
        let process = if n == 0 { fixture.serve() } else { started(&fixture) };
        let id = held(&ask(process.hall(), row.clone()));
        process.kill();
        let process = started(&fixture);
        assert_eq!(look(process.hall(), BEA, &id).ok()["contents"]["body"], format!("{{\"row\": {n}}}"));
        resolve(process.hall(), BEA, &id, "approve", json!({})).ok();
        process.kill();
        let process = started(&fixture);
        assert_eq!(state(process.hall(), &id), "approved", "{n}");
        granted(&ask(process.hall(), row.clone()), &id);
        process.kill();
        let process = started(&fixture);
        assert_eq!(state(process.hall(), &id), "spent", "{n}");
        assert_ne!(held(&ask(process.hall(), row)), id);
        process.kill();
    }
    fixture.verify();
}

#[test]
fn contents_are_gone_once_somebody_has_decided_and_never_elsewhere() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let secret = "a-wage-of-4711-and-nobodys-business";
    let there = |name: &str| {
        let bytes = fs::read(fixture.path(name)).unwrap_or_default();
        bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
    };
    let in_store = || ["approvals.db", "approvals.db-journal", "approvals.db-wal"].into_iter().any(there);
    let row = |n: i32| json!({"request": {"row": format!("{secret} {n}")}});
    for (n, resolution) in ["approve", "deny"].into_iter().enumerate() {
        let id = held(&ask(hall, row(n as i32)));
        assert!(in_store(), "it is kept while somebody is asked");
        resolve(hall, BEA, &id, resolution, json!({})).ok();
        until(|| !in_store());
    }
    process.end();
    assert!(!in_store());
    assert!(!process.log().contains(secret));
    for entry in fs::read_dir(fixture.path("ledger")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { fs::read(&path).unwrap() } else { continue };
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", path.display());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(fixture.path("approvals.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_store_that_is_gone_has_what_waits_asked_for_again() {
    let fixture = fixture("{ ttl: 1h }");
    let process = fixture.serve();
    let [agreed, waits, refused] = [1, 2, 3].map(|n| held(&ask(process.hall(), json!({"request": {"row": n}}))));
    resolve(process.hall(), BEA, &agreed, "approve", json!({})).ok();
    resolve(process.hall(), BEA, &refused, "deny", json!({})).ok();
    process.end();
    fs::remove_file(fixture.path("approvals.db")).unwrap();
    let process = fixture.serve();
    let said = process.wait_for_log("what the ledger has open is not in the approvals' store");
    assert!(said.contains("\"approvals\":2"), "{said}");
    for (n, id) in [agreed, waits, refused].iter().enumerate() {
        assert_ne!(held(&ask(process.hall(), json!({"request": {"row": n + 1}}))), *id);
        look(process.hall(), BEA, id).refused(404);
    }
    process.end();
    fixture.verify();
}

#[test]
fn an_older_copy_of_the_store_brings_nothing_back_that_was_spent() {
    let fixture = fixture("{ ttl: 1h }");
    let copied = |name: &str| assert!(fs::copy(fixture.path("approvals.db"), fixture.path(name)).unwrap() > 0);
    let process = fixture.serve();
    let id = held(&ask(process.hall(), json!({})));
    process.end();
    copied("pending.db");
    let process = started(&fixture);
    resolve(process.hall(), BEA, &id, "approve", json!({})).ok();
    process.end();
    copied("approved.db");
    let process = started(&fixture);
    granted(&ask(process.hall(), json!({})), &id);
    process.end();
    for copy in ["pending.db", "approved.db"] {
        fs::copy(fixture.path(copy), fixture.path("approvals.db")).unwrap();
        let process = started(&fixture);
        assert_eq!(state(process.hall(), &id), "spent", "{copy}");
        assert_ne!(held(&ask(process.hall(), json!({}))), id);
        process.kill();
    }
    fixture.verify();
}

#[test]
fn beside_a_ledger_that_does_not_have_what_happened_everything_is_asked_for_again() {
    let fixture = fixture("{ ttl: 1h }");
    fixture.add("ledger: { segment_mib: 1, max_size: 2MiB, checkpoint_every: 10ms }");
    let process = fixture.serve();
    let agreed = |process: &Process, n: i32| {
        let id = held(&ask(process.hall(), json!({"request": {"row": n}})));
        resolve(process.hall(), BEA, &id, "approve", json!({})).ok();
        id
    };
    let again = |process: &Process, n: i32, id: &str| {
        process.wait_for_log("the ledger does not have all that has happened");
        assert_ne!(held(&ask(process.hall(), json!({"request": {"row": n}}))), id);
        look(process.hall(), BEA, id).refused(404);
    };
    // Pruned behind what is open: who goes on knows it all the same, and whoever verifies is told that it is not kept.
    let [first, second] = [1, 2].map(|n| agreed(&process, n));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while support::metric(process.hall(), "hallgate_ledger_pruned") == 0 {
                    for _ in 0..100 {
                        support::ask(
                            process.hall(),
                            "POST /api/route",
                            &[("authorization", "Bearer hst_asker_0123456789")],
                            "{",
                        );
                    }
                }
            });
        }
    });
    assert_eq!(granted(&ask(process.hall(), json!({"request": {"row": 1}})), &first), ["bea"]);
    let (code, out, err) = fixture.run(&["audit", "verify"]);
    assert!(code == Some(0) && out.contains("but for 1 dispatches that were agreed to in another log"), "{out}{err}");
    // Started anew it cannot tell whether it was spent.
    process.kill();
    let process = fixture.serve();
    again(&process, 2, &second);

    // The same beside a ledger that was begun anew.
    let third = agreed(&process, 3);
    process.end();
    fs::remove_dir_all(fixture.path("ledger")).unwrap();
    let process = fixture.serve();
    again(&process, 3, &third);
    process.end();
    fixture.verify();
}
