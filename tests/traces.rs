//! Traces from the real binary: what a collector gets, what upstreams are told, and that nobody waits for either.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "traces/collector.rs"]
mod collector;
#[path = "traces/context.rs"]
mod context;
#[path = "traces/failing.rs"]
mod failing;
#[path = "traces/said.rs"]
mod said;
#[path = "remote/terminate.rs"]
mod terminate;
#[path = "traces/variables.rs"]
mod variables;

use std::net::SocketAddr;

use support::{Answer, Fixture, Process, ask};

/// The upstream's own credential.
const CREDENTIAL: &str = "s3cret-of-the-upstream";
/// A caller's span.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A fixture whose gate stands in front of an upstream.
fn fixture(upstream: SocketAddr) -> Fixture {
    let route = |path: &str, label: &str, upstream: &str| {
        format!(
            "    - {{ match: {{ path: {path} }}, capability: cap.data.read.v1, data_label: {label}, upstream: {upstream} }}\n"
        )
    };
    let routes = [
        route("/orders/*", "INTERNAL", "orders"),
        route("/v1/chat/completions", "INTERNAL", "orders"),
        route("/v1beta/*", "INTERNAL", "orders"),
        route("/vault/*", "RESTRICTED", "orders"),
        route("/openai/*", "RESTRICTED", "openai"),
        route("/gone/*", "INTERNAL", "gone"),
    ]
    .concat();
    let fixture = Fixture::sample(upstream).shutdown("{ linger: 0s, grace: 5s }");
    fixture.edit(&route("/orders", "INTERNAL", "orders"), &routes);
    let orders = format!("orders: {{ url: \"http://{upstream}\"");
    let others = "openai: { url: \"http://api.openai.com\" }, gone: { url: \"http://127.0.0.1:1\" }";
    fixture.edit(
        &orders,
        &format!("{others}, {orders}, decision_headers: all, headers: {{ authorization: {CREDENTIAL} }}"),
    );
    fixture
}

/// Asks the gate to read.
fn get(process: &Process, target: &str, headers: &[(&str, &str)]) -> Answer {
    ask(process.gate(), &format!("GET {target}"), headers, "")
}
