//! Coming back after another boot: what is lost is kept, named and reported for ever, and nothing is lost in silence.

use std::path::PathBuf;

use super::*;
use crate::ledger::verify::{Report, VerifyError};

const BEFORE: &str = "11111111-1111-4111-8111-111111111111";
const AFTER: &str = "22222222-2222-4222-8222-222222222222";
const HOUR: i64 = 3_600_000_000;

fn open_at(settings: &Settings, boot: &str, later: i64) -> Result<Ledger, OpenError> {
    let clock: Clock = Arc::new(move || now_micros() + later);
    Ledger::open_with(settings, clock, Box::new(|file| Arc::new(file)), Some(boot.to_owned()))
}

/// A ledger as a process leaves it whose machine dies: the first entry sealed, so many rounds after it not.
fn died(folder: &Path, durability: Durability, rounds: usize) -> Settings {
    let alive = Settings { segment_bytes: 20_000, durability, ..settings(&folder.join("alive")) };
    let ledger = open_at(&alive, BEFORE, 0).unwrap();
    record(&ledger, refusal()).unwrap();
    until("the first entry is sealed, the chain heads last", || {
        chain::Heads::from_bytes(&fs::read(heads_file(&alive.path)).unwrap()).unwrap().size == 1
    });
    fill(&ledger, rounds);
    until("all is written", || ledger.health().entries == 1 + 3 * rounds as u64);
    copy(&folder.join("alive"), &folder.join("died"));
    ledger.close();
    Settings { path: folder.join("died/ledger"), key_file: folder.join("died/hallgate.key"), ..alive }
}

fn paths(settings: &Settings) -> Vec<PathBuf> {
    let folder = segments(&settings.path);
    segment::list(&folder).unwrap().into_iter().map(|first| segment::path(&folder, first)).collect()
}

/// Loses some bytes of a segment, as a page that was not on the disk.
fn lose(path: &Path, from: usize, bytes: usize) {
    let mut whole = fs::read(path).unwrap();
    whole.iter_mut().skip(from).take(bytes).for_each(|byte| *byte = 0);
    fs::write(path, whole).unwrap();
}

fn broken(found: Result<Ledger, OpenError>) -> String {
    match found {
        Err(error @ OpenError::Broken { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// All files of a ledger.
fn image(settings: &Settings) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut folders, mut files) = (vec![settings.path.clone()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if file.is_dir() { folders.push(file) } else { drop(files.insert(file.clone(), fs::read(file).unwrap())) }
        }
    }
    files
}

fn lost(settings: &Settings) -> Vec<PathBuf> {
    fs::read_dir(settings.path.join("lost"))
        .map_or(Vec::new(), |files| files.map(|file| file.unwrap().path()).collect())
}

fn recovered(settings: &Settings) -> Report {
    let report = check(settings).unwrap();
    assert!(report.to_string().contains("LOST from entry"), "{report}");
    report
}

#[test]
fn after_another_boot_the_log_goes_on_behind_a_lost_page_and_says_so_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let settings = died(folder.path(), Durability::Process, 5);
    let [path] = &*paths(&settings) else { panic!("one segment") };
    lose(path, 3000, 700);
    let before = fs::read(path).unwrap();
    let all = entries(&Settings { path: folder.path().join("alive/ledger"), ..settings.clone() });

    let ledger = open_at(&settings, AFTER, 0).unwrap();
    let told = ledger.health().recovered.unwrap();
    record(&ledger, allowed("org.acme")).unwrap();
    ledger.close();
    let report = recovered(&settings);
    let (loss, kept) = (&report.losses[0], entries(&settings));
    let entry = &kept[usize::try_from(loss.first_lost).unwrap()];
    assert_eq!((entry["kind"].as_str(), entry["cause"].as_str()), (Some("recovered"), Some("boot")));
    assert_eq!((entry["boot"].as_str(), entry["previous_boot"].as_str()), (Some(AFTER), Some(BEFORE)));
    assert_eq!(entry["receipt_id"], told.id.to_string());
    // What is behind the gap is kept byte for byte, and each entry that is whole is named.
    let behind = fs::read(settings.path.join(&told.file)).unwrap();
    assert!(before.ends_with(&behind) && loss.bytes == behind.len() as u64 && loss.sound > 5);
    assert_eq!(entry["lost_file_hash"], Digest::of(&behind).to_hex());
    let named: Vec<&str> = entry["sound"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let last: Vec<String> =
        all.iter().rev().take(named.len()).map(|entry| entry["receipt_id"].as_str().unwrap().to_owned()).collect();
    assert!(named.iter().rev().zip(&last).all(|(name, id)| name.starts_with(id.as_str())), "{named:?} {last:?}");
    assert_eq!(report.entries, loss.first_lost + 2);

    // Until somebody knows it is told after each start; `audit verify` tells it for ever.
    let ledger = open_at(&settings, AFTER, 0).unwrap();
    assert_eq!(ledger.health().recovered.unwrap().id, told.id);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ledger.acknowledge_recovery("ops".parse().unwrap())).unwrap();
    runtime.block_on(ledger.acknowledge_recovery("ops".parse().unwrap())).unwrap();
    assert_eq!(ledger.health().recovered, None);
    ledger.close();
    assert_eq!(recovered(&settings).entries, report.entries + 1, "it is acknowledged once");
    let ledger = open_at(&settings, AFTER, 0).unwrap();
    assert_eq!(ledger.health().recovered, None);
    ledger.close();
    assert_eq!((lost(&settings).len(), recovered(&settings).recoveries), (1, 1));

    // And what was kept stays what it was.
    let file = settings.path.join(&told.file);
    fs::remove_file(&file).unwrap();
    let missing = check(&settings).unwrap_err().to_string();
    fs::write(&file, &behind[1..]).unwrap();
    let changed = check(&settings).unwrap_err().to_string();
    assert!(missing.contains("`lost_file` cannot be read") && changed.contains("`lost_file` is not what was kept"));
}

#[test]
fn what_no_boot_can_have_lost_stays_broken_as_it_was_found() {
    // Whoever flips a byte needs another boot; and with `power`, or in what is signed, no boot is a reason.
    let cases: [(&str, Durability, Durability, &str, bool, usize); 5] = [
        ("has not been booted", Durability::Process, Durability::Process, BEFORE, true, 3000),
        ("`durability: power`", Durability::Process, Durability::Power, AFTER, true, 3000),
        ("`durability: power`", Durability::Power, Durability::Process, AFTER, true, 3000),
        ("is not known", Durability::Process, Durability::Process, AFTER, false, 3000),
        ("damaged frame at byte 32, entry 0", Durability::Process, Durability::Process, AFTER, true, 50),
    ];
    for (why, wrote, now, boot, said, at) in cases {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { durability: now, ..died(folder.path(), wrote, 5) };
        lose(&paths(&settings)[0], at, 1);
        if !said {
            fs::remove_file(settings.path.join("boot")).unwrap();
        }
        let (found, boot_file) = (fs::read(&paths(&settings)[0]).unwrap(), fs::read(settings.path.join("boot")).ok());
        for _ in 0..2 {
            let problem = broken(open_at(&settings, boot, 0));
            assert!(problem.contains(why), "{why}: {problem}");
            assert!(at < 100 || problem.contains("hallgate ledger recover"), "{problem}");
        }
        assert_eq!(fs::read(&paths(&settings)[0]).unwrap(), found, "evidence is left as it was found");
        assert_eq!(fs::read(settings.path.join("boot")).ok(), boot_file, "{why}");
        assert!(lost(&settings).is_empty() && matches!(check(&settings), Err(VerifyError::Broken(_))), "{why}");
        // By hand what is not signed is recovered, and what is signed never.
        let by_hand = recover(&settings, false);
        if at < 100 {
            assert!(matches!(by_hand, Err(OpenError::Broken { .. })), "{by_hand:?}");
        } else {
            assert!(by_hand.unwrap().unwrap().by_hand);
            open_at(&settings, boot, 0).unwrap().close();
            assert_eq!(recovered(&settings).losses[0].cause, "hand");
        }
    }
}

#[test]
fn a_second_recovery_within_the_hour_is_for_somebody_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let settings = died(folder.path(), Durability::Process, 5);
    lose(&paths(&settings)[0], 3000, 700);
    // A machine that dies again and again, with what it wrote meanwhile.
    let dies_again = |boot: &str, later: i64| {
        let ledger = open_at(&settings, boot, later).unwrap();
        fill(&ledger, 3);
        until("all is written", || ledger.health().queue_depth == 0);
        copy(&settings.path, &folder.path().join("again"));
        ledger.close();
        fs::remove_dir_all(&settings.path).unwrap();
        fs::rename(folder.path().join("again"), &settings.path).unwrap();
        let path = paths(&settings).pop().unwrap();
        let length = fs::metadata(&path).unwrap().len();
        lose(&path, usize::try_from(length).unwrap() - 1500, 600);
    };
    // Nothing but what no checkpoint signs may be lost.
    dies_again(AFTER, 0);
    let before = image(&settings);
    for boot in [BEFORE, AFTER, "33333333-3333-4333-8333-333333333333"] {
        let problem = broken(open_at(&settings, boot, HOUR / 2));
        assert!(problem.contains(if boot == AFTER { "not been booted" } else { "within the hour" }), "{problem}");
    }
    let after: BTreeMap<_, _> = image(&settings);
    let segments: Vec<_> = paths(&settings).into_iter().chain(lost(&settings)).collect();
    assert!(segments.iter().all(|path| before[path] == after[path]) && lost(&settings).len() == 1);

    // Looking changes nothing, whatever it finds.
    let gap = recover(&settings, true).unwrap().unwrap();
    assert_eq!(image(&settings), after);
    let done = recover(&settings, false).unwrap().unwrap();
    assert_eq!((gap.first_lost, &gap.file_hash, &gap.sound), (done.first_lost, &done.file_hash, &done.sound));
    assert_eq!(recover(&settings, true).unwrap(), None);
    assert_eq!(recovered(&settings).recoveries, 2);
    // An hour later a machine may lose power once more.
    dies_again(AFTER, 2 * HOUR);
    open_at(&settings, BEFORE, 4 * HOUR).unwrap().close();
    let report = recovered(&settings);
    assert_eq!((report.recoveries, report.losses.len(), lost(&settings).len()), (3, 3, 3));
}

#[test]
fn a_recovery_that_was_interrupted_is_finished_and_counts_once() {
    for gone in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let settings = died(folder.path(), Durability::Process, 40);
        let all = paths(&settings);
        assert!(all.len() > 3);
        if gone {
            // A whole segment is not there, and those after it are.
            fs::remove_file(&all[1]).unwrap();
        } else {
            lose(&all[1], 9000, 5000);
        }
        let later: Vec<_> = all[2..].iter().map(|path| (path, fs::read(path).unwrap())).collect();
        copy(&settings.path, &folder.path().join("as-found"));
        open_at(&settings, AFTER, 0).unwrap().close();
        let report = recovered(&settings);
        assert!(report.losses[0].sound > 30 && later.iter().all(|(path, _)| !path.exists()), "{report}");
        let kept = fs::read(&lost(&settings)[0]).unwrap();
        let behind: Vec<u8> = later.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert!(kept.ends_with(&behind));

        // As if it had ended when the segment was replaced, and those after it were still there: all, or the last alone.
        for left in [&later[..], &later[later.len() - 1..]] {
            left.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
            open_at(&settings, AFTER, 0).unwrap().close();
            let again = recovered(&settings);
            assert_eq!((again.recoveries, lost(&settings).len()), (1, 1), "{again}");
            assert!(later.iter().all(|(path, _)| !path.exists()));
        }
        // Segments that are not those are none of its business.
        fs::write(later[0].0, &later[0].1[..later[0].1.len() - 1]).unwrap();
        assert!(broken(open_at(&settings, AFTER, 0)).contains("is not recovered by itself"));
        fs::remove_file(later[0].0).unwrap();
        // As if it had ended when the file was kept, and nothing else was done.
        let name = lost(&settings)[0].clone();
        let bytes = fs::read(&name).unwrap();
        fs::remove_dir_all(&settings.path).unwrap();
        copy(&folder.path().join("as-found"), &settings.path);
        fs::create_dir_all(settings.path.join("lost")).unwrap();
        fs::write(&name, bytes).unwrap();
        open_at(&settings, AFTER, 0).unwrap().close();
        assert_eq!((recovered(&settings).recoveries, lost(&settings).len()), (1, 1));
    }
}

#[test]
fn a_torn_end_after_another_boot_may_have_been_acknowledged_and_is_told_too() {
    let folder = tempfile::tempdir().unwrap();
    let settings = died(folder.path(), Durability::Process, 5);
    let path = paths(&settings).pop().unwrap();
    let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    lose(&path, length - 2500, 2500);
    open_at(&settings, AFTER, 0).unwrap().close();
    let report = recovered(&settings);
    assert_eq!((report.losses[0].sound, report.torn_bytes), (0, 0));
    // A volume that moves to another machine unharmed has nothing to tell.
    let ledger = open_at(&settings, BEFORE, 0).unwrap();
    fill(&ledger, 1);
    ledger.close();
    assert_eq!(recovered(&settings).recoveries, 1);
    assert!(fs::read_to_string(settings.path.join("boot")).unwrap().contains(BEFORE));
}

#[test]
fn a_ledger_of_version_1_opens_and_verifies_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new("tests/ledger/version-1"), folder.path());
    for key in ["hallgate.key", "second.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder.path().join(key), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let settings = settings(folder.path());
    let before = check(&settings).unwrap();
    assert_eq!((before.entries, before.signed, before.registry, before.outcomes), (23, 14, 10, 4));
    let settings = Settings { key_file: folder.path().join("second.key"), ..settings };
    let old = entries(&settings);
    let ledger = Ledger::open(&settings).unwrap();
    assert!(ledger.found_offline() && ledger.health().recovered.is_none());
    fill(&ledger, 2);
    looking::agrees(&ledger, &settings);
    ledger.close();
    let (now, vkey) = (entries(&settings), fs::read_to_string(folder.path().join("hallgate.key.pub")).unwrap());
    assert_eq!((&now[..23], now.len()), (&*old, 29));
    let report = verify::verify(&settings.path, &vkey).unwrap();
    assert_eq!((report.entries, report.signed, report.recoveries), (29, 29, 0));
}
