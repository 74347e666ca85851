//! A registry that speaks the public registry's API over real sockets, and misbehaves when it is told to.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How it answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Way {
    /// As it should.
    Sound,
    /// Later than anybody waits.
    Slow,
    /// Byte by byte, for ever.
    Dripping,
    /// With less than it announced.
    Truncated,
    /// With JSON of another shape.
    WrongTypes,
    /// With this status.
    Status(u16),
    /// 429, with this `retry-after`.
    Limited(&'static str),
    /// With a redirect to this address.
    Redirect(SocketAddr),
    /// With more than anybody reads.
    Huge,
    /// With the right JSON under another content type.
    Html,
    /// Not at all.
    Closes,
    /// With something that is no HTTP.
    NoHttp,
}

/// What it was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub body: String,
    pub way: Way,
}

struct Held {
    way: Way,
    /// Only these paths are answered that way; empty: all.
    only: &'static str,
    workers: BTreeMap<String, Value>,
    bans: Value,
    /// Whether it knows `offset`.
    pages: bool,
    standing: Value,
    asked: Vec<Asked>,
}

/// A running registry. It ends with the process.
#[derive(Clone)]
pub struct Registry {
    pub addr: SocketAddr,
    held: Arc<Mutex<Held>>,
}

impl Registry {
    /// A sound one that knows these workers as active.
    pub fn start(workers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let held = Held {
            way: Way::Sound,
            only: "",
            workers: BTreeMap::new(),
            bans: json!([]),
            pages: true,
            standing: json!({"standing": "ok", "tier_id": "pro", "github_login": "acme"}),
            asked: Vec::new(),
        };
        let registry = Self { addr: listener.local_addr().unwrap(), held: Arc::new(Mutex::new(held)) };
        for worker in workers {
            registry.say(worker, "active");
        }
        let serving = registry.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                thread::spawn(move || serving.answer(stream));
            }
        });
        registry
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn say(&self, worker: &str, status: &str) {
        let answer = json!({"worker_id": worker, "status": status, "current_hash": null, "banned": false, "ban_reason": null,
            "attested_at": "2026-01-01T00:00:00Z", "ai_generated": false});
        self.held.lock().unwrap().workers.insert(worker.to_owned(), answer);
    }

    pub fn ban(&self, bans: Value) {
        self.held.lock().unwrap().bans = bans;
    }

    /// Whether it gives more than the first entries to who asks for them.
    pub fn pages(&self, pages: bool) {
        self.held.lock().unwrap().pages = pages;
    }

    pub fn standing(&self, standing: &str) {
        self.held.lock().unwrap().standing = json!({"standing": standing, "tier_id": "pro"});
    }

    pub fn goes(&self, way: Way) {
        self.goes_for("", way);
    }

    /// Answers paths with this in them that way, and the others as it should.
    pub fn goes_for(&self, only: &'static str, way: Way) {
        let mut held = self.held.lock().unwrap();
        (held.only, held.way) = (only, way);
    }

    /// All that it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.held.lock().unwrap().asked.clone()
    }

    /// How often it was asked for this path so far.
    pub fn times(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path.contains(path)).count()
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some((head, body)) = read(&mut stream) else { return };
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")))?;
            Some(line.split_once(": ")?.1.to_owned())
        };
        let (way, status, answer) = {
            let mut held = self.held.lock().unwrap();
            let way = if path.contains(held.only) { held.way.clone() } else { Way::Sound };
            let (status, answer) = sound(&held, &path);
            let authorization = header("authorization");
            held.asked.push(Asked { at: Instant::now(), method, path, authorization, body, way: way.clone() });
            (way, status, answer)
        };
        misbehave(&mut stream, way, status, &answer.to_string());
    }
}

/// What a sound registry says.
fn sound(held: &Held, path: &str) -> (u16, Value) {
    if let Some(id) = path.strip_prefix("/api/v1/verify/") {
        return match held.workers.get(&id.replace("%2F", "/")) {
            Some(answer) => (200, answer.clone()),
            None => (404, json!({"error": "not found"})),
        };
    }
    match path.split('?').next().unwrap() {
        "/api/v1/ban-list" => (200, page(held, path)),
        "/api/account/standing" => (200, held.standing.clone()),
        "/api/v1/telemetry/decisions" => (200, json!({"ok": true})),
        _ => (404, json!({"error": "not found"})),
    }
}

/// The entries that a path asks for.
fn page(held: &Held, path: &str) -> Value {
    let number = |name: &str| {
        let text = path.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        text.map(|text| text.parse::<usize>().unwrap())
    };
    let bans = held.bans.as_array().unwrap();
    let offset = number("offset").filter(|_| held.pages).unwrap_or(0);
    bans.iter().skip(offset).take(number("limit").unwrap()).cloned().collect()
}

/// A request's head and body.
fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_ascii_lowercase()
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.lines().next().unwrap().trim().parse().unwrap());
            if body.len() >= length {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
    }
}

/// Whoever asked may go away before the end: then it ends.
fn misbehave(stream: &mut TcpStream, way: Way, status: u16, answer: &str) {
    let head = |status: u16, kind: &str, length: usize, more: &str| {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n"
        )
    };
    let json = "application/json";
    let whole = |status, kind, body: &str, more: &str| head(status, kind, body.len(), more) + body;
    let text = match way {
        Way::Sound => whole(status, json, answer, ""),
        Way::Slow => {
            thread::sleep(Duration::from_secs(20));
            whole(status, json, answer, "")
        }
        Way::Dripping => {
            let _ = stream.write_all(head(200, json, 60_000, "").as_bytes());
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
            return;
        }
        Way::Truncated => head(200, json, answer.len() + 10, "") + answer,
        Way::WrongTypes => whole(200, json, r#"{"status":7,"banned":"no","sha256":[]}"#, ""),
        Way::Status(status) => whole(status, json, r#"{"error":"no"}"#, ""),
        Way::Limited(seconds) => whole(429, json, r#"{"error":"slow down"}"#, &format!("retry-after: {seconds}\r\n")),
        Way::Redirect(to) => whole(302, json, "{}", &format!("location: http://{to}/api/v1/elsewhere\r\n")),
        Way::Huge => {
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[");
            let chunk = vec![b' '; 64 << 10];
            while stream.write_all(&chunk).is_ok() {}
            return;
        }
        Way::Html => whole(200, "text/html", answer, ""),
        Way::Closes => return,
        Way::NoHttp => "what?\n\n".to_owned(),
    };
    let _ = stream.write_all(text.as_bytes());
}
