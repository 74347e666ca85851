//! Tampering: whatever is changed in a ledger that was signed, `verify` names a break.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::ledger::verify::{Break, VerifyError};

fn sealed(folder: &Path, rounds: usize) -> Settings {
    let settings = Settings { segment_bytes: 4000, ..settings(folder) };
    filled(&settings, rounds);
    check(&settings).unwrap();
    settings
}

fn found(settings: &Settings) -> Break {
    match check(settings) {
        Err(VerifyError::Broken(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files
}

/// Rewrites all entries with sound frames, each in a batch of its own.
pub(super) fn rewrite(settings: &Settings, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let folder = segments(&settings.path);
    let mut all = Vec::new();
    let firsts = segment::list(&folder).unwrap();
    for first in &firsts {
        let bytes = fs::read(segment::path(&folder, *first)).unwrap();
        let mut at = segment::HEADER;
        while let Some(frame) = frame::at(&bytes, at) {
            all.push(frame.entry.to_vec());
            at += frame::HEADER + frame.entry.len();
        }
    }
    change(&mut all);
    let mut header = fs::read(segment::path(&folder, 0)).unwrap();
    header.truncate(segment::HEADER);
    for first in &firsts {
        fs::remove_file(segment::path(&folder, *first)).unwrap();
    }
    for entry in all {
        let mut frame = Vec::new();
        let start = frame::begin(&mut frame);
        frame.extend(entry);
        frame::end(&mut frame, start);
        header.extend(frame);
    }
    fs::write(segment::path(&folder, 0), header).unwrap();
}

/// The entry with these fields set, in canonical form.
pub(super) fn with(entry: &[u8], fields: Value) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(entry).unwrap();
    for (field, new) in fields.as_object().unwrap() {
        value[field] = new.clone();
    }
    let mut bytes = Vec::new();
    canonical::canonicalise(&value, &mut bytes).unwrap();
    bytes
}

#[test]
fn any_flipped_byte_is_a_break() {
    let folder = tempfile::tempdir().unwrap();
    let settings = sealed(folder.path(), 2);
    let files = files_under(&settings.path);
    assert!(files.len() >= 6, "{files:?}");
    // Under which boot it was written is no evidence: whoever changes it gains nothing in silence (`recovering.rs`).
    for path in files.iter().filter(|path| !path.ends_with("lock") && !path.ends_with("boot")) {
        let whole = fs::read(path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(path, &bytes).unwrap();
            assert!(matches!(check(&settings), Err(VerifyError::Broken(_))), "{} byte {at}", path.display());
        }
        fs::write(path, whole).unwrap();
    }
    check(&settings).unwrap();
}

#[test]
fn a_changed_missing_or_foreign_tile_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = sealed(folder.path(), 90);
    let tile = settings.path.join("tile/0/000");
    let whole = fs::read(&tile).unwrap();
    for at in (0..whole.len()).step_by(401) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&tile, bytes).unwrap();
        let found = found(&settings);
        assert_eq!((found.entry, found.field.as_str()), (Some(at as u64 / 32), "tile/0/000"));
    }
    fs::write(&tile, &whole[..8191]).unwrap();
    assert_eq!(found(&settings).entry, Some(255));
    fs::remove_file(&tile).unwrap();
    assert_eq!(found(&settings).to_string(), "`tile/0/000` is missing");
    fs::write(&tile, &whole).unwrap();
    fs::write(settings.path.join("tile/0/001"), &whole).unwrap();
    assert_eq!(found(&settings).field, "tile");
}

/// What passed although the policy denies it says so, and only what may be observed is said.
#[test]
fn what_is_only_observed_is_held_to_what_may_be() {
    let observed = |code: &str| json!({ "code": code, "outcome": "DENY", "reason": "because" });
    let with_field = |fields: Value| {
        let folder = tempfile::tempdir().unwrap();
        let settings = sealed(folder.path(), 1);
        rewrite(&settings, |all| {
            let decision = all.iter().position(|entry| {
                let entry: Value = serde_json::from_slice(entry).unwrap();
                entry["kind"] == "decision" && entry["policy_decision"] == "ALLOW"
            });
            let at = decision.unwrap();
            all[at] = with(&all[at], fields);
        });
        found(&settings).field
    };
    for (fields, field) in [
        (json!({ "door": "gate", "would_be": observed("DENY_WORKER_BANNED") }), "would_be.code"),
        (
            json!({ "door": "gate", "would_be": { "code": "DENY_POLICY_GATE", "outcome": "DISPATCH" } }),
            "would_be.outcome",
        ),
        (json!({ "door": "gate", "would_be": { "code": "DENY_POLICY_GATE", "outcome": "DENY" } }), "reason"),
        (json!({ "door": "gate", "would_be": "DENY" }), "outcome"),
        (json!({ "shadow": { "outcome": "DENY", "snapshot": Digest::of(b"x") } }), "shadow.outcome"),
        (
            json!({ "shadow": { "outcome": "DISPATCH", "code": "DENY_X", "snapshot": Digest::of(b"x") } }),
            "shadow.outcome",
        ),
        (json!({ "shadow": { "outcome": "DISPATCH", "snapshot": "x" } }), "shadow.snapshot"),
        (json!({ "door": "api", "would_be": observed("DENY_POLICY_GATE") }), "would_be"),
        (json!({ "door": "gate", "policy_decision": "DENY", "would_be": observed("DENY_POLICY_GATE") }), "would_be"),
    ] {
        assert_eq!(with_field(fields.clone()), field, "{fields}");
    }
    // One that may be is sound by itself: what breaks is the chain behind the entry that was changed.
    assert_ne!(with_field(json!({ "door": "gate", "would_be": observed("DENY_POLICY_GATE") })), "would_be");
}

#[test]
fn entries_that_are_dropped_swapped_copied_or_cut_off_are_named() {
    type Change = fn(&mut Vec<Vec<u8>>);
    let changes: [(&str, Change, &str); 6] = [
        ("dropped", |all| drop(all.remove(3)), "decision_id"),
        ("dropped from the hall's stream", |all| drop(all.remove(2)), "prev_receipt_hash"),
        ("swapped", |all| all.swap(5, 8), "receipt_id"),
        ("copied", |all| all.insert(5, all[5].clone()), "receipt_id"),
        ("cut off", |all| all.truncate(11), "segments"),
        ("all but one", |all| all.truncate(1), "segments"),
    ];
    for (what, change, field) in changes {
        let folder = tempfile::tempdir().unwrap();
        let settings = sealed(folder.path(), 4);
        rewrite(&settings, change);
        let found = found(&settings);
        // An outcome may be before or after the refusal of its round.
        let fields = [field, "prev_receipt_hash", "decision_id"];
        assert!(fields.contains(&found.field.as_str()) && found.entry.is_some(), "{what}: {found}");
    }
}

#[test]
fn an_edited_entry_is_named_by_its_field_or_by_what_follows_from_it() {
    let last = 11;
    let edits: [(usize, Value, &str); 13] = [
        (0, json!({"deny_code": "x"}), "prev_receipt_hash"),
        (last, json!({"env": "dev"}), "checkpoint"),
        (0, json!({"canon": "other"}), "canon"),
        (1, json!({"recorded_at": "2020-01-01T00:00:00.000000+00:00"}), "recorded_at"),
        (1, json!({"recorded_at": "yesterday"}), "recorded_at"),
        (1, json!({"receipt_id": "00000000-0000-7000-8000-000000000000"}), "receipt_id"),
        (1, json!({"receipt_id": "8d0c6c0e-4e0f-4c83-9a2e-6c2d2a9b7c11"}), "receipt_id"),
        (0, json!({"decision_id": "8d0c6c0e-4e0f-4c83-9a2e-6c2d2a9b7c11"}), "decision_id"),
        (0, json!({"kind": "other"}), "kind"),
        (0, json!({"prev_receipt_hash": "00"}), "prev_receipt_hash"),
        (0, json!({"prev_receipt_hash": 0}), "prev_receipt_hash"),
        (0, json!({"policy_decision": "MAYBE"}), "policy_decision"),
        (0, json!({"stream": 7}), "stream"),
    ];
    for (at, edit, field) in edits {
        let folder = tempfile::tempdir().unwrap();
        let settings = sealed(folder.path(), 4);
        rewrite(&settings, |all| all[at] = with(&all[at], edit.clone()));
        let found = found(&settings);
        assert_eq!(found.field, field, "{edit}: {found}");
        if field != "checkpoint" {
            assert!(found.entry.is_some() && found.id.is_some() || edit.get("receipt_id").is_some(), "{edit}: {found}");
        }
    }
}

#[test]
fn an_outcome_is_held_to_its_decision() {
    let edits = [
        (json!({"decision_receipt_hash": Digest::of(b"other")}), "decision_receipt_hash"),
        (json!({"decision_receipt_hash": "short"}), "decision_receipt_hash"),
        (json!({"decision_id": "01990000-0000-7000-8000-000000000001"}), "decision_id"),
    ];
    for (edit, field) in edits {
        let folder = tempfile::tempdir().unwrap();
        let settings = sealed(folder.path(), 1);
        rewrite(&settings, |all| {
            let outcome = all.iter_mut().find(|entry| entry.windows(10).any(|text| text == b"\"outcome\",")).unwrap();
            *outcome = with(outcome, edit.clone());
        });
        assert_eq!(found(&settings).field, field, "{edit}");
    }

    // The ledger writes what it is told; that there is one outcome, of an allowed decision, is for the verifier to see.
    for twice in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let ledger = Ledger::open(&settings).unwrap();
        let receipt = record(&ledger, if twice { allowed("org.acme") } else { refusal() }).unwrap();
        ledger.outcome(&receipt, ended());
        ledger.outcome(&receipt, ended());
        ledger.close();
        let found = found(&settings);
        assert_eq!((found.entry, found.field.as_str()), (Some(if twice { 2 } else { 1 }), "decision_id"));
    }
}

#[test]
fn bytes_that_are_not_canonical_are_a_break_even_if_they_mean_the_same() {
    let spaces = |entry: &[u8]| String::from_utf8(entry.to_vec()).unwrap().replacen(':', ": ", 1).into_bytes();
    let twice =
        |entry: &[u8]| String::from_utf8(entry.to_vec()).unwrap().replacen('{', "{\"canon\":\"x\",", 1).into_bytes();
    for change in [&spaces as &dyn Fn(&[u8]) -> Vec<u8>, &twice] {
        let folder = tempfile::tempdir().unwrap();
        let settings = sealed(folder.path(), 1);
        rewrite(&settings, |all| all[0] = change(&all[0]));
        assert_eq!(found(&settings).field, "json");
    }
}

#[test]
fn a_tail_that_is_replaced_whole_does_not_have_the_signed_root() {
    let folder = tempfile::tempdir().unwrap();
    let settings = sealed(folder.path(), 4);
    // All the chains hold: the forger had the program, but not the key.
    let forged =
        Settings { path: folder.path().join("forged"), key_file: folder.path().join("forged.key"), ..settings.clone() };
    filled(&forged, 4);
    check(&forged).unwrap();
    let note = fs::read(checkpoint_file(&settings.path)).unwrap();
    fs::write(checkpoint_file(&forged.path), note).unwrap();
    let found = found(&Settings { path: forged.path, ..settings });
    assert!(found.field == "checkpoint" || found.field == "heads", "{found}");
}

#[test]
fn an_outcome_long_after_its_decision_is_found_in_the_segments() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 30_000_000, ..settings(folder.path()) };
    let ledger = Ledger::open(&settings).unwrap();
    let first = record(&ledger, allowed("org.acme")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for _ in 0..70 {
            let batch: Vec<_> = (0..1000).map(|_| Box::pin(ledger.record(allowed("org.globex")))).collect();
            for answer in futures_util::future::join_all(batch).await {
                answer.unwrap();
            }
        }
    });
    ledger.outcome(&first, ended());
    ledger.outcome(&first, ended());
    ledger.close();
    let found = found(&settings);
    assert_eq!((found.entry, found.field.as_str()), (Some(70_002), "decision_id"), "{found}");
    assert!(found.problem.contains("already"), "{found}");
}

#[test]
fn a_tail_that_is_made_again_from_any_entry_on_with_all_that_can_be_computed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("whole");
    let genuine = Settings { segment_bytes: 60_000, ..settings(&place) };
    filled(&genuine, 100);
    let note = fs::read(checkpoint_file(&genuine.path)).unwrap();
    for (kept, rounds) in [(0, 100), (1, 100), (150, 10), (150, 50), (290, 30), (299, 1)] {
        let forged = Settings {
            path: folder.path().join(format!("{kept}-{rounds}")),
            key_file: folder.path().join("forged.key"),
            ..genuine.clone()
        };
        copy(&genuine.path, &forged.path);
        rewrite(&forged, |all| all.truncate(kept));
        // The forger has the program and the folder, but not the key: frames, chains, index, heads and tiles are all made again.
        let key = LogKey::of(&forged, true).unwrap();
        checkpointer::begin(&forged.path, &key).unwrap();
        fs::remove_dir_all(forged.path.join("tile")).unwrap();
        let ledger = Ledger::open(&forged).unwrap();
        assert_eq!(ledger.health().entries, kept as u64);
        fill(&ledger, rounds);
        ledger.close();
        check(&forged).unwrap();
        fs::write(checkpoint_file(&forged.path), &note).unwrap();
        let found = found(&Settings { path: forged.path.clone(), ..genuine.clone() });
        assert!(["checkpoint", "segments", "heads"].contains(&found.field.as_str()), "{kept}, {rounds}: {found}");
        let opened = Ledger::open(&Settings { path: forged.path, ..genuine.clone() });
        assert!(matches!(opened, Err(OpenError::Broken { .. })), "{kept}, {rounds}");
    }
}

#[test]
fn nodes_that_are_dropped_swapped_inserted_or_cut_off_are_named() {
    type Change = fn(&mut Vec<[u8; 32]>);
    let folder = tempfile::tempdir().unwrap();
    let settings = sealed(folder.path(), 90);
    let tile = settings.path.join("tile/0/000");
    let whole = fs::read(&tile).unwrap();
    let changes: [(&str, Change, u64); 6] = [
        ("dropped", |nodes| _ = nodes.remove(17), 17),
        ("the last dropped", |nodes| _ = nodes.pop(), 255),
        ("swapped", |nodes| nodes.swap(5, 200), 5),
        ("inserted", |nodes| nodes.insert(100, [7; 32]), 100),
        ("appended", |nodes| nodes.push([7; 32]), 256),
        ("cut off", |nodes| nodes.truncate(3), 3),
    ];
    for (what, change, node) in changes {
        let mut nodes: Vec<[u8; 32]> = whole.as_chunks().0.to_vec();
        change(&mut nodes);
        fs::write(&tile, nodes.concat()).unwrap();
        let found = found(&settings);
        assert_eq!((found.entry, found.field.as_str()), (Some(node), "tile/0/000"), "{what}");
    }
    fs::write(&tile, whole).unwrap();
    check(&settings).unwrap();
}

#[test]
fn segments_that_are_dropped_swapped_copied_emptied_or_cut_are_named() {
    type Change<'a> = &'a dyn Fn(&[PathBuf]);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("whole");
    let whole = sealed(&place, 30);
    let firsts = segment::list(&segments(&whole.path)).unwrap();
    assert!(firsts.len() > 4);
    let changes: [(&str, Change<'_>); 8] = [
        ("the first dropped", &|files| fs::remove_file(&files[0]).unwrap()),
        ("one dropped", &|files| fs::remove_file(&files[2]).unwrap()),
        ("the last dropped", &|files| fs::remove_file(files.last().unwrap()).unwrap()),
        ("swapped", &|files| {
            let [one, other] = [1, 2].map(|n| fs::read(&files[n]).unwrap());
            fs::write(&files[1], other).unwrap();
            fs::write(&files[2], one).unwrap();
        }),
        ("copied behind the last", &|files| {
            fs::copy(&files[1], files[0].with_file_name("00000000000000000090.seg")).map(drop).unwrap();
        }),
        ("copied over another", &|files| fs::copy(&files[1], &files[2]).map(drop).unwrap()),
        ("emptied", &|files| fs::write(&files[1], b"").unwrap()),
        ("cut within a frame", &|files| {
            let file = fs::File::options().write(true).open(&files[1]).unwrap();
            file.set_len(file.metadata().unwrap().len() - 5).unwrap();
        }),
    ];
    for (n, (what, change)) in changes.iter().enumerate() {
        let copied = folder.path().join(n.to_string());
        copy(&place, &copied);
        let settings = Settings { path: copied.join("ledger"), ..whole.clone() };
        change(&firsts.iter().map(|first| segment::path(&segments(&settings.path), *first)).collect::<Vec<_>>());
        assert!(found(&settings).field.starts_with("segments"), "{what}");
    }
}
