//! A house with tokens of every kind, and a client of its Hall.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::house::{House, rest, status};

pub const MAKE: &str = "hst_make_0123456789";
pub const ANY: &str = "hst_any_0123456789a";
pub const READER: &str = "hst_reader_01234567";
pub const ACME: &str = "hst_acme_reader_012";
pub const GLOBEX: &str = "hst_globex_reader_0";
pub const INGEST: &str = "hst_ingest_01234567";
pub const ACME_INGEST: &str = "hst_acme_ingest_012";
pub const ADMIN: &str = "hst_admin_012345678";
pub const GLOBEX_ADMIN: &str = "hst_globex_admin_01";

/// What is decided about in most tests.
pub const READ: &str = r#"{"capability_id":"cap.data.read.v1","worker_id":"wrk_make_acme_prod","env":"prod","data_label":"PUBLIC","tenant_id":"org.acme"}"#;
/// What no rule matches.
pub const DENIED: &str = r#"{"capability_id":"cap.no.rule","worker_id":"wrk_make_acme_prod","env":"prod","data_label":"PUBLIC","tenant_id":"org.acme"}"#;

/// A house with these tokens; `hall` is added to that section, `policy` to that one, `more` at the end.
pub fn house(hall: &str, policy: &str, more: &str) -> House {
    let house = House::build("{ linger: 0s, grace: 1s }");
    house.write(&configuration(&house, hall, policy, more));
    house
}

pub fn configuration(house: &House, hall: &str, policy: &str, more: &str) -> String {
    let tokens = [
        ("make", MAKE, "route", "tenant_id: org.acme, worker_ids: [wrk_make_acme_prod]"),
        ("any", ANY, "route", ""),
        ("reader", READER, "read", ""),
        ("acme-reader", ACME, "read", "tenant_id: org.acme"),
        ("globex-reader", GLOBEX, "read", "tenant_id: org.globex"),
        ("ingest", INGEST, "ingest", ""),
        ("acme-ingest", ACME_INGEST, "ingest", "tenant_id: org.acme"),
        ("admin", ADMIN, "admin", ""),
        ("globex-admin", GLOBEX_ADMIN, "admin", "tenant_id: org.globex"),
    ];
    let list: Vec<String> = tokens
        .iter()
        .map(|(name, secret, scope, binding)| {
            format!("    - {{ name: {name}, secret: {secret}, scopes: [{scope}], {binding} }}\n").replace(", }", " }")
        })
        .collect();
    let plain = house.configuration("{ linger: 0s, grace: 1s }");
    let tokens_at = plain.find("  tokens:").unwrap();
    let policy_at = plain.find("policy:\n").unwrap();
    format!(
        "{}{hall}  tokens:\n{}policy:\n{policy}{}{more}",
        &plain[..tokens_at],
        list.concat(),
        &plain[policy_at + "policy:\n".len()..]
    )
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Answer {
    /// That it is a success, and its body.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(matches!(self.status, 200 | 201), "{} {}", self.head, self.body);
        self.body
    }

    /// That it is the error envelope with this status, and its reason.
    #[track_caller]
    pub fn refused(self, status: u16) -> String {
        assert_eq!(self.status, status, "{} {}", self.head, self.body);
        assert_eq!((&self.body["denied"], &self.body["allowed"]), (&true.into(), &false.into()), "{}", self.body);
        self.body["reason"].as_str().unwrap().to_owned()
    }
}

/// One request with these headers.
pub fn send(hall: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut connection = TcpStream::connect(hall).unwrap();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    write!(connection, "{method} {path} HTTP/1.1\r\nconnection: close\r\n{length}{headers}\r\n{body}").unwrap();
    let text = rest(&mut connection);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    Answer { status: status(head).unwrap(), head: head.to_ascii_lowercase(), body }
}

pub fn get(hall: SocketAddr, token: &str, path: &str) -> Answer {
    send(hall, "GET", path, &format!("host: hall\r\nauthorization: Bearer {token}\r\n"), "")
}

pub fn post(hall: SocketAddr, token: &str, path: &str, body: &str) -> Answer {
    let headers = format!("host: hall\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    send(hall, "POST", path, &headers, body)
}

/// The names of an object's members.
pub fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// That an object has these members at least.
#[track_caller]
pub fn has(object: &Value, names: &str) {
    for name in names.split_whitespace() {
        assert!(object.get(name).is_some(), "{name} in {object}");
    }
}
