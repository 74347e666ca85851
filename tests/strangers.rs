//! Whoever proves no identity is cheap, and whoever has one cannot take what is everyone's: with the real binary.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "serve/asking.rs"]
#[expect(dead_code, reason = "other tests look at headers")]
mod asking;
#[path = "serve/house.rs"]
#[expect(dead_code, reason = "the tests of `serve` use the rest of it")]
mod house;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use asking::{ask, metric, route};
use house::{House, Process, TOKEN, until};

const ACME: &str = "hst_acme-0123456789abcdef";
const GLOBEX: &str = "hst_globex-0123456789abcdef";

/// A house with this identity and these limits at its gate, and a token for each of two tenants besides the one that is bound to none.
fn house(identity: &str, limits: &str) -> House {
    let house = House::build("{ linger: 0s }");
    let tokens = format!(
        "tokens: [{{ name: acme, secret: {ACME}, scopes: [route], tenant_id: org.acme, worker_ids: [wrk_make_acme_prod] }}, \
         {{ name: globex, secret: {GLOBEX}, scopes: [route], tenant_id: org.globex, worker_ids: [wrk_make_acme_prod] }}, "
    );
    let text = house.configuration("{ linger: 0s }").replace("tokens: [", &tokens);
    let fixed = "{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }";
    house.write(
        &text.replace(fixed, identity).replace("gate:\n  listen", &format!("gate:\n  limits: {limits}\n  listen")),
    );
    house
}

/// The entries of the ledger, by the real command.
fn entries(house: &House) -> Vec<Value> {
    let (code, out, err) = house.run(&["audit", "export"]);
    assert_eq!(code, Some(0), "{err}");
    let entries = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    entries.map(|entry| if entry["entry"].is_object() { entry["entry"].clone() } else { entry }).collect()
}

/// Sends requests, one after the other on kept connections, and counts the answers.
fn flood(to: SocketAddr, requests: &[&str], each: usize) -> u64 {
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        for request in requests {
            scope.spawn(|| {
                let mut left = each;
                while left > 0 {
                    let mut connection = TcpStream::connect(to).unwrap();
                    // Malformed ones end their connection.
                    while left > 0 && connection.write_all(request.as_bytes()).is_ok() && answer(&mut connection) {
                        left -= 1;
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    answered.into_inner()
}

/// Reads an answer to its end; whether there was one.
fn answer(connection: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    connection.read_exact(&mut body).is_ok()
}

#[test]
fn all_strangers_together_add_an_entry_a_second_and_every_one_of_them_is_in_it() {
    let house = house("{ mode: token }", "{}");
    let mut process = house.serve();
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
    process.signal();
    assert_eq!(process.ended(), Some(0));

    // Each is counted, but a log is not theirs to fill.
    let lines = process.seen.lines().filter(|line| line.contains("\"peer\"")).count() as u64;
    assert!((1..=20 * (began.elapsed().as_secs() + 2)).contains(&lines), "{lines} lines");

    let crowds: Vec<Value> = entries(&house).into_iter().filter(|entry| entry["requests"].is_u64()).collect();
    let requests: u64 = crowds.iter().map(|crowd| crowd["requests"].as_u64().unwrap()).sum();
    assert_eq!(requests, 1600, "{crowds:?}");
    for crowd in &crowds {
        assert!(
            crowd["networks"].as_array().unwrap().iter().any(|named| named.as_str().unwrap().starts_with("127.0.0.1 "))
        );
        assert_eq!((&crowd["policy_decision"], &crowd["stream"]), (&"DENY".into(), &":hall".into()), "{crowd}");
    }
    house.verify();
}

#[test]
fn whoever_is_known_is_held_to_its_rate_whatever_is_wrong_with_its_requests() {
    for (identity, header) in [
        ("{ mode: token }", format!("wcp-token: {ACME}\r\n")),
        ("{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }", String::new()),
    ] {
        let house = house(identity, "{ per_tenant: { rate: 1/h, burst: 3 } }");
        let process = house.serve();
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
    let house = house("{ mode: token }", "{}");
    let process = house.serve();
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
    let metrics = asking::text(process.hall(), "/metrics");
    let of = metrics.lines().filter(|line| line.starts_with(OVERLOADED));
    of.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn a_burst_takes_no_more_places_than_there_are() {
    let house = house("{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }", "{ in_flight: 4 }");
    let process = house.serve();
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
    let house = house("{ mode: token }", "{ in_flight: 10 }");
    let process = house.serve();
    let greedy = burst(&process, ACME, 20);
    until(|| in_flight(&process) + shed(&process) == 20);
    assert_eq!(in_flight(&process), 5);
    let _other = burst(&process, GLOBEX, 5);
    until(|| in_flight(&process) + shed(&process) == 25);
    assert_eq!(in_flight(&process), 10, "the other tenant has its half");
    drop(greedy);
    until(|| in_flight(&process) == 5);
}
