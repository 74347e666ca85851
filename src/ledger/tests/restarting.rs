//! Restarting: after a clean end, after a crash at any byte, and the refusal of what does not hold together.

use std::io::Write as _;
use std::path::PathBuf;

use super::*;
use crate::ledger::format::chain::Heads;

/// A ledger as a killed process leaves it: its entries written, only the first of them sealed.
fn killed(folder: &Path, rounds: usize) -> (Settings, u64) {
    let alive = Settings { segment_bytes: 20_000, ..settings(&folder.join("alive")) };
    let ledger = Ledger::open(&alive).unwrap();
    fill(&ledger, 1);
    until("the first entries are sealed, the chain heads last", || {
        Heads::from_bytes(&fs::read(heads_file(&alive.path)).unwrap()).unwrap().size > 0
    });
    fill(&ledger, rounds - 1);
    until("all is written", || ledger.health().entries == 3 * rounds as u64);
    copy(&folder.join("alive"), &folder.join("killed"));
    ledger.close();
    let killed = Settings { segment_bytes: alive.segment_bytes, ..settings(&folder.join("killed")) };
    (killed, 3 * rounds as u64)
}

fn last_segment(settings: &Settings) -> PathBuf {
    let folder = segments(&settings.path);
    segment::path(&folder, *segment::list(&folder).unwrap().last().unwrap())
}

fn broken(settings: &Settings) -> String {
    match Ledger::open(settings) {
        Err(error @ OpenError::Broken { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_restart_goes_on_with_chains_ids_tree_and_index() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 100_000, ..settings(folder.path()) };
    let (mut last, mut total) = (None, 0);
    for rounds in [1, 84, 1, 90, 3, 170, 86] {
        let ledger = Ledger::open(&settings).unwrap();
        assert_eq!(ledger.health().entries, total);
        let receipts = fill(&ledger, rounds);
        ledger.close();
        total += 3 * rounds as u64;
        assert!(receipts.iter().map(Receipt::id).is_sorted() && Some(receipts[0].id()) > last);
        last = receipts.last().map(Receipt::id);
        let report = check(&settings).unwrap();
        assert_eq!((report.entries, report.signed), (total, total));
    }
    let ids: Vec<_> = entries(&settings).into_iter().map(|entry| entry["receipt_id"].to_string()).collect();
    assert!(ids.is_sorted() && ids.len() as u64 == total);
    assert!(settings.path.join("tile/0/004").is_file());
}

#[test]
fn a_restart_reads_only_what_is_after_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 50_000, ..settings(folder.path()) };
    filled(&settings, 200);
    // Were the first segment read, this would be found.
    fs::remove_file(segment::path(&segments(&settings.path), 0)).unwrap();
    filled(&settings, 1);
    assert!(check(&settings).unwrap_err().to_string().contains("segments/"));
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, total) = killed(folder.path(), 5);
    let segment = last_segment(&settings);
    let whole = fs::read(&segment).unwrap();
    let (mut start, mut at) = (0, segment::HEADER);
    while let Some(frame) = frame::at(&whole, at) {
        start = at;
        at += frame::HEADER + frame.entry.len();
    }
    assert_eq!(at, whole.len());
    let opened = || {
        let now = Now { boot: boot::this(), micros: now_micros(), by: By::Boot };
        recovery::open(&settings, Box::new(|file| Arc::new(file)), &now).unwrap().0
    };
    assert_eq!(opened().edge.size(), total);
    for end in start..whole.len() {
        // A power cut may leave zeros where bytes were on their way.
        let rest = vec![0; end % 2 * 5000];
        fs::write(&segment, [&whole[..end], &rest].concat()).unwrap();
        assert_eq!(opened().edge.size(), total - 1, "{end}");
        assert_eq!(fs::read(&segment).unwrap(), &whole[..start], "{end}");
    }
    for at in (start..whole.len()).step_by(5) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&segment, flipped).unwrap();
        assert_eq!(opened().edge.size(), total - 1, "byte {at}");
    }
    filled(&settings, 1);
    assert_eq!(check(&settings).unwrap().entries, total + 2);
}

#[test]
fn a_killed_ledger_verifies_before_and_after_its_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, total) = killed(folder.path(), 120);
    let report = check(&settings).unwrap();
    assert!(report.signed < 10 && report.entries == total);
    Ledger::open(&settings).unwrap().close();
    assert_eq!(check(&settings).unwrap().signed, total);
}

#[test]
fn acknowledged_entries_that_are_damaged_are_never_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, _) = killed(folder.path(), 5);
    let segment = last_segment(&settings);
    let whole = fs::read(&segment).unwrap();
    // The last entries are batches of their own: a decision, its outcome with or without a refusal.
    let mut damaged = whole.clone();
    damaged[segment::HEADER + frame::HEADER + 5] ^= 1;
    fs::write(&segment, &damaged).unwrap();
    assert!(broken(&settings).contains("damaged frame at byte 32"));
    assert_eq!(fs::read(&segment).unwrap(), damaged, "evidence is left as it was found");
}

#[test]
fn only_one_process_writes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let ledger = Ledger::open(&settings).unwrap();
    let error = Ledger::open(&settings).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)));
    assert!(error.to_string().contains(settings.path.to_str().unwrap()), "{error}");
    fill(&ledger, 1);
    assert!(check(&settings).unwrap().live);
    drop(ledger);
    Ledger::open(&settings).unwrap();
}

#[test]
fn an_unknown_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    filled(&settings, 1);
    let segment = last_segment(&settings);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[16] = 2;
    fs::write(&segment, bytes).unwrap();
    assert!(broken(&settings).contains("is of version 2"));
    fs::write(version_file(&settings.path), "hallgate ledger 2\n").unwrap();
    assert!(matches!(Ledger::open(&settings), Err(OpenError::Version { .. })));
    fs::remove_file(version_file(&settings.path)).unwrap();
    assert!(broken(&settings).contains("there are entries"));
}

#[test]
fn a_ledger_goes_on_only_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    Ledger::open(&settings).unwrap();
    let other = Settings { key_file: folder.path().join("other.key"), ..settings.clone() };
    assert!(matches!(Ledger::open(&other), Err(OpenError::Key(KeyError::Missing(_)))));
    Ledger::open(&Settings { path: folder.path().join("other"), ..other.clone() }).unwrap();
    let renamed = Settings { origin: "other.test/ledger".to_owned(), ..settings };
    for another in [other, renamed] {
        let error = Ledger::open(&another).unwrap_err();
        assert!(matches!(&error, OpenError::OtherKey { signer, .. } if signer.starts_with("hallgate.test/ledger+")));
        assert!(Ledger::open_or_stand_in(&another).is_err(), "another key is not a broken ledger");
    }
}

#[test]
fn derived_files_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 50_000, ..settings(folder.path()) };
    filled(&settings, 200);
    let index = fs::read(index_file(&settings.path)).unwrap();
    let mut total = 600;
    for (name, bytes) in
        [("heads", &b"x"[..]), ("heads", b""), ("index", b""), ("index", &index[..40]), ("index", &[7; 999])]
    {
        fs::write(settings.path.join(name), bytes).unwrap();
        assert!(check(&settings).is_err(), "{name}");
        filled(&settings, 1);
        total += 3;
        assert_eq!(check(&settings).unwrap().entries, total, "{name}");
    }
    fs::remove_file(heads_file(&settings.path)).unwrap();
    fs::remove_file(index_file(&settings.path)).unwrap();
    Ledger::open(&settings).unwrap();
    assert_eq!(check(&settings).unwrap().entries, total);

    // Tiles at the end of the tree are noticed by themselves, and all are made again with the heads.
    let tile = settings.path.join("tile/0/001");
    let whole = fs::read(&tile).unwrap();
    let lose: [&dyn Fn(); 5] = [
        &|| fs::remove_file(&tile).unwrap(),
        &|| fs::write(&tile, &whole[..8191]).unwrap(),
        &|| fs::write(&tile, [1; 8192]).unwrap(),
        &|| fs::remove_dir_all(settings.path.join("tile")).unwrap(),
        &|| {
            fs::write(settings.path.join("tile/0/000"), [2; 8192]).unwrap();
            fs::remove_file(heads_file(&settings.path)).unwrap();
        },
    ];
    for (n, lose) in lose.iter().enumerate() {
        lose();
        assert!(check(&settings).is_err(), "{n}");
        Ledger::open(&settings).unwrap().close();
        assert_eq!(check(&settings).unwrap().entries, total, "{n}");
        assert_eq!(fs::read(&tile).unwrap(), whole, "{n}");
    }
}

#[test]
fn chain_heads_and_an_index_that_are_forged_with_care_do_not_lead_a_start_astray() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 50_000, ..settings(folder.path()) };
    filled(&settings, 200);
    let sound = Heads::from_bytes(&fs::read(heads_file(&settings.path)).unwrap()).unwrap();
    let index = fs::read(index_file(&settings.path)).unwrap();
    let file = index::open(&index_file(&settings.path)).unwrap();
    let [first, place] = [1, 2].map(|n| index::read(&file, n).unwrap());
    let with_record = |place: index::Place| {
        let mut bytes = index.clone();
        bytes[16 + 2 * index::RECORD..].copy_from_slice(&place.to_bytes(2));
        fs::write(index_file(&settings.path), bytes).unwrap();
    };
    let streams: BTreeMap<_, _> =
        sound.streams.keys().map(|stream| (stream.clone(), Digest::of(b"other").to_hex())).collect();
    let forged: [&dyn Fn(); 3] = [
        // An entry more would follow from these.
        &|| {
            let heads = Heads { size: 599, streams: BTreeMap::clone(&streams), ..sound.clone() };
            fs::write(heads_file(&settings.path), heads.to_bytes().unwrap()).unwrap();
        },
        &|| with_record(index::Place { offset: place.offset + 1, ..place }),
        &|| with_record(first),
    ];
    for forge in &forged {
        forge();
        let ledger = Ledger::open(&settings).unwrap();
        ledger.close();
        assert_eq!(check(&settings).unwrap().entries, 600);
        assert_eq!(fs::read(index_file(&settings.path)).unwrap(), index);
    }
}

#[test]
fn a_broken_ledger_is_stood_in_for_and_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 4000, ..settings(folder.path()) };
    let ledger = Ledger::open_or_stand_in(&settings).unwrap();
    assert!(!ledger.health().broken);
    let receipts = fill(&ledger, 10);
    ledger.close();
    let segment = last_segment(&settings);
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, &whole[..whole.len() - 1]).unwrap();

    let ledger = Ledger::open_or_stand_in(&settings).unwrap();
    let health = ledger.health();
    assert!(health.broken && !health.writing && health.error.unwrap().contains("damaged frame"));
    for asked in [allowed("org.acme"), refusal()] {
        assert!(matches!(record(&ledger, asked).unwrap_err(), RecordError::Broken(_)));
    }
    ledger.outcome(&receipts[0], ended());
    ledger.close();
    assert_eq!(fs::read(&segment).unwrap(), &whole[..whole.len() - 1], "evidence is left as it was found");

    fs::write(&segment, &whole).unwrap();
    let ledger = Ledger::open_or_stand_in(&settings).unwrap();
    record(&ledger, allowed("org.acme")).unwrap();
    ledger.close();
    assert_eq!(check(&settings).unwrap().entries, 31);
}

#[test]
fn what_is_missing_or_set_back_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Settings { segment_bytes: 20_000, ..settings(&folder.path().join("whole")) };
    filled(&whole, 30);
    let early = fs::read(checkpoint_file(&whole.path)).unwrap();
    filled(&whole, 100);
    let copies = std::cell::Cell::new(0);
    let tampered = |tamper: &dyn Fn(&Path)| {
        copies.set(copies.get() + 1);
        let place = folder.path().join(copies.get().to_string());
        copy(&folder.path().join("whole"), &place);
        let settings = Settings { segment_bytes: 20_000, ..settings(&place) };
        tamper(&settings.path);
        assert!(check(&settings).is_err());
        settings
    };
    let firsts = segment::list(&segments(&whole.path)).unwrap();

    let settings = tampered(&|ledger| fs::remove_file(checkpoint_file(ledger)).unwrap());
    assert!(broken(&settings).contains("checkpoint` is missing"));
    let settings = tampered(&|ledger| fs::write(checkpoint_file(ledger), "x").unwrap());
    assert!(broken(&settings).contains("checkpoint"));
    let settings = tampered(&|ledger| fs::write(checkpoint_file(ledger), &early).unwrap());
    assert!(broken(&settings).contains("set back"));
    let settings = tampered(&|ledger| {
        fs::remove_file(segment::path(&segments(ledger), *firsts.last().unwrap())).unwrap();
    });
    assert!(broken(&settings).contains("only"));
    let settings = tampered(&|ledger| {
        fs::remove_file(segment::path(&segments(ledger), firsts[firsts.len() - 2])).unwrap();
    });
    broken(&settings);
    let settings = tampered(&|ledger| {
        let segment = segment::path(&segments(ledger), *firsts.last().unwrap());
        let length = fs::metadata(&segment).unwrap().len();
        fs::File::options().write(true).open(&segment).unwrap().set_len(length - 1).unwrap();
    });
    assert!(broken(&settings).contains("damaged frame"));
    // Bytes after the last entry were never acknowledged.
    let settings = {
        let settings = crate::ledger::tests::restarting::settings(&folder.path().join("whole"));
        let segment = last_segment(&settings);
        fs::File::options().append(true).open(segment).unwrap().write_all(b"torn").unwrap();
        settings
    };
    assert_eq!(check(&settings).unwrap().torn_bytes, 4);
    Ledger::open(&settings).unwrap();
    assert_eq!(check(&settings).unwrap().torn_bytes, 0);
}
