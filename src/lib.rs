//! hallgate: a reverse-proxy sidecar and Hall Server that decides, records and only then forwards.
//!
//! ```text
//! request ─► identify ─► describe ─► decide ─► record ─► forward
//!             Caller     RouteInput   Decision   Receipt   Permit
//!                                        └──────────┴──► reject (deny, hold, cannot decide)
//! ```
//!
//! Each arrow is a function, each word under it a type, and each step demands the type before it. Enter at [`hall::Hall::rule`],
//! through which both doors go, [`engine::decide`], which gives the verdict, or [`cli::serve::start`], which wires everything.
//!
//! The rooms, each of which imports only what stands above it, and not all of that (`tests/tidy/rooms.rs`):
//!
//! - [`ids`]: Identifiers and closed vocabularies, valid by construction: who, what, where and how sensitive.
//! - [`clock`]: The wall clock, and the one way in which times are written.
//! - [`documents`]: Documents: the files that people write. Read whole, within a bound and as UTF-8; and in a folder, what is not read is said.
//! - [`database`]: SQLite files of ours: one process writes each at a time, what is opened is ours, of a version that we know, and whole.
//! - [`outbound`]: HTTP clients of ours: made here and nowhere else, without a proxy, a redirect, an answer without end or a wait without one.
//! - [`telemetry`]: Logs, metrics and traces. Nothing here knows a secret or a body: callers pass ids, codes and counts.
//! - [`tls`]: TLS: what we prove ourselves by, whom we trust, and who a client's certificate says it is. Files may change while it runs.
//! - [`connections`]: Callers' connections: how many there may be, how their TLS begins, and where each HTTP/1.1 message on them ends.
//! - [`engine`]: The decision: a pure function of a question and a snapshot. No I/O, clock, randomness, async or logging.
//! - [`policy`]: The policy gate: Cedar policies, read and checked at load, and asked by the engine.
//! - [`registry`]: Enrolled workers: who may be dispatched, what they declare, and what their code is now.
//! - [`cache`]: Remembered verdicts (moka). The key is the question itself, so a remembered verdict is the one that would be given again.
//! - [`approvals`]: Approvals: what is held until a human agrees, from the question to the one dispatch that it is for.
//! - [`ledger`]: Append-only evidence: every decision, refusal and outcome, durable before its effect, chained and signed.
//! - [`hall`]: The waist: look up facts, ask the question, decide or remember, record, and mint the permit. Both doors come through here.
//! - [`proxy`]: The gate: pingora's phases, each one line of ours: validate, identify, admit, route, describe, decide, forward or reject.
//! - [`console`]: The console: the Hall as pages for people. It asks the Hall's API as whoever is signed in, and has no way of its own around it.
//! - [`api`]: The Hall's HTTP API, served by axum on a pingora listener: decisions, what was decided, receipts, the log, probes and metrics.
//! - [`config`]: The configuration: the YAML as it is written, and what is true once all of it is checked. Every problem is reported together.
//! - [`lint`]: Lints: what loads and cannot work all the same, found by holding gate, rules, workers, catalogue and policies against each other.
//! - [`cli`]: The command line: one file a command. Exit codes: 0 yes, 1 no (denied, differs, broken), 2 cannot.
//!
//! What never happens:
//!
//! - Nothing is forwarded without a [`hall::Permit`]. It is made in one place, from a decision to dispatch and its committed receipt.
//! - One request in is one request out: what two readers could end in different places is refused, and its connection ends.
//! - A denial is a value. An error means that we could not decide or record: the caller gets 503, and nothing is forwarded.
//! - The engine does no I/O and knows no clock, randomness, waiting or logging: equal questions have equal verdicts.
//! - What is remembered is a verdict under its question, never a receipt: every request has its own entry.
//! - No database, no signature and no network call but the upstream's is on the path of a request; but what is held for a human waits
//!   until the approvals' store has it.
//! - No secret, token or body reaches a log, an error or the ledger. Of a caller's object the ledger keeps what policies read, unless told not to.
//! - `proxy` and `api` do not know each other.
#![forbid(unsafe_code)]

pub mod api;
pub mod approvals;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod console;
pub mod database;
pub mod documents;
pub mod engine;
pub mod hall;
pub mod ids;
pub mod ledger;
pub mod lint;
pub mod outbound;
pub mod policy;
pub mod proxy;
pub mod registry;
pub mod telemetry;
pub mod tls;

#[cfg(test)]
#[path = "../fuzz/replay.rs"]
mod replay;
