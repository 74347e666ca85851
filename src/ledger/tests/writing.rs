//! Writing: group commit, a full queue, failing disks, and clocks that go back.

use std::future::Future as _;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize};
use std::sync::{Condvar, Mutex};
use std::task::{Context, Waker};
use std::time::SystemTime;

use super::*;
use crate::ledger::write::storage::Storage;

/// What goes wrong behind the disk, and what was asked of it.
#[derive(Default)]
struct Faults {
    /// A write stops after so many bytes.
    short_write: Mutex<Option<usize>>,
    no_cut: AtomicBool,
    no_sync: AtomicBool,
    /// The next sync fails, and those after it are said to succeed, as a kernel tells of a lost page once.
    lost_sync: AtomicBool,
    /// The page whose sync fails is gone, too.
    lost_page: AtomicBool,
    /// The next sync panics.
    panics: AtomicBool,
    syncs: AtomicUsize,
    /// Whether writes wait, and how many do.
    held: Mutex<(bool, usize)>,
    release: Condvar,
}

impl Faults {
    fn set(&self, short_write: Option<usize>) {
        *self.short_write.lock().unwrap() = short_write;
    }

    fn hold(&self, hold: bool) {
        self.held.lock().unwrap().0 = hold;
        self.release.notify_all();
    }
}

struct Faulty(fs::File, Arc<Faults>);

impl Storage for Faulty {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut held = self.1.held.lock().unwrap();
        held.1 += 1;
        drop(self.1.release.wait_while(held, |held| held.0).unwrap());
        match *self.1.short_write.lock().unwrap() {
            Some(some) => {
                Storage::write_all_at(&self.0, &bytes[..some.min(bytes.len())], offset)?;
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            None => Storage::write_all_at(&self.0, bytes, offset),
        }
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        if self.1.no_cut.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem));
        }
        Storage::set_len(&self.0, length)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        assert!(!self.1.panics.swap(false, Ordering::SeqCst), "in the midst of a sync");
        if self.1.lost_sync.swap(false, Ordering::SeqCst) {
            let length = self.0.metadata()?.len();
            if self.1.lost_page.load(Ordering::SeqCst) {
                Storage::write_all_at(&self.0, &[0; 100], length.saturating_sub(100))?;
            }
            return Err(io::Error::other("lost"));
        }
        if self.1.no_sync.load(Ordering::SeqCst) { Err(io::Error::other("lost")) } else { self.0.sync_data() }
    }
    fn named_length(&self) -> io::Result<Option<u64>> {
        self.0.named_length()
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn open(settings: &Settings) -> (Ledger, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let behind = Arc::clone(&faults);
    let through: Through = Box::new(move |file| Arc::new(Faulty(file, Arc::clone(&behind))));
    (Ledger::open_with(settings, Arc::new(now), through, boot::this()).unwrap(), faults)
}

impl Ledger {
    /// A ledger whose writes wait until they are let go, for tests of what happens when it is behind. Says whether one waits.
    pub(crate) fn open_held(settings: &Settings) -> (Self, impl Fn() -> bool + use<>, impl FnOnce() + use<>) {
        let (ledger, faults) = open(settings);
        faults.hold(true);
        let waiting = Arc::clone(&faults);
        (ledger, move || waiting.held.lock().unwrap().1 > 0, move || faults.hold(false))
    }
}

fn segment_length(settings: &Settings) -> u64 {
    fs::metadata(segment::path(&segments(&settings.path), 0)).unwrap().len()
}

#[test]
fn every_answer_has_its_entry_under_many_threads() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 300_000, ..settings(folder.path()) };
    let ledger = Ledger::open(&settings).unwrap();
    let threads: Vec<_> = (0..8).map(|n| (n, ledger.clone())).collect();
    let threads = threads.into_iter().map(|(n, ledger)| {
        thread::spawn(move || {
            let receipt = |round| {
                let receipt = record(&ledger, allowed(&format!("org.t{}", (n + round) % 5))).unwrap();
                ledger.outcome(&receipt, ended());
                receipt
            };
            (0..250).map(receipt).collect::<Vec<_>>()
        })
    });
    let threads: Vec<_> = threads.collect();
    let receipts: Vec<Receipt> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    ledger.close();

    let report = check(&settings).unwrap();
    assert_eq!((report.decisions, report.outcomes, report.entries), (2000, 2000, 4000));
    assert_eq!((report.signed, report.streams, report.torn_bytes, report.live), (4000, 5, 0, false));
    assert_eq!(ledger.health().entries, 4000);
    let stored: BTreeSet<String> =
        entries(&settings).iter().map(|entry| entry["receipt_id"].as_str().unwrap().to_owned()).collect();
    assert!(receipts.iter().all(|receipt| stored.contains(&receipt.id().to_string())));
    assert_eq!(receipts.iter().map(Receipt::id).collect::<BTreeSet<_>>().len(), 2000);
}

#[test]
fn a_full_queue_refuses_decisions_but_never_outcomes_and_writes_nothing_for_the_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { queue: 2, ..settings(folder.path()) };
    let (ledger, faults) = open(&settings);
    let receipt = record(&ledger, allowed("org.acme")).unwrap();
    faults.hold(true);
    let before = faults.held.lock().unwrap().1;
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(ledger.record(allowed("org.acme")))).collect();
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting[0].as_mut().poll(&mut context).is_pending());
    until("the writer has the first", || faults.held.lock().unwrap().1 > before);
    assert!(waiting[1].as_mut().poll(&mut context).is_pending());
    assert!(waiting[2].as_mut().poll(&mut context).is_pending());
    assert_eq!(record(&ledger, refusal()).unwrap_err(), RecordError::QueueFull);
    ledger.outcome(&receipt, ended());
    assert_eq!(ledger.health().queue_depth, 3);
    faults.hold(false);
    // Those who went away have their entries all the same, and an outcome each: nothing came of it.
    drop(waiting);
    ledger.close();
    let report = check(&settings).unwrap();
    assert_eq!((report.decisions, report.outcomes), (4, 4));
}

#[test]
fn a_failed_write_is_told_leaves_no_trace_and_heals_by_itself() {
    for short in [0, 1, frame::HEADER, 100, 1500, usize::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let (ledger, faults) = open(&settings);
        let receipt = record(&ledger, allowed("org.acme")).unwrap();
        let length = segment_length(&settings);

        faults.set(Some(short));
        let error = record(&ledger, allowed("org.globex")).unwrap_err();
        assert!(matches!(error, RecordError::Write(_)), "{error}");
        assert!(!ledger.health().writing && ledger.health().error.is_some());
        assert_eq!(segment_length(&settings), length, "after {short} bytes");
        ledger.outcome(&receipt, ended());
        assert!(record(&ledger, refusal()).is_err(), "each try is a real one");

        faults.set(None);
        until("the outcome that was owed is written", || ledger.health().writing && ledger.health().entries == 2);
        record(&ledger, allowed("org.globex")).unwrap();
        ledger.close();
        let report = check(&settings).unwrap();
        assert_eq!((report.decisions, report.outcomes), (2, 1), "after {short} bytes");
    }
}

#[test]
fn it_recovers_with_nothing_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (ledger, faults) = open(&settings);
    faults.set(Some(0));
    assert!(record(&ledger, refusal()).is_err());
    faults.set(None);
    until("a probe finds the disk in order", || ledger.health().writing);
    assert_eq!(segment_length(&settings), segment::HEADER as u64, "a probe leaves nothing");
    ledger.close();
    assert_eq!(check(&settings).unwrap().entries, 0);
}

#[test]
fn nothing_is_written_after_bytes_that_could_not_be_cut() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let (ledger, faults) = open(&settings);
    record(&ledger, refusal()).unwrap();
    faults.set(Some(1200));
    faults.no_cut.store(true, Ordering::SeqCst);
    assert!(record(&ledger, allowed("org.acme")).is_err());
    faults.set(None);
    let untrimmed = fs::read(segment::path(&segments(&settings.path), 0)).unwrap();
    assert!(record(&ledger, refusal()).is_err(), "the rest of the failed batch is still there");
    assert_eq!(fs::read(segment::path(&segments(&settings.path), 0)).unwrap(), untrimmed);
    faults.no_cut.store(false, Ordering::SeqCst);
    record(&ledger, refusal()).unwrap();
    ledger.close();
    assert_eq!(check(&settings).unwrap().entries, 2);
}

#[test]
fn power_durability_syncs_before_it_answers_and_a_failed_sync_is_a_failed_write() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { durability: Durability::Power, ..settings(folder.path()) };
    let (ledger, faults) = open(&settings);
    for n in 1..=3 {
        record(&ledger, refusal()).unwrap();
        assert!(faults.syncs.load(Ordering::SeqCst) >= n);
    }
    faults.no_sync.store(true, Ordering::SeqCst);
    assert!(matches!(record(&ledger, refusal()), Err(RecordError::Write(_))));
    faults.no_sync.store(false, Ordering::SeqCst);
    record(&ledger, refusal()).unwrap();
    ledger.close();
    assert_eq!(check(&settings).unwrap().entries, 4);
}

fn signed(settings: &Settings) -> u64 {
    checkpoint::unverified(&fs::read(checkpoint_file(&settings.path)).unwrap()).unwrap().size
}

fn inode(settings: &Settings) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(segment::path(&segments(&settings.path), 0)).unwrap())
}

#[test]
fn a_sync_that_failed_is_not_believed_the_second_time() {
    for (durability, checkpoint_every) in
        [(Durability::Process, Duration::from_millis(1)), (Durability::Power, Duration::from_secs(3600))]
    {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { durability, checkpoint_every, ..settings(folder.path()) };
        let (ledger, faults) = open(&settings);
        record(&ledger, refusal()).unwrap();
        until("the first is signed", || signed(&settings) == 1);
        let before = inode(&settings);
        faults.lost_sync.store(true, Ordering::SeqCst);
        let answer = record(&ledger, allowed("org.acme"));
        assert_eq!(answer.is_ok(), durability == Durability::Process);
        until("it is written to a new file by itself", || inode(&settings) != before && ledger.health().writing);
        record(&ledger, allowed("org.acme")).unwrap();
        ledger.close();
        let report = check(&settings).unwrap();
        assert_eq!(report.entries, report.signed);
        assert_eq!(report.decisions, 2 + u64::from(answer.is_ok()));
    }
}

#[test]
fn a_sealing_that_panics_is_begun_again_and_what_it_had_in_hand_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { checkpoint_every: Duration::from_millis(1), ..settings(folder.path()) };
    let (ledger, faults) = open(&settings);
    record(&ledger, refusal()).unwrap();
    until("the first is signed", || signed(&settings) == 1);
    faults.panics.store(true, Ordering::SeqCst);
    record(&ledger, allowed("org.acme")).unwrap();
    until("the second is signed", || signed(&settings) == 2);
    assert!(!faults.panics.load(Ordering::SeqCst));
    until("it is not written", || ledger.health().writing);
    record(&ledger, refusal()).unwrap();
    ledger.close();
    assert_eq!((signed(&settings), check(&settings).unwrap().entries), (3, 3));
}

#[test]
fn what_a_failed_sync_has_lost_is_never_signed_and_nothing_more_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { checkpoint_every: Duration::from_millis(1), ..settings(folder.path()) };
    let (ledger, faults) = open(&settings);
    record(&ledger, refusal()).unwrap();
    until("the first is signed", || signed(&settings) == 1);
    faults.lost_page.store(true, Ordering::SeqCst);
    faults.lost_sync.store(true, Ordering::SeqCst);
    record(&ledger, allowed("org.acme")).unwrap();
    until("it is noticed", || ledger.health().error.is_some_and(|why| why.contains("cannot be read back")));
    let error = record(&ledger, refusal()).unwrap_err();
    assert!(error.to_string().contains("cannot be read back"), "{error}");
    ledger.close();
    assert_eq!((signed(&settings), check(&settings).unwrap().entries), (1, 1));
}

#[test]
fn what_takes_a_right_away_is_on_the_disk_before_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    // Every batch begins a segment.
    let settings = Settings { segment_bytes: 1, ..settings(folder.path()) };
    let (ledger, faults) = open(&settings);
    record(&ledger, refusal()).unwrap();
    until("the first is signed", || signed(&settings) == 1);
    let change = |action| {
        Record::Registry(RegistryChange {
            action,
            worker: Some("wrk_a".into()),
            record: Some("{}".into()),
            hash: Some(Digest::of(b"record")),
            reason: None,
            token: None,
            tenant: None,
        })
    };
    let online =
        |online| Record::Status(StatusChange::Hall { online, token: "ops".parse().unwrap(), account_standing: None });
    let syncs = || faults.syncs.load(Ordering::SeqCst);
    let before = syncs();
    for gives in [change(RegistryAction::Enrolled), change(RegistryAction::Unbanned), online(true), allowed("org.acme")]
    {
        record(&ledger, gives).unwrap();
    }
    assert_eq!(syncs(), before, "nobody waits for the disk");
    for takes in [change(RegistryAction::Revoked), change(RegistryAction::Banned), online(false)] {
        let before = syncs();
        record(&ledger, takes.clone()).unwrap();
        assert!(syncs() > before, "{takes:?}");
    }
    faults.no_sync.store(true, Ordering::SeqCst);
    assert!(record(&ledger, online(false)).is_err());
    faults.no_sync.store(false, Ordering::SeqCst);
    until("it recovers", || ledger.health().writing);
    ledger.close();
    assert_eq!(check(&settings).unwrap().entries, 8);
}

#[test]
fn a_folder_that_goes_and_comes_back_is_a_failure_and_a_recovery() {
    let folder = tempfile::tempdir().unwrap();
    // Every batch begins a segment.
    let settings = Settings { segment_bytes: 1, ..settings(folder.path()) };
    let ledger = Ledger::open(&settings).unwrap();
    record(&ledger, refusal()).unwrap();
    record(&ledger, refusal()).unwrap();
    fs::rename(segments(&settings.path), settings.path.join("away")).unwrap();
    assert!(matches!(record(&ledger, refusal()), Err(RecordError::Write(_))));
    assert!(!ledger.health().writing);
    fs::rename(settings.path.join("away"), segments(&settings.path)).unwrap();
    until("writes succeed again by themselves", || ledger.health().writing);
    record(&ledger, refusal()).unwrap();
    ledger.close();
    assert_eq!(check(&settings).unwrap().entries, 3);
}

#[test]
fn ids_and_times_rise_while_the_clock_goes_back_and_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let clock = Arc::new(AtomicI64::new(now()));
    let mut last = (uuid::Uuid::nil(), 0);
    for step in [1_000_000, -3_600_000_000, -1, 0, i64::MIN / 2] {
        let read = Arc::clone(&clock);
        let clock_now: Clock = Arc::new(move || read.load(Ordering::SeqCst));
        let ledger = Ledger::open_with(&settings, clock_now, Box::new(|file| Arc::new(file)), boot::this()).unwrap();
        for _ in 0..20 {
            clock.fetch_add(step / 20, Ordering::SeqCst);
            let receipt = record(&ledger, refusal()).unwrap();
            let next = (receipt.id(), receipt.recorded_at_micros());
            assert!(next.0 > last.0 && next.1 >= last.1);
            last = next;
        }
        ledger.close();
    }
    assert_eq!(check(&settings).unwrap().entries, 100);
}

#[test]
fn what_belongs_together_is_written_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    // A queue that takes one: what belongs together counts as one.
    let settings = Settings { queue: 1, ..settings(folder.path()) };
    let (ledger, faults) = open(&settings);
    let three = || vec![allowed("org.acme"), refusal(), allowed("org.globex")];
    let receipts = ledger.record_together(three()).unwrap();
    assert_eq!((receipts.len(), ledger.health().entries), (3, 3));
    assert!(receipts.is_sorted_by_key(Receipt::id), "in the order in which they were given");

    faults.set(Some(1200));
    let error = ledger.record_together(three()).unwrap_err();
    assert!(matches!(error, RecordError::Write(_)), "{error}");
    faults.set(None);
    until("it is written again", || ledger.health().writing);
    assert_eq!(ledger.health().entries, 3, "none of the three is there");
    ledger.record_together(three()).unwrap();
    ledger.close();
    assert!(matches!(ledger.record_together(three()), Err(RecordError::Closed)));
    assert_eq!(check(&settings).unwrap().entries, 6);
}

#[test]
fn an_entry_that_is_too_long_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let ledger = Ledger::open(&settings).unwrap();
    let mut long = decision("org.acme", engine::Outcome::Dispatch);
    let mut verdict = (*long.verdict).clone();
    verdict.required_controls =
        Arc::new((0..2500).map(|n| Arc::from(format!("ctrl.a-rather-long-name.{n}"))).collect());
    long.verdict = Arc::new(verdict);
    assert!(matches!(record(&ledger, decided(long)), Err(RecordError::Write(_))));
    assert!(ledger.health().writing);
    record(&ledger, allowed("org.acme")).unwrap();
    ledger.close();
    assert_eq!(check(&settings).unwrap().entries, 1);
}

#[tokio::test]
async fn closing_is_safe_in_async_code_and_twice() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let ledger = Ledger::open(&settings).unwrap();
    let receipt = ledger.record(allowed("org.acme")).await.unwrap();
    ledger.outcome(&receipt, ended());
    ledger.close();
    ledger.close();
    assert_eq!(ledger.record(refusal()).await.unwrap_err(), RecordError::Closed);
    ledger.outcome(&receipt, ended());
    assert!(!ledger.health().writing);
    assert_eq!(check(&settings).unwrap().entries, 2);
}

#[test]
fn a_segment_that_another_hand_changes_takes_no_more_entries_and_is_not_mended() {
    type Change = fn(&Path) -> io::Result<()>;
    let changes: [(&str, Change, &str); 3] = [
        ("cut", |path| fs::File::options().write(true).open(path)?.set_len(40), "something else changes it"),
        ("emptied", |path| fs::write(path, b""), "something else changes it"),
        ("deleted", |path| fs::remove_file(path), "deleted"),
    ];
    for (what, change, why) in changes {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { checkpoint_every: Duration::from_millis(1), ..settings(folder.path()) };
        let ledger = Ledger::open(&settings).unwrap();
        for _ in 0..3 {
            record(&ledger, allowed("org.acme")).unwrap();
        }
        until("the entries are signed", || {
            let heads = fs::read(heads_file(&settings.path)).unwrap();
            chain::Heads::from_bytes(&heads).is_some_and(|heads| heads.size == 3)
        });
        let path = segment::path(&segments(&settings.path), 0);
        change(&path).unwrap();
        for _ in 0..2 {
            let error = record(&ledger, allowed("org.acme")).unwrap_err();
            assert!(error.to_string().contains(why), "{what}: {error}");
        }
        assert!(!ledger.health().writing);
        ledger.close();
        assert!(matches!(check(&settings), Err(verify::VerifyError::Broken(_))), "{what}");
        assert!(matches!(Ledger::open(&settings), Err(OpenError::Broken { .. })), "{what}");
    }
}

#[test]
fn bytes_that_another_hand_appends_are_noticed_before_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let ledger = Ledger::open(&settings).unwrap();
    record(&ledger, refusal()).unwrap();
    let path = segment::path(&segments(&settings.path), 0);
    let length = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(length + 100_000).unwrap();
    assert!(record(&ledger, refusal()).unwrap_err().to_string().contains("something else changes it"));
    // What is after the committed entries was never acknowledged: it goes, and the ledger goes on.
    record(&ledger, refusal()).unwrap();
    ledger.close();
    assert_eq!(check(&settings).unwrap().entries, 2);
}
