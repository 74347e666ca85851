//! Traces from the real binary: what a collector gets, what upstreams are told, and that nobody waits for either.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "serve/asking.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod asking;
#[path = "traces/collector.rs"]
mod collector;
#[path = "traces/context.rs"]
mod context;
#[path = "traces/failing.rs"]
mod failing;
#[path = "serve/house.rs"]
#[expect(dead_code, reason = "the tests of `serve` use the rest of it")]
mod house;
#[path = "traces/said.rs"]
mod said;
#[path = "remote/terminate.rs"]
mod terminate;
#[path = "traces/upstream.rs"]
mod upstream;
#[path = "traces/variables.rs"]
mod variables;

use std::net::SocketAddr;

use asking::{Answer, ask};
use house::{House, Process, TOKEN, until};

/// The upstream's own credential.
const CREDENTIAL: &str = "s3cret-of-the-upstream";
/// A caller's span.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A house whose gate stands in front of an upstream.
fn house(upstream: SocketAddr) -> House {
    let house = House::build("{ linger: 0s, grace: 5s }");
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
    let policy = house.configuration("{ linger: 0s, grace: 5s }");
    let (_, rest) = policy.split_once("hall:\n").unwrap();
    house.write(&format!(
        "gate:\n  listen: 127.0.0.1:0\n  identity: {{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }}\n  upstreams:\n    \
         orders: {{ url: \"http://{upstream}\", headers: {{ authorization: {CREDENTIAL} }} }}\n    openai: {{ url: \"http://api.openai.com\" }}\n    \
         gone: {{ url: \"http://127.0.0.1:1\" }}\n  routes:\n{routes}hall:\n{rest}"
    ));
    house
}

/// Starts it with this environment and no other.
fn serve(house: &House, environment: &[(&str, &str)]) -> Process {
    let set: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let token = format!("HALL_SESSION_TOKEN={TOKEN}");
    let mut above = vec!["env", "-i", &*token];
    above.extend(set.iter().map(String::as_str));
    let process = house.serve_under(&above);
    until(|| process.readiness() == Some(200));
    process
}

/// Asks the gate to read.
fn get(process: &Process, target: &str, headers: &[(&str, &str)]) -> Answer {
    ask(process.gate(), &format!("GET {target}"), headers, "")
}

/// Ends it in order.
#[track_caller]
fn end(process: &mut Process) {
    process.signal();
    assert_eq!(process.ended(), Some(0), "{}", process.seen);
}
