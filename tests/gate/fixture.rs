//! A gate in this process, with its hall and its ledger, on an address of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hallgate::cache::{self, Verdicts};
use hallgate::connections::ConnectionLimits;
use hallgate::engine::snapshot::Worker;
use hallgate::engine::{self, Binding, Mode, RuleSet, Snapshot};
use hallgate::hall::{Hall, Scope, Token, TokenBook};
use hallgate::ids::{DataLabel, Digest, Env, TenantRisk};
use hallgate::ledger::{self, Ledger};
use hallgate::proxy::settings::{CapabilityChoice, Forwarding, HoldWait, Identity, Listen, Route, Upstream};
use hallgate::proxy::{self, Settings};
use hallgate::telemetry::{self, LogAllowed, LogFormat, Metrics};
use http::{HeaderValue, Method};
use serde_json::Value;

use crate::server::{RunningServer, ledger_in};

/// Everything below CONFIDENTIAL may be read, written and inferred; RESTRICTED data may not be touched.
const RULES: &str = r#"{"rules":[{"rule_id":"rr_open","match":{"capability_id":{"in":["cap.data.read.v1","cap.data.write.v1"]},
    "env":"prod","data_label":{"in":["PUBLIC","INTERNAL","CONFIDENTIAL"]}},
    "decision":{"candidate_workers_ranked":[{"worker_species_id":"wrk.data.agent"}],"escalation":{"policy_gate":true}}}]}"#;
/// What the rule asks: everything is permitted, but a human must let anyone into the vault.
const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gate/vault.cedar");

/// The worker that is enrolled.
pub const WORKER: &str = "wrk_a";
/// Its tenant.
pub const TENANT: &str = "org.acme";
/// A token that is bound to both.
pub const TOKEN: &str = "hst_secret_of_a";
/// The upstreams' credential.
pub const CREDENTIAL: &str = "Bearer upstream-credential";

/// A running gate.
pub struct Fixture {
    /// Where it listens.
    pub gate: SocketAddr,
    /// Where it listens for HTTP/2.
    pub h2c: SocketAddr,
    /// Its hall.
    pub hall: Arc<Hall>,
    ledger: Ledger,
    folder: tempfile::TempDir,
    server: Option<RunningServer>,
}

/// An upstream's settings; the tests change what they are about.
pub fn upstream(host: &str, port: u16) -> Upstream {
    Upstream {
        name: Arc::from("u"),
        tls: false,
        authorities: None,
        h2: false,
        host: host.to_owned(),
        port,
        base_path: String::new(),
        headers: vec![("authorization".parse().unwrap(), HeaderValue::from_static(CREDENTIAL))],
        strip_headers: Vec::new(),
        strip_query: Vec::new(),
        forwarding: Forwarding::Drop,
        keeps_host: false,
        told_all: false,
        connect_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(4),
    }
}

/// An upstream at an address.
pub fn at(address: SocketAddr) -> Upstream {
    upstream(&address.ip().to_string(), address.port())
}

/// Settings of a gate in front of one upstream:
/// `/public/*` reads PUBLIC data, `/choose/*` lets the caller choose, `/secret/*` is RESTRICTED, only GET at `/get`.
pub fn settings(identity: Identity, upstream: Upstream) -> Settings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (n, pid) = (NEXT.fetch_add(1, Ordering::Relaxed), std::process::id());
    // An address of its own under 127/8 in each process and test: no port is ever taken by another.
    let ip = Ipv4Addr::from(0x7f40_0000 | (pid & 0x3fff) << 8 | (n & 0xff));
    let upstream = Arc::new(upstream);
    let read = || CapabilityChoice::Fixed("cap.data.read.v1".parse().unwrap());
    let route = |path: &str, methods: &[Method], capability, data_label| Route {
        host: None,
        path: path.parse().unwrap(),
        keeps_encoded_slash: false,
        methods: methods.to_vec(),
        capability,
        data_label,
        upstream: Arc::clone(&upstream),
        observed_until: None,
        hold: HoldWait::default(),
    };
    let choice = ["cap.data.read.v1", "cap.data.write.v1"].map(|id| id.parse().unwrap());
    Settings {
        connections: ConnectionLimits { in_all: 1000, per_network: 1000, unknown: 500 },
        min_body_rate: 240,
        listen: Listen::Tcp(SocketAddr::new(ip.into(), 8080)),
        tls: None,
        listen_h2c: Some(SocketAddr::new(ip.into(), 8081)),
        env: Env::Prod,
        identity,
        upstreams: BTreeMap::from([("u".to_owned(), Arc::clone(&upstream))]),
        routes: vec![
            route("/public/*", &[], read(), DataLabel::Public),
            route("/choose/*", &[], CapabilityChoice::Header(choice.into()), DataLabel::Internal),
            route("/secret/*", &[], read(), DataLabel::Restricted),
            route("/get", &[Method::GET], read(), DataLabel::Public),
        ],
        health_path: None,
        cors_origins: Vec::new(),
        dns_servers: Vec::new(),
        threads: 1,
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(30),
        upgraded_idle_timeout: Duration::from_secs(30),
    }
}

/// The gate is one worker's sidecar.
pub fn fixed() -> Identity {
    Identity::Fixed { worker_id: WORKER.parse().unwrap(), tenant_id: TENANT.parse().unwrap() }
}

fn snapshot() -> Snapshot {
    let settings = engine::Settings {
        require_worker_id: BTreeSet::from([Env::Prod]),
        tenants: BTreeMap::from([(TENANT.parse().unwrap(), TenantRisk::Low)]),
        ..engine::Settings::default()
    };
    let worker = Worker::new(
        WORKER.parse().unwrap(),
        "wrk.data.agent".parse().unwrap(),
        ["cap.data.read.v1", "cap.data.write.v1"].map(|id| id.parse().unwrap()).into(),
    );
    let snapshot = Snapshot::build(settings, RuleSet::parse(RULES, Mode::Strict).unwrap(), vec![worker]).unwrap();
    snapshot.gated_by(Arc::new(hallgate::policy::load(Path::new(POLICIES)).unwrap()))
}

fn tokens() -> TokenBook {
    let token = |name: &str, secret: &str, scope, worker: &str| {
        Token::new(
            name.parse().unwrap(),
            vec![Digest::of(secret.as_bytes())],
            BTreeSet::from([scope]),
            Binding {
                tenant: Some(TENANT.parse().unwrap()),
                workers: Some(Arc::new(BTreeSet::from([worker.parse().unwrap()]))),
                ..Binding::default()
            },
        )
    };
    TokenBook::new(vec![
        token("a", TOKEN, Scope::Route, WORKER),
        token("b", "hst_secret_of_b", Scope::Route, "wrk_b"),
        token("reader", "hst_secret_of_reader", Scope::Read, WORKER),
    ])
}

impl Fixture {
    /// Starts a gate and waits until it takes connections.
    pub async fn start(settings: Settings) -> Self {
        if let Ok(level) = std::env::var(crate::logs::LEVEL) {
            telemetry::start_logs(&telemetry::Settings {
                log: LogFormat::Json,
                level,
                log_allowed: LogAllowed::All,
                traces: None,
            })
            .unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let settings_of_ledger = ledger::Settings {
            checkpoint_every: Duration::from_secs(5),
            queue: 1024,
            segment_bytes: 1 << 26,
            request_attributes: true,
            ..ledger_in(folder.path())
        };
        let ledger = Ledger::open(&settings_of_ledger).unwrap();
        let verdicts = Verdicts::new(cache::Settings { max_bytes: 1 << 20 });
        let hall = Hall::new(snapshot(), verdicts, ledger.clone(), tokens(), Arc::new(Metrics::new()));
        let hall = Arc::new(hall.logging(LogAllowed::All));
        let (Listen::Tcp(gate), Some(h2c)) = (settings.listen.clone(), settings.listen_h2c) else { unreachable!() };
        let served = Arc::clone(&hall);
        let start =
            move || RunningServer::start(None, &[gate, h2c], |conf| proxy::service(settings, served, conf).unwrap());
        // Beside the runtime, whose threads are the upstreams'.
        let server = tokio::task::spawn_blocking(start).await.unwrap();
        Self { gate, h2c, hall, ledger, folder, server: Some(server) }
    }

    /// The ledger's entries so far.
    pub fn entries(&self) -> Vec<Value> {
        let mut entries = Vec::new();
        read(&self.folder.path().join("ledger"), &mut entries);
        entries
    }

    /// Waits for an entry of this kind about this decision.
    pub async fn entry(&self, kind: &str, decision_id: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let entries = self.entries();
            let found = entries.iter().find(|entry| {
                entry["kind"] == kind
                    && [&entry["decision_id"], &entry["receipt_id"]].iter().any(|id| **id == decision_id)
            });
            if let Some(found) = found {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "no {kind} entry of {decision_id} in {entries:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits for this line of the metrics: a counter moves just after what it counts.
    pub async fn metric(&self, line: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.hall.metrics_text().contains(line) {
            assert!(Instant::now() < deadline, "no `{line}` in {}", self.hall.metrics_text());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Makes the ledger refuse everything.
    pub fn break_ledger(&self) {
        self.ledger.close();
    }
}

/// Every entry in the files below a folder: what is JSON with a `kind` between the frames.
fn read(folder: &Path, entries: &mut Vec<Value>) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            read(&path, entries);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let mut at = 0;
        while at < bytes.len() {
            let mut values = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter::<Value>();
            match values.next() {
                Some(Ok(value)) if value["kind"].is_string() => {
                    at += values.byte_offset();
                    entries.push(value);
                }
                _ => at += 1,
            }
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        drop(self.server.take());
        self.ledger.close();
    }
}
