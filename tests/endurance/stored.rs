//! What the tests read of a ledger by themselves, and what both doors say.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use support::{Fixture, Process, READ, TOKEN, Upstream, ask_if_there, status};

/// Receipt id to receipt hash, of each entry in the segments of these folders that are there.
pub fn entries(folders: &[&Path]) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for folder in folders {
        let Ok(files) = fs::read_dir(folder) else { continue };
        for file in files.map(|file| file.unwrap().path()) {
            if file.extension().is_none_or(|ending| ending != "seg") {
                continue;
            }
            let bytes = match fs::read(file) {
                Ok(bytes) => bytes,
                // Pruned meanwhile: it is in the archive, which is read behind the segments.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => panic!("{error}"),
            };
            // After the header: checksum, length, bytes since the batch began, entry.
            let mut at = 32;
            while let Some(frame) = bytes.get(at..at + 12) {
                let length = u32::from_le_bytes(frame[4..8].try_into().unwrap()) as usize;
                let Some(entry) = bytes.get(at + 12..at + 12 + length).filter(|_| length > 0) else { break };
                let Ok(json) = serde_json::from_slice::<Value>(entry) else { break };
                let hash: String = Sha256::digest(entry).iter().map(|byte| format!("{byte:02x}")).collect();
                found.insert(json["receipt_id"].as_str().unwrap().to_owned(), hash);
                at += 12 + length;
            }
        }
    }
    found
}

/// A fixture in front of this upstream, with this `ledger` section.
pub fn build(upstream: &Upstream, ledger: &str) -> Fixture {
    let fixture = Fixture::sample(upstream.address);
    fixture.add(&format!("ledger: {ledger}"));
    fixture
}

/// The whole answer; nothing when there is none.
fn answer(to: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let answer = ask_if_there(to, line, headers, body);
    answer.map_or_else(String::new, |answer| format!("{}\r\n\r\n{}", answer.head, answer.text()))
}

/// Asks the Hall: the whole answer.
pub fn ask(process: &Process) -> String {
    let headers = [("authorization", &*format!("Bearer {TOKEN}")), ("content-type", "application/json")];
    answer(process.hall(), "POST /api/route", &headers, READ)
}

/// A request through the gate: the whole answer.
pub fn pass(process: &Process) -> String {
    answer(process.gate(), "GET /orders", &[], "")
}

/// What the Hall shows at this path: the whole answer.
pub fn get(process: &Process, path: &str) -> String {
    let headers = [("authorization", &*format!("Bearer {TOKEN}"))];
    answer(process.hall(), &format!("GET {path}"), &headers, "")
}

/// Both doors refuse with 503 and say when to try again, nothing is forwarded, and whoever watches can see why.
pub fn refuses(process: &Process, upstream: &Upstream, why: &str) {
    let answer = ask(process);
    assert_eq!(status(&answer), Some(503), "{answer}");
    let head = answer.to_ascii_lowercase();
    assert!(head.contains("retry-after:") && answer.contains("DENY_AUDIT_UNAVAILABLE"), "{answer}");
    let answer = pass(process);
    assert_eq!(status(&answer), Some(503), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("retry-after:"), "{answer}");
    assert_eq!(upstream.called(), Vec::<String>::new(), "something was forwarded without an entry");
    let ready = get(process, "/readyz");
    assert_eq!(status(&ready), Some(503), "{ready}");
    assert!(ready.contains(why), "{ready}");
    assert!(get(process, "/metrics").contains("\nhallgate_ledger_writing 0\n"));
    assert_eq!(status(&get(process, "/livez")), Some(200));
}

/// Both doors answer, and forward.
pub fn serves(process: &Process, upstream: &Upstream) {
    let answer = ask(process);
    assert!(status(&answer) == Some(200) && answer.contains("\"denied\":false"), "{answer}");
    assert_eq!(status(&pass(process)), Some(200));
    assert_eq!(upstream.called().len(), 1);
}
