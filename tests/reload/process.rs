//! A real `serve` whose files a test changes under it.

use std::net::SocketAddr;
use std::ops::Deref;

use serde_json::{Value, json};
use support::{Connection, Fixture, TOKEN, gauge, until};

/// What no test changes, by which `/readyz` says why.
const WATCHER: &str = "hst_watcher_0123456789";

/// A fixture whose token is in a file, with one rule and one worker. Tests may ask with a token that is none yet.
pub fn furnished() -> Fixture {
    let fixture = Fixture::new(&configuration("policy.v1", "low"));
    fixture.write("rules.json", &rules("rr_one", "cap.data.read.v1"));
    fixture.write("enrolled/reader.json", &worker("active"));
    fixture.write("token", TOKEN);
    fixture
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

/// A running `serve`, and its folder.
pub struct Process {
    process: support::Process,
    fixture: Fixture,
}

impl Deref for Process {
    type Target = support::Process;

    fn deref(&self) -> &Self::Target {
        &self.process
    }
}

impl Process {
    /// Starts `serve` with this configuration file and waits until it is ready.
    pub fn start(fixture: Fixture, config: &str) -> Self {
        let process = support::Process::start(&mut fixture.command(&["serve", "--config", config]));
        until(|| process.readiness() == Some(200));
        Self { process, fixture }
    }

    /// Runs a command in its folder.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        self.fixture.run(arguments)
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.fixture.path(name)
    }

    /// Puts a file in the place of another.
    pub fn replace(&self, name: &str, text: &str) {
        self.fixture.write(name, text);
    }

    /// The body of `/readyz`.
    pub fn readyz(&self) -> Value {
        support::get(self.hall(), WATCHER, "/readyz").body
    }

    /// The value of a metric, by the beginning of its line.
    pub fn metric(&self, name: &str) -> f64 {
        gauge(self.hall(), name)
    }

    /// Asks for a decision on reading, with this token.
    pub fn ask(&self, token: &str) -> Value {
        Caller::new(self.hall(), token).ask()
    }
}

/// A client that keeps its connection.
pub struct Caller {
    connection: Connection,
    request: String,
}

impl Caller {
    pub fn new(hall: SocketAddr, token: &str) -> Self {
        let body = r#"{"capability_id":"cap.data.read.v1","env":"dev","data_label":"PUBLIC","tenant_id":"org.acme"}"#;
        let request = format!(
            "POST /api/route HTTP/1.1\r\nhost: hall\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self { connection: Connection::to(hall), request }
    }

    /// Asks once, and gives the answer's body.
    pub fn ask(&mut self) -> Value {
        self.connection.send(&self.request).receive().unwrap().body
    }
}
