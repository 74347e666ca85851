//! A fixture with tokens of every kind.

use std::net::SocketAddr;

use serde_json::Value;
use support::{Fixture, NOWHERE};

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

/// A fixture with these tokens; `hall` is added to that section, `policy` to that one, `more` at the end.
pub fn fixture(hall: &str, policy: &str, more: &str) -> Fixture {
    before(NOWHERE, hall, policy, more)
}

/// The same in front of an upstream.
pub fn before(upstream: SocketAddr, hall: &str, policy: &str, more: &str) -> Fixture {
    let fixture = Fixture::sample(upstream).shutdown("{ linger: 0s, grace: 1s }");
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
    let plain = "  tokens: [{ name: make, secret: \"${HALL_SESSION_TOKEN}\", scopes: [route] }]\npolicy:\n";
    fixture.edit(plain, &format!("{hall}  tokens:\n{}policy:\n{policy}", list.concat()));
    fixture.add(more);
    fixture
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
