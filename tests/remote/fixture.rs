//! A fixture that asks a registry: a folder with rules and workers, and a real `serve`.

use std::ops::Deref;

use serde_json::{Value, json};
use support::{Answer, Upstream, ask, gauge};

/// A token that may do everything.
pub const TOKEN: &str = "hst_0123456789abcdef";
/// One that may only ask for decisions.
pub const ROUTES: &str = "hst_fedcba9876543210";
/// The registry's key.
pub const KEY: &str = "pyhall_acme_0f1e2d3c4b5a";

/// A worker in a namespace of the registry, and one of nobody's.
pub const NAMESPACED: &str = "org.acme.reader";
pub const LOCAL: &str = "wrk_reader";

/// A folder with rules and workers.
pub struct Fixture(support::Fixture);

impl Deref for Fixture {
    type Target = support::Fixture;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Fixture {
    /// With this section `registry`, or none.
    pub fn build(registry: &str) -> Self {
        let rules = json!({"rules": [{
            "rule_id": "rr_read", "match": {"capability_id": "cap.data.read.v1"},
            "decision": {"candidate_workers_ranked": [{"worker_species_id": "wrk.data.reader"}]},
        }]});
        let upstream = Upstream::answering("{}").address;
        let text = format!(
            "gate:\n  listen: 127.0.0.1:0\n  identity: {{ mode: fixed, worker_id: {LOCAL}, tenant_id: org.acme }}\n  upstreams: {{ \
             orders: {{ url: \"http://{upstream}\" }} }}\n  routes: [{{ match: {{ path: /* }}, capability: cap.data.read.v1, data_label: \
             PUBLIC, upstream: orders }}]\nhall:\n  listen: 127.0.0.1:0\n  tokens:\n    - {{ name: ops, secret: {TOKEN}, scopes: [route, \
             read, admin] }}\n    - {{ name: make, secret: {ROUTES}, scopes: [route] }}\npolicy:\n  tenants: {{ org.acme: {{ risk: low }} \
             }}\n{registry}\nshutdown: {{ linger: 0s }}\n"
        );
        let fixture = Self(support::Fixture::new(&text));
        fixture.write("rules.json", &rules.to_string());
        fixture.enroll(NAMESPACED, None);
        fixture.enroll(LOCAL, None);
        fixture
    }

    /// A registry that is asked every second and whose answers count for so long.
    pub fn asking(url: &str, max_stale: &str) -> Self {
        Self::build(&format!("registry: {{ url: \"{url}\", api_key: {KEY}, refresh: 1s, max_stale: {max_stale} }}"))
    }

    pub fn enroll(&self, worker: &str, code_hash: Option<&str>) {
        let record = json!({"worker_id": worker, "worker_species_id": "wrk.data.reader", "capabilities": ["cap.data.read.v1"],
            "attestation": code_hash.map(|hash| json!({"code_hash": hash})).unwrap_or_else(|| json!({}))});
        self.write(&format!("enrolled/{worker}.json"), &record.to_string());
    }

    /// Runs a command to its end in this environment: exit code, stdout, stderr.
    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
        support::run(self.command(arguments).envs(environment.iter().copied()), "")
    }

    /// Starts `serve` and waits until it listens; where a start is offline, it is never ready.
    pub fn serve(self) -> Process {
        self.serve_with(&[])
    }

    /// With this environment.
    pub fn serve_with(self, environment: &[(&str, &str)]) -> Process {
        let mut serve = self.command(&["serve", "--config", "hallgate.yaml"]);
        let process = support::Process::start(serve.envs(environment.iter().copied()));
        Process { process, fixture: self }
    }
}

/// A running `serve` of it.
pub struct Process {
    process: support::Process,
    pub fixture: Fixture,
}

impl Deref for Process {
    type Target = support::Process;

    fn deref(&self) -> &Self::Target {
        &self.process
    }
}

/// Status and body, which is a text where it is no JSON.
fn parts(answer: Answer) -> (u16, Value) {
    let body = if answer.body.is_null() { Value::String(answer.text()) } else { answer.body };
    (answer.status, body)
}

impl Process {
    /// Asks the Hall.
    pub fn call(&self, method: &str, path: &str, token: &str) -> (u16, Value) {
        let bearer = format!("Bearer {token}");
        // A credential that is none would count as one that is wrong.
        let headers: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("authorization", &bearer)] };
        parts(ask(self.hall(), &format!("{method} {path}"), headers, ""))
    }

    /// Asks the Hall with a body.
    pub fn post(&self, path: &str, token: &str, body: &str) -> (u16, Value) {
        parts(support::post(self.hall(), token, path, body))
    }

    /// The status of a request through the gate, and the body.
    pub fn through(&self) -> (u16, Value) {
        parts(ask(self.gate(), "GET /orders", &[], ""))
    }

    /// The answer to a request for a worker in an environment.
    pub fn route(&self, worker: &str, env: &str, dry_run: bool) -> (u16, Value) {
        let body = json!({"capability_id": "cap.data.read.v1", "env": env, "data_label": "PUBLIC", "tenant_id": "org.acme",
            "worker_id": worker, "dry_run": dry_run});
        self.post("/api/route", TOKEN, &body.to_string())
    }

    /// The deny code of such a request; `ALLOWED` when there is none.
    pub fn verdict(&self, worker: &str, env: &str) -> String {
        let (_, answer) = self.route(worker, env, false);
        answer["deny_reason"].as_str().map_or_else(|| "ALLOWED".to_owned(), str::to_owned)
    }

    pub fn readyz(&self) -> Value {
        self.call("GET", "/readyz", TOKEN).1
    }

    /// The value of a metric, by the beginning of its line.
    pub fn metric(&self, name: &str) -> f64 {
        gauge(self.hall(), name)
    }

    /// Ends it at once, and gives its folder.
    pub fn kill(self) -> Fixture {
        self.process.kill();
        self.fixture
    }

    /// Ends it in order, and gives its folder and all that it logged.
    pub fn end(self) -> (Fixture, String) {
        self.process.end();
        (self.fixture, self.process.log())
    }
}
