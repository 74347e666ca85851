//! Threads that panic or stop: what they do is begun again, or readiness drops, and the operations door says so.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::faults::Faults;
use crate::stalls::{GRACE, enroll, fixture};
use crate::stored::{ask as route, pass, serves};
use support::{Fixture, PATIENCE, Process, Upstream, ask, metric, until};

const PANICS: &str = "hallgate_thread_panics_total";

/// The names of the process's threads.
fn threads(process: &Process) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

/// Has a thread panic, as it is counted.
fn panics(faults: &Faults, process: &Process, thread: &str) {
    let fault = format!("panic-{thread}");
    let ops = process.door("ops");
    let before = metric(ops, PANICS);
    let panicked = || metric(ops, PANICS) > before;
    let began = Instant::now();
    while !panicked() {
        faults.order(&fault);
        until(|| !faults.waits(&fault));
        // The allocator may have met it, which does not mind: then once more.
        let met = Instant::now();
        while !panicked() && met.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(began.elapsed() < PATIENCE, "{thread} does not panic");
    }
}

/// A program that serves and whose threads can be met by faults.
fn served() -> (Upstream, Fixture, Faults, Process) {
    let upstream = Upstream::start();
    let fixture = fixture(&upstream, "{ checkpoint_every: 1h }");
    let faults = Faults::of(&fixture, "ledger");
    let process = faults.serve(&fixture);
    serves(&process, &upstream);
    (upstream, fixture, faults, process)
}

fn ends(fixture: &Fixture, process: &Process, code: i32) {
    let began = Instant::now();
    process.terminate();
    assert_eq!(process.ended(), Some(code), "{}", process.log());
    assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
    fixture.verify();
}

#[test]
fn each_thread_in_the_background_that_panics_begins_again() {
    let upstream = Upstream::start();
    let fixture = fixture(&upstream, "{ checkpoint_every: 100ms, keep: 90d }");
    let faults = Faults::of(&fixture, "ledger");
    let process = faults.serve(&fixture);
    for thread in ["watch", "enrolment", "reload", "ledger-deadline", "ledger-prune"] {
        // The second time shows that the first was not its end.
        for _ in 0..2 {
            panics(&faults, &process, thread);
            process.wait_for_log(&format!("\"a thread has panicked\",\"thread\":\"{thread}\""));
        }
        assert_eq!(process.readiness(), Some(200), "{thread}");
        serves(&process, &upstream);
    }
    ends(&fixture, &process, 0);
}

#[test]
fn where_there_can_be_no_more_threads_changes_are_recorded_and_in_force() {
    let upstream = Upstream::start();
    let fixture = fixture(&upstream, "{ checkpoint_every: 1h }");
    let rules = fixture.path("rules.json");
    let conf = fs::canonicalize("conf/rules.json").unwrap();
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&rules, &text).unwrap();
    fixture.edit(conf.to_str().unwrap(), rules.to_str().unwrap());
    let faults = Faults::of(&fixture, "ledger");
    let process = faults.serve(&fixture);
    for thread in ["enrolment", "reload"] {
        faults.order(&format!("alone-{thread}"));
    }
    let enrolled = enroll(&process, "org.acme.alone");
    assert_eq!(enrolled.status, 201, "{enrolled:?}");
    fs::write(&rules, text.replace("rr_data_read", "rr_data_read_anew")).unwrap();
    process.wait_for_log("in force from the next request on");
    serves(&process, &upstream);
    assert_eq!(metric(process.door("ops"), PANICS), 0);
    ends(&fixture, &process, 0);
}

#[test]
fn a_writer_that_panics_takes_readiness_with_it_and_the_next_start_serves() {
    let (upstream, fixture, faults, process) = served();
    let ops = process.door("ops");
    panics(&faults, &process, "ledger-write");
    until(|| ask(ops, "GET /readyz", &[], "").status == 503);
    assert_eq!(process.readiness(), Some(503));
    for answer in [route(&process), pass(&process)] {
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("DENY_AUDIT_UNAVAILABLE"), "{answer}");
    }
    assert_eq!(upstream.called(), Vec::<String>::new());
    ends(&fixture, &process, 0);
    let process = faults.serve(&fixture);
    serves(&process, &upstream);
    ends(&fixture, &process, 0);
}

#[test]
fn a_door_that_no_longer_turns_is_dead_to_the_operations_door_and_the_end_comes_all_the_same() {
    let (upstream, fixture, faults, process) = served();
    let ops = process.door("ops");
    assert!(threads(&process).iter().any(|name| name == "gate"), "{:?}", threads(&process));
    for turn in 0..2 {
        faults.order("stuck-gate");
        until(|| ask(ops, "GET /livez", &[], "").status == 503);
        assert_eq!(ask(ops, "GET /livez", &[], "").body["status"], "stuck");
        // The other door is another matter.
        assert_eq!(ask(process.hall(), "GET /livez", &[], "").status, 200);
        assert!(route(&process).starts_with("HTTP/1.1 200"));
        let waits = TcpStream::connect(process.gate()).unwrap();
        if turn == 0 {
            faults.lift("stuck-gate");
            until(|| ask(ops, "GET /livez", &[], "").status == 200);
            drop(waits);
            serves(&process, &upstream);
        }
    }
    // One that stands still is left to itself, and that is no end in order.
    ends(&fixture, &process, 1);
    process.wait_for_log("a thread has not ended in time");
}
