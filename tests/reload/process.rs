//! A real `serve` whose files a test changes under it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest that anything here may take; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const TOKEN: &str = "hst_0123456789abcdef";
/// What no test changes, by which `/readyz` says why.
const WATCHER: &str = "hst_watcher_0123456789";

/// A running `serve`, and its folder. Dropped, both are gone.
pub struct Process {
    pub folder: TempDir,
    child: Child,
    log: Receiver<String>,
    seen: String,
    pub hall: SocketAddr,
}

/// What the files of a house are at first: a token from a file, one rule, one worker. Tests may ask with a token that is none yet.
pub fn furnish(folder: &Path) {
    fs::create_dir_all(folder.join("enrolled")).unwrap();
    fs::write(folder.join("hallgate.yaml"), configuration("policy.v1", "low")).unwrap();
    fs::write(folder.join("rules.json"), rules("rr_one", "cap.data.read.v1")).unwrap();
    fs::write(folder.join("enrolled/reader.json"), worker("active")).unwrap();
    fs::write(folder.join("token"), TOKEN).unwrap();
}

pub fn configuration(version: &str, risk: &str) -> String {
    format!(
        "hall:\n  listen: 127.0.0.1:0\n  tokens: [{{ name: make, secret_file: token, scopes: [route], worker_optional: true }}, {{ name: \
         watcher, secret: {WATCHER}, scopes: [read] }}]\n  \
         limits: {{ failures: {{ rate: 10000/s, burst: 100000 }} }}\n\
         policy:\n  version: {version}\n  tenants: {{ org.acme: {{ risk: {risk} }} }}\nshutdown: {{ linger: 0s }}\n"
    )
}

/// One rule for low-risk tenants.
pub fn rules(id: &str, capability: &str) -> String {
    json!({"rules": [{
        "rule_id": id,
        "match": {"capability_id": capability, "tenant_risk": "low"},
        "decision": {"candidate_workers_ranked": [{"worker_species_id": "wrk.data.reader"}]},
    }]})
    .to_string()
}

pub fn worker(status: &str) -> String {
    json!({"worker_id": "wrk_reader", "worker_species_id": "wrk.data.reader", "capabilities": ["cap.data.read.v1"],
        "status": status})
    .to_string()
}

impl Process {
    /// Starts `serve` in a furnished folder with this configuration file.
    pub fn start(folder: TempDir, config: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallgate"));
        command.args(["serve", "--config", config]).current_dir(folder.path()).env_clear();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, log) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let mut process = Self { folder, child, log, seen: String::new(), hall: nowhere };
        let starting: Value = serde_json::from_str(&process.wait_for_log("\"starting\"")).unwrap();
        process.hall = starting["hall"].as_str().unwrap().parse().unwrap();
        until(|| process.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
        process
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file in the place of another as a careful editor does: whole or not at all.
    pub fn replace(&self, name: &str, text: &str) {
        let beside = self.path(".beside");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    /// The first log line from now on with this in it.
    pub fn wait_for_log(&mut self, what: &str) -> String {
        let began = Instant::now();
        loop {
            // Others may be logged without end.
            let left = PATIENCE.saturating_sub(began.elapsed());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("no {what} in:\n{}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(what) {
                return line;
            }
        }
    }

    /// All that was logged so far.
    pub fn logged(&mut self) -> &str {
        while let Ok(line) = self.log.try_recv() {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        &self.seen
    }

    /// SIGHUP.
    pub fn tell(&self) {
        assert!(Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap().success());
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut connection = TcpStream::connect(self.hall).ok()?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: hall\r\nauthorization: Bearer {WATCHER}\r\nconnection: close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The body of `/readyz`.
    pub fn readyz(&self) -> Value {
        serde_json::from_str(self.get("/readyz").unwrap().split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// The value of a metric, by the beginning of its line.
    pub fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").unwrap();
        let line = metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }

    /// Asks for a decision on reading, with this token.
    pub fn ask(&self, token: &str) -> Value {
        Caller::new(self.hall, token).ask()
    }

    /// What memory it holds, in KiB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Ends it in order, and gives its exit code.
    pub fn end(mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that keeps its connection.
pub struct Caller {
    connection: BufReader<TcpStream>,
    request: String,
}

impl Caller {
    pub fn new(hall: SocketAddr, token: &str) -> Self {
        let connection = TcpStream::connect(hall).unwrap();
        connection.set_nodelay(true).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = r#"{"capability_id":"cap.data.read.v1","env":"dev","data_label":"PUBLIC","tenant_id":"org.acme"}"#;
        let request = format!(
            "POST /api/route HTTP/1.1\r\nhost: hall\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { connection: BufReader::new(connection), request }
    }

    /// Asks once, and gives the answer's body.
    pub fn ask(&mut self) -> Value {
        self.connection.get_mut().write_all(self.request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert_ne!(self.connection.read_line(&mut line).unwrap(), 0, "the connection was closed");
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

/// Looks again until it is so.
#[track_caller]
pub fn until(so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "it does not become so");
        thread::sleep(Duration::from_millis(10));
    }
}
