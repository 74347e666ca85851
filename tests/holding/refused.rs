//! What cannot wait for a human is denied, and what is only tried asks nobody.

use support::{Connection, gauge};

use crate::gate::{ASKER, ROW, held, refused, started};

#[test]
fn what_a_human_cannot_be_shown_is_denied() {
    let gate = started("{}", "idle_timeout: 1s\n  min_body_rate: 0");
    let large = "x".repeat(65_537);
    assert!(refused(&gate.send("POST /rows", &[], &large), 413, "DENY_CANNOT_BE_HELD").contains("65536"));
    let most = "x".repeat(65_536);
    let id = held(&gate.send("POST /rows", &[], &most));
    gate.resolve(&id, "approve");
    assert_eq!(gate.send("POST /rows", &[], &most).status, 200);
    assert_eq!(gate.upstream.bodies(), [most.as_bytes()]);

    let head = format!("POST /rows HTTP/1.1\r\nhost: here\r\nwcp-token: {ASKER}\r\n");
    let chunked = |sizes: &[usize]| {
        let mut connection = Connection::to(gate.process.gate());
        connection.send(format!("{head}transfer-encoding: chunked\r\n\r\n"));
        for size in sizes {
            connection.send(format!("{size:x}\r\n{}\r\n", "y".repeat(*size)));
        }
        connection.send("0\r\n\r\n").receive().unwrap()
    };
    held(&chunked(&[1, 65_535]));
    refused(&chunked(&[65_536, 1]), 413, "DENY_CANNOT_BE_HELD");

    // One that does not arrive.
    let mut slow = Connection::to(gate.process.gate());
    let answer = slow.send(format!("{head}content-length: 10\r\n\r\nfirst")).receive().unwrap();
    refused(&answer, 408, "DENY_CANNOT_BE_HELD");
    assert!(slow.closed());

    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = gate.send("GET /rows", &[upgrade[0], upgrade[1], upgrade[2], key], "");
    refused(&answer, 403, "DENY_CANNOT_BE_HELD");
    gate.process.end();
    gate.fixture.verify();
}

#[test]
fn who_waits_to_be_told_to_go_on_is_told() {
    let gate = started("{}", "");
    let mut connection = Connection::to(gate.process.gate());
    let head = format!(
        "POST /rows HTTP/1.1\r\nhost: here\r\nwcp-token: {ASKER}\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        ROW.len()
    );
    assert_eq!(connection.send(head).receive().unwrap().status, 100);
    held(&connection.send(ROW).receive().unwrap());
}

#[test]
fn a_dry_run_says_that_it_would_be_held_and_asks_nobody() {
    let gate = started("{}", "");
    let answer = gate.send("POST /rows", &[("wcp-dry-run", "true")], ROW);
    let decision = &answer.body;
    assert_eq!((answer.status, &decision["denied"]), (200, &true.into()), "{decision:#}");
    assert_eq!(decision["deny_reason_if_denied"]["code"], "DENY_REQUIRES_HUMAN_APPROVAL");
    assert_eq!((gate.pending().len(), gauge(gate.hall(), "hallgate_approvals_pending")), (0, 0.0));
}

#[test]
fn only_so_much_may_wait_for_a_human() {
    let gate = started("{ most_for_one: 2 }", "");
    for body in ["1", "2"] {
        held(&gate.send("POST /rows", &[], body));
    }
    let why = refused(&gate.send("POST /rows", &[], "3"), 403, "DENY_TOO_MANY_PENDING");
    assert!(why.contains("approvals.most_for_one"), "{why}");
    support::until(|| gauge(gate.hall(), "hallgate_approvals_pending") == 2.0);
    assert_eq!(gate.pending().len(), 2);
}

#[test]
fn in_reference_mode_nobody_is_asked() {
    let gate = started("{}", "");
    gate.fixture.edit("policy: { rules", "policy: { mode: reference, rules");
    // The reference knows no humans but those of its policy gate.
    gate.fixture.edit("workers: enrolled,", "workers: enrolled, gate: policies,");
    gate.fixture.write(
        "policies/all.cedar",
        "permit(principal, action, resource);\n@gate(\"REQUIRE_HUMAN\")\nforbid(principal, action, resource);\n",
    );
    gate.fixture.write(
        "rules.json",
        &crate::gate::rules("x").replace("\"human_required_default\":true", "\"policy_gate\":true"),
    );
    gate.process.hang_up();
    gate.process.wait_for_log("reloaded: in force");
    let answer = gate.write();
    let reason = refused(&answer, 403, "DENY_REQUIRES_HUMAN_APPROVAL");
    assert!(reason.contains("nobody can agree here"), "{reason}");
    assert_eq!(answer.body.get("pending_approval_id"), None);
    assert!(gate.pending().is_empty());
}
