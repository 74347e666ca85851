//! A real `serve` with a gate, a Hall and a registry store, and callers that change the registry while they decide.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use hallgate::engine::Json;
use hallgate::registry::hash;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest that anything here may take; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const ROUTE: &str = "hst_route_0123456789";
pub const ENROLL: &str = "hst_enroll_0123456789";
pub const ADMIN: &str = "hst_admin_0123456789";
pub const ACME: &str = "hst_acme_0123456789";
pub const GLOBEX: &str = "hst_globex_0123456789";
pub const READER: &str = "hst_reader_0123456789";

/// A folder with a configuration. Dropped, it goes.
pub struct House {
    folder: TempDir,
}

/// A running `serve`. Dropped, it is killed.
pub struct Process {
    child: Child,
    log: Mutex<Receiver<String>>,
    seen: String,
    pub hall: SocketAddr,
    pub gate: SocketAddr,
}

impl House {
    pub fn new() -> Self {
        Self::with("  store: registry.db\n")
    }

    /// A house whose `policy` section has these lines, too.
    pub fn with(policy: &str) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = upstream.local_addr().unwrap();
        thread::spawn(move || upstream.incoming().for_each(|connection| answer(connection.unwrap())));
        let house = Self { folder: TempDir::new().unwrap() };
        fs::create_dir(house.path("enrolled")).unwrap();
        let own = json!({"worker_id": "wrk_own", "worker_species_id": "wrk.own", "capabilities": ["cap.own"]});
        fs::write(house.path("enrolled/own.json"), own.to_string()).unwrap();
        let rule = |id: &str, capability: &str, species: &str| {
            json!({"rule_id": id, "match": {"capability_id": capability},
                "decision": {"candidate_workers_ranked": [{"worker_species_id": species}]}})
        };
        // No worker has the first species yet.
        let rules = [rule("rr_read", "cap.data.read.v1", "wrk.data.reader"), rule("rr_own", "cap.own", "wrk.own")];
        fs::write(house.path("rules.json"), json!({"rules": rules}).to_string()).unwrap();
        let token = |name: &str, secret: &str, scopes: &str, rest: &str| {
            format!("    - {{ name: {name}, secret: {secret}, scopes: [{scopes}]{rest} }}\n")
        };
        let tokens = [
            token("route", ROUTE, "route", ""),
            token("enroll", ENROLL, "enroll", ""),
            token("admin", ADMIN, "enroll, admin", ""),
            token("acme", ACME, "enroll", ", tenant_id: org.acme"),
            token("globex", GLOBEX, "enroll, admin", ", tenant_id: org.globex"),
            token("reader", READER, "read", ""),
        ];
        let configuration = format!(
            "gate:\n  listen: 127.0.0.1:0\n  env: dev\n  identity: {{ mode: fixed, worker_id: wrk_gate, tenant_id: org.acme }}\n  \
             upstreams: {{ orders: {{ url: \"http://{address}\" }} }}\n  routes:\n    - {{ match: {{ path: /orders }}, capability: \
             cap.data.read.v1, data_label: PUBLIC, upstream: orders }}\nhall:\n  listen: 127.0.0.1:0\n  tokens:\n{}policy:\n  \
             tenants: {{ org.acme: {{ risk: low }} }}\n{policy}shutdown: {{ linger: 0s }}\n",
            tokens.concat()
        );
        fs::write(house.path("hallgate.yaml"), configuration).unwrap();
        house
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallgate"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command
    }

    /// Runs a command that ends by itself: exit code, stdout, stderr.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        said(self.command(arguments).output().unwrap())
    }

    /// Runs `hallgate worker` against a running Hall.
    pub fn worker(&self, process: &Process, token: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = self.command(&["worker"]);
        command.args(arguments).env("HALL_SESSION_TOKEN", token);
        said(command.env("PYHALL_HALL_URL", format!("http://{}", process.hall)).output().unwrap())
    }

    /// Starts `serve` and waits until it is ready.
    pub fn serve(&self) -> Process {
        let mut child = self.command(&["serve"]);
        let mut child =
            child.args(["--config", "hallgate.yaml"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, log) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let mut process = Process { child, log: Mutex::new(log), seen: String::new(), hall: nowhere, gate: nowhere };
        let starting: Value = serde_json::from_str(&process.wait_for_log("\"starting\"")).unwrap();
        process.hall = starting["hall"].as_str().unwrap().parse().unwrap();
        process.gate = starting["gate"].as_str().unwrap().parse().unwrap();
        until(|| request(process.hall, "GET", "/readyz", None, "").is_some_and(|(status, _)| status == 200));
        process
    }

    /// The ledger's entries of the registry, as the real command prints them.
    pub fn registry_entries(&self) -> Vec<Value> {
        let (code, out, err) = self.run(&["audit", "export", "--ledger", "ledger"]);
        assert_eq!(code, Some(0), "{err}");
        let entries = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.filter(|entry| entry["kind"] == "registry").collect()
    }

    /// That the ledger holds, by the real command.
    pub fn verify(&self) {
        let (code, out, err) = self.run(&["audit", "verify"]);
        assert_eq!(code, Some(0), "{out}{err}");
    }
}

impl Process {
    /// The first log line from now on with this in it.
    pub fn wait_for_log(&mut self, what: &str) -> String {
        loop {
            let line = self
                .log
                .get_mut()
                .unwrap()
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("no {what} in:\n{}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(what) {
                return line;
            }
        }
    }

    /// Posts a body, and gives status and answer.
    pub fn post(&self, token: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, body) = request(self.hall, "POST", path, Some(token), body).unwrap();
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    pub fn get(&self, token: &str, path: &str) -> (u16, String) {
        request(self.hall, "GET", path, Some(token), "").unwrap()
    }

    /// Enrolls a record that is hashed rightly.
    pub fn enroll(&self, token: &str, record: Value) -> (u16, Value) {
        self.post(token, "/enroll", &hashed(record))
    }

    /// Whether a request through the API that names this worker is allowed; else its deny code.
    pub fn ask(&self, worker: &str) -> Result<(), String> {
        let body = json!({"capability_id": "cap.data.read.v1", "env": "dev", "data_label": "PUBLIC",
            "tenant_id": "org.acme", "worker_id": worker});
        let (status, answer) = self.post(ROUTE, "/api/route", &body.to_string());
        assert_eq!(status, 200, "{answer}");
        if answer["allowed"] == true { Ok(()) } else { Err(answer["deny_code"].as_str().unwrap().to_owned()) }
    }

    /// Whether a request through the gate, whose worker is `wrk_gate`, is forwarded; else its deny code.
    pub fn pass(&self) -> Result<(), String> {
        let (status, body) = request(self.gate, "GET", "/orders", None, "").unwrap();
        if status == 200 {
            assert_eq!(body, "orders");
            return Ok(());
        }
        let body: Value = serde_json::from_str(&body).unwrap();
        Err(body["code"].as_str().unwrap().to_owned())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in order.
    pub fn end(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A reader of data, with more members or others.
pub fn reader(id: &str, more: Value) -> Value {
    let mut record = json!({"worker_id": id, "worker_species_id": "wrk.data.reader",
        "capabilities": ["cap.data.read.v1"], "risk_tier": "low"});
    for (key, value) in more.as_object().unwrap() {
        record[key] = value.clone();
    }
    record
}

/// The record with its hash, as text.
pub fn hashed(mut record: Value) -> String {
    record.as_object_mut().unwrap().remove("artifact_hash");
    let json = Json::parse(record.to_string().as_bytes()).unwrap();
    record["artifact_hash"] = format!("sha256:{}", hash::of_record(json.as_object().unwrap())).into();
    record.to_string()
}

/// One request on a connection of its own: status and body.
pub fn request(to: SocketAddr, method: &str, path: &str, token: Option<&str>, body: &str) -> Option<(u16, String)> {
    let mut connection = TcpStream::connect(to).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    let authorization = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    let length = if method == "GET" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: hall\r\nconnection: close\r\n{authorization}{length}\r\n{body}");
    connection.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// An upstream that answers each request alike.
fn answer(mut connection: TcpStream) {
    thread::spawn(move || {
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        loop {
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
            }
            if connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\norders").is_err() {
                return;
            }
        }
    });
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
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
