//! The gate over real sockets: a pingora server in this process, upstreams that the tests script, bytes as they are on the wire.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::result_large_err,
    reason = "a test may stop at the first surprise; the handshake's error is not ours"
)]

#[path = "gate/dns.rs"]
mod dns;
#[path = "gate/doors.rs"]
mod doors;
#[path = "gate/endings.rs"]
mod endings;
#[path = "gate/exchanges.rs"]
mod exchanges;
#[path = "gate/fixture.rs"]
mod fixture;
#[path = "gate/forwarded.rs"]
mod forwarded;
#[path = "gate/forwarding.rs"]
mod forwarding;
#[path = "gate/grpc.rs"]
mod grpc;
#[path = "gate/http2.rs"]
mod http2;
#[path = "gate/logs.rs"]
mod logs;
#[path = "gate/names.rs"]
mod names;
#[path = "gate/observing.rs"]
mod observing;
#[path = "gate/own_answers.rs"]
mod own_answers;
#[path = "endurance/random.rs"]
mod random;
#[path = "gate/rejecting.rs"]
mod rejecting;
#[path = "gate/server.rs"]
mod server;
#[path = "gate/slow.rs"]
mod slow;
#[path = "gate/streams.rs"]
mod streams;
#[path = "gate/targets.rs"]
mod targets;
#[path = "gate/upstream.rs"]
mod upstream;
#[path = "gate/wire.rs"]
mod wire;
