//! Many enrolments while the hall decides: each counts, and no other verdict changes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::fixture::{ENROLL, Fixture, ROUTE, hashed, reader};

#[test]
fn a_crowd_is_enrolled_while_others_are_decided_and_no_other_verdict_changes() {
    const CALLERS: usize = 16;
    const EACH: usize = 40;
    let fixture = Fixture::new();
    let process = fixture.serve();
    assert_eq!(process.enroll(ENROLL, reader("wrk_still", json!({}))).0, 201);
    let ask = |capability: &str, worker: &str| {
        json!({"capability_id": capability, "env": "dev", "data_label": "PUBLIC", "tenant_id": "org.acme",
            "worker_id": worker, "correlation_id": "c-1"})
        .to_string()
    };
    // Allowed by the folder, by the store, and denied for three reasons.
    let questions = [
        ask("cap.own", "wrk_own"),
        ask("cap.data.read.v1", "wrk_still"),
        ask("cap.data.read.v1", "wrk_own"),
        ask("cap.nothing", "wrk_own"),
        ask("cap.own", "wrk_nobody"),
    ];
    // All that does not differ from one decision to the next.
    let verdict = |question: &str| {
        let (status, body) = process.post(ROUTE, "/api/route", question);
        assert_eq!(status, 200, "{body}");
        let mut verdict = body;
        for key in ["decision_id", "receipt_id", "proof", "timestamp", "decided_at", "telemetry_envelopes", "snapshot"]
        {
            verdict.as_object_mut().unwrap().remove(key);
        }
        verdict
    };
    let before: Vec<Value> = questions.iter().map(|question| verdict(question)).collect();
    assert_eq!(before.iter().filter(|verdict| verdict["allowed"] == true).count(), 2, "{before:?}");

    let (done, decided) = (AtomicBool::new(false), AtomicUsize::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        let (done, decided, process) = (&done, &decided, &process);
        let (questions, before, verdict) = (&questions, &before, &verdict);
        for _ in 0..4 {
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    for (question, before) in questions.iter().zip(before) {
                        assert_eq!(verdict(question), *before, "{question}");
                        decided.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                scope.spawn(move || {
                    for n in 0..EACH {
                        let id = format!("wrk_{caller}_{n}");
                        let record = hashed(reader(&id, json!({})));
                        let (status, body) = process.post(ENROLL, "/enroll", &record);
                        assert_eq!(status, 201, "{body}");
                        if n % 8 == 0 {
                            assert_eq!(process.ask(&id), Ok(()), "{id} counts from the next request on");
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = callers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.into_iter().all(|ended| ended.is_ok()));
    });
    let took = began.elapsed();
    let decided = decided.load(Ordering::Relaxed);
    println!("{} enrolled and {decided} decided in {took:?}", CALLERS * EACH);
    assert!(decided > 100, "{decided}");
    assert_eq!(fixture.registry_entries().len(), CALLERS * EACH + 1);
    // One snapshot for many: fewer policies than enrolments are on record.
    let policies = fixture.entries().iter().filter(|entry| entry["cause"] == "registry").count();
    assert!(policies < CALLERS * EACH / 2, "{policies}");
    process.end();
    fixture.verify();
}
