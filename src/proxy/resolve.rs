//! Where an upstream is: its addresses, looked up without blocking a thread, and again when they may have changed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use pingora_core::upstreams::peer::HttpPeer;

use crate::proxy::peer::peer;
use crate::proxy::settings::Upstream;

/// An answer is asked for again after this long, however long its own time to live is.
const LONGEST: Duration = Duration::from_secs(60);
/// While a name cannot be looked up, it is tried again this often, and what was known is used.
const RETRY: Duration = Duration::from_secs(1);
/// An address that could not be connected to is passed over this long, when there is another.
const PASSED_OVER: Duration = Duration::from_secs(10);

/// Asks the DNS.
///
/// # Errors
/// The system's resolver configuration cannot be read.
pub fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, String> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio().map_err(|error| {
            format!(
                "the system's DNS configuration cannot be read: {error}; set `gate.dns_servers` to name the servers"
            )
        })?
    } else {
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    // What is remembered is remembered here, once.
    options.cache_size = 0;
    builder.build().map_err(|error| format!("the DNS resolver cannot be built: {error}"))
}

/// An upstream's addresses as last known.
pub struct Addresses {
    upstream: Arc<Upstream>,
    group: u64,
    resolver: Option<TokioResolver>,
    known: ArcSwapOption<Answer>,
    asking: AtomicBool,
    turn: AtomicUsize,
    epoch: Instant,
}

#[derive(Debug)]
struct Answer {
    addresses: Vec<Address>,
    good_until: Option<Instant>,
}

#[derive(Debug)]
struct Address {
    peer: HttpPeer,
    socket: SocketAddr,
    /// Milliseconds since the epoch of [`Addresses`] until which this one is passed over.
    passed_over_until: AtomicU64,
}

impl Addresses {
    /// The addresses of an upstream; nothing is looked up before the first request, and nothing ever for a literal address.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, group: u64, resolver: Option<TokioResolver>) -> Self {
        let mut addresses = Self {
            upstream,
            group,
            resolver,
            known: ArcSwapOption::empty(),
            asking: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
            epoch: Instant::now(),
        };
        if let Some(address) = literal(&addresses.upstream) {
            addresses.resolver = None;
            addresses.know([address], None);
        }
        addresses
    }

    /// The next address to try, in turn. Waits for the DNS only when what is known is no longer good.
    ///
    /// # Errors
    /// The name has no address, or none could be looked up; says so in words fit for a log.
    pub async fn next(&self) -> Result<HttpPeer, String> {
        if !self.good() {
            self.look_up().await?;
        }
        let known = self.known.load();
        let addresses = known.as_ref().map_or(&[][..], |answer| &answer.addresses);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let now = self.millis(Instant::now());
        let in_turn =
            || addresses.iter().cycle().skip(turn.checked_rem(addresses.len()).unwrap_or(0)).take(addresses.len());
        let next = in_turn()
            .find(|address| address.passed_over_until.load(Ordering::Relaxed) <= now)
            .or_else(|| in_turn().next());
        next.map(|address| address.peer.clone()).ok_or_else(|| format!("`{}` has no address", self.upstream.host))
    }

    /// Notes that an address could not be connected to. Returns how many addresses there are to try.
    pub fn failed(&self, peer: &HttpPeer) -> usize {
        let known = self.known.load();
        let addresses = known.as_ref().map_or(&[][..], |answer| &answer.addresses);
        let until = self.millis(Instant::now() + PASSED_OVER);
        for address in addresses.iter().filter(|address| peer._address.as_inet() == Some(&address.socket)) {
            address.passed_over_until.store(until, Ordering::Relaxed);
        }
        addresses.len()
    }

    fn good(&self) -> bool {
        self.known.load().as_ref().is_some_and(|answer| answer.good_until.is_none_or(|until| Instant::now() < until))
    }

    /// Looks the name up. Of those that find it outdated at once, one asks; the others go on with what is known.
    async fn look_up(&self) -> Result<(), String> {
        let Some(resolver) = &self.resolver else { return Ok(()) };
        let asking = Asking::begin(&self.asking);
        if asking.is_none() && self.known.load().is_some() {
            return Ok(());
        }
        let found =
            tokio::time::timeout(self.upstream.connect_timeout, resolver.lookup_ip(self.upstream.host.as_str())).await;
        match found.unwrap_or(Err(NetError::Timeout)) {
            Ok(found) => {
                let good_until = found.valid_until().min(Instant::now() + LONGEST);
                self.know(found.iter(), Some(good_until));
                Ok(())
            }
            // An answer, too: there is no such name any more.
            Err(error) if error.is_no_records_found() => {
                self.known.store(None);
                Err(format!("`{}` has no address", self.upstream.host))
            }
            Err(error) => {
                let why = format!("`{}` cannot be looked up: {error}", self.upstream.host);
                let known = self.known.load_full().ok_or_else(|| why.clone())?;
                tracing::warn!(upstream = %self.upstream.name, "{why}; its last addresses are used");
                self.know(known.addresses.iter().map(|address| address.socket.ip()), Some(Instant::now() + RETRY));
                Ok(())
            }
        }
    }

    /// Keeps an answer; an address that is being passed over stays so.
    fn know(&self, found: impl IntoIterator<Item = IpAddr>, good_until: Option<Instant>) {
        let before = self.known.load();
        let addresses = found.into_iter().map(|ip| {
            let socket = SocketAddr::new(ip, self.upstream.port);
            let same =
                before.as_ref().and_then(|answer| answer.addresses.iter().find(|address| address.socket == socket));
            let passed_over_until = same.map_or(0, |address| address.passed_over_until.load(Ordering::Relaxed));
            Address {
                peer: peer(&self.upstream, socket, self.group),
                socket,
                passed_over_until: AtomicU64::new(passed_over_until),
            }
        });
        self.known.store(Some(Arc::new(Answer { addresses: addresses.collect(), good_until })));
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Whether this upstream needs the DNS at all.
#[must_use]
pub fn literal(upstream: &Upstream) -> Option<IpAddr> {
    upstream.host.parse().ok()
}

/// The right to ask; given back even when the asking request is cancelled.
struct Asking<'a>(&'a AtomicBool);

impl<'a> Asking<'a> {
    fn begin(asking: &'a AtomicBool) -> Option<Self> {
        (!asking.swap(true, Ordering::Acquire)).then_some(Self(asking))
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
