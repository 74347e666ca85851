//! Proofs: at many sizes they hold, with any change they do not, and a range of entries is held to the signed root.

use serde_json::{Value, json};
use tlog_tiles::record_hash;
use uuid::Uuid;

use super::tampering::{rewrite, with};
use super::*;
use crate::ledger::format::checkpoint::Head;
use crate::ledger::verify::proof::{ProofError, Proved, verify_proof};
use crate::ledger::verify::range::verify_range;
use crate::ledger::verify::{Break, VerifyError};
use crate::ledger::write::index::Index;

fn vkey(settings: &Settings) -> String {
    fs::read_to_string(settings.key_file.with_extension("key.pub")).unwrap()
}

fn text(proof: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(proof).unwrap()
}

fn id(entry: &Value) -> Uuid {
    entry["receipt_id"].as_str().unwrap().parse().unwrap()
}

#[test]
fn every_receipt_and_every_older_checkpoint_is_proved_at_many_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 40_000, ..settings(folder.path()) };
    let published = LogReader::new(&settings.path);
    let mut notes = Vec::new();
    for rounds in [0, 1, 1, 2, 80, 1, 1, 90, 20, 60] {
        filled(&settings, rounds);
        let keys = [vkey(&settings)];
        let all = entries(&settings);
        let size = all.len() as u64;
        notes.push((size, fs::read(checkpoint_file(&settings.path)).unwrap()));
        for (number, entry) in (0_u64..).zip(&all).filter(|(n, _)| n % 37 == 0 || size - n < 4 || n % 256 > 253) {
            let proof = published.prove(&published.find(id(entry)).unwrap().unwrap()).unwrap().unwrap();
            match verify_proof(text(&proof).as_bytes(), &keys) {
                Ok(Proved::Receipt { receipt, index, size: signed, .. }) => {
                    assert_eq!((&receipt, index, signed), (entry, number, size));
                }
                other => panic!("{number} of {size}: {other:?}"),
            }
        }
        for (older, note) in &notes {
            let proof = published.prove_since(note).unwrap();
            match verify_proof(text(&proof).as_bytes(), &keys) {
                Ok(Proved::Consistency { older: from, size: to, .. }) => assert_eq!((from, to), (*older, size)),
                other => panic!("{older} to {size}: {other:?}"),
            }
            let report = verify::verify_since(&settings.path, &keys[0], Some(note)).unwrap();
            assert_eq!(report.since, Some(*older));
        }
    }
}

#[test]
fn a_proof_with_any_byte_changed_proves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let published = LogReader::new(&settings.path);
    filled(&settings, 2);
    let older = fs::read(checkpoint_file(&settings.path)).unwrap();
    let receipts = filled(&settings, 3);
    let keys = [vkey(&settings)];
    let receipt = published.prove(&published.find(receipts[0].id()).unwrap().unwrap()).unwrap().unwrap();
    for proof in [text(&receipt), text(&published.prove_since(&older).unwrap())] {
        verify_proof(proof.as_bytes(), &keys).unwrap();
        for at in 0..proof.len() {
            for bit in [1, 0x20] {
                let mut bad = proof.clone().into_bytes();
                bad[at] ^= bit;
                let same = serde_json::from_slice::<Value>(&bad)
                    .is_ok_and(|bad| bad == serde_json::from_str::<Value>(&proof).unwrap());
                assert!(same || verify_proof(&bad, &keys).is_err(), "byte {at}: {}", String::from_utf8_lossy(&bad));
            }
        }
    }
}

/// The field that is refuted once the document is changed.
fn refuted(proof: &Value, keys: &[String], change: impl FnOnce(&mut Value)) -> &'static str {
    let mut proof = proof.clone();
    change(&mut proof);
    match verify_proof(proof.to_string().as_bytes(), keys) {
        Err(ProofError::Refuted { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_proof_for_another_entry_tree_or_key_is_refuted_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let published = LogReader::new(&settings.path);
    let receipts = filled(&settings, 3);
    let older = fs::read(checkpoint_file(&settings.path)).unwrap();
    filled(&settings, 3);
    let keys = [vkey(&settings)];
    let proof = |n: usize| {
        let found = published.find(receipts[n].id()).unwrap().unwrap();
        serde_json::to_value(published.prove(&found).unwrap().unwrap()).unwrap()
    };
    let (one, two) = (proof(0), proof(1));
    let check = |change: &dyn Fn(&mut Value)| refuted(&one, &keys, |proof| change(proof));
    assert_eq!(check(&|proof| proof["receipt"]["stream"] = json!("org.globex")), "receipt_hash");
    assert_eq!(check(&|proof| proof["receipt"] = two["receipt"].clone()), "receipt_hash");
    assert_eq!(check(&|proof| proof["receipt"]["duration_us"] = json!(1.5)), "receipt");
    assert_eq!(check(&|proof| proof["inclusion"]["leaf_index"] = json!(1)), "hashes");
    assert_eq!(check(&|proof| proof["inclusion"]["leaf_index"] = json!(u64::MAX)), "hashes");
    assert_eq!(check(&|proof| proof["inclusion"]["tree_size"] = json!(3)), "tree_size");
    assert_eq!(check(&|proof| drop(proof["inclusion"]["hashes"].as_array_mut().unwrap().pop())), "hashes");
    assert_eq!(check(&|proof| proof["inclusion"]["hashes"].as_array_mut().unwrap().reverse()), "hashes");
    assert_eq!(check(&|proof| proof["checkpoint"] = json!(String::from_utf8(older.clone()).unwrap())), "tree_size");
    let moved = |proof: &mut Value| {
        proof["receipt"] = two["receipt"].clone();
        proof["receipt_hash"] = two["receipt_hash"].clone();
    };
    assert_eq!(check(&moved), "hashes");
    let time = |proof: &mut Value| {
        proof["receipt"]["recorded_at"] = json!("2026-01-01T00:00:00.000000+00:00");
    };
    assert_eq!(check(&time), "recorded_at");

    let other = LogKey::make(&folder.path().join("other.key"), &settings.origin).unwrap();
    assert_eq!(refuted(&one, &[other.vkey().to_owned()], |_| {}), "checkpoint");
    let forged = checkpoint::sign(&other, Head { size: 9, root: record_hash(b"x") }).unwrap();
    assert_eq!(check(&|proof| proof["checkpoint"] = json!(String::from_utf8(forged.clone()).unwrap())), "checkpoint");

    let extension = serde_json::to_value(published.prove_since(&older).unwrap()).unwrap();
    let check = |change: &dyn Fn(&mut Value)| refuted(&extension, &keys, |proof| change(proof));
    assert_eq!(check(&|proof| proof["consistency"]["older_size"] = json!(8)), "older_size");
    assert_eq!(check(&|proof| drop(proof["consistency"]["hashes"].as_array_mut().unwrap().pop())), "hashes");
    assert_eq!(
        check(&|proof| proof["older_checkpoint"] = json!(String::from_utf8(forged.clone()).unwrap())),
        "older_checkpoint"
    );
    let swap = |proof: &mut Value| {
        let newer = proof["checkpoint"].take();
        proof["checkpoint"] = proof["older_checkpoint"].take();
        proof["older_checkpoint"] = newer;
        proof["consistency"]["older_size"] = json!(18);
        proof["consistency"]["tree_size"] = json!(9);
    };
    assert_eq!(check(&swap), "hashes");
    assert!(matches!(verify_proof(b"{\"format\":\"x\"}", &keys), Err(ProofError::Unreadable(_))));
}

#[test]
fn a_checkpoint_of_a_rewritten_log_does_not_follow_from_the_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        let settings = Settings { key_file: folder.path().join("hallgate.key"), ..settings(&folder.path().join(name)) };
        filled(&settings, if name == "first" { 3 } else { 5 });
        settings
    });
    // One key, two ledgers: what each signs is sound by itself, and only the older checkpoint tells.
    let (key, older) = (vkey(&first), fs::read(checkpoint_file(&first.path)).unwrap());
    verify::verify(&second.path, &key).unwrap();
    match verify::verify_since(&second.path, &key, Some(&older)) {
        Err(VerifyError::Broken(found)) => assert_eq!(found.field, "the older checkpoint"),
        other => panic!("{other:?}"),
    }
    let proof = text(&LogReader::new(&second.path).prove_since(&older).unwrap());
    let refuted = verify_proof(proof.as_bytes(), &[key]);
    assert!(matches!(refuted, Err(ProofError::Refuted { field: "hashes", .. })), "{refuted:?}");
}

/// Makes the index again, of one segment.
fn reindex(settings: &Settings) {
    let file = index::open(&index_file(&settings.path)).unwrap();
    let mut index = Index::resume(Arc::new(file)).unwrap();
    index.cut(0, false).unwrap();
    let mut offset = segment::HEADER as u64;
    for (number, entry) in (0_u64..).zip(entries(settings)) {
        index.note(number, index::Place { id: id(&entry), segment: 0, offset });
        offset += (frame::HEADER + entry.to_string().len()) as u64;
    }
    index.flush().unwrap();
}

#[test]
fn a_range_is_verified_without_the_rest_and_its_first_break_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let sound = Settings { segment_bytes: 40_000, ..settings(&folder.path().join("sound")) };
    filled(&sound, 300);
    let key = vkey(&sound);
    for (from, to) in
        [(0, Some(0)), (0, None), (255, Some(256)), (300, Some(700)), (768, None), (899, Some(899)), (512, Some(767))]
    {
        let report = verify_range(&sound.path, &key, from, to).unwrap_or_else(|error| panic!("{from} {to:?}: {error}"));
        assert_eq!((report.from, report.to, report.signed), (from, to.unwrap_or(899), 900));
    }
    for (from, to) in [(0, Some(900)), (900, None), (5, Some(4))] {
        assert!(matches!(verify_range(&sound.path, &key, from, to), Err(VerifyError::Unreadable { .. })));
    }
    let broken = |name: &str, from: u64, to: u64, tamper: &dyn Fn(&Settings)| -> Option<Break> {
        copy(&folder.path().join("sound"), &folder.path().join(name));
        let settings = settings(&folder.path().join(name));
        tamper(&settings);
        match verify_range(&settings.path, &key, from, Some(to)) {
            Ok(_) => None,
            Err(VerifyError::Broken(found)) => Some(found),
            Err(other) => panic!("{other}"),
        }
    };
    // The frames are sound and the chain after it is not looked at: only the tree tells.
    let changed = |settings: &Settings| {
        rewrite(settings, |all| all[500] = with(&all[500], json!({"stream": "org.other", "prev_receipt_hash": null})));
        reindex(settings);
    };
    let found = broken("changed", 500, 500, &changed).unwrap();
    assert_eq!((found.entry, found.field.as_str()), (Some(500), "tile/0/001"));
    assert_eq!(broken("elsewhere", 600, 700, &changed), None, "another range is as sound as it was");
    let flip = |file: &'static str| {
        move |settings: &Settings| {
            let path = settings.path.join(file);
            let mut bytes = fs::read(&path).unwrap();
            bytes[40] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    };
    assert_eq!(broken("tile", 0, 9, &flip("tile/0/001")).unwrap().field, "tile");
    assert_eq!(broken("checkpoint", 0, 9, &flip("checkpoint")).unwrap().field, "checkpoint");
    let firsts = segment::list(&segments(&sound.path)).unwrap();
    let gone = |settings: &Settings| fs::remove_file(segment::path(&segments(&settings.path), firsts[0])).unwrap();
    assert_eq!(broken("gone", 0, 9, &gone).unwrap().entry, Some(0));
    assert_eq!(broken("gone-before", 800, 899, &gone), None);
}

#[test]
fn what_is_kept_is_proved_and_ranged_after_pruning_also_under_a_new_key() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock) = (retaining::keeping(folder.path()), retaining::clock());
    let published = LogReader::new(&settings.path);
    let ledger = retaining::open(&Settings { retention: Retention::default(), ..settings.clone() }, &clock);
    let gone = fill(&ledger, 20)[0].id();
    ledger.close();
    let older = fs::read(checkpoint_file(&settings.path)).unwrap();
    let edge = retaining::prune(&settings, &clock, 400);
    assert!(edge > 256 && !edge.is_multiple_of(256), "the edge is within a tile: {edge}");

    let key = vkey(&settings);
    let keys = [key.clone()];
    assert_eq!(published.find(gone).unwrap(), None);
    let kept = entries(&settings);
    let size = edge + kept.len() as u64;
    for (number, entry) in (edge..).zip(&kept) {
        let found = published.find(id(entry)).unwrap().unwrap();
        assert_eq!(found.number, number);
        let proof = text(&published.prove(&found).unwrap().unwrap());
        assert!(matches!(verify_proof(proof.as_bytes(), &keys), Ok(Proved::Receipt { index, .. }) if index == number));
    }
    verify_proof(text(&published.prove_since(&older).unwrap()).as_bytes(), &keys).unwrap();
    let fetch = |path: String| published.fetch(LogResource::parse(&path).unwrap()).unwrap();
    let stretch = edge / 256;
    assert_eq!((fetch("tile/entries/000".to_owned()), fetch(format!("tile/entries/{stretch:03}"))), (None, None));
    assert!(fetch(format!("tile/entries/{:03}.p/{}", size / 256, size % 256)).is_some());
    assert!(fetch("tile/0/000".to_owned()).is_some(), "hashes stay");
    let mut all = published.filtered(&Filter::default()).unwrap();
    assert_eq!(all.next().unwrap().map(|(number, _)| number), Some(edge));

    // An older checkpoint that is before the edge is held to the hashes that stay.
    assert_eq!(verify::verify_since(&settings.path, &key, Some(&older)).unwrap().since, Some(60));
    let own = LogKey::read(&settings.key_file, &settings.origin).unwrap();
    let forged = checkpoint::sign(&own, Head { size: 60, root: record_hash(b"another history") }).unwrap();
    match verify::verify_since(&settings.path, &key, Some(&forged)) {
        Err(VerifyError::Broken(found)) => assert_eq!(found.field, "the older checkpoint"),
        other => panic!("{other:?}"),
    }
    verify_range(&settings.path, &key, edge, None).unwrap();
    verify_range(&settings.path, &key, size - 1, None).unwrap();
    match verify_range(&settings.path, &key, edge - 1, None) {
        Err(VerifyError::Unreadable { source, .. }) => assert!(source.to_string().contains("were pruned"), "{source}"),
        other => panic!("{other:?}"),
    }

    // The note of what was pruned goes over to a new key, too.
    let new = LogKey::make(&folder.path().join("new.key"), &settings.origin).unwrap();
    rotate(&settings.path, &own, &new).unwrap();
    let settings = Settings { key_file: folder.path().join("new.key"), ..settings };
    let ledger = retaining::open(&settings, &clock);
    fill(&ledger, 2);
    ledger.close();
    assert_eq!(verify::verify_since(&settings.path, &key, Some(&older)).unwrap().pruned, edge);
    verify_range(&settings.path, &key, edge, None).unwrap();
}
