//! A Hall over https as platforms ask it, and what is in its place when it is not there.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use support::{Fixture, NOWHERE, Process, TOKEN, run, until};

use crate::authority::Authority;

/// So that a limit to a file's length is an error of a write, and no signal that ends the process.
const LIMITED: [&str; 4] = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];

/// Who decides.
pub const BEA: &str = "hst_bea_012345678901";

/// A running Hall, whose token may also read the catalogue.
pub struct Hall {
    fixture: Fixture,
    pub process: Process,
    token: String,
}

impl Hall {
    /// One with the policy of `conf`, and a tenant as it is there.
    pub fn start() -> Self {
        let fixture = Fixture::sample(NOWHERE);
        fixture.edit("policy:\n", "policy:\n  tenants: { org.acme: { risk: low } }\n");
        Self::over_https(fixture, TOKEN.to_owned())
    }

    /// The same, where humans are asked: `bea` is one. It may call what begins with this entry of `approvals.callbacks`.
    pub fn asking(entry: &str, ttl: &str) -> Self {
        let fixture = Fixture::sample(NOWHERE);
        fixture.edit("policy:\n", "policy:\n  tenants: { org.acme: { risk: low } }\n");
        fixture.edit(
            "scopes: [route] }]",
            &format!("scopes: [route], owner: ann }}, {{ name: bea, secret: {BEA}, scopes: [approve], owner: bea }}]"),
        );
        fixture.edit("scopes: [route]", "scopes: [route, read]");
        fixture.add(&format!(
            "approvals: {{ callbacks: [{entry}], callback_secret: of-these-tests-0123456789, ttl: {ttl} }}"
        ));
        Self::secured(fixture, TOKEN.to_owned())
    }

    /// Has `bea` decide about what waits, which is one.
    pub fn resolve(&self, resolution: &str) {
        let (_, listed) = self.ask("GET", "/wcp/approvals/pending", Some(BEA), "");
        assert_eq!(listed["count"], 1, "{listed}");
        let id = &listed["approvals"][0]["pending_approval_id"];
        let body = json!({ "pending_approval_id": id, "resolution": resolution, "note": "it is payday" });
        let (status, answer) = self.ask("POST", "/wcp/approvals/resolve", Some(BEA), &body.to_string());
        assert_eq!(status, 200, "{answer}");
    }

    /// One as `hallgate init --for make` makes it.
    pub fn made() -> Self {
        let fixture = Fixture::new("");
        let (code, _, err) = fixture.run(&["init", ".", "--for", "make", "--force"]);
        assert_eq!(code, Some(0), "{err}");
        fixture.edit("127.0.0.1:8765", "127.0.0.1:0");
        fixture.edit("log: text", "log: json");
        let token = fixture.read("token").trim().to_owned();
        Self::over_https(fixture, token)
    }

    fn over_https(fixture: Fixture, token: String) -> Self {
        fixture.edit("scopes: [route]", "scopes: [route, read]");
        Self::secured(fixture, token)
    }

    fn secured(fixture: Fixture, token: String) -> Self {
        let authority = Authority::new();
        let issued = authority.issue(&["localhost", "127.0.0.1"]);
        fixture.write("authority.crt", &authority.pem);
        fixture.write("hall.crt", &issued.pem);
        fixture.write("hall.key", &issued.key_pem);
        fixture.edit("hall:\n", "hall:\n  tls: { cert_file: hall.crt, key_file: hall.key }\n");
        let hall = Self { process: fixture.serve_under(&LIMITED), fixture, token };
        until(|| hall.ask("GET", "/readyz", None, "").0 == 200);
        hall
    }

    /// Its address, as a platform is told it.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.process.hall().port())
    }

    /// Whom its clients trust.
    pub fn authority(&self) -> PathBuf {
        self.fixture.path("authority.crt")
    }

    /// A token that it knows.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Whether a decision is in its ledger.
    pub fn has_recorded(&self, decision_id: &str) -> bool {
        self.fixture.entries().iter().any(|entry| entry["decision_id"] == decision_id)
    }

    /// Has its ledger not grow, until the limit is taken away: it cannot record, and so it cannot decide.
    pub fn cannot_record(&self) {
        self.process.limit_files("1");
        until(|| self.decide(&crate::request("PUBLIC")).0 == 503);
    }

    /// A place that goes with it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.fixture.path(name)
    }

    /// An answer of it: status, 0 where there is none, and body.
    pub fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, Value) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "10", "-X", method, "-w", "\n%{http_code}", "--cacert"]).arg(self.authority());
        if let Some(token) = token {
            curl.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        if !body.is_empty() {
            curl.args(["-H", "Content-Type: application/json", "--data-binary", "@-"]);
        }
        let (_, out, _) = run(curl.arg(format!("{}{path}", self.url())), body);
        let (body, status) = out.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    /// The decision on this.
    pub fn decide(&self, body: &Value) -> (u16, Value) {
        self.ask("POST", "/api/route", Some(&self.token), &body.to_string())
    }
}

/// Something that gives every request this answer, whole with its head; or none at all, and holds the connection.
pub fn in_its_place(answer: Option<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut held = Vec::new();
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let Some(answer) = &answer else {
                held.push(connection);
                continue;
            };
            let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
            while !whole(&seen) {
                match connection.read(&mut piece) {
                    Ok(read @ 1..) => seen.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    address
}

/// An answer of this status and kind.
pub fn answer(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Whether a request has come whole.
fn whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.is_none_or(|length| body.len() >= length.trim().parse().unwrap())
}
