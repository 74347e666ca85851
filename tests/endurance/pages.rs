//! What a power cut does to a ledger with `durability: process`: pages that no sync has put on the disk are gone.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;

use crate::random::Random;
use crate::stored::{ask, build, entries, get, refuses, serves};
use support::{Fixture, Process, Upstream, until};

const PAGE: usize = 4096;
const OTHER_BOOT: &str = "hallgate boot 1\n11111111-1111-4111-8111-111111111111\nprocess\n";

/// An entry's place in its segment, and its id.
struct Place {
    segment: usize,
    from: usize,
    to: usize,
    id: String,
    /// Its answer had to wait until the disk had it.
    synced: bool,
}

/// What was lost, and what must be there all the same.
pub struct Lost {
    /// Entries that no lost page has touched, with their hashes.
    whole: HashMap<String, String>,
    /// The ids of those that a checkpoint signs.
    signed: HashSet<String>,
}

fn segments(fixture: &Fixture) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(fixture.path("ledger/segments")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    files.sort();
    files
}

/// Every entry that is there.
fn places(files: &[PathBuf]) -> Vec<Place> {
    let mut places = Vec::new();
    for (segment, path) in files.iter().enumerate() {
        let bytes = fs::read(path).unwrap();
        let mut from = 32;
        while let Some(head) = bytes.get(from..from + 12) {
            let to = from + 12 + u32::from_le_bytes(head[4..8].try_into().unwrap()) as usize;
            let Some(json) = bytes.get(from + 12..to).filter(|json| !json.is_empty()) else { break };
            let Ok(entry) = serde_json::from_slice::<serde_json::Value>(json) else { break };
            // A step of an approval, a dispatch that rests on one.
            let synced = entry["kind"] == "approval" || entry["approval"]["receipt_hash"].is_string();
            places.push(Place { segment, from, to, id: entry["receipt_id"].as_str().unwrap().to_owned(), synced });
            from = to;
        }
    }
    places
}

/// Loses some of the pages that no checkpoint vouches for and no sync has put on the disk, and has the machine booted.
pub fn lose(fixture: &Fixture, random: &mut Random) -> Lost {
    let (files, all) = (segments(fixture), entries(&[&fixture.path("ledger/segments")]));
    let note = fixture.read("ledger/checkpoint");
    let signed: usize = note.lines().nth(1).unwrap().parse().unwrap();
    let first: usize = files[0].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let places = places(&files);
    let synced = places.iter().rposition(|place| place.synced).map_or(0, |last| last + 1);
    let (safe, unsigned) = places.split_at(signed.saturating_sub(first).min(places.len()).max(synced));
    let end = safe.last().map_or((0, 32), |place| (place.segment, place.to));
    let mut gone = HashSet::new();
    for (segment, path) in files.iter().enumerate().skip(end.0) {
        let mut bytes = fs::read(path).unwrap();
        let begin = if segment == end.0 { end.1 } else { 32 };
        for page in begin / PAGE..bytes.len().div_ceil(PAGE) {
            if random.one_in(4) {
                let (from, to) = (begin.max(page * PAGE), bytes.len().min((page + 1) * PAGE));
                bytes[from..to].fill(0);
                let touched = unsigned.iter().filter(|one| one.segment == segment && one.from < to && from < one.to);
                gone.extend(touched.map(|one| one.id.clone()));
            }
        }
        fs::write(path, bytes).unwrap();
    }
    fs::write(fixture.path("ledger/boot"), OTHER_BOOT).unwrap();
    let whole = all.into_iter().filter(|(id, _)| !gone.contains(id)).collect();
    Lost { whole, signed: safe.iter().map(|place| place.id.clone()).collect() }
}

/// Starts after a loss, by hand where it is the second one within the hour, and finds every entry that was not on a lost page: in the
/// log, or named in it and kept. Whether a hand was needed.
pub fn comes_back(fixture: &Fixture, lost: &Lost) -> (Process, bool) {
    let mut process = fixture.serve_under(&[]);
    let broken = |process: &Process| get(process, "/metrics").contains("\nhallgate_ledger_broken 1\n");
    until(|| process.readiness() == Some(200) || broken(&process));
    let by_hand = broken(&process);
    if by_hand {
        until(|| process.log().contains("hallgate ledger recover"));
        process.kill();
        let (code, out, err) = fixture.run(&["ledger", "recover", "--dry-run"]);
        assert_eq!(code, Some(1), "{out}{err}");
        let (code, done, err) = fixture.run(&["ledger", "recover"]);
        assert_eq!(code, Some(0), "{done}{err}");
        assert!(out.contains("would be kept") && done.contains("are kept"), "{out}{done}");
        assert_eq!(fixture.run(&["ledger", "recover", "--dry-run"]).0, Some(0), "there is no gap any more");
        process = fixture.serve();
    }
    let stored = entries(&[&fixture.path("ledger/segments"), &fixture.path("archive")]);
    let kept: Vec<u8> = fs::read_dir(fixture.path("ledger/lost"))
        .map_or(Vec::new(), |files| files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect());
    let kept = String::from_utf8_lossy(&kept).into_owned();
    for (id, hash) in &lost.whole {
        let there = stored.get(id) == Some(hash);
        assert!(there || (!lost.signed.contains(id) && kept.contains(id)), "{id} is neither in the log nor kept");
    }
    (process, by_hand)
}

#[test]
fn after_another_boot_it_serves_again_and_a_second_time_somebody_has_to_look() {
    let upstream = Upstream::start();
    let fixture = build(&upstream, "{ checkpoint_every: 1h }");
    let mut random = Random::new(7);
    for turn in 0..2 {
        let process = fixture.serve();
        for _ in 0..40 {
            serves(&process, &upstream);
        }
        process.kill();
        let lost = lose(&fixture, &mut random);
        assert_eq!(fixture.run(&["audit", "verify"]).0, Some(1));
        let (process, by_hand) = comes_back(&fixture, &lost);
        assert_eq!(by_hand, turn == 1);
        serves(&process, &upstream);
        until(|| get(&process, "/metrics").contains("\nhallgate_ledger_recovered 1\n"));
        process.end();
        until(|| process.log().contains("LEDGER_RECOVERED"));
        let (code, out, err) = fixture.run(&["audit", "verify"]);
        assert_eq!((code, out.matches("LOST from entry").count()), (Some(0), turn + 1), "{out}{err}");
    }
    assert_eq!(fixture.run(&["ledger", "recover"]).0, Some(0));
    assert_eq!(fixture.run(&["ledger", "recover", "--ledger", "nowhere"]).0, Some(2));
}

#[test]
fn without_another_boot_a_lost_byte_is_no_accident() {
    let upstream = Upstream::start();
    let fixture = build(&upstream, "{ checkpoint_every: 1h }");
    let process = fixture.serve();
    for _ in 0..20 {
        serves(&process, &upstream);
    }
    process.kill();
    let path = segments(&fixture).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    for _ in 0..2 {
        let process = fixture.serve_under(&[]);
        until(|| get(&process, "/metrics").contains("\nhallgate_ledger_broken 1\n"));
        assert!(ask(&process).contains("DENY_AUDIT_UNAVAILABLE"));
        refuses(&process, &upstream, "has not been booted");
        process.kill();
    }
    assert_eq!(fs::read(&path).unwrap(), bytes, "evidence is left as it was found");
}
