//! A whole Hall API on a port of its own, and a client that says exactly the bytes it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hallgate::api;
use hallgate::cache::{self, Verdicts};
use hallgate::connections::ConnectionLimits;
use hallgate::engine::snapshot::{Worker, WorkerStatus};
use hallgate::engine::{Binding, Mode, RuleSet, Settings, Snapshot};
use hallgate::hall::{Hall, Scope, Token, TokenBook};
use hallgate::ids::{Digest, TenantRisk};
use hallgate::ledger::{self, Ledger, LogReader};
use hallgate::telemetry::Metrics;
use serde_json::Value;
use support::Connection;

use crate::server::{RunningServer, ledger_in};

/// A browser origin that may call.
pub const ORIGIN: &str = "https://app.example.org";
/// A token with the scope `route`, bound to `org.acme`.
pub const ACME: &str = "hst_acme";
/// A token with the scope `route`, bound to nothing.
pub const UNBOUND: &str = "hst_unbound";
/// A token with the scope `read` only.
pub const READER: &str = "hst_reader";

/// A token with the scope `read`, bound to `org.acme`.
pub const ACME_READER: &str = "hst_acme_reader";
/// A token with the scope `read`, bound to `org.globex`.
pub const GLOBEX_READER: &str = "hst_globex_reader";

const RULES: &str = r#"{"rules": [
  {"rule_id": "rr_write",
   "match": {"capability_id": "cap.data.write.v1", "data_label": {"in": ["PUBLIC", "INTERNAL", "CONFIDENTIAL"]}},
   "decision": {"candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer", "score_hint": 1.0}]}},
  {"rule_id": "rr_read",
   "match": {"capability_id": "cap.data.read.v1"},
   "decision": {"candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}]}},
  {"rule_id": "rr_report",
   "match": {"capability_id": "cap.report.generate.v1"},
   "decision": {"candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}],
                "escalation": {"human_required_default": true, "rationale": "reports are read by people"}}},
  {"rule_id": "rr_pay",
   "match": {"capability_id": "cap.pay.send"},
   "decision": {"candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}],
                "escalation": {"policy_gate": true}}}
]}"#;
/// What `rr_pay` asks.
const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policies/claims/gate.cedar");

/// How a hall is to be.
pub struct Setup {
    pub cors_origins: Vec<String>,
    pub metrics_need_token: bool,
    pub public_tiles: bool,
    pub checkpoint_every: Duration,
    pub grace: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            cors_origins: Vec::new(),
            metrics_need_token: true,
            public_tiles: false,
            checkpoint_every: Duration::from_secs(60),
            grace: 0,
        }
    }
}

/// A running Hall API; stops when dropped.
pub struct Running {
    pub addr: SocketAddr,
    pub hall: Arc<Hall>,
    pub ledger: Ledger,
    server: RunningServer,
    folder: tempfile::TempDir,
}

impl Running {
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = ledger::Settings { checkpoint_every: setup.checkpoint_every, ..ledger_in(folder.path()) };
        let ledger = Ledger::open(&settings).unwrap();
        let verdicts = Verdicts::new(cache::Settings { max_bytes: 1 << 20 });
        let tokens = TokenBook::new(vec![
            token("acme", ACME, Scope::Route, Some("org.acme")),
            token("unbound", UNBOUND, Scope::Route, None),
            token("reader", READER, Scope::Read, None),
            token("acme-reader", ACME_READER, Scope::Read, Some("org.acme")),
            token("globex-reader", GLOBEX_READER, Scope::Read, Some("org.globex")),
        ]);
        let hall =
            Arc::new(Hall::new(snapshot("policy.test"), verdicts, ledger.clone(), tokens, Arc::new(Metrics::new())));
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = api::Settings {
            connections: ConnectionLimits { in_all: 1000, per_network: 1000, unknown: 500 },
            listen: addr,
            tls: None,
            cors_origins: setup.cors_origins,
            metrics_need_token: setup.metrics_need_token,
            monitor_unauthenticated_loopback: false,
            public_url: None,
            public_tiles: setup.public_tiles,
            console: false,
            threads: 1,
        };
        let services = api::service(settings, Arc::clone(&hall), Vec::new()).unwrap();
        let server = RunningServer::start(Some(setup.grace), &[addr], |_| services);
        Self { addr, hall, ledger, server, folder }
    }

    pub fn connect(&self) -> Client {
        Client::new(self.addr)
    }

    /// Posts a body to `/api/route` as the Make page does.
    pub fn route(&self, token: &str, body: impl AsRef<[u8]>) -> Answer {
        self.connect().route(token, body)
    }

    /// Gets a path, with a token if one is given.
    pub fn get(&self, token: Option<&str>, path: &str) -> Answer {
        let authorization = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
        self.connect()
            .send(format!("GET {path} HTTP/1.1\r\nhost: hall\r\n{authorization}\r\n"))
            .receive()
            .expect("an answer")
    }

    /// The ledger's files, as an auditor beside it reads them.
    pub fn published(&self) -> LogReader {
        LogReader::new(&self.folder.path().join("ledger"))
    }

    /// Committed ledger entries.
    pub fn entries(&self) -> u64 {
        self.ledger.health().entries
    }

    /// Where the ledger is.
    pub fn ledger_folder(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// Begins to shut down.
    pub fn stop(&self) {
        self.server.stop();
    }
}

fn token(name: &str, secret: &str, scope: Scope, tenant: Option<&str>) -> Token {
    Token::new(
        name.parse().unwrap(),
        vec![Digest::of(secret.as_bytes())],
        BTreeSet::from([scope]),
        Binding { tenant: tenant.map(|id| id.parse().unwrap()), ..Binding::default() },
    )
}

/// The hall's snapshot under this version.
pub fn snapshot(version: &str) -> Snapshot {
    let settings = Settings {
        version: Arc::from(version),
        tenants: BTreeMap::from([("org.acme".parse().unwrap(), TenantRisk::Low)]),
        ..Settings::default()
    };
    let capabilities = ["cap.data.write.v1", "cap.data.read.v1"];
    let worker = |id: &str, status| Worker {
        status,
        ..Worker::new(
            id.parse().unwrap(),
            "wrk.data.writer".parse().unwrap(),
            capabilities.iter().map(|id| id.parse().unwrap()).collect(),
        )
    };
    let workers = vec![
        worker("wrk_make_acme_prod", WorkerStatus::Active),
        worker("org.acme.zapier-worker", WorkerStatus::Active),
        worker("wrk_revoked", WorkerStatus::Revoked),
    ];
    let snapshot = Snapshot::build(settings, RuleSet::parse(RULES, Mode::Strict).unwrap(), workers).unwrap();
    snapshot.gated_by(Arc::new(hallgate::policy::load(Path::new(POLICIES)).unwrap()))
}

/// One connection.
pub struct Client(Connection);

/// One answer.
#[derive(Debug)]
pub struct Answer(support::Answer);

impl Deref for Answer {
    type Target = support::Answer;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Client {
    pub fn new(addr: SocketAddr) -> Self {
        Self(Connection::to(addr))
    }

    /// Writes; a server that has heard enough may have closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.send(bytes);
        self
    }

    /// Reads one answer with its body; `None` when the connection ends without one.
    pub fn receive(&mut self) -> Option<Answer> {
        self.0.receive().map(Answer)
    }

    /// Posts a body to `/api/route` as the Make page does.
    pub fn route(&mut self, token: &str, body: impl AsRef<[u8]>) -> Answer {
        let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
        self.post(&headers, body)
    }

    /// Posts a body with these headers to `/api/route`.
    pub fn post(&mut self, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let mut request =
            format!("POST /api/route HTTP/1.1\r\nhost: hall\r\ncontent-length: {}\r\n{headers}\r\n", body.len())
                .into_bytes();
        request.extend_from_slice(body);
        self.send(request).receive().expect("an answer")
    }

    /// Whether the server has closed.
    pub fn closed(&mut self) -> bool {
        self.0.closed()
    }
}

impl Answer {
    /// The body, which must be JSON by its type and by its text.
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// That this is the error envelope with this status, and its JSON.
    pub fn refused(&self, status: u16, error: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        let body = self.json();
        let fixed = [
            ("error", Value::from(error)),
            ("denied", true.into()),
            ("allowed", false.into()),
            ("outcome", "DENY".into()),
            ("selected_worker_species_id", Value::Null),
            ("worker_id", Value::Null),
            ("artifact_hash", Value::Null),
        ];
        for (key, value) in fixed {
            assert_eq!(body.get(key), Some(&value), "{key} of {body}");
        }
        assert!(body["reason"].is_string() && body["deny_reason"].as_str().unwrap().starts_with("DENY_"), "{body}");
        body
    }
}
