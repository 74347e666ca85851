//! Approvals under kills, lost pages and clocks that are set: nothing that a human agreed to is spent twice or lost, and nothing is extended.
//!
//! Short by default. `HALLGATE_KILLS=300` is the long run (`make kills`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use support::{Answer, Fixture, Process, Upstream, ask_if_there, get, post, until};

use crate::faults::Faults;
use crate::pages::{self, Lost};
use crate::random::Random;

const ASKER: &str = "hst_asker_0123456789";
const BEA: &str = "hst_bea_012345678901";
/// Callers at a time.
const CALLERS: usize = 4;
/// Kills of one ledger.
const LIVES: u64 = 25;
/// Kills, where nobody says how many.
const KILLS: u64 = 10;
/// What the program says when it knows what was decided before.
const KNOWN: &str = "approvals are as the ledger has them";

/// A gate whose writes are held for Bea, with a ledger and approvals like this.
fn fixture(upstream: &Upstream, ledger: &str, approvals: &str) -> Fixture {
    let fixture = Fixture::new(&format!(
        "
gate:
  listen: 127.0.0.1:0
  identity: {{ mode: token }}
  env: dev
  upstreams: {{ rows: {{ url: \"http://{}\" }} }}
  routes: [{{ match: {{ path: /rows }}, capability: cap.data.write.v1, data_label: CONFIDENTIAL, upstream: rows }}]
hall:
  listen: 127.0.0.1:0
  tokens:
    - {{ name: asker, secret: {ASKER}, scopes: [route], tenant_id: org.acme, worker_ids: [wrk_writer], owner: ann }}
    - {{ name: bea, secret: {BEA}, scopes: [approve], owner: bea }}
policy: {{ rules: rules.json, workers: enrolled, tenants: {{ org.acme: {{ risk: low }} }} }}
approvals: {approvals}
ledger: {ledger}
shutdown: {{ linger: 0s, grace: 1s }}
",
        upstream.address
    ));
    let escalation = json!({"human_required_default": true, "rationale": "somebody looks at what is written"});
    let decision =
        json!({"candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}], "escalation": escalation});
    let rule = json!({"rule_id": "write", "match": {"capability_id": "cap.data.write.v1"}, "decision": decision});
    fixture.write("rules.json", &json!({"rules": [rule]}).to_string());
    let worker = json!({
        "worker_id": "wrk_writer", "worker_species_id": "wrk.data.writer", "capabilities": ["cap.data.write.v1"],
        "risk_tier": "low", "allowed_environments": ["dev"],
    });
    fixture.write("enrolled/writer.json", &worker.to_string());
    fixture
}

fn write(process: &Process, row: &str) -> Option<Answer> {
    ask_if_there(process.gate(), "POST /rows", &[("wcp-token", ASKER), ("content-type", "application/json")], row)
}

/// That a row is held, and under which id.
#[track_caller]
fn held(process: &Process, row: &str) -> String {
    let answer = write(process, row).unwrap();
    assert_eq!(answer.status, 403, "{}", answer.text());
    answer.body["pending_approval_id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

fn resolve(process: &Process, id: &str) -> Option<Answer> {
    let headers = [("authorization", &*format!("Bearer {BEA}")), ("content-type", "application/json")];
    let body = json!({"pending_approval_id": id, "resolution": "approve"}).to_string();
    ask_if_there(process.hall(), "POST /wcp/approvals/resolve", &headers, &body)
}

#[track_caller]
fn agree(process: &Process, id: &str) {
    let body = json!({"pending_approval_id": id, "resolution": "approve"}).to_string();
    assert_eq!(post(process.hall(), BEA, "/wcp/approvals/resolve", &body).ok()["state"], "approved");
}

/// What has become of an approval; `None`: there is none of this id.
fn state(process: &Process, id: &str) -> Option<String> {
    let seen = get(process.hall(), BEA, &format!("/wcp/approvals/{id}"));
    (seen.status != 404).then(|| seen.ok()["state"].as_str().unwrap().to_owned())
}

/// What one caller does: the same row again and again until it runs, and then the next. The row that it was at.
fn writes(process: &Process, mut row: u64, end: &AtomicBool) -> u64 {
    while !end.load(Ordering::Relaxed) {
        match write(process, &format!("{{\"row\": {row}}}")).map(|answer| answer.status) {
            Some(200) => row += CALLERS as u64,
            Some(403 | 502 | 503) => {}
            Some(other) => panic!("{other}"),
            None => break,
        }
    }
    row
}

/// Agrees to whatever waits; what was answered as agreed to.
fn agrees(process: &Process, agreed: &Mutex<HashSet<String>>, end: &AtomicBool) {
    let authorization = format!("Bearer {BEA}");
    while !end.load(Ordering::Relaxed) {
        let headers = [("authorization", &*authorization)];
        let Some(listed) = ask_if_there(process.hall(), "GET /wcp/approvals/pending", &headers, "") else { return };
        for one in listed.body["approvals"].as_array().into_iter().flatten() {
            let id = one["pending_approval_id"].as_str().unwrap();
            if resolve(process, id).is_some_and(|answer| answer.status == 200) {
                agreed.lock().unwrap().insert(id.to_owned());
            }
        }
    }
}

/// By approval, the dispatches that rest on it, as the ledger has them.
fn spendings(fixture: &Fixture) -> BTreeMap<String, Vec<String>> {
    let mut spent: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in fixture.entries().iter().filter(|entry| entry["approval"]["receipt_hash"].is_string()) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        spent.entry(text(&entry["approval"]["id"])).or_default().push(text(&entry["receipt_id"]));
    }
    spent
}

#[test]
fn what_was_agreed_to_is_neither_spent_twice_nor_lost_whenever_it_is_killed() {
    let kills: u64 = std::env::var("HALLGATE_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let upstream = Upstream::start();
    let (mut fixture_of, mut lost, agreed) = (None, None::<Lost>, Mutex::<HashSet<String>>::default());
    let (mut rows, mut spent, mut cuts, mut hands, began) = (vec![0; CALLERS], 0, 0, 0, Instant::now());
    for kill in 0..kills {
        if kill % LIVES == 0 {
            (fixture_of, lost) = (None, None);
            agreed.lock().unwrap().clear();
            rows = (0..CALLERS as u64).collect();
        }
        // Seldom signed: what no sync has put on the disk is there to be lost.
        let every = if random.one_in(2) { "10ms" } else { "1h" };
        let fixture: &Fixture = fixture_of.get_or_insert_with(|| {
            fixture(
                &upstream,
                &format!("{{ segment_mib: 1, checkpoint_every: {every} }}"),
                "{ ttl: 1h, most_a_minute: 10000 }",
            )
        });
        let process = match lost.take() {
            None => fixture.serve(),
            Some(lost) => {
                let (process, by_hand) = pages::comes_back(fixture, &lost);
                hands += u64::from(by_hand);
                process
            }
        };
        process.wait_for_log(KNOWN);
        // What was answered as agreed to is, or has run.
        for id in agreed.lock().unwrap().iter() {
            let found = state(&process, id);
            assert!(
                matches!(found.as_deref(), Some("approved" | "spent")),
                "kill {kill}, seed {seed}: {id} was agreed to and is {found:?}"
            );
        }
        let end = AtomicBool::new(false);
        rows = thread::scope(|scope| {
            let callers: Vec<_> = rows.iter().map(|row| scope.spawn(|| writes(&process, *row, &end))).collect();
            let approver = scope.spawn(|| agrees(&process, &agreed, &end));
            thread::sleep(Duration::from_micros(random.below(400_000)));
            process.kill();
            end.store(true, Ordering::Relaxed);
            approver.join().unwrap();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        let (code, out, err) = fixture.run(&["audit", "verify"]);
        assert_eq!(code, Some(0), "kill {kill}, seed {seed}: {out}{err}");
        assert!(!out.contains("in another log"), "kill {kill}, seed {seed}: {out}");
        let on_record = spendings(fixture);
        for (id, dispatches) in &on_record {
            assert_eq!(dispatches.len(), 1, "kill {kill}, seed {seed}: {id} was spent more than once");
        }
        let decisions: HashSet<&String> = on_record.values().flatten().collect();
        let mut forwarded: HashMap<String, u64> = HashMap::new();
        for decision in upstream.called() {
            assert!(decisions.contains(&decision), "kill {kill}, seed {seed}: {decision} was not agreed to");
            *forwarded.entry(decision).or_default() += 1;
        }
        assert!(forwarded.values().all(|times| *times == 1), "kill {kill}, seed {seed}: {forwarded:?}");
        spent += forwarded.len();
        if random.one_in(3) {
            lost = Some(pages::lose(fixture, &mut random));
            cuts += 1;
        }
    }
    assert!(spent > 0);
    println!(
        "{kills} kills, {cuts} of them with pages lost ({hands} recovered by hand), in {:?}: {spent} requests ran that somebody had \
         agreed to, each once",
        began.elapsed()
    );
}

#[test]
fn what_was_being_asked_when_it_was_killed_was_never_asked() {
    let upstream = Upstream::start();
    let fixture = fixture(&upstream, "{ checkpoint_every: 10ms }", "{ ttl: 1h, most_a_minute: 10000 }");
    let faults = Faults::of(&fixture, "ledger");
    let process = faults.serve(&fixture);
    let row = "{\"row\": \"the one that is looked for\"}";
    let is_kept = || std::fs::read(fixture.path("approvals.db")).is_ok_and(|file| contains(&file, b"looked for"));
    thread::scope(|scope| {
        faults.order("disk");
        let asks = scope.spawn(|| write(&process, row));
        until(is_kept);
        process.kill();
        assert!(asks.join().unwrap().is_none());
    });
    faults.lift("disk");
    let process = faults.serve(&fixture);
    process.wait_for_log(KNOWN);
    let pending = get(process.hall(), BEA, "/wcp/approvals/pending").ok();
    assert_eq!(pending["count"], 0, "the ledger says nothing of it: {pending}");
    until(|| !is_kept());
    let id = held(&process, row);
    agree(&process, &id);
    assert_eq!(write(&process, row).unwrap().status, 200);
    process.end();
    let (code, out, err) = fixture.run(&["audit", "verify"]);
    assert!(code == Some(0) && !out.contains("in another log"), "{out}{err}");
    assert_eq!(spendings(&fixture).len(), 1);
}

fn contains(file: &[u8], what: &[u8]) -> bool {
    file.windows(what.len()).any(|window| window == what)
}

#[test]
fn a_clock_that_is_set_extends_nothing() {
    let upstream = Upstream::start();
    let fixture = fixture(&upstream, "{}", "{ ttl: 4s }");
    let faults = Faults::of(&fixture, "ledger");
    let process = faults.serve(&fixture);
    let over = |process: &Process, id: &str| matches!(state(process, id).as_deref(), Some("expired"));
    let agreed = |process: &Process, row: &str| {
        let id = held(process, row);
        agree(process, &id);
        id
    };

    // Back by an hour: it is over when it would have been, by the steady clock.
    let (began, id) = (Instant::now(), agreed(&process, "1"));
    faults.set_clock(-3600);
    until(|| over(&process, &id));
    assert!(began.elapsed() >= Duration::from_secs(4));
    assert_ne!(held(&process, "1"), id);

    // Back by an hour, and started anew: the newest entry is what counts.
    let id = agreed(&process, "2");
    process.kill();
    faults.set_clock(-7200);
    let began = Instant::now();
    let process = faults.serve(&fixture);
    process.wait_for_log(KNOWN);
    until(|| over(&process, &id));
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_ne!(held(&process, "2"), id);

    // Forward by an hour, and back again: what is over stays so.
    let id = agreed(&process, "3");
    faults.set_clock(3600);
    let other = held(&process, "3");
    assert_ne!(other, id);
    until(|| over(&process, &id));
    faults.set_clock(0);
    assert_ne!(held(&process, "3"), id);
    assert_eq!(upstream.bodies(), Vec::<Vec<u8>>::new(), "nothing of this ran");
    process.end();
    fixture.verify();
}
