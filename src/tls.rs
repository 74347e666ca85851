//! TLS: what we prove ourselves by, whom we trust, and who a client's certificate says it is. Files may change while it runs.
//!
//! pingora's rustls backend does all that is asked of it: a resolver gives each handshake the certificate of now, a verifier
//! asks the authorities of now, and a callback keeps what the client's certificate says. So no other backend is needed, and
//! with `ring` as the one provider there is no OpenSSL to link: a static binary stays one `cargo build` away.

mod authorities;
mod client;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod pem;
mod server;

pub use authorities::Authorities;
pub use client::{Connection, connection};
pub use pem::{Unusable, certificates, key};
pub use server::{Clients, Pair, Server, pair};
