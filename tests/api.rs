//! `POST /api/route`, probes and metrics over real sockets: what each client sends, and what it gets back.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

#[path = "api/attestation.rs"]
mod attestation;
#[path = "api/clients.rs"]
mod clients;
#[path = "api/connections.rs"]
mod connections;
#[path = "policy/copy.rs"]
mod copy;
#[path = "api/credentials.rs"]
mod credentials;
#[path = "policy/folder.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod folder;
#[path = "api/harness.rs"]
mod harness;
#[path = "api/laws.rs"]
mod laws;
#[path = "api/log.rs"]
mod log;
#[path = "gate/server.rs"]
mod server;
#[path = "api/status.rs"]
mod status;
