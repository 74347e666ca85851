//! The `gate` section, as it is true: checked, resolved and ready to use.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::connections::ConnectionLimits;
use crate::ids::{CapabilityId, DataLabel, Env, TenantId, WorkerId};
use crate::tls;

pub use crate::proxy::pattern::{NoPattern, PathPattern};
pub use crate::proxy::trusted_networks::TrustedNetworks;
pub use crate::proxy::workloads::{Pattern, Workloads};

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The loopback addresses of both families, at one port: IPv4's first, and IPv6's where the machine has it. Connections that
    /// the kernel redirects to this machine arrive at the one of their own family.
    Loopback(Vec<SocketAddr>),
    /// A Unix socket; made with mode 0660.
    Unix(PathBuf),
}

/// The `gate` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where callers connect with HTTP/1.1, and over TLS with HTTP/2, too.
    pub listen: Listen,
    /// The TLS that is spoken there; `None`: cleartext.
    pub tls: Option<tls::Server>,
    /// Where callers connect with cleartext HTTP/2; a listener of its own.
    pub listen_h2c: Option<SocketAddr>,
    /// The environment: the gate's, never the caller's.
    pub env: Env,
    /// Who callers are.
    pub identity: Identity,
    /// Where requests may go, by name.
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// Which request asks for which capability; the first match counts.
    pub routes: Vec<Route>,
    /// The path at which the gate says itself whether requests should be sent to it; `None`: nowhere.
    pub health_path: Option<PathPattern>,
    /// Origins of the web pages that may call; empty: CORS is the upstreams'.
    pub cors_origins: Vec<HeaderValue>,
    /// DNS servers to ask instead of the system's; empty: the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// Worker threads of the gate's runtime.
    pub threads: usize,
    /// Seconds in all for a request's headers to arrive.
    pub header_timeout: Duration,
    /// Longest silence of a caller while its body or an answer is under way.
    pub idle_timeout: Duration,
    /// Longest silence on an upgraded connection (WebSocket).
    pub upgraded_idle_timeout: Duration,
    /// Bytes a second that a body has to arrive with over any `idle_timeout`; zero: none.
    pub min_body_rate: u32,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
}

impl Settings {
    /// The routes that only observe the policy, or did so once, each with its place and in microseconds since 1970 UTC until when.
    pub fn observing(&self) -> impl Iterator<Item = (usize, &Route, i64)> {
        self.routes.iter().enumerate().filter_map(|(at, route)| Some((at, route, route.observed_until?)))
    }
}

/// Who callers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// One worker: the gate is its sidecar.
    Fixed {
        /// The worker.
        worker_id: WorkerId,
        /// Its tenant.
        tenant_id: TenantId,
    },
    /// Whoever presents a token in `wcp-token`; it must have the scope `route`.
    Token,
    /// Whoever proves a known workload by a client certificate.
    Mtls(Workloads),
    /// Whoever a listed peer says it is.
    TrustedHeaders(TrustedHeaders),
}

/// The peers that say in headers who their callers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedHeaders {
    /// Where such requests may come from; one at least.
    pub peers: Vec<TrustedNetworks>,
    /// The header that names the worker.
    pub worker: HeaderName,
    /// The header that names the tenant.
    pub tenant: HeaderName,
}

/// Where requests may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The authorities by which it is verified; `None`: the system's.
    pub authorities: Option<tls::Authorities>,
    /// Whether to speak HTTP/2 (cleartext with prior knowledge, or by ALPN over TLS); else HTTP/1.1, or what ALPN yields.
    pub h2: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path prefix of the base URL, without a trailing slash; usually empty.
    pub base_path: String,
    /// Headers that only the gate holds, such as the upstream's credential; marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers of the caller's that never get there, besides credentials.
    pub strip_headers: Vec<HeaderName>,
    /// Parameters of the query that never get there, besides credentials.
    pub strip_query: Vec<String>,
    /// What it is told of the caller's connection.
    pub forwarding: Forwarding,
    /// Whether it gets the host that the caller asks for, and not its own.
    pub keeps_host: bool,
    /// Whether it is told the artifact hash and the correlation id of each decision, and not its id alone.
    pub told_all: bool,
    /// Longest time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Longest silence of the upstream.
    pub read_timeout: Duration,
    /// How long a connection waits for its next request, unless the upstream says that it keeps it for less.
    pub idle_timeout: Duration,
}

/// What an upstream is told of the caller's connection, by headers such as `X-Forwarded-For`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forwarding {
    /// Nothing.
    Drop,
    /// What the gate sees.
    Set,
    /// The same behind what proxies in these networks say, one network at least.
    Append(Vec<TrustedNetworks>),
}

/// Which request asks for which capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The host it is for, lower-case without port; `None`: any.
    pub host: Option<String>,
    /// Its paths.
    pub path: PathPattern,
    /// Whether a `*` of the path also covers an encoded `/`: its upstream takes it for a part of a segment.
    pub keeps_encoded_slash: bool,
    /// The methods; empty: any.
    pub methods: Vec<Method>,
    /// The capability.
    pub capability: CapabilityChoice,
    /// The floor of the data label; the caller can only raise it.
    pub data_label: DataLabel,
    /// The name of the upstream.
    pub upstream: Arc<Upstream>,
    /// Until when the policy is only observed here, in microseconds since 1970 UTC: what it denies passes, and is said. `None`: it is
    /// enforced.
    pub observed_until: Option<i64>,
    /// How long a caller is kept waiting when a human has to agree.
    pub hold: HoldWait,
}

/// How long a caller is kept waiting when a human has to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HoldWait {
    /// Whoever says nothing; zero: it is answered at once.
    pub wait: Duration,
    /// The most that `Prefer: wait` may ask for.
    pub max_wait: Duration,
}

/// What it is for: methods, host and path.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        let methods = if methods.is_empty() { "any method".to_owned() } else { methods.join(" or ") };
        write!(f, "{methods} {}{}", self.host.as_deref().unwrap_or_default(), self.path)
    }
}

impl Route {
    /// Whether it asks for the same at the same place as another: which of the two counts makes no difference.
    #[must_use]
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.capability == other.capability
            && self.data_label == other.data_label
            && Arc::ptr_eq(&self.upstream, &other.upstream)
            && self.observed_until == other.observed_until
            && self.hold == other.hold
    }
}

/// How a route names its capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CapabilityChoice {
    /// Always this one.
    Fixed(CapabilityId),
    /// The one of these that the `wcp-capability` header names.
    Header(Vec<CapabilityId>),
}
