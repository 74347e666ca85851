//! Rates and overload with the real binary: how much of a token and of a tenant is let in, and who gives way first.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;

use support::{Answer, Fixture, Held, NOWHERE, Process, TOKEN, ask, metric, route, until};

/// A second token, bound to a tenant.
const ACME: &str = "hst_acme-0123456789abcdef";

/// A fixture with these `limits` at its doors.
fn fixture(upstream: SocketAddr, gate: &str, hall: &str) -> Fixture {
    let fixture = Fixture::sample(upstream);
    let token = format!("tokens: [{{ name: acme, secret: {ACME}, scopes: [route], tenant_id: org.acme }}, ");
    fixture.edit("tokens: [", &token);
    fixture.edit("gate:\n  listen", &format!("gate:\n  limits: {gate}\n  listen"));
    fixture.edit("hall:\n", &format!("hall:\n  limits: {hall}\n"));
    fixture
}

/// That this is the envelope of a 429.
fn over_rate(answer: &Answer, whose: &str) {
    assert_eq!((answer.status, &answer.body["error"]), (429, &"too many requests".into()), "{answer:?}");
    for (key, value) in [("denied", Value::from(true)), ("allowed", false.into()), ("outcome", "DENY".into())] {
        assert_eq!(answer.body[key], value, "{answer:?}");
    }
    assert_eq!(answer.body["deny_reason"], "DENY_RATE_LIMITED");
    assert!(answer.body["reason"].as_str().unwrap().contains(whose), "{answer:?}");
    assert!((60..=3600).contains(&answer.retry_after()), "{answer:?}");
}

#[test]
fn a_token_over_its_rate_waits_and_a_flood_of_it_leaves_hardly_an_entry() {
    let fixture = fixture(NOWHERE, "{}", "{ per_token: { rate: 1/h, burst: 3 } }");
    let process = fixture.serve();
    let hall = process.hall();
    let before = metric(hall, "hallgate_ledger_entries");
    for _ in 0..3 {
        assert_eq!(route(hall, TOKEN).body["denied"], false);
    }
    let began = Instant::now();
    let first = route(hall, TOKEN);
    over_rate(&first, "the token `make`");
    assert!(first.body["decision_id"].is_string(), "the first is on record: {first:?}");
    for _ in 0..40 {
        over_rate(&route(hall, TOKEN), "the token `make`");
    }
    // Whatever it asks for.
    let get = ask(hall, "GET /wcp/receipts/x", &[("authorization", &format!("Bearer {TOKEN}"))], "");
    over_rate(&get, "the token `make`");
    let entries = metric(hall, "hallgate_ledger_entries") - before;
    let at_most = 3 + 2 + began.elapsed().as_secs();
    assert!((4..=at_most).contains(&entries), "{entries} entries of 3 decisions and 42 refusals");
    assert_eq!(metric(hall, "hallgate_refusals_total{door=\"api\",code=\"DENY_RATE_LIMITED\"}"), 42);
    // Others go on.
    assert_eq!(route(hall, ACME).body["denied"], false);
    drop(process);
    fixture.verify();
}

#[test]
fn a_tenant_has_one_rate_for_all_of_its_tokens() {
    let fixture = fixture(NOWHERE, "{}", "{ per_tenant: { rate: 1/h, burst: 4 } }");
    let process = fixture.serve();
    let hall = process.hall();
    // `make` is bound to no tenant: the request names it.
    for token in [TOKEN, ACME, TOKEN, ACME] {
        assert_eq!(route(hall, token).body["denied"], false);
    }
    for token in [TOKEN, ACME] {
        over_rate(&route(hall, token), "the tenant `org.acme`");
    }
    let other = r#"{"capability_id":"cap.data.read.v1","worker_id":"wrk_make_acme_prod","env":"prod","tenant_id":"org.globex"}"#;
    let answer = ask(hall, "POST /api/route", &[("authorization", &format!("Bearer {TOKEN}"))], other);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn the_gate_has_rates_of_its_own() {
    let fixture = fixture(NOWHERE, "{ per_tenant: { rate: 1/h, burst: 2 } }", "{}");
    // A route that only observes its policy has them, too.
    fixture.edit("data_label: INTERNAL,", "data_label: INTERNAL, observe: { until: 2999-12-31 },");
    let process = fixture.serve();
    let dry = || ask(process.gate(), "GET /orders", &[("wcp-dry-run", "true")], "");
    assert_eq!((dry().status, dry().status), (200, 200));
    let first = dry();
    assert_eq!((first.status, first.header("content-type")), (429, Some("application/problem+json")), "{first:?}");
    assert!(first.body["code"] == "DENY_RATE_LIMITED" && first.body["denied"] == true, "{first:?}");
    assert_eq!(first.header("wcp-decision-id"), first.body["decision_id"].as_str());
    assert!(first.body["decision_id"].is_string() && (60..=3600).contains(&first.retry_after()), "{first:?}");
    assert_eq!(route(process.hall(), ACME).body["denied"], false, "the Hall's are others");
}

/// What a dry run of each class is told, from P0 to P3.
fn classes(process: &Process) -> [bool; 4] {
    ["P0", "P1", "P2", "P3"].map(|class| {
        let headers = [("wcp-dry-run", "true"), ("wcp-qos-class", class)];
        let answer = ask(process.gate(), "GET /orders", &headers, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        let denied = answer.body["denied"].as_bool().unwrap();
        if denied {
            assert_eq!(answer.body["deny_reason_if_denied"]["code"], "DENY_OVERLOADED", "{answer:?}");
        }
        denied
    })
}

#[test]
fn under_load_the_least_urgent_gives_way_first_and_is_on_record() {
    let upstream = Held::start();
    let fixture = fixture(upstream.address, "{ in_flight: 20 }", "{}");
    let process = fixture.serve();
    let mut exchanges = Vec::new();
    for in_flight in 0..=20_u64 {
        // P0 gives way at the limit, P1 at 85 %, P2 at 70 % and P3 at half of it.
        assert_eq!(
            classes(&process),
            [in_flight >= 20, in_flight >= 17, in_flight >= 14, in_flight >= 10],
            "{in_flight}"
        );
        if in_flight < 20 {
            let mut connection = TcpStream::connect(process.gate()).unwrap();
            connection.write_all(b"GET /orders HTTP/1.1\r\nhost: gate\r\nwcp-qos-class: P0\r\n\r\n").unwrap();
            exchanges.push(connection);
            until(|| metric(process.hall(), "hallgate_exchanges_in_flight") == in_flight + 1);
        }
    }
    let shed = ask(process.gate(), "GET /orders", &[("wcp-qos-class", "P3")], "");
    assert_eq!((shed.status, &shed.body["code"]), (503, &"DENY_OVERLOADED".into()), "{shed:?}");
    assert!(shed.body["decision_id"].is_string() && shed.retry_after() == 1, "{shed:?}");
    // The Hall holds no exchange: it goes on.
    assert_eq!(route(process.hall(), TOKEN).body["denied"], false);
    exchanges.clear();
    until(|| metric(process.hall(), "hallgate_exchanges_in_flight") == 0);
    assert_eq!(classes(&process), [false; 4]);

    // Nothing of it is a decision of the policy: replayed, nothing flips.
    drop(process);
    let (code, out, err) = fixture.run(&["replay", "--config", "hallgate.yaml", "ledger"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("0 flip"), "{out}{err}");
    let shed = 11 + 7 + 4 + 1 + 1;
    assert!(out.contains(&format!("; {shed} were refused before any policy was asked")), "{out}{err}");
    fixture.verify();
}
