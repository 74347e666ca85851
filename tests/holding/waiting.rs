//! A caller is kept waiting until somebody agrees, and whoever leaves, drains or waits too long is let go.

use std::net::Shutdown;
use std::process::Command;
use std::thread;

use serde_json::Value;
use support::{Connection, until};

use crate::gate::{ASKER, Gate, ROW, held, refused, started};

const WAITS: &str = "POST /wait/a";

/// Decides about the one that waits, once it does.
fn decide(gate: &Gate, resolution: &str) {
    gate.waits_for(1.0);
    gate.resolve(&gate.only_pending(), resolution);
}

#[test]
fn a_caller_that_waits_gets_the_upstreams_answer_once_somebody_agrees() {
    let gate = started("{}", "");
    thread::scope(|scope| {
        let waits = scope.spawn(|| gate.send(WAITS, &[], ROW));
        decide(&gate, "approve");
        let answer = waits.join().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        let waits = scope.spawn(|| gate.send(WAITS, &[], ROW));
        decide(&gate, "deny");
        refused(&waits.join().unwrap(), 403, "DENY_REFUSED_BY_HUMAN");
    });
    assert_eq!(gate.upstream.bodies(), [ROW.as_bytes()]);
    gate.waits_for(0.0);
    gate.process.end();
    gate.fixture.verify();
}

#[test]
fn who_prefers_to_wait_does_as_far_as_the_route_lets_it() {
    let gate = started("{}", "");
    let id = held(&gate.send("POST /rows", &[("prefer", "wait=1")], ROW));
    thread::scope(|scope| {
        let waits = scope.spawn(|| gate.send("POST /rows", &[("prefer", "respond-async, wait=600")], "other"));
        let waiting = || gate.pending().into_iter().find(|other| *other != id);
        until(|| waiting().is_some());
        let waiting = waiting().unwrap();
        gate.resolve(&waiting, "approve");
        assert_eq!(waits.join().unwrap().status, 200);
    });
    assert_eq!(gate.upstream.last("prefer"), ["respond-async, wait=600"], "it is forwarded untouched");
}

#[test]
fn of_equal_waiters_one_is_served() {
    let gate = started("{}", "");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let waits: Vec<_> = (0..20).map(|_| scope.spawn(|| gate.send(WAITS, &[], ROW).status)).collect();
        gate.waits_for(20.0);
        gate.resolve(&gate.only_pending(), "approve");
        waits.into_iter().map(|wait| wait.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 19, "{statuses:?}");
    assert_eq!((gate.upstream.bodies().len(), gate.pending().len()), (1, 0), "and none of them asks anew");
    gate.process.end();
    gate.fixture.verify();
}

#[test]
fn what_expires_while_somebody_waits_is_a_no() {
    let gate = started("{ ttl: 1s }", "");
    let answer = gate.send(WAITS, &[], ROW);
    assert!(refused(&answer, 403, "DENY_REQUIRES_HUMAN_APPROVAL").contains("is expired"), "{}", answer.text());
    assert_eq!(gate.upstream.bodies(), Vec::<Vec<u8>>::new());
}

#[test]
fn who_leaves_is_forgotten_and_its_request_never_runs() {
    let gate = started("{}", "");
    let request =
        format!("{WAITS} HTTP/1.1\r\nhost: here\r\nwcp-token: {ASKER}\r\ncontent-length: {}\r\n\r\n{ROW}", ROW.len());
    let mut leaves = std::net::TcpStream::connect(gate.process.gate()).unwrap();
    std::io::Write::write_all(&mut leaves, request.as_bytes()).unwrap();
    gate.waits_for(1.0);
    leaves.shutdown(Shutdown::Both).unwrap();
    gate.waits_for(0.0);
    gate.resolve(&gate.only_pending(), "approve");
    // Who comes back has it.
    let mut back = Connection::to(gate.process.gate());
    assert_eq!(back.send(&request).receive().unwrap().status, 200);
    assert_eq!(gate.upstream.bodies().len(), 1);
}

#[test]
fn a_drain_answers_who_waits_with_what_to_come_back_for() {
    let gate = started("{}", "");
    thread::scope(|scope| {
        let waits = scope.spawn(|| gate.send(WAITS, &[], ROW));
        gate.waits_for(1.0);
        let id = gate.only_pending();
        gate.process.terminate();
        assert_eq!(held(&waits.join().unwrap()), id);
    });
    until(|| gate.process.ended().is_some());
    gate.fixture.verify();
}

#[test]
fn only_so_many_wait_and_the_others_are_answered_at_once() {
    let gate = started("{ waiting: { most: 1 } }", "");
    thread::scope(|scope| {
        let waits = scope.spawn(|| gate.send(WAITS, &[], ROW));
        gate.waits_for(1.0);
        let id = gate.only_pending();
        assert_eq!(held(&gate.send(WAITS, &[], ROW)), id);
        gate.resolve(&id, "deny");
        waits.join().unwrap();
    });
}

#[test]
fn a_credential_that_is_gone_meanwhile_is_nobodys() {
    let gate = started("{}", "");
    thread::scope(|scope| {
        let waits = scope.spawn(|| gate.send(WAITS, &[], ROW));
        gate.waits_for(1.0);
        let id = gate.only_pending();
        gate.fixture.edit(ASKER, "hst_asker_another_012");
        gate.process.hang_up();
        gate.process.wait_for_log("reloaded: in force");
        gate.resolve(&id, "approve");
        assert_eq!(waits.join().unwrap().status, 401);
    });
    assert_eq!(gate.upstream.bodies(), Vec::<Vec<u8>>::new());
}

#[test]
fn what_rests_on_another_rule_by_now_does_not_run_for_who_waits() {
    let gate = started("{}", "");
    thread::scope(|scope| {
        let waits = scope.spawn(|| gate.send(WAITS, &[], ROW));
        gate.waits_for(1.0);
        let id = gate.only_pending();
        gate.fixture.write("rules.json", &crate::gate::rules("somebody looks twice"));
        gate.process.hang_up();
        gate.process.wait_for_log("reloaded: in force");
        gate.resolve(&id, "approve");
        let why = refused(&waits.join().unwrap(), 403, "DENY_REQUIRES_HUMAN_APPROVAL");
        assert!(why.contains("is void"), "{why}");
        assert_eq!(gate.look(&id)["state"], "void");
    });
    assert_eq!((gate.upstream.bodies(), gate.pending()), (Vec::<Vec<u8>>::new(), Vec::new()));
    gate.process.end();
    gate.fixture.verify();
}

#[test]
fn a_connection_that_was_to_end_anyway_is_watched_while_its_caller_waits_and_ends_behind_its_answer() {
    let gate = started("{}", "");
    let ask = |path: &str| {
        let length = ROW.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: here\r\nwcp-token: {ASKER}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{ROW}"
        )
    };
    let mut waits = Connection::to(gate.process.gate());
    waits.send(ask("/wait/a"));
    gate.waits_for(1.0);
    gate.resolve(&gate.only_pending(), "approve");
    let answer = waits.receive().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert!(waits.closed(), "{}", answer.head);
    // Who leaves is seen to leave.
    let mut leaves = std::net::TcpStream::connect(gate.process.gate()).unwrap();
    std::io::Write::write_all(&mut leaves, ask("/wait/b").as_bytes()).unwrap();
    gate.waits_for(1.0);
    drop(leaves);
    gate.waits_for(0.0);
}

#[test]
fn who_is_answered_is_told_to_go_while_somebody_waits_for_its_place() {
    let gate = started("{}", "connections: { most: 2, per_network: 2, unknown: 2 }");
    let request = |body: &str| {
        let length = body.len();
        format!("{WAITS} HTTP/1.1\r\nhost: here\r\nwcp-token: {ASKER}\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let mut at_work = ["1", "2"].map(|body| {
        let mut connection = Connection::to(gate.process.gate());
        connection.send(request(body));
        connection
    });
    gate.waits_for(2.0);
    // As many wait in line as there are places: whoever is refused has found the line full.
    let come = [(); 3].map(|()| std::net::TcpStream::connect(gate.process.gate()).unwrap());
    let refused = |stream: &&std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        matches!(std::io::Read::read(&mut &**stream, &mut [0; 1]), Ok(0))
    };
    until(|| come.iter().any(|stream| refused(&stream)));
    let id = gate.pending().remove(0);
    let first = usize::from(gate.look(&id)["contents"]["body"] == "2");
    gate.resolve(&id, "approve");
    let answer = at_work[first].receive().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{}", answer.head);
    assert!(at_work[first].closed());
    // And who waited is served.
    assert_eq!(come.iter().filter(refused).count(), 1);
    held(&gate.write());
}

#[test]
fn over_http2_it_is_the_same() {
    let gate = started("{}", "");
    let curl = |path: &str| {
        let url = format!("http://{}{path}", gate.process.door("h2c"));
        let token = format!("wcp-token: {ASKER}");
        let out = Command::new("curl")
            .args(["-sS", "--http2-prior-knowledge", "--max-time", "60", "-H", &token, "-d", "{\"row\": 2}", &url])
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    thread::scope(|scope| {
        let waits = scope.spawn(|| curl("/wait/b"));
        decide(&gate, "approve");
        assert_eq!(waits.join().unwrap(), "ok");
    });
    let problem: Value = serde_json::from_str(&curl("/rows")).unwrap();
    gate.resolve(problem["pending_approval_id"].as_str().unwrap(), "approve");
    assert_eq!(curl("/rows"), "ok");
    assert_eq!(gate.upstream.bodies(), [b"{\"row\": 2}", b"{\"row\": 2}"]);
    // A stream that is reset is seen, too.
    let gone = format!("http://{}/wait/c", gate.process.door("h2c"));
    let mut leaves = Command::new("curl")
        .args(["-sS", "--http2-prior-knowledge", "-H", &format!("wcp-token: {ASKER}"), "-d", "x", &gone])
        .spawn()
        .unwrap();
    gate.waits_for(1.0);
    leaves.kill().unwrap();
    leaves.wait().unwrap();
    gate.waits_for(0.0);
}

/// OpenAI's own client, with its default timeout.
#[test]
fn an_unmodified_sdk_gets_its_models_answer() {
    let gate = started("{}", "");
    let script = "
import os, openai
client = openai.OpenAI(api_key='sk-x', base_url=os.environ['GATE'] + '/wait', default_headers={'wcp-token': os.environ['TOKEN']})
print(client.with_raw_response.models.retrieve('m').http_response.text)
";
    let gateway = format!("http://{}", gate.process.gate());
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut python = Command::new(support::venv("python"));
            python.args(["-c", script]).env("GATE", &gateway).env("TOKEN", ASKER);
            support::run(&mut python, "")
        });
        decide(&gate, "approve");
        let (code, out, err) = waits.join().unwrap();
        assert_eq!((code, out.trim()), (Some(0), "ok"), "{err}");
    });
}
