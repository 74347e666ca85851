//! A gate and a Hall of one process, an upstream behind it, whoever asks and whoever agrees.

use std::net::SocketAddr;

use serde_json::{Value, json};
use support::{Answer, Fixture, Process, Upstream, ask, get, post, until};

/// Asks; Ann answers for it.
pub const ASKER: &str = "hst_asker_0123456789";
/// Another one of hers.
pub const ASKER2: &str = "hst_asker2_012345678";
/// Agrees.
pub const BEA: &str = "hst_bea_012345678901";

/// What is written.
pub const ROW: &str = "{\"row\": 1,\r\n \"note\": \"as it came \u{e9}\"}";

/// The process, and what is behind it.
pub struct Gate {
    pub fixture: Fixture,
    pub process: Process,
    pub upstream: Upstream,
}

/// With what else `approvals` and the gate say.
pub fn started(approvals: &str, gate: &str) -> Gate {
    let upstream = Upstream::start();
    let fixture = Fixture::new(&format!(
        "
gate:
  listen: 127.0.0.1:0
  listen_h2c: 127.0.0.1:0
  identity: {{ mode: token }}
  env: dev
  {gate}
  upstreams:
    rows: {{ url: \"http://{0}\" }}
    named: {{ url: \"http://{0}\", host: keep }}
  routes:
    - {{ match: {{ path: /named }}, capability: cap.data.write.v1, data_label: CONFIDENTIAL, upstream: named }}
    - {{ match: {{ path: /rows }}, capability: cap.data.write.v1, data_label: CONFIDENTIAL, upstream: rows, hold: {{ max_wait: 1h }} }}
    - {{ match: {{ path: /wait/* }}, capability: cap.data.write.v1, data_label: CONFIDENTIAL, upstream: rows, hold: {{ wait: 1h }} }}
hall:
  listen: 127.0.0.1:0
  tokens:
    - {{ name: asker, secret: {ASKER}, scopes: [route], tenant_id: org.acme, worker_ids: [wrk_writer], owner: ann }}
    - {{ name: asker2, secret: {ASKER2}, scopes: [route], tenant_id: org.acme, worker_ids: [wrk_writer], owner: ann }}
    - {{ name: bea, secret: {BEA}, scopes: [approve], owner: bea }}
policy: {{ rules: rules.json, workers: enrolled, tenants: {{ org.acme: {{ risk: low }} }} }}
approvals: {approvals}
ops: {{ listen: 127.0.0.1:0 }}
shutdown: {{ linger: 0s, grace: 20s }}
",
        upstream.address
    ));
    fixture.write("rules.json", &rules("somebody looks at what is written"));
    let worker = json!({
        "worker_id": "wrk_writer", "worker_species_id": "wrk.data.writer", "capabilities": ["cap.data.write.v1"],
        "risk_tier": "low", "allowed_environments": ["dev"],
    });
    fixture.write("enrolled/writer.json", &worker.to_string());
    Gate { process: fixture.serve(), fixture, upstream }
}

/// The one rule, held for this reason.
pub fn rules(reason: &str) -> String {
    json!({"rules": [{
        "rule_id": "write", "match": {"capability_id": "cap.data.write.v1"},
        "decision": {
            "candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}],
            "escalation": {"human_required_default": true, "rationale": reason},
        },
    }]})
    .to_string()
}

impl Gate {
    pub fn hall(&self) -> SocketAddr {
        self.process.hall()
    }

    /// Writes a row: a request line, more headers, and a body.
    #[track_caller]
    pub fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        if !headers.iter().any(|(name, _)| *name == "wcp-token") {
            all.push(("wcp-token", ASKER));
        }
        all.extend(headers);
        ask(self.process.gate(), line, &all, body)
    }

    /// Writes [`ROW`].
    #[track_caller]
    pub fn write(&self) -> Answer {
        self.send("POST /rows", &[], ROW)
    }

    /// Has Bea decide.
    #[track_caller]
    pub fn resolve(&self, id: &str, resolution: &str) -> Value {
        let body = json!({"pending_approval_id": id, "resolution": resolution}).to_string();
        post(self.hall(), BEA, "/wcp/approvals/resolve", &body).ok()
    }

    /// What Bea sees.
    #[track_caller]
    pub fn look(&self, id: &str) -> Value {
        get(self.hall(), BEA, &format!("/wcp/approvals/{id}")).ok()
    }

    /// The ids of what waits for somebody.
    pub fn pending(&self) -> Vec<String> {
        let body = get(self.hall(), BEA, "/wcp/approvals/pending").ok();
        let pending = body["approvals"].as_array().unwrap().iter().filter(|one| one["state"] == "pending");
        pending.map(|one| one["pending_approval_id"].as_str().unwrap().to_owned()).collect()
    }

    /// The id of the one that waits, once it does.
    pub fn only_pending(&self) -> String {
        until(|| self.pending().len() == 1);
        self.pending().remove(0)
    }

    /// Once so many callers are kept waiting.
    pub fn waits_for(&self, callers: f64) {
        until(|| support::gauge(self.hall(), "hallgate_approvals_waiting") == callers);
    }
}

/// That an answer is a hold, and its id.
#[track_caller]
pub fn held(answer: &Answer) -> String {
    let problem = &answer.body;
    assert_eq!((answer.status, &problem["code"]), (403, &json!("DENY_REQUIRES_HUMAN_APPROVAL")), "{problem:#}");
    problem["pending_approval_id"].as_str().unwrap_or_else(|| panic!("{problem:#}")).to_owned()
}

/// That an answer is a refusal with this status and code, and its reason.
#[track_caller]
pub fn refused(answer: &Answer, status: u16, code: &str) -> String {
    let problem = &answer.body;
    assert_eq!((answer.status, &problem["code"]), (status, &json!(code)), "{problem:#}");
    problem["reason"].as_str().unwrap().to_owned()
}
