//! Retaining: what is pruned, what stays, and that what stays can still be held to account.

use std::sync::atomic::AtomicI64;

use tlog_tiles::record_hash;

use super::*;
use crate::ledger::format::chain::Heads;
use crate::ledger::format::pruned::PRUNED;
use crate::ledger::format::tree::tests::All;

const HOUR: i64 = 3_600_000_000;

/// A ledger that prunes all that it may at once, once its clock has been moved by an hour.
pub(super) fn keeping(folder: &Path) -> Settings {
    let retention = Retention { keep: Some(Duration::from_secs(3600)), ..Retention::default() };
    let checkpoint_every = Duration::from_millis(1);
    Settings { segment_bytes: 40_000, checkpoint_every, retention, ..settings(folder) }
}

pub(super) fn open(settings: &Settings, clock: &Arc<AtomicI64>) -> Ledger {
    let clock = Arc::clone(clock);
    let read: Clock = Arc::new(move || clock.load(Ordering::SeqCst));
    Ledger::open_with(settings, read, Box::new(|file| Arc::new(file)), boot::this()).unwrap()
}

pub(super) fn clock() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(1_767_225_600_000_000))
}

fn firsts(settings: &Settings) -> Vec<u64> {
    segment::list(&segments(&settings.path)).unwrap()
}

/// Fills a ledger, lets it grow old, and waits until what may go is gone. Gives the edge.
pub(super) fn prune(settings: &Settings, clock: &Arc<AtomicI64>, rounds: usize) -> u64 {
    let ledger = open(settings, clock);
    let before = ledger.health().entries;
    fill(&ledger, rounds);
    clock.fetch_add(2 * HOUR, Ordering::SeqCst);
    // One that is not old.
    record(&ledger, refusal()).unwrap();
    let last = before + 3 * rounds as u64;
    until("what is old is gone, but for what a start needs", || {
        let edge = ledger.health().pruned;
        let next = firsts(settings).get(1).copied().unwrap_or(u64::MAX);
        edge > 0 && next > last / 256 * 256
    });
    ledger.close();
    ledger.health().pruned
}

#[test]
fn what_is_old_goes_and_what_stays_verifies_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock) = (keeping(folder.path()), clock());
    let (mut total, mut edge) = (0, 0);
    for rounds in [150, 100, 300] {
        let moved = prune(&settings, &clock, rounds);
        total += 3 * rounds as u64 + 1;
        assert!(moved > edge && moved < total, "{moved}");
        edge = moved;
        assert_eq!(firsts(&settings).first(), Some(&edge));
        let report = check(&settings).unwrap();
        assert_eq!((report.entries, report.signed, report.pruned), (total, total, edge));
        assert!(report.to_string().contains(&format!("the first {edge} were pruned")), "{report}");
    }
    let kept = entries(&settings);
    assert_eq!(kept.len() as u64, total - edge);
    assert!(firsts(&settings).len() < 8, "files do not grow for ever");
    for n in 0..total / 256 {
        assert!(settings.path.join(format!("tile/0/{n:03}")).is_file(), "tile {n}");
    }
}

#[test]
fn proofs_that_were_given_out_stay_valid() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock) = (keeping(folder.path()), clock());
    // Before: a receipt, its proof, and the checkpoint that it was proved under.
    let ledger = open(&Settings { retention: Retention::default(), ..settings.clone() }, &clock);
    fill(&ledger, 150);
    ledger.close();
    let raw: Vec<Vec<u8>> = firsts(&settings)
        .iter()
        .flat_map(|first| {
            let bytes = fs::read(segment::path(&segments(&settings.path), *first)).unwrap();
            let (mut found, mut at) = (Vec::new(), segment::HEADER);
            while let Some(frame) = frame::at(&bytes, at) {
                found.push(frame.entry.to_vec());
                at += frame::HEADER + frame.entry.len();
            }
            found
        })
        .collect();
    let vkey = fs::read_to_string(settings.key_file.with_extension("key.pub")).unwrap();
    let old = checkpoint::read(&fs::read(checkpoint_file(&settings.path)).unwrap(), &vkey).unwrap();
    let mut all = All(Vec::new());
    for (n, entry) in raw.iter().enumerate() {
        let hashes = tlog_tiles::stored_hashes(n as u64, entry, &all).unwrap();
        all.0.extend(hashes);
    }
    let proof = tlog_tiles::prove_record(450, 7, &all).unwrap();

    let edge = prune(&settings, &clock, 100);
    assert!(edge > 7);
    // After: the old proof under the old checkpoint, and a new one, from the tiles, under the new.
    tlog_tiles::check_record(&proof, old.size, old.root, 7, record_hash(&raw[7])).unwrap();
    let new = checkpoint::read(&fs::read(checkpoint_file(&settings.path)).unwrap(), &vkey).unwrap();
    let note = pruned::Pruned::load(&settings.path, &vkey).unwrap().unwrap();
    let mut all = All(Vec::new());
    for n in 0..note.edge() {
        let hash = tree::read_tile(&settings.path, 0, n / 256).unwrap()[(n % 256) as usize];
        let hashes = tlog_tiles::tlog::stored_hashes_for_record_hash(n, hash, &all).unwrap();
        all.0.extend(hashes);
    }
    for (n, entry) in (note.edge()..).zip(entries(&settings)) {
        let mut bytes = Vec::new();
        canonical::canonicalise(&entry, &mut bytes).unwrap();
        let hashes = tlog_tiles::stored_hashes(n, &bytes, &all).unwrap();
        all.0.extend(hashes);
    }
    let proof = tlog_tiles::prove_record(new.size, 7, &all).unwrap();
    tlog_tiles::check_record(&proof, new.size, new.root, 7, record_hash(&raw[7])).unwrap();
    let proof = tlog_tiles::prove_tree(new.size, old.size, &all).unwrap();
    tlog_tiles::check_tree(&proof, new.size, new.root, old.size, old.root).unwrap();
}

#[test]
fn the_size_is_held_and_what_goes_is_exported_and_can_be_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let export_dir = folder.path().join("archive/of the ledger");
    let retention = Retention { keep: None, max_bytes: Some(150_000), export_dir: Some(export_dir.clone()) };
    let settings = Settings { retention, ..keeping(folder.path()) };
    let ledger = Ledger::open(&settings).unwrap();
    fill(&ledger, 500);
    let size = || -> u64 {
        let segments = segments(&settings.path);
        firsts(&settings)
            .iter()
            .filter_map(|first| fs::metadata(segment::path(&segments, *first)).ok())
            .map(|file| file.len())
            .sum()
    };
    // As few as may stay: under 256 entries before the head, in whole segments.
    until("the ledger is small", || {
        ledger.health().pruned > 0 && (size() <= 150_000 || firsts(&settings)[1] > 1495 / 256 * 256)
    });
    ledger.close();
    assert_eq!(check(&settings).unwrap().entries, 1500);

    // All of it, from what was exported.
    fs::remove_file(settings.path.join(PRUNED)).unwrap();
    assert!(check(&settings).unwrap_err().to_string().contains("segments/"), "without the note something is missing");
    copy(&export_dir, &segments(&settings.path));
    let report = check(&settings).unwrap();
    assert_eq!((report.entries, report.pruned), (1500, 0));
}

#[test]
fn an_export_that_fails_stops_the_pruning_and_not_the_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let export_dir = folder.path().join("archive");
    fs::write(&export_dir, "a file where a folder should be").unwrap();
    let mut settings = keeping(folder.path());
    settings.retention.export_dir = Some(export_dir.clone());
    let clock = clock();
    let ledger = open(&settings, &clock);
    fill(&ledger, 150);
    clock.fetch_add(2 * HOUR, Ordering::SeqCst);
    record(&ledger, refusal()).unwrap();
    until("it is said", || ledger.health().prune_error.is_some());
    let error = ledger.health().prune_error.unwrap();
    assert!(error.contains("ledger.export_dir") && error.contains("nothing is pruned"), "{error}");
    fill(&ledger, 10);
    assert!(ledger.health().writing);
    assert_eq!((ledger.health().pruned, firsts(&settings)[0]), (0, 0));

    fs::remove_file(&export_dir).unwrap();
    until("it goes on by itself", || ledger.health().pruned > 0 && ledger.health().prune_error.is_none());
    // What is there already, with other entries, is somebody's evidence, too.
    ledger.close();
    let next = firsts(&settings)[0];
    fs::write(segment::path(&export_dir, next), "another").unwrap();
    let ledger = open(&settings, &clock);
    clock.fetch_add(2 * HOUR, Ordering::SeqCst);
    fill(&ledger, 100);
    clock.fetch_add(2 * HOUR, Ordering::SeqCst);
    record(&ledger, refusal()).unwrap();
    until("it is said", || ledger.health().prune_error.is_some());
    assert!(ledger.health().prune_error.unwrap().contains("other entries"));
    ledger.close();
    assert_eq!(fs::read(segment::path(&export_dir, next)).unwrap(), b"another");
    check(&settings).unwrap();
}

#[test]
fn a_segment_that_does_not_hold_is_not_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock) = (keeping(folder.path()), clock());
    let ledger = open(&settings, &clock);
    fill(&ledger, 150);
    let path = segment::path(&segments(&settings.path), 0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[segment::HEADER + frame::HEADER + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    clock.fetch_add(2 * HOUR, Ordering::SeqCst);
    record(&ledger, refusal()).unwrap();
    until("it is said", || ledger.health().prune_error.is_some());
    assert!(ledger.health().prune_error.unwrap().contains("entry 0"));
    ledger.close();
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_start_finishes_what_a_kill_left_and_the_ledger_verifies_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock) = (keeping(&folder.path().join("whole")), clock());
    let ledger = open(&Settings { retention: Retention::default(), ..settings.clone() }, &clock);
    fill(&ledger, 150);
    ledger.close();
    copy(&folder.path().join("whole"), &folder.path().join("killed"));
    let edge = prune(&settings, &clock, 1);
    // The edge is signed, and nothing is deleted yet: the checkpoint may be older than the one the edge was signed under.
    let killed = Settings { path: folder.path().join("killed/ledger"), ..settings.clone() };
    fs::copy(settings.path.join(PRUNED), killed.path.join(PRUNED)).unwrap();
    let report = check(&killed).unwrap();
    assert_eq!((report.entries, report.pruned), (450, edge));
    let ledger = open(&Settings { retention: Retention::default(), ..killed.clone() }, &clock);
    assert_eq!(firsts(&killed)[0], edge);
    fill(&ledger, 5);
    ledger.close();
    assert_eq!(check(&killed).unwrap().entries, 465);
}

#[test]
fn index_heads_and_upper_tiles_are_made_again_behind_an_edge_and_lost_evidence_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock) = (keeping(&folder.path().join("whole")), clock());
    let edge = prune(&settings, &clock, 400);
    assert!(edge > 512, "{edge}");
    let forever = Settings { retention: Retention::default(), ..settings.clone() };
    let ledger = open(&forever, &clock);
    fill(&ledger, 100);
    ledger.close();
    for lost in ["index", "heads", "tile/0/004"] {
        fs::remove_file(settings.path.join(lost)).unwrap_or_else(|error| panic!("{lost}: {error}"));
        assert!(check(&settings).is_err(), "{lost}");
        open(&forever, &clock).close();
        assert_eq!(check(&settings).unwrap().pruned, edge, "{lost}");
    }
    // The index has forgotten what was pruned, and goes on.
    let bytes = fs::read(index_file(&settings.path)).unwrap();
    assert_eq!(bytes[16..16 + index::RECORD], index::BLANK);
    prune(&settings, &clock, 100);
    check(&settings).unwrap();

    let tampered = |what: &str, tamper: &dyn Fn(&Path)| {
        let place = folder.path().join(what);
        copy(&folder.path().join("whole"), &place);
        let settings = Settings { path: place.join("ledger"), ..forever.clone() };
        tamper(&settings.path);
        let found = check(&settings).unwrap_err().to_string();
        // So that the start reads all that is kept.
        let _ = fs::remove_file(heads_file(&settings.path));
        let refused = match Ledger::open(&settings) {
            Err(error @ OpenError::Broken { .. }) => error.to_string(),
            other => panic!("{what}: {other:?}"),
        };
        (found, refused)
    };
    let (found, refused) = tampered("a lost tile", &|ledger| fs::remove_file(ledger.join("tile/0/001")).unwrap());
    assert!(found.contains("tile/0/001") && refused.contains("tile/0/001"), "{found}; {refused}");
    let (found, refused) = tampered("a forged tile", &|ledger| {
        let path = ledger.join("tile/0/001");
        let mut bytes = fs::read(&path).unwrap();
        bytes[77] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    assert!(found.contains("tile/0") && refused.contains("tile/0"), "{found}; {refused}");
    let (found, _) = tampered("a lost note", &|ledger| fs::remove_file(ledger.join(PRUNED)).unwrap());
    assert!(found.contains("segments/"), "{found}");
    let (found, refused) = tampered("an edge too far", &|ledger| {
        let first = segment::list(&segments(ledger)).unwrap()[0];
        fs::remove_file(segment::path(&segments(ledger), first)).unwrap();
    });
    assert!(found.contains("segments/") && refused.contains("is missing"), "{found}; {refused}");
    let (found, refused) = tampered("an edited note", &|ledger| {
        let text = fs::read_to_string(ledger.join(PRUNED)).unwrap();
        fs::write(ledger.join(PRUNED), text.replacen("org.acme", "org.acne", 1)).unwrap();
    });
    assert!(found.contains("`pruned`") && refused.contains("pruned"), "{found}; {refused}");
}

#[test]
fn any_flipped_byte_of_a_pruned_ledger_is_a_break() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock) = (keeping(folder.path()), clock());
    prune(&settings, &clock, 180);
    let files = ["pruned", "index", "heads", "checkpoint", "tile/0/000", "tile/0/001"];
    for name in files {
        let path = settings.path.join(name);
        let whole = fs::read(&path).unwrap();
        let step = if name.starts_with("tile") { 97 } else { 7 };
        for at in (0..whole.len()).step_by(step) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(check(&settings), Err(verify::VerifyError::Broken(_))), "{name} byte {at}");
        }
        fs::write(&path, whole).unwrap();
    }
    check(&settings).unwrap();
}

#[test]
fn a_quiet_ledger_does_not_wait_for_a_segment_to_be_full_before_what_is_old_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock) = (Settings { segment_bytes: 1 << 30, ..keeping(folder.path()) }, clock());
    let ledger = open(&settings, &clock);
    for round in 0..40 {
        fill(&ledger, 10);
        clock.fetch_add(HOUR / 20, Ordering::SeqCst);
        if round == 20 {
            // A restart knows when its segment began.
            ledger.close();
            fill(&open(&settings, &clock), 1);
            break;
        }
    }
    let ledger = open(&settings, &clock);
    fill(&ledger, 100);
    clock.fetch_add(HOUR, Ordering::SeqCst);
    fill(&ledger, 1);
    until("something goes", || ledger.health().pruned > 0);
    ledger.close();
    assert!(check(&settings).unwrap().pruned > 0);
}

#[test]
fn a_hall_that_was_switched_off_is_found_so_however_its_ledger_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock) = (keeping(folder.path()), clock());
    let switch = |ledger: &Ledger, online: bool| {
        let change = StatusChange::Hall { online, token: "ops".parse().unwrap(), account_standing: None };
        record(ledger, Record::Status(change)).unwrap()
    };
    let found = |what: &str, offline: bool| {
        let ledger = open(&settings, &clock);
        assert_eq!(ledger.found_offline(), offline, "{what}");
        ledger.close();
        check(&settings).unwrap();
    };
    found("a new ledger", false);
    let ledger = open(&settings, &clock);
    switch(&ledger, true);
    let receipt = switch(&ledger, false);
    copy(&settings.path, &folder.path().join("killed"));
    ledger.close();
    found("after an orderly end", true);
    let killed = Settings { path: folder.path().join("killed"), ..settings.clone() };
    assert!(open(&killed, &clock).found_offline(), "killed before the switch was sealed");
    fs::remove_file(heads_file(&settings.path)).unwrap();
    found("without chain heads", true);

    // The switch itself is pruned, the segment it was in exported nowhere.
    let edge = prune(&settings, &clock, 300);
    assert!(edge > 2);
    let published = LogReader::new(&settings.path);
    assert!(published.find(receipt.id()).unwrap().is_none());
    found("behind the edge", true);
    fs::remove_file(heads_file(&settings.path)).unwrap();
    found("behind the edge, without chain heads", true);

    // Who turns it in the file is found out.
    let path = heads_file(&settings.path);
    let mut heads = Heads::from_bytes(&fs::read(&path).unwrap()).unwrap();
    heads.offline = false;
    fs::write(&path, heads.to_bytes().unwrap()).unwrap();
    assert!(check(&settings).unwrap_err().to_string().contains("heads"));
    heads.offline = true;
    fs::write(&path, heads.to_bytes().unwrap()).unwrap();
    let ledger = open(&settings, &clock);
    switch(&ledger, true);
    ledger.close();
    found("switched on", false);
}
