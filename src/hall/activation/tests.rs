//! Whoever asks for a change hangs up at each moment at which it can: the ledger and what is in force say the same all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use serde_json::Value;

use crate::engine::input::tests::plain;
use crate::engine::snapshot::{RegistryOverlay, Required, Worker, WorkerStatus};
use crate::engine::{Binding, DenyCode};
use crate::hall::active_policy::policy_activation;
use crate::hall::tests::{hall, ledger_in, over, over_workers, remote_registry, remote_registry_where};
use crate::hall::{Ask, Caller, Door, Hall, NotOnline, Scope, Token, activation};
use crate::ids::Digest;
use crate::ledger::{ActivationCause, Ledger, PolicyActivation, Record, RecordError, Refusal};
use crate::registry::remote::Account;
use crate::registry::store::Store;

/// A hall, and the folder of what it keeps.
struct Fixture(Arc<Hall>, tempfile::TempDir);

impl Fixture {
    fn new() -> Self {
        let (hall, folder) = hall();
        Self(hall, folder)
    }

    /// One that asks a remote registry.
    fn asking() -> Self {
        let (hall, folder) = hall();
        Self(Arc::new(Arc::into_inner(hall).unwrap().asking(remote_registry(true))), folder)
    }

    /// One that enrolls over the API.
    fn enrolling() -> Self {
        let fixture = Self::new();
        fixture.0.open_registry(Store::open(&fixture.1.path().join("registry.db")).unwrap()).unwrap();
        fixture
    }

    /// Waits until nothing is under way any more, and gives the entries.
    async fn settled(&self) -> Vec<Value> {
        // What waits for the thread that enrolls is made before that ends; whatever else changes holds the turn until it is in force;
        // and what is queued without one is before this.
        self.0.close_registry();
        drop(self.0.activation.turn().await);
        let refusal = Record::Refusal(Refusal {
            door: Door::Api,
            code: DenyCode::NoRoute,
            message: "a mark".to_owned(),
            tenant: None,
            worker: None,
            token: None,
            correlation_id: None,
            raw_body: None,
        });
        self.0.ledger.record(refusal).await.unwrap();
        entries(&self.0.ledger)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.0.close_registry();
    }
}

fn entries(ledger: &Ledger) -> Vec<Value> {
    let mut stored = ledger.reader().from_entry(0).unwrap();
    let mut entries = Vec::new();
    while let Some((_, json)) = stored.next().unwrap() {
        entries.push(serde_json::from_slice(json).unwrap());
    }
    entries
}

/// Polls a future so often at most, each time when it asks for it. Whether it has come to its end.
async fn polled<T>(future: impl Future<Output = T>, times: usize) -> bool {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|context| {
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polls >= times => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Hangs up after the first poll, after the second, and so on until the change comes to its end. Each time what is in force is what
/// the entries say, which may be nothing.
async fn hung_up_at_each_moment<F, T>(
    fixture: impl Fn() -> Fixture,
    change: impl Fn(Arc<Hall>) -> F,
    in_force: impl Fn(&Hall) -> bool,
    on_record: impl Fn(&[Value]) -> bool,
) where
    F: Future<Output = T>,
{
    for times in 1.. {
        let fixture = fixture();
        let ended = polled(change(Arc::clone(&fixture.0)), times).await;
        let entries = fixture.settled().await;
        assert_eq!(in_force(&fixture.0), on_record(&entries), "hung up after {times} polls: {entries:#?}");
        if ended {
            assert!(in_force(&fixture.0), "nobody hung up");
            assert!(times > 1, "it has no moment at which to hang up");
            return;
        }
    }
}

fn last<'e>(entries: &'e [Value], cause: &str) -> Option<&'e Value> {
    entries.iter().rfind(|entry| entry["cause"] == cause)
}

#[tokio::test]
async fn a_hall_is_offline_as_soon_as_that_is_on_record() {
    hung_up_at_each_moment(
        Fixture::new,
        |hall| async move { hall.go_offline("ops".parse().unwrap()).await },
        |hall| !hall.is_online(),
        |entries| last(entries, "go-offline").is_some(),
    )
    .await;
}

#[tokio::test]
async fn a_hall_is_online_as_soon_as_that_is_on_record() {
    hung_up_at_each_moment(
        || {
            let fixture = Fixture::new();
            fixture.0.switched_off.store(true, Ordering::Release);
            fixture
        },
        |hall| async move { hall.go_online("ops".parse().unwrap()).await },
        |hall| hall.is_online(),
        |entries| last(entries, "go-online").is_some(),
    )
    .await;
}

fn worker() -> Worker {
    Worker::new(
        "org.acme.filed".parse().unwrap(),
        "wrk.data.writer".parse().unwrap(),
        BTreeSet::from(["cap.data.write.v1".parse().unwrap()]),
    )
}

fn account(standing: &str) -> Account {
    Account { standing: standing.to_owned(), tier_id: None }
}

#[tokio::test]
async fn a_standing_counts_as_soon_as_it_is_on_record() {
    let suspended = || {
        let fixture = Fixture::asking();
        fixture.0.good_standing_on_record.store(false, Ordering::Release);
        fixture
    };
    let heed = |hall: Arc<Hall>| async move { hall.heed_account(&account("ok")).await };
    let on_record = |entries: &[Value]| last(entries, "account").is_some_and(|entry| entry["online"] == true);
    hung_up_at_each_moment(suspended, heed, |hall| hall.is_online(), on_record).await;
}

#[tokio::test]
async fn what_a_registry_says_is_in_force_as_soon_as_it_is_on_record() {
    let filed = || {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&ledger_in(folder.path(), 8)).unwrap();
        let hall = over_workers(ledger, vec![worker()]);
        Fixture(Arc::new(Arc::into_inner(hall).unwrap().asking(remote_registry(false))), folder)
    };
    let overlay = || RegistryOverlay {
        required: Required::Namespaced,
        said: BTreeMap::from([("org.acme.filed".parse().unwrap(), WorkerStatus::Active)]),
        banned: BTreeSet::new(),
    };
    hung_up_at_each_moment(
        filed,
        |hall| async move { hall.heed(&"http://127.0.0.1:9".into(), overlay()).await },
        |hall| hall.snapshot().workers.values().all(|worker| worker.status == WorkerStatus::Active),
        |entries| last(entries, "remote").is_some_and(|entry| entry["standing"] == "active"),
    )
    .await;
}

#[tokio::test]
async fn the_policy_is_announced_as_soon_as_it_is_on_record() {
    hung_up_at_each_moment(
        || {
            let fixture = Fixture::new();
            fixture.0.unannounced.store(true, Ordering::Release);
            fixture
        },
        |hall| async move { hall.announce().await },
        |hall| !hall.unannounced.load(Ordering::Acquire),
        |entries| entries.iter().filter(|entry| entry["kind"] == "policy").count() == 1,
    )
    .await;
}

#[tokio::test]
async fn a_hash_is_banned_as_soon_as_that_is_on_record() {
    let hash = Digest::of(b"code");
    let token =
        Arc::new(Token::new("ops".parse().unwrap(), Vec::new(), BTreeSet::from([Scope::Admin]), Binding::default()));
    hung_up_at_each_moment(
        Fixture::enrolling,
        |hall| {
            let token = Arc::clone(&token);
            async move { hall.ban(&token, hash, None).await }
        },
        |hall| hall.roster().is_banned(&hash),
        |entries| entries.iter().any(|entry| entry["action"] == "banned"),
    )
    .await;
}

#[tokio::test]
async fn going_online_does_not_overwrite_what_was_heard_since() {
    let fixture = Fixture::asking();
    let hall = &fixture.0;
    hall.heed_account(&account("ok")).await;
    assert!(hall.is_online());
    // The account was asked when it was still good, and before that was on record it was heard to be suspended.
    let heard = hall.heard.times();
    hall.heed_account(&account("suspended")).await;
    let switched = hall.switch(true, "ops".parse().unwrap(), Some(account("ok")), heard).await;
    assert_eq!(switched, Err(NotOnline::Standing(account("suspended"))));
    assert!(!hall.is_online());
    assert!(last(&fixture.settled().await, "go-online").is_none());

    let now = hall.heard.times();
    hall.switch(true, "ops".parse().unwrap(), Some(account("ok")), now).await.unwrap();
    assert!(hall.is_online());
}

#[tokio::test]
async fn a_standing_that_nothing_is_heard_of_does_not_count_for_ever() {
    let (hall, _folder) = hall();
    let remote_registry = remote_registry_where(Some(Duration::from_millis(50)));
    let hall = Arc::new(Arc::into_inner(hall).unwrap().asking(remote_registry));
    hall.heed_account(&account("ok")).await;
    assert!(hall.is_online());
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(!hall.is_online(), "the registry is silent");
    assert!(hall.readiness().reasons.iter().any(|reason| reason.contains("standing")));
    let silent = Arc::clone(&hall);
    tokio::task::spawn_blocking(move || silent.heed_silence()).await.unwrap();
    hall.heed_account(&account("ok")).await;
    assert!(hall.is_online());
    let said: Vec<_> = entries(&hall.ledger).into_iter().filter(|entry| entry["cause"] == "account").collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!((&said[0]["online"], &said[1]["online"]), (&false.into(), &true.into()));
}

#[tokio::test]
async fn who_asks_for_a_change_is_told_in_time_and_it_is_in_force_once_the_disk_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, waits, release) = Ledger::open_held(&ledger_in(folder.path(), 8));
    let hall = over(ledger);
    let told = hall.go_offline("ops".parse().unwrap()).await;
    assert_eq!(told, Err(RecordError::Stalled));
    assert!(waits() && hall.is_online(), "it is not on record yet");
    release();
    let fixture = Fixture(hall, folder);
    drop(fixture.0.activation.turn().await);
    assert!(!fixture.0.is_online());
    assert!(last(&entries(&fixture.0.ledger), "go-offline").is_some());
}

/// Another policy than the one in force, as a change that puts it on record.
fn another(hall: &Hall) -> Record {
    let other = policy_activation(&hall.snapshot.load(), ActivationCause::Reload, None);
    Record::Policy(PolicyActivation { snapshot: Digest::of(b"another"), ..other })
}

/// The next decision comes behind an entry of the policy that makes it.
async fn decides_by_what_is_on_record(hall: &Hall) {
    let ask = Ask { caller: Caller::default(), input: plain(), door: Door::Api, raw_body: None, observed_until: None };
    let recorded = hall.rule(ask).await.unwrap().recorded();
    let entries = entries(&hall.ledger);
    let policy = entries.iter().rfind(|entry| entry["kind"] == "policy").unwrap();
    assert_eq!(policy["snapshot"], hall.snapshot().fingerprint.to_string(), "{entries:#?}");
    let decided = entries.last().unwrap();
    assert_eq!(decided["receipt_id"], recorded.receipt().id().to_string());
}

#[tokio::test]
async fn after_a_panic_between_record_and_effect_what_is_in_force_goes_on_record_again() {
    let fixture = Fixture::new();
    let hall = &fixture.0;
    hall.begin();
    let changes = Arc::clone(hall);
    // As a reload does it, on a thread…
    let reload = std::thread::spawn(move || {
        let _turn = changes.activation.turn_blocking();
        changes.ledger.record_change_blocking(another(&changes)).unwrap();
        panic!("between record and effect");
    });
    reload.join().unwrap_err();
    decides_by_what_is_on_record(hall).await;

    // …and as others do, in a task.
    let (changes, turn) = (Arc::clone(hall), hall.activation.turn().await);
    let made: Result<(), _> = activation::make(async move {
        let _turn = turn;
        changes.ledger.record_change(another(&changes)).await.unwrap();
        panic!("between record and effect");
    })
    .await;
    assert_eq!(made, Err(RecordError::Closed));
    decides_by_what_is_on_record(hall).await;
    let announced = entries(&hall.ledger).into_iter().filter(|entry| entry["cause"] == "start").count();
    assert_eq!(announced, 3);
}
