//! Disks that take a write and do not come back: who waits is told in time, what was queued is never written, and what is written late
//! has an outcome that says that nobody was told.

use std::thread;

use super::*;
use crate::ledger::handle::CLOSE_TIME;
use crate::ledger::write::deadline::WRITE_TIME;

/// Far more than the deadline, for a machine that is busy.
const SOON: Duration = Duration::from_secs(10);

fn allowed() -> Record {
    crate::ledger::tests::allowed("org.acme")
}

fn policy() -> Record {
    let decision = decision("org.acme", engine::Outcome::Dispatch);
    Record::Policy(PolicyActivation {
        cause: ActivationCause::Start,
        snapshot: decision.snapshot,
        replaces: None,
        version: Arc::from("policy.test"),
        mode: engine::Mode::Strict,
        rules: 1,
        workers: 1,
    })
}

/// Starts to record, and waits until the disk has it.
fn in_hand(
    ledger: &Ledger,
    waits: &impl Fn() -> bool,
    record: Record,
    change: bool,
) -> thread::JoinHandle<Result<Receipt, RecordError>> {
    let ledger = ledger.clone();
    let waiting =
        thread::spawn(
            move || {
                if change { ledger.record_change_blocking(record) } else { ledger.record_blocking(record) }
            },
        );
    until("the disk has nothing", waits);
    waiting
}

#[test]
fn who_waits_is_told_in_time_and_a_dispatch_that_lands_late_came_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (ledger, waits, release) = Ledger::open_held(&settings);
    let began = Instant::now();
    let first = in_hand(&ledger, &waits, allowed(), false);
    // These wait behind it, and are never written.
    let queued: Vec<_> = [allowed(), policy()]
        .map(|record| {
            let ledger = ledger.clone();
            thread::spawn(move || ledger.record_change_blocking(record))
        })
        .into();
    assert_eq!(first.join().unwrap().unwrap_err(), RecordError::Stalled);
    assert!(began.elapsed() >= WRITE_TIME / 2 && began.elapsed() < SOON, "{:?}", began.elapsed());
    for queued in queued {
        assert_eq!(queued.join().unwrap().unwrap_err(), RecordError::Stalled);
    }
    let health = ledger.health();
    assert!(!health.writing && health.error.as_deref() == Some("the disk does not answer"), "{health:?}");
    // Nobody waits for a disk that is known to stall.
    let began = Instant::now();
    assert_eq!(ledger.record_blocking(allowed()).unwrap_err(), RecordError::Stalled);
    assert!(began.elapsed() < WRITE_TIME / 2, "{:?}", began.elapsed());

    release();
    until("it does not recover", || ledger.health().writing);
    let receipt = ledger.record_blocking(allowed()).unwrap();
    ledger.outcome(&receipt, ended());
    ledger.close();
    let entries = entries(&settings);
    let kinds: Vec<_> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["decision", "outcome", "decision", "outcome"]);
    assert_eq!((&entries[1]["decision_id"], &entries[1]["ending"]), (&entries[0]["receipt_id"], &"aborted".into()));
    assert_eq!(entries[1]["status"], serde_json::Value::Null, "{}", entries[1]);
    let report = check(&settings).unwrap();
    assert_eq!((report.decisions, report.outcomes), (2, 2));
}

#[test]
fn who_brings_about_what_is_recorded_hears_what_became_of_it_however_late() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (ledger, waits, release) = Ledger::open_held(&settings);
    let change = in_hand(&ledger, &waits, policy(), true);
    until("nobody sees the stall", || !ledger.health().writing);
    assert!(!change.is_finished(), "the disk has not said what became of it");
    release();
    change.join().unwrap().unwrap();
    ledger.close();
    assert_eq!(entries(&settings).len(), 1);
}

#[tokio::test]
async fn a_dispatch_whose_caller_is_gone_came_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (ledger, waits, release) = Ledger::open_held(&settings);
    // One leaves while it is written, one when its answer is there, and one of a denial, of which nothing follows.
    let mut leaves = Box::pin(ledger.record(allowed()));
    assert!(futures_util::poll!(leaves.as_mut()).is_pending());
    let mut late = Box::pin(ledger.record(allowed()));
    assert!(futures_util::poll!(late.as_mut()).is_pending());
    let mut refused = Box::pin(ledger.record(refusal()));
    assert!(futures_util::poll!(refused.as_mut()).is_pending());
    // Whoever was to wake the writer does so.
    assert!(futures_util::poll!(leaves.as_mut()).is_pending());
    until("the disk has nothing", &waits);
    drop((leaves, refused));
    release();
    until("nothing is written", || ledger.health().entries >= 3);
    drop(late);
    ledger.close();
    let entries = entries(&settings);
    let count = |kind: &str| entries.iter().filter(|entry| entry["kind"] == kind).count();
    assert_eq!((count("decision"), count("outcome")), (3, 2), "{entries:?}");
}

#[test]
fn a_ledger_that_is_closed_does_not_wait_for_a_disk_that_stalls() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, waits, release) = Ledger::open_held(&settings(folder.path()));
    let first = in_hand(&ledger, &waits, allowed(), false);
    let began = Instant::now();
    ledger.close();
    assert!(began.elapsed() < CLOSE_TIME + SOON, "{:?}", began.elapsed());
    assert!(first.join().unwrap().is_err());
    release();
}
