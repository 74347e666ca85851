//! The worker's code at dispatch: a change counts for the very next request, and hashes go into the ledger only.

use std::fs;
use std::path::Path;

use hallgate::ids::Digest;

use crate::copy::copy_all;
use crate::folder::Folder;
use crate::harness::{Running, UNBOUND};

const BODY: &str = r#"{"capability_id": "cap.data.write.v1", "worker_id": "wrk_sound", "env": "prod",
    "data_label": "INTERNAL", "tenant_id": "org.acme", "correlation_id": "c-1"}"#;

/// What every entry of a ledger says, as its files hold it.
fn recorded(ledger: &Path) -> String {
    let segments = fs::read_dir(ledger.join("segments")).unwrap();
    let read = |entry: std::io::Result<fs::DirEntry>| fs::read(entry.unwrap().path()).unwrap();
    segments.map(read).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

#[test]
fn a_changed_file_counts_for_the_next_request_and_no_answer_tells_a_hash() {
    let folder = tempfile::tempdir().unwrap();
    copy_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/strict/s5-attestation"), folder.path());
    let running = Running::start();
    let changed = Folder::load(folder.path()).unwrap().snapshot;
    running.hall.activate(changed, (*running.hall.tokens()).clone()).unwrap();
    let source = folder.path().join("src/sound.py");
    let sound = fs::read(&source).unwrap();
    let [registered, changed] = [Digest::of(&sound), Digest::of(b"changed")];

    let answers = [
        running.route(UNBOUND, BODY),
        {
            fs::write(&source, "changed").unwrap();
            running.route(UNBOUND, BODY)
        },
        {
            fs::remove_file(&source).unwrap();
            running.route(UNBOUND, BODY)
        },
        {
            // Whoever opens this waits for a writer that never comes.
            assert!(std::process::Command::new("mkfifo").arg(&source).status().unwrap().success());
            running.route(UNBOUND, BODY)
        },
        {
            fs::remove_file(&source).unwrap();
            fs::write(&source, &sound).unwrap();
            running.route(UNBOUND, BODY)
        },
    ];
    let told = answers.each_ref().map(|answer| {
        let text = answer.text();
        for hash in [registered, changed] {
            assert!(!text.contains(&hash.to_hex()), "an answer tells a hash: {text}");
        }
        let body = answer.json();
        (body["deny_code"].as_str().unwrap_or("").to_owned(), body["worker_attestation_valid"].as_bool())
    });
    let expected = [
        ("", Some(true)),
        ("DENY_WORKER_TAMPERED", Some(false)),
        ("DENY_WORKER_HASH_UNAVAILABLE", None),
        ("DENY_WORKER_HASH_UNAVAILABLE", None),
        ("", Some(true)),
    ];
    assert_eq!(told, expected.map(|(code, valid)| (code.to_owned(), valid)));

    let recorded = recorded(&running.ledger_folder());
    let count = |field: &str, hash: Digest| recorded.matches(&format!("\"{field}\":\"{hash}\"")).count();
    assert_eq!((count("registered_hash", registered), count("current_hash", registered)), (5, 2));
    assert_eq!(count("current_hash", changed), 1);
}
