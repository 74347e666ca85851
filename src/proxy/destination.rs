//! A place where requests may go: its addresses, its Host, its credentials, and how often it answered what.

use std::fmt;
use std::sync::{Arc, OnceLock};

use hickory_resolver::TokioResolver;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::proxy::resolve::Addresses;
use crate::proxy::settings::Upstream;
use crate::telemetry::{Counter, Metrics, UpstreamLabels};

/// A place where requests may go.
pub struct Destination {
    /// As configured.
    pub upstream: Arc<Upstream>,
    /// Where it is.
    pub addresses: Addresses,
    /// Its Host header.
    pub host: HeaderValue,
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
    /// The destination of an upstream; `group` is its own even number.
    ///
    /// # Errors
    /// Its host is no host.
    pub fn new(
        upstream: &Arc<Upstream>,
        group: u64,
        resolver: Option<TokioResolver>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, String> {
        let name = if upstream.host.contains(':') { format!("[{}]", upstream.host) } else { upstream.host.clone() };
        let usual = if upstream.tls { 443 } else { 80 };
        let host = if upstream.port == usual { name } else { format!("{name}:{}", upstream.port) };
        Ok(Self {
            host: HeaderValue::try_from(host)
                .map_err(|_| format!("`gate.upstreams.{}` has a malformed host", upstream.name))?,
            addresses: Addresses::new(Arc::clone(upstream), group, resolver),
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

    /// Whether this header is one that only we may set: one of ours, or one of the upstream's own, also when it is written
    /// with `_`, which CGI-like upstreams take for `-`.
    #[must_use]
    pub fn is_ours(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        let dashed = |own: &HeaderName| {
            own.as_str().len() == name.len()
                && own.as_str().bytes().zip(name.bytes()).all(|(a, b)| a == b || (a == b'-' && b == b'_'))
        };
        name.starts_with("wcp-") || (name.contains('_') && self.upstream.headers.iter().any(|(own, _)| dashed(own)))
    }
}
