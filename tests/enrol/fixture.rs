//! A real `serve` with a gate, a Hall and a registry store, and callers that change the registry while they decide.

use std::ops::Deref;

use hallgate::engine::Json;
use hallgate::registry::hash;
use serde_json::{Value, json};
use support::{Upstream, ask, get, post};

pub const ROUTE: &str = "hst_route_0123456789";
pub const ENROLL: &str = "hst_enroll_0123456789";
pub const ADMIN: &str = "hst_admin_0123456789";
pub const ACME: &str = "hst_acme_0123456789";
pub const GLOBEX: &str = "hst_globex_0123456789";
pub const READER: &str = "hst_reader_0123456789";

/// A folder with rules, a worker and a store.
pub struct Fixture(support::Fixture);

impl Deref for Fixture {
    type Target = support::Fixture;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// A running `serve` of it.
pub struct Process(support::Process);

impl Deref for Process {
    type Target = support::Process;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Fixture {
    pub fn new() -> Self {
        Self::with("  store: registry.db\n")
    }

    /// A fixture whose `policy` section has these lines, too.
    pub fn with(policy: &str) -> Self {
        let address = Upstream::answering("orders").address;
        let own = json!({"worker_id": "wrk_own", "worker_species_id": "wrk.own", "capabilities": ["cap.own"]});
        let rule = |id: &str, capability: &str, species: &str| {
            json!({"rule_id": id, "match": {"capability_id": capability},
                "decision": {"candidate_workers_ranked": [{"worker_species_id": species}]}})
        };
        // No worker has the first species yet.
        let rules = [rule("rr_read", "cap.data.read.v1", "wrk.data.reader"), rule("rr_own", "cap.own", "wrk.own")];
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
        let fixture = support::Fixture::new(&configuration);
        fixture.write("enrolled/own.json", &own.to_string());
        fixture.write("rules.json", &json!({"rules": rules}).to_string());
        Self(fixture)
    }

    /// Runs `hallgate worker` against a running Hall.
    pub fn worker(&self, process: &Process, token: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = self.command(&["worker"]);
        command.args(arguments).env("HALL_SESSION_TOKEN", token);
        support::run(command.env("PYHALL_HALL_URL", format!("http://{}", process.hall())), "")
    }

    /// Starts `serve` and waits until it is ready.
    pub fn serve(&self) -> Process {
        Process(self.0.serve())
    }

    /// The ledger's entries of the registry, as the real command prints them.
    pub fn registry_entries(&self) -> Vec<Value> {
        let mut entries = self.entries();
        entries.retain(|entry| entry["kind"] == "registry");
        entries
    }
}

impl Process {
    /// Posts a body, and gives status and answer.
    pub fn post(&self, token: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = post(self.hall(), token, path, body);
        (answer.status, answer.body)
    }

    pub fn get(&self, token: &str, path: &str) -> (u16, String) {
        let answer = get(self.hall(), token, path);
        (answer.status, answer.text())
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
        let answer = ask(self.gate(), "GET /orders", &[], "");
        if answer.status == 200 {
            assert_eq!(answer.text(), "orders");
            return Ok(());
        }
        Err(answer.body["code"].as_str().unwrap().to_owned())
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
