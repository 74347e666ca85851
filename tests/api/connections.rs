//! Connections: kept alive, shared out fairly, slow ones cut, and finished before a shutdown.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{ACME, Client, Running, Setup};

const BODY: &str = r#"{"capability_id":"cap.data.read.v1","env":"dev","tenant_id":"org.acme"}"#;

#[test]
fn concurrent_clients_each_get_their_own_answer_and_every_answer_has_its_entry() {
    const CLIENTS: usize = 32;
    const REQUESTS: usize = 50;
    let running = Running::start();
    let ids = Arc::new(Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (addr, ids) = (running.addr, Arc::clone(&ids));
            scope.spawn(move || {
                let mut connection = Client::new(addr);
                for request in 0..REQUESTS {
                    let correlation = format!("client-{client}-{request}");
                    let body = format!("{},\"correlation_id\":\"{correlation}\"}}", BODY.trim_end_matches('}'));
                    let answer = connection.route(ACME, body).json();
                    assert_eq!(answer["correlation_id"], *correlation);
                    assert!(ids.lock().unwrap().insert(answer["decision_id"].as_str().unwrap().to_owned()));
                }
            });
        }
    });
    assert_eq!(running.entries(), (CLIENTS * REQUESTS) as u64);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let running = Running::start();
    let one = |correlation: &str| {
        let body = format!("{},\"correlation_id\":\"{correlation}\"}}", BODY.trim_end_matches('}'));
        format!(
            "POST /api/route HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {ACME}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let mut client = running.connect();
    client.send(one("a") + &one("b") + &one("c"));
    for correlation in ["a", "b", "c"] {
        assert_eq!(client.receive().unwrap().json()["correlation_id"], correlation);
    }
}

#[test]
fn a_body_that_does_not_arrive_is_408_and_does_not_hold_up_others() {
    let running = Running::start();
    let mut slow = running.connect();
    slow.send(format!(
        "POST /api/route HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {ACME}\r\ncontent-length: 100\r\n\r\n{{"
    ));
    let began = Instant::now();
    assert_eq!(running.route(ACME, BODY).status, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "one slow client held up another");
    slow.receive().unwrap().refused(408, "request timeout");
    assert!(slow.closed());
}

#[test]
fn a_body_shorter_than_announced_is_refused() {
    let running = Running::start();
    let mut client = running.connect();
    client.send(format!(
        "POST /api/route HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {ACME}\r\ncontent-length: 5\r\n\r\n{BODY}"
    ));
    client.receive().unwrap().refused(400, "malformed body");
    // What is left of the body is no request: it must not be read as one and decided.
    if let Some(next) = client.receive() {
        assert_eq!(next.status, 400);
    }
    assert_eq!(running.entries(), 1);
}

#[test]
fn what_is_not_http_is_closed() {
    let running = Running::start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /api/route HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /api/route HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n{}",
        b"POST /api/route HTTP/1.1\r\nhost : h\r\n\r\n",
    ] {
        let mut client = running.connect();
        if let Some(answer) = client.send(bytes).receive() {
            assert!(answer.status >= 400, "{bytes:?}");
        }
        assert!(client.closed(), "{bytes:?}");
    }
    let mut enormous = running.connect();
    enormous.send(format!("POST /api/route HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20)));
    assert!(enormous.receive().is_none_or(|answer| answer.status >= 400));
    assert_eq!(running.entries(), 0);
}

#[test]
fn a_request_in_flight_is_answered_before_the_hall_stops() {
    let running = Running::with(Setup { grace: 2, ..Default::default() });
    let mut client = running.connect();
    let (first, rest) = BODY.split_at(10);
    client.send(format!(
        "POST /api/route HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {ACME}\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    ));
    // The hall asks for the body, so the request has begun.
    assert_eq!(client.receive().unwrap().status, 100);
    client.send(first);
    let mut idle = running.connect();
    assert_eq!(idle.route(ACME, BODY).status, 200);
    running.stop();
    assert!(idle.closed(), "an idle connection ends at once");
    let answer = client.send(rest).receive().unwrap();
    assert_eq!(answer.json()["denied"], Value::Bool(false));
    assert_eq!(answer.header("connection"), Some("close"));
}
