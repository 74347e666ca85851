//! `hallgate serve` from the outside: how the real binary starts, refuses to start, and ends.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use support::{Fixture, Held, NOWHERE, PATIENCE, READ, TOKEN, Upstream, ask, post, rest, status, until};

/// All that a test of the running program needs.
#[test]
fn a_request_at_either_door_is_decided_recorded_and_only_then_forwarded() {
    let upstream = Upstream::start();
    let fixture = Fixture::sample(upstream.address);
    let process = fixture.serve();
    assert_eq!(ask(process.gate(), "GET /orders", &[], "").text(), "ok");
    assert_eq!(upstream.called().len(), 1);
    assert_eq!(post(process.hall(), TOKEN, "/api/route", READ).ok()["outcome"], "DISPATCH");
    process.end();
    assert_eq!(fixture.verify(), (2, 1));
}

#[test]
fn it_starts_says_what_is_in_force_and_ends_at_once_when_idle() {
    let fixture = Fixture::sample(NOWHERE).shutdown("{ linger: 0s, grace: 10m }");
    let process = fixture.serve();
    let began = Instant::now();
    process.end();
    assert!(began.elapsed() < PATIENCE, "it waited for its grace time although nothing was in flight");
    for said in ["\"snapshot\":", "\"vkey\":\"hallgate.local/ledger+", "\"rules\":7", "\"workers\":3", "\"ended\""] {
        until(|| process.log().contains(said));
    }
    assert!(!process.log().contains(TOKEN), "a secret is in the log");
    assert_eq!(fixture.verify(), (0, 0));
}

#[test]
fn requests_in_flight_finish_before_it_ends_and_readiness_drops_first() {
    let upstream = Held::start();
    let fixture = Fixture::sample(upstream.address).shutdown("{ linger: 3s, grace: 10m }");
    let process = fixture.serve();
    let mut stream = upstream.begin(process.gate());
    let mut slow = TcpStream::connect(process.hall()).unwrap();
    let (half, other_half) = READ.split_at(20);
    let head = format!(
        "POST /api/route HTTP/1.1\r\nhost: hall\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{half}",
        READ.len()
    );

    process.terminate();
    until(|| process.readiness() == Some(503));
    // Callers are still taken: who asks before the balancer has noticed is not refused.
    slow.write_all(head.as_bytes()).unwrap();
    until(|| process.readiness().is_none());
    until(|| TcpStream::connect(process.gate()).is_err());

    slow.write_all(other_half.as_bytes()).unwrap();
    let answer = rest(&mut slow);
    assert_eq!(status(&answer), Some(200), "{answer}");
    upstream.finish();
    let answer = rest(&mut stream);
    assert!(answer.contains("first") && answer.ends_with("4\r\nlast\r\n0\r\n\r\n"), "{answer}");

    assert_eq!(process.ended(), Some(0), "{}", process.log());
    assert!(!process.log().contains("cut off"), "{}", process.log());
    assert_eq!(fixture.verify(), (2, 1));
}

#[test]
fn the_grace_time_has_an_end_and_what_is_cut_off_is_recorded() {
    let upstream = Held::start();
    let fixture = Fixture::sample(upstream.address).shutdown("{ linger: 0s, grace: 300ms }");
    let process = fixture.serve();
    let _stream = upstream.begin(process.gate());
    process.end();
    assert!(process.log().contains("the grace time is over"), "{}", process.log());
    assert_eq!(fixture.verify(), (1, 1));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let upstream = Held::start();
    let fixture = Fixture::sample(upstream.address).shutdown("{ linger: 10m, grace: 10m }");
    let process = fixture.serve();
    let mut stream = upstream.begin(process.gate());
    process.terminate();
    until(|| process.readiness() == Some(503));
    process.end();
    assert!(process.log().contains("told to end at once"), "{}", process.log());
    assert!(!rest(&mut stream).contains("last"));
    assert_eq!(fixture.verify(), (1, 1));
}

#[test]
fn a_bad_configuration_is_reported_whole_and_nothing_starts() {
    let fixture = Fixture::sample(NOWHERE);
    fixture.edit("shutdown: { linger: 0s }", "shutdown: { lingre: 0s, grace: soon }");
    fixture.edit("cap.data.read.v1", "read");
    for command in ["serve", "check"] {
        let (code, out, err) = fixture.run(&[command, "--config", "hallgate.yaml"]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        for said in [
            "hallgate.yaml:6:",
            "gate.routes[0].capability",
            "shutdown.lingre",
            "did you mean `linger`?",
            "shutdown.grace",
            "3 problems",
        ] {
            assert!(err.contains(said), "{said} in:\n{err}");
        }
    }
    assert!(!fixture.path("ledger").exists());
}

#[test]
fn without_a_session_token_it_does_not_start() {
    let fixture = Fixture::sample(NOWHERE);
    let good = fixture.configuration();
    let (before, after) = good.split_once("  tokens:").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    // HALL_SESSION_TOKEN is set: it is no token until a configuration says what it may be used for.
    for tokens in
        ["", "  tokens: []\n", "  tokens: [{ name: monitor, secret: \"${HALL_SESSION_TOKEN}\", scopes: [read] }]\n"]
    {
        fixture.configure(&format!("{before}{tokens}{after}"));
        let (code, _, err) = fixture.run(&["serve", "--config", "hallgate.yaml"]);
        assert_eq!(code, Some(2), "{tokens}: {err}");
        assert!(err.contains("hall.tokens") && err.contains("HALL_SESSION_TOKEN"), "{err}");
    }
}

#[test]
fn a_taken_port_is_named_with_its_key() {
    let fixture = Fixture::sample(NOWHERE);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let good = fixture.configuration();
    for section in ["gate", "hall"] {
        let listen = format!("{section}:\n  listen: 127.0.0.1:");
        fixture.configure(&good.replace(&format!("{listen}0"), &format!("{listen}{port}")));
        let (code, _, err) = fixture.run(&["serve", "--config", "hallgate.yaml"]);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains(&format!("`{section}.listen`")) && err.contains(&port.to_string()), "{err}");
        assert!(!fixture.path("ledger").exists(), "nothing is touched before the ports are had");
    }
}

#[test]
fn a_socket_that_a_killed_process_left_behind_is_replaced_and_a_used_one_is_not() {
    let fixture = Fixture::sample(NOWHERE);
    let socket = fixture.path("gate.sock");
    fixture.edit("127.0.0.1:0\n  identity", &format!("unix:{}\n  identity", socket.display()));
    drop(UnixListener::bind(&socket).unwrap());
    let process = fixture.serve();
    let mut connection = UnixStream::connect(&socket).unwrap();
    connection.write_all(b"GET /nowhere HTTP/1.1\r\nhost: gate\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");

    let (code, _, err) = fixture.run(&["serve", "--config", "hallgate.yaml"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("`gate.listen`") && err.contains("gate.sock"), "{err}");
    process.end();
}

#[test]
fn audit_verify_tells_a_sound_ledger_from_a_broken_one_and_from_none() {
    let upstream = Held::start();
    let fixture = Fixture::sample(upstream.address);
    let process = fixture.serve();
    let stream = upstream.begin(process.gate());
    upstream.finish();
    drop(stream);
    let key = fixture.read("hallgate.key.pub");
    process.end();
    assert_eq!(fixture.run(&["audit", "verify", "--key", key.trim_end()]).0, Some(0), "the key itself does, too");

    let (code, _, err) = fixture.run(&["audit", "verify", "--key", "none.pub"]);
    assert_eq!(code, Some(2), "{err}");
    let files = files(&fixture.path("ledger"));
    let segment = files.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(segment).unwrap();
    let at = bytes.windows(8).position(|window| window == b"org.acme").unwrap();
    bytes[at] ^= 1;
    fs::write(segment, bytes).unwrap();
    let (code, out, _) = fixture.run(&["audit", "verify"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.starts_with("the ledger is broken: entry 1"), "after the entry of the policy: {out}");
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
