//! What the tests read of a ledger by themselves, and an upstream that remembers under which decision it was called.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::house::{House, Process, TOKEN, rest, status};

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

/// An upstream that answers at once and remembers the decision ids that it was called under.
pub struct Upstream {
    pub address: SocketAddr,
    called: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let called = Arc::new(Mutex::new(Vec::new()));
        let upstream = Self { address, called: Arc::clone(&called) };
        thread::spawn(move || {
            for connection in listener.incoming() {
                let called = Arc::clone(&called);
                thread::spawn(move || answer(connection.unwrap(), &called));
            }
        });
        upstream
    }

    /// The decision ids since the last call.
    pub fn called(&self) -> Vec<String> {
        std::mem::take(&mut self.called.lock().unwrap())
    }
}

fn answer(mut connection: TcpStream, called: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while connection.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
        if head.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let id = text.lines().find_map(|line| line.strip_prefix("wcp-decision-id: ")).unwrap();
            called.lock().unwrap().push(id.trim().to_owned());
            if connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
            head.clear();
        }
    }
}

/// A house in front of this upstream, with this `ledger` section.
pub fn build(upstream: &Upstream, ledger: &str) -> House {
    let house = House::build("{ linger: 0s }");
    let written = house.configuration("{ linger: 0s }");
    let (before, after) = written.split_once("url: \"http://").unwrap();
    let (_, after) = after.split_once('"').unwrap();
    house.write(&format!("{before}url: \"http://{}\"{after}ledger: {ledger}\n", upstream.address));
    house
}

/// What the Hall is asked.
pub const QUESTION: &str = r#"{"capability_id":"cap.data.read.v1","worker_id":"wrk_make_acme_prod","env":"prod","data_label":"PUBLIC","tenant_id":"org.acme"}"#;

/// Asks the Hall: the whole answer.
pub fn ask(process: &Process) -> String {
    let mut connection = TcpStream::connect(process.hall()).unwrap();
    let head = format!(
        "POST /api/route HTTP/1.1\r\nhost: hall\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{QUESTION}",
        QUESTION.len()
    );
    connection.write_all(head.as_bytes()).unwrap();
    rest(&mut connection)
}

/// A request through the gate: the whole answer.
pub fn pass(process: &Process) -> String {
    let mut connection = TcpStream::connect(process.gate()).unwrap();
    connection.write_all(b"GET /orders HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n").unwrap();
    rest(&mut connection)
}

/// What the Hall shows at this path: the whole answer.
pub fn get(process: &Process, path: &str) -> String {
    let mut connection = TcpStream::connect(process.hall()).unwrap();
    connection
        .write_all(
            format!("GET {path} HTTP/1.1\r\nhost: hall\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        )
        .unwrap();
    rest(&mut connection)
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
