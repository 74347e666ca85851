//! Whoever proves no identity is cheap, and whoever has one cannot take what is everyone's: with the real binary.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use support::{Connection, Fixture, Held, NOWHERE, Process, TOKEN, ask, metric, route, until};

const ACME: &str = "hst_acme-0123456789abcdef";
const GLOBEX: &str = "hst_globex-0123456789abcdef";

/// A fixture with this identity and these limits at its gate, and a token for each of two tenants besides the one that is bound to none.
fn fixture(upstream: SocketAddr, identity: &str, limits: &str) -> Fixture {
    let fixture = Fixture::sample(upstream);
    let tokens = format!(
        "tokens: [{{ name: acme, secret: {ACME}, scopes: [route], tenant_id: org.acme, worker_ids: [wrk_make_acme_prod] }}, \
         {{ name: globex, secret: {GLOBEX}, scopes: [route], tenant_id: org.globex, worker_ids: [wrk_make_acme_prod] }}, "
    );
    fixture.edit("tokens: [", &tokens);
    fixture.edit("{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }", identity);
    fixture.edit("gate:\n  listen", &format!("gate:\n  limits: {limits}\n  listen"));
    fixture
}

/// Sends requests, one after the other on kept connections, and counts the answers.
fn flood(to: SocketAddr, requests: &[&str], each: usize) -> u64 {
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        for request in requests {
            let answered = &answered;
            scope.spawn(move || {
                let mut left = each;
                while left > 0 {
                    let mut connection = Connection::to(to);
                    // Malformed ones end their connection.
                    while left > 0 && connection.send(request).receive().is_some() {
                        left -= 1;
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    answered.into_inner()
}

#[test]
fn all_strangers_together_add_an_entry_a_second_and_every_one_of_them_is_in_it() {
    let fixture = fixture(NOWHERE, "{ mode: token }", "{}");
    let process = fixture.serve();
    let before = metric(process.hall(), "hallgate_ledger_entries");
    let began = Instant::now();
    let at_the_gate = flood(
        process.gate(),
        &[
            "GET /orders HTTP/1.1\r\nhost: gate\r\n\r\n",
            "GET /orders HTTP/1.1\r\nhost: gate\r\nwcp-token: hst_wrong-0123456789\r\n\r\n",
            "GET /nowhere HTTP/1.1\r\nhost: gate\r\nwcp-blast-score: \r\n\r\n",
            "GET /or//ders HTTP/1.1\r\nhost: gate\r\n\r\n",
            "TRACE /orders HTTP/1.1\r\nhost: gate\r\n\r\n",
            "GET /orders HTTP/1.1\r\nhost: gate\nx: y\r\n\r\n",
        ],
        200,
    );
    let at_the_hall = flood(
        process.hall(),
        &[
            "GET /api/workers HTTP/1.1\r\nhost: hall\r\n\r\n",
            "POST /api/route HTTP/1.1\r\nhost: hall\r\nauthorization: Bearer hst_wrong-0123456789\r\ncontent-length: 2\r\n\r\n{}",
        ],
        200,
    );
    assert_eq!((at_the_gate, at_the_hall), (1200, 400));
    let seconds = began.elapsed().as_secs() + 2;
    let added = metric(process.hall(), "hallgate_ledger_entries") - before;
    assert!(added <= seconds, "{added} entries in {seconds} s");
    process.end();

    // Each is counted, but a log is not theirs to fill.
    let log = process.log();
    let lines = log.lines().filter(|line| line.contains("\"peer\"")).count() as u64;
    assert!((1..=20 * (began.elapsed().as_secs() + 2)).contains(&lines), "{lines} lines");

    let crowds: Vec<Value> = fixture.entries().into_iter().filter(|entry| entry["requests"].is_u64()).collect();
    let requests: u64 = crowds.iter().map(|crowd| crowd["requests"].as_u64().unwrap()).sum();
    assert_eq!(requests, 1600, "{crowds:?}");
    for crowd in &crowds {
        assert!(
            crowd["networks"].as_array().unwrap().iter().any(|named| named.as_str().unwrap().starts_with("127.0.0.1 "))
        );
        assert_eq!((&crowd["policy_decision"], &crowd["stream"]), (&"DENY".into(), &":hall".into()), "{crowd}");
    }
    fixture.verify();
}

#[test]
fn whoever_is_known_is_held_to_its_rate_whatever_is_wrong_with_its_requests() {
    for (identity, header) in [
        ("{ mode: token }", format!("wcp-token: {ACME}\r\n")),
        ("{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }", String::new()),
    ] {
        let fixture = fixture(NOWHERE, identity, "{ per_tenant: { rate: 1/h, burst: 3 } }");
        let process = fixture.serve();
        let before = metric(process.hall(), "hallgate_ledger_entries");
        let malformed = format!("GET /or//ders HTTP/1.1\r\nhost: gate\r\n{header}\r\n");
        let nowhere = format!("GET /nowhere HTTP/1.1\r\nhost: gate\r\n{header}\r\n");
        let began = Instant::now();
        assert_eq!(flood(process.gate(), &[&malformed, &nowhere], 100), 200);
        let added = metric(process.hall(), "hallgate_ledger_entries") - before;
        assert!((3..=5 + began.elapsed().as_secs()).contains(&added), "{identity}: {added} entries of 200 requests");
    }
}

#[test]
fn wrong_tokens_do_not_lock_out_a_right_one() {
    let fixture = fixture(NOWHERE, "{ mode: token }", "{}");
    let process = fixture.serve();
    for n in 0..80 {
        let wrong = format!("hst_wrong-{n}-0123456789");
        assert!([401, 429].contains(&route(process.hall(), &wrong).status));
    }
    assert_eq!(route(process.hall(), "hst_wrong-0123456789").status, 429);
    assert_eq!(route(process.hall(), TOKEN).status, 200);
    assert_eq!(ask(process.gate(), "GET /nowhere", &[("wcp-token", ACME)], "").status, 404);
}

/// Sends requests at once, each on a connection of its own, with a token or without; the connections.
fn burst(process: &Process, token: &str, requests: usize) -> Vec<TcpStream> {
    let mut connections: Vec<TcpStream> = (0..requests).map(|_| TcpStream::connect(process.gate()).unwrap()).collect();
    for connection in &mut connections {
        let token = if token.is_empty() { String::new() } else { format!("wcp-token: {token}\r\n") };
        let request = format!("GET /orders HTTP/1.1\r\nhost: gate\r\nwcp-qos-class: P0\r\n{token}\r\n");
        connection.write_all(request.as_bytes()).unwrap();
    }
    connections
}

fn in_flight(process: &Process) -> u64 {
    metric(process.hall(), "hallgate_exchanges_in_flight")
}

const OVERLOADED: &str = "hallgate_decisions_total{door=\"gate\",verdict=\"DENY\",code=\"DENY_OVERLOADED\"";

/// How many decisions were shed.
fn shed(process: &Process) -> u64 {
    let metrics = ask(process.hall(), "GET /metrics", &[], "").text();
    let of = metrics.lines().filter(|line| line.starts_with(OVERLOADED));
    of.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn a_burst_takes_no_more_places_than_there_are() {
    let upstream = Held::start();
    let fixture = fixture(
        upstream.address,
        "{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }",
        "{ in_flight: 4 }",
    );
    let process = fixture.serve();
    let connections = burst(&process, "", 60);
    until(|| in_flight(&process) + shed(&process) == 60);
    assert_eq!((in_flight(&process), shed(&process)), (4, 56));
    drop(connections);
    until(|| in_flight(&process) == 0);
    // What is given back can be taken again, by all of them.
    let _again = burst(&process, "", 4);
    until(|| in_flight(&process) == 4);
}

#[test]
fn a_tenant_cannot_take_all_places() {
    let upstream = Held::start();
    let fixture = fixture(upstream.address, "{ mode: token }", "{ in_flight: 10 }");
    let process = fixture.serve();
    let greedy = burst(&process, ACME, 20);
    until(|| in_flight(&process) + shed(&process) == 20);
    assert_eq!(in_flight(&process), 5);
    let _other = burst(&process, GLOBEX, 5);
    until(|| in_flight(&process) + shed(&process) == 25);
    assert_eq!(in_flight(&process), 10, "the other tenant has its half");
    drop(greedy);
    until(|| in_flight(&process) == 5);
}
