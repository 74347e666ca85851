//! No wake-up is lost: whatever callers do with their futures, whoever waits is answered.

use std::future::Future as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use uuid::Uuid;

use super::*;
use crate::ids::Digest;
use crate::ledger::format::record::Receipt;
use crate::ledger::tests::{ended, refusal};
use crate::ledger::write::job::Delivery;

/// A writer that answers and writes nothing.
fn writer(queue: &Arc<Queue>, batches: &Arc<AtomicUsize>) -> thread::JoinHandle<(usize, usize)> {
    let (queue, batches) = (Arc::clone(queue), Arc::clone(batches));
    thread::spawn(move || {
        let (mut jobs, mut records, mut outcomes) = (Vec::new(), 0, 0);
        loop {
            let (closed, _) = queue.take(&mut jobs, None);
            batches.fetch_add(1, Ordering::SeqCst);
            for job in jobs.drain(..) {
                match job {
                    Job::Record { waiter, .. } => {
                        records += 1;
                        waiter.unwrap().refuse(RecordError::QueueFull);
                    }
                    Job::Outcome(_) => outcomes += 1,
                }
            }
            if closed {
                return (records, outcomes);
            }
        }
    })
}

/// As `Ledger::record` does it.
async fn record(queue: &Queue) -> Result<Receipt, RecordError> {
    let (answer, rouse) = queue.record(refusal(), false)?;
    if rouse.is_some() {
        tokio::task::yield_now().await;
    }
    drop(rouse);
    answer.await.unwrap_or(Err(RecordError::Closed)).map(Delivery::take)
}

fn outcome() -> OutcomeEntry {
    OutcomeEntry {
        decision_id: Uuid::nil(),
        decision_hash: Digest::of(b""),
        stream: Arc::from("org.acme"),
        outcome: ended(),
    }
}

/// Runs it to its end, or says that it hangs.
fn ends<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(run()));
    receive.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{what}: somebody waits for ever"))
}

#[test]
fn whoever_waits_is_answered_while_others_cancel_forget_and_fall_asleep() {
    let queue = Arc::new(Queue::new(1 << 20));
    let (batches, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let writing = writer(&queue, &batches);
    let threads: Vec<_> = (0..8_usize)
        .map(|n| {
            let (queue, sent) = (Arc::clone(&queue), Arc::clone(&sent));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    for round in 0..2000_usize {
                        let mut waits = Box::pin(record(&queue));
                        sent.fetch_add(1, Ordering::SeqCst);
                        match (n + round * 7) % 11 {
                            // Cancelled after its first step, perhaps with the promise to wake.
                            0 => drop(futures_util::poll!(waits.as_mut())),
                            // Kept, and never looked at again: its promise is never fulfilled.
                            1 => {
                                if futures_util::poll!(waits.as_mut()).is_pending() {
                                    std::mem::forget(waits);
                                }
                            }
                            2 => {
                                assert!(queue.outcome(outcome()));
                                drop(waits.await);
                            }
                            // The writer has time to fall asleep.
                            3 if round % 50 == 0 => {
                                thread::sleep(DOZE * 2);
                                drop(waits.await);
                            }
                            _ => drop(waits.await),
                        }
                    }
                });
            }
        })
        .collect();
    let threads: Vec<_> = threads.into_iter().map(|run| thread::spawn(move || ends("under load", run))).collect();
    for thread in threads {
        thread.join().unwrap();
    }
    queue.close();
    let (records, outcomes) = writing.join().unwrap();
    assert_eq!(records, sent.load(Ordering::SeqCst), "each is taken once");
    assert!(outcomes > 0 && batches.load(Ordering::SeqCst) > 1);
}

#[test]
fn a_record_relies_on_no_other_thread_and_not_for_long_on_its_own() {
    // Nothing but a wake-up ends the writer's sleep.
    let queue = Arc::new(Queue { nap: Duration::from_secs(3600), ..Queue::new(100) });
    let batches = Arc::new(AtomicUsize::new(0));
    let writing = writer(&queue, &batches);
    let asleep = |queue: &Queue| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while queue.lock().writer != Sleep::Sound {
            assert!(Instant::now() < deadline, "the writer does not sleep");
            thread::yield_now();
        }
    };
    let mut context = Context::from_waker(Waker::noop());
    asleep(&queue);
    let mut stuck = Box::pin(record(&queue));
    assert!(matches!(stuck.as_mut().poll(&mut context), Poll::Pending));
    let other = Arc::clone(&queue);
    ends("beside a stuck thread", move || {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(record(&other))
    })
    .unwrap_err();

    // The same thread, whose promise is never fulfilled.
    asleep(&queue);
    let mut forgotten = Box::pin(record(&queue));
    assert!(matches!(forgotten.as_mut().poll(&mut context), Poll::Pending));
    let since = Instant::now();
    while since.elapsed() < TURN {
        thread::yield_now();
    }
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(record(&queue)).unwrap_err();
    // Only now: dropped, they would wake the writer.
    drop((stuck, forgotten));
    queue.close();
    assert_eq!(writing.join().unwrap().0, 4);
}

#[test]
fn outcomes_alone_are_taken_without_any_record() {
    let queue = Arc::new(Queue { nap: Duration::from_secs(3600), ..Queue::new(1) });
    let writing = writer(&queue, &Arc::default());
    for _ in 0..3 * MANY {
        assert!(queue.outcome(outcome()));
    }
    let emptied = Arc::clone(&queue);
    ends("outcomes", move || {
        while emptied.depth() > 0 {
            thread::yield_now();
        }
    });
    queue.close();
    assert_eq!(writing.join().unwrap(), (0, 3 * MANY));
}

#[test]
fn how_crowded_it_is_is_known_without_its_lock() {
    let queue = Queue::new(8);
    let mut kept = Vec::new();
    for crowding in [0, 12, 25, 37, 50] {
        assert_eq!(queue.crowding(), crowding);
        kept.push(queue.record(refusal(), false).unwrap());
    }
    let mut jobs = Vec::new();
    queue.take(&mut jobs, None);
    assert_eq!((jobs.len(), queue.crowding()), (5, 0));
    kept.push(queue.record(refusal(), false).unwrap());
    queue.abandon();
    assert_eq!(queue.crowding(), 0);
    assert_eq!(Queue::new(0).crowding(), 0, "a ledger that takes nothing is not crowded");
}

#[test]
fn what_waits_takes_no_more_than_its_bytes_and_one_always_has_room() {
    let queue = Queue::new(1 << 20);
    let of = |bytes: usize| {
        let mut decision = crate::ledger::tests::decision("org.acme", crate::engine::Outcome::Dispatch);
        decision.input.request = crate::engine::Json::String("x".repeat(bytes).into());
        crate::ledger::tests::decided(decision)
    };
    assert!(queue.record(of(BYTES + 1), false).is_ok(), "alone it has room");
    assert!(matches!(queue.record(of(1), false), Err(RecordError::QueueFull)));
    let mut jobs = Vec::new();
    queue.take(&mut jobs, None);
    let waiting = std::iter::from_fn(|| queue.record(of(1 << 20), false).ok()).count();
    assert_eq!(waiting, 15);
    assert!(matches!(queue.record(of(1 << 20), false), Err(RecordError::QueueFull)));
    assert_eq!(queue.depth(), 15);
}
