//! Over TLS: the registry is verified, and the key is sent to nobody else. `tls/` holds a CA of ours and a certificate for 127.0.0.1.

use serde_json::json;
use support::until;

use crate::fixture::{Fixture, NAMESPACED};
use crate::registry::Registry;
use crate::terminate::{file, terminate};

#[test]
fn a_registry_is_verified_before_it_gets_the_key() {
    let registry = Registry::start(&[NAMESPACED]);
    let url = format!("https://{}", terminate(registry.addr));
    let trusting = Fixture::asking(&url, "60s").serve_with(&[("SSL_CERT_FILE", &file("ca.pem"))]);
    until(|| trusting.verdict(NAMESPACED, "prod") == "ALLOWED");
    drop(trusting);

    let before = registry.asked().len();
    // Who trusts another CA.
    let doubting = Fixture::asking(&url, "60s").serve_with(&[("SSL_CERT_FILE", &file("other.pem"))]);
    until(|| doubting.readyz()["registry"]["error"].as_str().is_some_and(|error| error.contains("certificate")));
    assert_eq!(doubting.verdict(NAMESPACED, "prod"), "DENY_REGISTRY_UNAVAILABLE");
    assert_eq!(doubting.readyz()["ready"], json!(true));
    assert_eq!(registry.asked().len(), before, "the key was sent");
}
