//! The `hall` section, as it is true, without its tokens.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::connections::ConnectionLimits;
use crate::tls;

/// The `hall` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The TLS that is spoken there; `None`: cleartext.
    pub tls: Option<tls::Server>,
    /// Browser origins that may call, such as `https://app.example.org`; empty: none.
    pub cors_origins: Vec<String>,
    /// Whether `/metrics` needs a token with the scope `read`.
    pub metrics_need_token: bool,
    /// Whether Hall Monitor on this machine reads without a token.
    pub monitor_unauthenticated_loopback: bool,
    /// Whether checkpoint and hash tiles of the log need no token; entries always do.
    pub public_tiles: bool,
    /// Where people find it, such as `https://hall.example.org`: links to it begin so. `None`: there are none.
    pub public_url: Option<Arc<str>>,
    /// Whether there are pages for people.
    pub console: bool,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// Worker threads of the API's runtime.
    pub threads: usize,
}
