//! What holds of any bytes where a ledger's segment should be, and of any value's canonical form.
#![expect(clippy::indexing_slicing, reason = "who looks for a breach stops at the first")]

use serde_json::Value;

use super::format::frame::{self, HEADER};
use super::format::{canonical, segment, stamp};

/// The law of frames: what is written is read, whole or not at all, and of any bytes nothing is read beyond them.
///
/// The bytes are what a segment holds, and, apart at each `|`, entries of one batch; the last byte says what is damaged.
pub fn frames(bytes: &[u8]) {
    for at in (0..bytes.len() + 2).chain([usize::MAX - 3, usize::MAX]) {
        if let Some(frame) = frame::at(bytes, at) {
            let end = at + HEADER + frame.entry.len();
            assert_eq!(frame.entry, &bytes[at + HEADER..end]);
            assert!((1..=stamp::LONGEST).contains(&frame.entry.len()));
        }
    }
    for bad in [0, bytes.len() / 2] {
        if let Some(later) = frame::later_batch(bytes, bad) {
            assert!(later > bad && frame::at(bytes, later).is_some());
        }
    }
    let _ = segment::header_problem(bytes, 0);

    let Some((damage, bytes)) = bytes.split_last() else { return };
    let entries: Vec<&[u8]> = bytes.split(|byte| *byte == b'|').filter(|entry| !entry.is_empty()).collect();
    let (mut batch, mut starts) = (Vec::new(), Vec::new());
    for entry in &entries {
        let start = frame::begin(&mut batch);
        batch.extend_from_slice(entry);
        frame::end(&mut batch, start);
        starts.push(start);
    }
    for (start, entry) in starts.iter().zip(&entries) {
        let frame = frame::at(&batch, *start);
        assert_eq!(frame.map(|frame| (frame.entry, frame.in_batch as usize)), Some((*entry, *start)));
    }
    // One byte is changed, or the end is lost: the frames before it stay, and it is found out.
    let Some(hurt) = starts.len().checked_sub(1).map(|last| usize::from(*damage) % (last + 1)) else { return };
    let within = starts[hurt] + usize::from(*damage) % (HEADER + entries[hurt].len());
    let mut changed = batch.clone();
    changed[within] ^= damage | 1;
    for damaged in [&changed[..], &batch[..within]] {
        assert_eq!(frame::at(damaged, starts[hurt]), None, "damaged at {within}");
        for (start, entry) in starts.iter().zip(&entries).take(hurt) {
            assert_eq!(frame::at(damaged, *start).map(|frame| frame.entry), Some(*entry));
        }
    }
}

/// The law of the canonical form: there is one for each value, which is that value's, and any reader's order of keys is the same.
pub fn canonical(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let mut form = Vec::new();
    if canonical::canonicalise(&value, &mut form).is_err() {
        assert!(holds_more_than_integers(&value), "{value} has no canonical form");
        return;
    }
    assert!(!holds_more_than_integers(&value), "{value} has a canonical form");
    let again: Value = serde_json::from_slice(&form).unwrap_or_default();
    assert_eq!(again, value, "{}", String::from_utf8_lossy(&form));
    let mut twice = Vec::new();
    assert_eq!(canonical::canonicalise(&again, &mut twice), Ok(()));
    assert_eq!(twice, form);
    // In the order in which its keys are read again, it is what serde_json writes; and that order is UTF-16's.
    assert_eq!(String::from_utf8_lossy(&form), again.to_string());
    assert!(in_order(&again), "{again}");
}

fn in_order(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(in_order),
        Value::Object(members) => {
            let keys = members.keys().map(|key| key.encode_utf16().collect::<Vec<_>>());
            keys.is_sorted() && members.values().all(in_order)
        }
        _ => true,
    }
}

fn holds_more_than_integers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i128().is_none_or(|number| number.unsigned_abs() > (1 << 53) - 1),
        Value::Array(values) => values.iter().any(holds_more_than_integers),
        Value::Object(members) => members.values().any(holds_more_than_integers),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}
