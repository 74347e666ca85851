//! Bundles of a real ledger: they hold, and no byte of one can change without being found.

use super::*;
use crate::ledger::verify::bundle::{BundleError, Bundled, verify_bundle};

/// A bundle of every `step`th entry of so many rounds, and the key that signed it.
fn bundle(rounds: usize, step: u64) -> (Vec<u8>, String) {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    filled(&settings, rounds);
    let key = fs::read_to_string(settings.key_file.with_extension("key.pub")).unwrap();
    let reader = LogReader::new(&settings.path);
    let mut out = Vec::new();
    let mut writer = reader.bundle_to(&mut out, &key).unwrap();
    let mut entries = reader.entries().unwrap();
    while let Some((number, json)) = entries.next().unwrap() {
        if number % step == step - 1 {
            writer.entry(number, json).unwrap();
        }
    }
    assert!(writer.end().unwrap() > 1);
    (out, key)
}

fn verify(bundle: &[u8], key: Option<&str>) -> Result<Bundled, BundleError> {
    let keys = key.map(|key| [key.to_owned()]);
    verify_bundle(bundle, keys.as_ref().map(|keys| &keys[..]))
}

#[test]
fn a_bundle_holds_by_itself_and_by_the_key_that_somebody_has() {
    let (bundle, key) = bundle(7, 2);
    let found = verify(&bundle, Some(&key)).unwrap();
    assert_eq!(found, verify(&bundle, None).unwrap());
    assert!(found.entries > 2 && found.range.is_some_and(|(first, last)| first == 1 && last < found.size), "{found:?}");
    assert!(found.to_string().contains("the others were not asked for, or were left out"), "{found}");
    let stranger = tempfile::tempdir().unwrap();
    let stranger = LogKey::make(&stranger.path().join("key"), "hallgate.local/ledger").unwrap();
    let error = verify(&bundle, Some(stranger.vkey())).unwrap_err().to_string();
    assert!(error.contains("line 1: `key`"), "{error}");
}

#[test]
fn no_byte_of_a_bundle_can_change() {
    let (bundle, _) = bundle(2, 3);
    for at in 0..bundle.len() {
        let mut changed = bundle.clone();
        changed[at] ^= if at % 2 == 0 { 1 } else { 0x20 };
        let line = bundle[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        match verify(&changed, None) {
            Err(BundleError::Broken { line: found, .. }) => {
                assert!(found >= line, "byte {at}: line {found}, not {line}")
            }
            Err(BundleError::Unreadable(_)) => assert_eq!(line, 1, "byte {at}"),
            Ok(_) => panic!("byte {at} changed, and nobody knows"),
        }
    }
}

#[test]
fn lines_that_are_gone_moved_or_more_are_found() {
    let (bundle, key) = bundle(3, 1);
    let lines: Vec<&[u8]> = bundle.split_inclusive(|byte| *byte == b'\n').collect();
    let broken = |lines: &[&[u8]]| match verify(&lines.concat(), Some(&key)) {
        Err(BundleError::Broken { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(broken(&lines[..lines.len() - 1]), "entries");
    let without = |n: usize| [&lines[..n], &lines[n + 1..]].concat();
    assert_eq!(broken(&without(2)), "entries");
    let mut moved = lines.clone();
    moved.swap(1, 2);
    assert_eq!(broken(&moved), "receipt_id");
    assert_eq!(broken(&[&lines[..], &[&b"{}\n"[..]]].concat()), "entries");
    let mut twice = lines.clone();
    twice.insert(1, lines[1]);
    assert_eq!(broken(&twice), "receipt_id");
    for no_bundle in [&b""[..], b"{}", b"{}\n", b"{\"format\":\"hallgate receipt proof 1\"}\n", &[b'x'; 300_000]] {
        assert!(matches!(verify(no_bundle, None), Err(BundleError::Unreadable(_))));
    }
}
