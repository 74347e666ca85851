//! Disks that take what they are given and do not come back: at both doors everybody who waits for the ledger is answered 503 in time,
//! nothing is forwarded then or later, and when the disk goes on, what is on record and what is in force say the same.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use hallgate::engine::Json;
use hallgate::registry::hash;
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::pages;
use crate::random::Random;
use crate::stored::{build, serves};
use support::{Answer, Fixture, Process, READ, Upstream, ask, metric, until};

/// May read, enroll and administer.
const ADMIN: &str = "Bearer hst_admin_0123456789abcdef0123456789";
/// The deadline of a write is 1.5 s; the rest is for a busy machine.
const IN_TIME: Duration = Duration::from_millis(4000);
/// Readers wait for a disk, and for a signature, at most 5 s each.
const READ_IN_TIME: Duration = Duration::from_secs(13);
/// Of a disk that is known to stall.
const AT_ONCE: Duration = Duration::from_millis(1200);
/// What Kubernetes gives a pod to end.
pub const GRACE: Duration = Duration::from_secs(30);
const BANNED: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";

/// A fixture with each door and a registry, whose ledger has this section.
pub fn fixture(upstream: &Upstream, ledger: &str) -> Fixture {
    let fixture = build(upstream, ledger);
    let admin = ADMIN.trim_start_matches("Bearer ");
    let more = format!(
        "}}, {{ name: ops, secret: {admin}, scopes: [read, enroll, admin] }}]\npolicy:\n  store: registry.db\n"
    );
    fixture.edit("}]\npolicy:\n", &more);
    fixture.edit("linger: 0s", "linger: 0s, grace: 1s");
    fixture.add("ops: { listen: 127.0.0.1:0 }");
    fixture
}

/// A record with its hash.
fn record(id: &str) -> String {
    let mut record = json!({"worker_id": id, "worker_species_id": "wrk.data.reader", "capabilities": ["cap.data.read.v1"],
        "risk_tier": "low"});
    let parsed = Json::parse(record.to_string().as_bytes()).unwrap();
    record["artifact_hash"] = format!("sha256:{}", hash::of_record(parsed.as_object().unwrap())).into();
    record.to_string()
}

/// A request for which an entry has to be written, or signed.
struct Call {
    to: SocketAddr,
    line: String,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    within: Duration,
}

impl Call {
    fn through_the_gate(process: &Process, line: &str, headers: &[(&'static str, &'static str)]) -> Self {
        Self {
            to: process.gate(),
            line: line.to_owned(),
            headers: headers.to_vec(),
            body: String::new(),
            within: IN_TIME,
        }
    }

    fn of_the_hall(process: &Process, line: &str, body: &str) -> Self {
        let token = if body.contains("capability_id") { concat!("Bearer ", "hst_0123456789abcdef") } else { ADMIN };
        let headers = vec![("authorization", token)];
        Self { to: process.hall(), line: line.to_owned(), headers, body: body.to_owned(), within: IN_TIME }
    }

    fn answer(&self) -> Answer {
        ask(self.to, &self.line, &self.headers, &self.body)
    }
}

/// Enrolls a worker.
pub fn enroll(process: &Process, id: &str) -> Answer {
    Call::of_the_hall(process, "POST /enroll", &record(id)).answer()
}

/// What is decided or refused on record, at each door.
fn decisions(process: &Process) -> Vec<Call> {
    let dry = READ.replacen('{', r#"{"dry_run":true,"#, 1);
    let full = READ.replacen('{', r#"{"tenant_risk":"low","qos_class":"P2","correlation_id":"c","#, 1);
    vec![
        Call::through_the_gate(process, "GET /orders", &[]),
        Call::through_the_gate(process, "GET /orders", &[("wcp-dry-run", "true")]),
        Call::through_the_gate(process, "GET /nowhere", &[]),
        Call::through_the_gate(process, "GET /orders", &[("wcp-label", "PUBLIC")]),
        Call::of_the_hall(process, "POST /api/route", READ),
        Call::of_the_hall(process, "POST /api/route", &dry),
        Call::of_the_hall(process, "POST /wcp/route", &full),
    ]
}

/// What changes something, one after the other.
fn changes(process: &Process) -> Vec<Call> {
    let ban = json!({"hash": BANNED}).to_string();
    vec![
        Call::of_the_hall(process, "POST /enroll", &record("org.acme.another")),
        Call::of_the_hall(process, "POST /wcp/registry/ban", &ban),
        Call::of_the_hall(process, "POST /wcp/workers/org.acme.known/revoke", "{}"),
        Call::of_the_hall(process, "POST /api/server/go-offline", "{}"),
    ]
}

/// Has the disk stall while these are asked, all at once. Each is answered 503 within its time.
fn stalled(faults: &Faults, fault: &str, process: &Process, upstream: &Upstream, calls: &[Call]) {
    faults.order(fault);
    thread::scope(|scope| {
        for call in calls {
            scope.spawn(|| refused(call, call.within));
        }
    });
    // Probes say so, if not before whoever waited; and no decision waits for a disk that is known to stall.
    let ops = process.door("ops");
    for door in [ops, process.hall()] {
        until(|| ask(door, "GET /readyz", &[], "").status == 503);
        assert_eq!(ask(door, "GET /livez", &[], "").status, 200);
        assert_eq!(metric(door, "hallgate_ledger_writing"), 0);
    }
    decisions(process).iter().for_each(|call| refused(call, AT_ONCE));
    assert_eq!(upstream.called(), Vec::<String>::new(), "something is forwarded without an entry");
    faults.lift(fault);
    until(|| metric(ops, "hallgate_ledger_writing") == 1);
}

fn refused(call: &Call, within: Duration) {
    let began = Instant::now();
    let answer = call.answer();
    let (took, line) = (began.elapsed(), &call.line);
    assert!(took < within, "{line}: {took:?}");
    assert_eq!(answer.status, 503, "{line}: {answer:?}");
    assert!(format!("{answer:?}").contains("DENY_AUDIT_UNAVAILABLE"), "{line}: {answer:?}");
    assert!(answer.retry_after() > 0);
}

/// The hall is offline, and goes online again.
fn goes_online(process: &Process) {
    until(|| process.readiness() == Some(503));
    assert_eq!(ask(process.gate(), "GET /orders", &[], "").body["code"], "DENY_HALL_OFFLINE");
    let online = Call::of_the_hall(process, "POST /api/server/go-online", "{}").answer();
    assert_eq!(online.status, 200, "{online:?}");
}

/// The id of the alert that entries were lost.
fn loss(process: &Process) -> String {
    let alerts = ask(process.hall(), "GET /alerts", &[("authorization", ADMIN)], "").body;
    let alerts = alerts["alerts"].as_array().unwrap();
    let lost = alerts.iter().find(|alert| alert["code"] == "LEDGER_RECOVERED").unwrap();
    lost["alert_id"].as_str().unwrap().to_owned()
}

fn is_enrolled(process: &Process, id: &str) -> bool {
    let workers = ask(process.hall(), "GET /wcp/workers", &[("authorization", ADMIN)], "").body;
    workers.to_string().contains(id)
}

/// A call that is allowed; its decision's id, under which nothing was forwarded by it.
fn allowed(process: &Process) -> String {
    let answer = Call::of_the_hall(process, "POST /api/route", READ).answer();
    assert_eq!(answer.body["denied"], false, "{answer:?}");
    answer.body["decision_id"].as_str().unwrap().to_owned()
}

/// All entries, once the process has ended.
fn exported(fixture: &Fixture) -> Vec<Value> {
    fixture.verify();
    fixture.entries()
}

/// Every permit was forwarded, or told to a caller, or is followed by the word that nothing came of it.
fn each_permit_is_accounted_for(entries: &[Value], told: &HashSet<String>, forwarded: &HashSet<String>) -> usize {
    let ends: HashMap<&str, &Value> = entries
        .iter()
        .filter(|entry| entry["kind"] == "outcome")
        .map(|entry| (entry["decision_id"].as_str().unwrap(), entry))
        .collect();
    let permits = entries.iter().filter(|entry| entry["kind"] == "decision" && entry["outcome"] == "DISPATCH");
    let mut nothing_came = 0;
    for permit in permits.filter(|entry| entry["dry_run"] != true) {
        let id = permit["receipt_id"].as_str().unwrap();
        match ends.get(id) {
            Some(end) if end["ending"] == "complete" => assert!(forwarded.contains(id), "{permit}, {end}"),
            Some(end) => {
                assert!(end["ending"] == "aborted" && end["status"].is_null(), "{end}");
                assert!(!forwarded.contains(id) && !told.contains(id), "{permit}, {end}");
                nothing_came += 1;
            }
            None => assert!(told.contains(id), "nobody says what became of {permit}"),
        }
    }
    nothing_came
}

#[test]
fn a_disk_that_stalls_is_503_in_time_for_everybody_and_what_lands_late_is_in_force_or_came_to_nothing() {
    let upstream = Upstream::start();
    let fixture = fixture(&upstream, "{ checkpoint_every: 1h }");
    // Something to acknowledge: entries that a power cut has taken.
    let process = fixture.serve();
    let (mut forwarded, mut told) = (HashSet::new(), HashSet::new());
    for _ in 0..40 {
        serves(&process, &upstream);
    }
    process.kill();
    pages::lose(&fixture, &mut Random::new(7));

    let faults = Faults::of(&fixture, "ledger");
    let process = faults.serve(&fixture);
    let enrolled = enroll(&process, "org.acme.known");
    assert_eq!(enrolled.status, 201, "{enrolled:?}");
    let stall = |calls: &[Call]| stalled(&faults, "disk", &process, &upstream, calls);

    // Each of these alone: the disk has it in hand, and writes it late.
    stall(&[Call::through_the_gate(&process, "GET /orders", &[])]);
    stall(&[Call::of_the_hall(&process, "POST /api/route", READ)]);
    stall(&[Call::of_the_hall(&process, "POST /api/server/go-offline", "{}")]);
    goes_online(&process);
    stall(&[Call::of_the_hall(&process, "POST /enroll", &record("org.acme.late"))]);
    until(|| is_enrolled(&process, "org.acme.late"));
    let acknowledge = format!("POST /api/alerts/{}/acknowledge", loss(&process));
    stall(&[Call::of_the_hall(&process, &acknowledge, "")]);
    until(|| metric(process.hall(), "hallgate_ledger_recovered") == 0);

    // All at once, and a receipt that nobody can sign or read.
    let fresh = allowed(&process);
    told.insert(fresh.clone());
    let receipt = Call::of_the_hall(&process, &format!("GET /wcp/receipts/{fresh}"), "");
    let mut all = decisions(&process);
    all.extend(changes(&process));
    all.push(Call { within: READ_IN_TIME, ..receipt });
    stall(&all);

    // Whatever of it has landed is in force.
    let switched = |entries: &[Value]| entries.iter().filter(|entry| entry["cause"] == "go-offline").count() == 2;
    let in_hand = fixture.run(&["audit", "export"]).1;
    let entries: Vec<Value> = in_hand.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    if switched(&entries) {
        goes_online(&process);
    }
    told.insert(allowed(&process));
    let passed = ask(process.gate(), "GET /orders", &[], "");
    assert_eq!(passed.status, 200, "{passed:?}");
    forwarded.extend(upstream.called());
    let another = is_enrolled(&process, "org.acme.another");
    process.end();
    until(|| process.log().contains("the disk does not answer") && process.log().contains("the disk answers again"));

    let entries = exported(&fixture);
    let began = entries.iter().position(|entry| entry["kind"] == "recovered").unwrap();
    let (_, entries) = entries.split_at(began);
    assert_eq!(
        another,
        entries.iter().any(|entry| entry["worker_id"] == "org.acme.another" && entry["action"] == "enrolled")
    );
    let nothing_came = each_permit_is_accounted_for(entries, &told, &forwarded);
    assert!(nothing_came >= 2, "{nothing_came}: what landed late");
}

#[test]
fn it_ends_in_time_while_the_disk_stalls_and_the_next_start_needs_no_hand() {
    let upstream = Upstream::start();
    for (durability, fault) in [("process", "disk"), ("power", "sync")] {
        let fixture = fixture(&upstream, &format!("{{ durability: {durability}, checkpoint_every: 50ms }}"));
        // Everything of the fixture: the ledger and the registry's store.
        let faults = Faults::of(&fixture, "");
        let process = faults.serve(&fixture);
        for _ in 0..3 {
            serves(&process, &upstream);
        }
        faults.order(fault);
        refused(&Call::through_the_gate(&process, "GET /orders", &[]), IN_TIME);
        refused(&Call::of_the_hall(&process, "POST /enroll", &record("org.acme.late")), IN_TIME);
        let began = Instant::now();
        process.end();
        println!("{durability}: ended after {:?}", began.elapsed());
        assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
        assert_eq!(upstream.called(), Vec::<String>::new());
        faults.lift(fault);
        fixture.verify();
        let process = faults.serve(&fixture);
        serves(&process, &upstream);
        process.end();
        fixture.verify();
    }
}

#[test]
fn a_sync_that_does_not_come_back_holds_up_signatures_and_what_takes_rights_away_alone() {
    let upstream = Upstream::start();
    let fixture = fixture(&upstream, "{ checkpoint_every: 1h }");
    let faults = Faults::of(&fixture, "ledger");
    let process = faults.serve(&fixture);
    faults.order("sync");
    let fresh = allowed(&process);
    let receipt = Call::of_the_hall(&process, &format!("GET /wcp/receipts/{fresh}"), "");
    refused(&receipt, READ_IN_TIME);
    for _ in 0..20 {
        serves(&process, &upstream);
    }
    let ban = Call::of_the_hall(&process, "POST /wcp/registry/ban", &json!({"hash": BANNED}).to_string());
    refused(&ban, IN_TIME);
    faults.lift("sync");
    until(|| process.readiness() == Some(200));
    assert_eq!(receipt.answer().status, 200);
    serves(&process, &upstream);
    let answer = ban.answer();
    assert_eq!(answer.status, 200, "{answer:?}");
    process.end();
    let banned = exported(&fixture).into_iter().filter(|entry| entry["action"] == "banned").count();
    assert_eq!(banned, 1, "it was made late, and the second time there was nothing to do");
}
