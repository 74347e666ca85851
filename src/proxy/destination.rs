//! A place where requests may go: its addresses, its Host, its credentials, and how often it answered what.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use http::{HeaderName, HeaderValue, StatusCode};
use pingora_core::upstreams::peer::HttpPeer;

use crate::proxy::credentials::Credentials;
use crate::proxy::header_names::{self, HeaderNames};
use crate::proxy::pooling::Pooling;
use crate::proxy::resolve::{Addresses, Dns};
use crate::proxy::settings::Upstream;
use crate::telemetry::{Counter, Metrics, UpstreamLabels};

/// What proxies that end TLS say of a client's certificate (RFC 9440, Envoy): here it could only be forged.
const CERTIFICATES: [&str; 3] = ["client-cert", "client-cert-chain", "x-forwarded-client-cert"];

/// What is said to a proxy, us. `proxy` is nobody's header, and a CGI program's variable HTTP_PROXY (CVE-2016-5385).
const PROXYS: [&str; 3] = ["proxy", "proxy-authorization", "proxy-connection"];

/// A place where requests may go.
pub struct Destination {
    /// As configured.
    pub upstream: Arc<Upstream>,
    /// Where it is.
    pub addresses: Arc<Addresses>,
    /// Its Host header.
    pub host: HeaderValue,
    /// Headers of the caller's that never get there.
    kept_back: HeaderNames,
    /// Credentials of the caller's that never get there.
    pub credentials: Credentials,
    /// How long connections to it wait.
    pub pooling: Pooling,
    metrics: Arc<Metrics>,
    // By status from 100; a counter is looked up once, then only counted up.
    answers: Vec<OnceLock<Counter>>,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Destination").field(&self.upstream.name).finish()
    }
}

impl Destination {
    /// The destination of an upstream; `group` is its own even number below 2^32, `identity` the headers that say who the
    /// caller is, and that it never gets.
    ///
    /// # Errors
    /// Its host is no host.
    pub fn new(
        upstream: &Arc<Upstream>,
        group: u64,
        dns: Option<Dns>,
        identity: &[HeaderName],
        metrics: &Arc<Metrics>,
    ) -> Result<Self, String> {
        let name = if upstream.host.contains(':') { format!("[{}]", upstream.host) } else { upstream.host.clone() };
        let usual = if upstream.tls { 443 } else { 80 };
        let host = if upstream.port == usual { name } else { format!("{name}:{}", upstream.port) };
        let own = upstream.headers.iter().map(|(name, _)| name).chain(identity);
        let known = CERTIFICATES.iter().chain(&PROXYS);
        let kept_back = own.map(|name| Cow::from(name.as_str().to_owned())).chain(known.map(|name| Cow::from(*name)));
        Ok(Self {
            kept_back: HeaderNames::of(kept_back),
            credentials: Credentials::beside(upstream),
            pooling: Pooling::new(upstream.idle_timeout),
            host: HeaderValue::try_from(host)
                .map_err(|_| format!("`gate.upstreams.{}` has a malformed host", upstream.name))?,
            addresses: Arc::new(Addresses::new(Arc::clone(upstream), group, dns)),
            upstream: Arc::clone(upstream),
            metrics: Arc::clone(metrics),
            answers: std::iter::repeat_with(OnceLock::new).take(500).collect(),
        })
    }

    /// Counts an answer.
    pub fn answered(&self, status: StatusCode) {
        let counter = || self.counter(Arc::from(status.as_str()));
        match self.answers.get(usize::from(status.as_u16()).saturating_sub(100)) {
            Some(known) => known.get_or_init(counter).inc(),
            None => counter().inc(),
        };
    }

    /// Counts an exchange without an answer.
    pub fn failed(&self) {
        self.counter(Arc::from("failed")).inc();
    }

    fn counter(&self, status: Arc<str>) -> Counter {
        let labels = UpstreamLabels { upstream: Arc::clone(&self.upstream.name), status };
        self.metrics.upstream_responses.get_or_create(&labels).clone()
    }

    /// Makes a connection of now: with what is known of the upstream by now.
    pub fn prepare(&self, peer: &mut HttpPeer) {
        peer.options.idle_timeout = Some(self.pooling.time());
        self.verify(peer);
    }

    /// Lets the upstream be verified by its own authorities, if it has any: those of now. Connections that were verified by
    /// others are not used again.
    fn verify(&self, peer: &mut HttpPeer) {
        if let Some(authorities) = &self.upstream.authorities {
            let (list, generation) = authorities.now();
            peer.options.ca = Some(list);
            peer.group_key |= generation << 32;
        }
    }

    /// Whether this header is one that only we may set: one of ours, one that says who the caller is, a credential where we hold
    /// the upstream's, or one of the upstream's own; in any spelling.
    #[must_use]
    pub fn is_ours(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        header_names::is_wcp(name) || self.kept_back.have(name) || self.credentials.is_header(name)
    }
}
