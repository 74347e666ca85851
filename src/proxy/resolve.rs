//! Where an upstream is: its addresses of both families, looked up without blocking a thread, and again when they may have changed.
//!
//! A request waits for the DNS only where nothing is known. Addresses that are no longer good are used while they are asked for
//! again, and that a name has none is remembered, too. The families take turns (RFC 8305): one that does not work from here costs an
//! attempt and not the request. pingora makes one attempt after the other, so each but the last has little time.

mod dns;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::sync::Mutex;

use crate::proxy::settings::Upstream;
use crate::proxy::upstream_peer::peer;

pub use dns::{Dns, DnsAnswer};

/// An answer is asked for again after this long, however long its own time to live is.
const LONGEST: Duration = Duration::from_secs(60);
/// And not sooner, however short.
const SHORTEST: Duration = Duration::from_secs(1);
/// While a name cannot be looked up, or has no address, it is tried again this often.
const RETRY: Duration = Duration::from_secs(1);
/// It is complained of no more often than this.
const COMPLAINT: Duration = Duration::from_secs(30);
/// An address that could not be connected to is passed over this long, when there is another.
const PASSED_OVER: Duration = Duration::from_secs(30);
/// How long a connection may take while there is another address to try.
const ATTEMPT: Duration = Duration::from_secs(1);

/// An upstream's addresses as last known.
pub struct Addresses {
    upstream: Arc<Upstream>,
    group: u64,
    dns: Option<Dns>,
    known: ArcSwapOption<Answer>,
    /// Held by whoever asks the DNS.
    asking: Mutex<()>,
    turn: AtomicUsize,
    epoch: Instant,
    /// Milliseconds since the epoch until which nothing more is complained of.
    quiet_until: AtomicU64,
}

/// What was last answered: addresses, or why there are none.
#[derive(Debug)]
struct Answer {
    addresses: Vec<Address>,
    why_none: Arc<str>,
    good_until: Option<Instant>,
}

#[derive(Debug)]
struct Address {
    peer: HttpPeer,
    socket: SocketAddr,
    /// Milliseconds since the epoch of [`Addresses`] until which this one is passed over.
    passed_over_until: AtomicU64,
}

impl Answer {
    fn is_good(&self) -> bool {
        self.good_until.is_none_or(|until| Instant::now() < until)
    }
}

impl Addresses {
    /// The addresses of an upstream; nothing is looked up before the first request, and nothing ever for a literal address.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>, group: u64, dns: Option<Dns>) -> Self {
        let mut addresses = Self {
            upstream,
            group,
            dns,
            known: ArcSwapOption::empty(),
            asking: Mutex::new(()),
            turn: AtomicUsize::new(0),
            epoch: Instant::now(),
            quiet_until: AtomicU64::new(0),
        };
        if let Some(address) = literal(&addresses.upstream) {
            addresses.dns = None;
            addresses.know([address], None);
        }
        addresses
    }

    /// The next address to try, in turn, behind those that this request has tried.
    ///
    /// # Errors
    /// The name has no address, or none could be looked up; says so in words fit for a log.
    pub async fn next(self: &Arc<Self>, tried: &[SocketAddr]) -> Result<Box<HttpPeer>, Arc<str>> {
        let answer = match self.known.load_full() {
            Some(answer) if answer.is_good() => answer,
            Some(answer) if !answer.addresses.is_empty() => {
                self.ask_again();
                answer
            }
            _ => Box::pin(self.look_up()).await,
        };
        self.choose(&answer.addresses, tried).ok_or_else(|| Arc::clone(&answer.why_none))
    }

    /// One that was not tried: of another family than the last that was, if there is one, and not passed over, if there is one.
    fn choose(&self, addresses: &[Address], tried: &[SocketAddr]) -> Option<Box<HttpPeer>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(addresses.len())?;
        let now = self.millis(Instant::now());
        let in_turn = || addresses.iter().cycle().skip(turn).take(addresses.len());
        let left = || in_turn().filter(|address| !tried.contains(&address.socket));
        let living = || left().filter(|address| address.passed_over_until.load(Ordering::Relaxed) <= now);
        let other = |address: &&Address| tried.last().is_some_and(|last| last.is_ipv4() != address.socket.is_ipv4());
        let mut next = living().find(other).or_else(|| living().next());
        next = next.or_else(|| left().find(other)).or_else(|| left().next()).or_else(|| in_turn().next());
        // It is large: boxed where it is made, it is not moved.
        let mut peer = Box::new(next?.peer.clone());
        if living().nth(1).is_some() {
            peer.options.connection_timeout = Some(self.upstream.connect_timeout.min(ATTEMPT));
        }
        Some(peer)
    }

    /// Notes that an address could not be connected to. Returns which it is, and how many there are to try.
    pub fn failed(&self, peer: &HttpPeer) -> (Option<SocketAddr>, usize) {
        let known = self.known.load();
        let addresses = known.as_ref().map_or(&[][..], |answer| &answer.addresses);
        let until = self.millis(Instant::now() + PASSED_OVER);
        let failed = peer._address.as_inet().copied();
        for address in addresses.iter().filter(|address| Some(address.socket) == failed) {
            address.passed_over_until.store(until, Ordering::Relaxed);
        }
        (failed, addresses.len())
    }

    /// Has the name looked up, and nobody wait for it.
    fn ask_again(self: &Arc<Self>) {
        if self.asking.try_lock().is_ok() {
            let addresses = Arc::clone(self);
            tokio::spawn(async move { addresses.look_up().await });
        }
    }

    /// Looks the name up, in the time that a connection may take. Of those that find nothing known at once, one asks, and the
    /// others have its answer.
    async fn look_up(&self) -> Arc<Answer> {
        let _asking = self.asking.lock().await;
        let before = self.known.load_full();
        let Some(dns) = &self.dns else { return before.unwrap_or_else(|| self.none("is no name".into())) };
        if let Some(answer) = before.clone().filter(|answer| answer.is_good()) {
            return answer;
        }
        let host = &self.upstream.host;
        match dns.find(host, self.upstream.connect_timeout).await {
            DnsAnswer::Addresses(found, until) => {
                let now = Instant::now();
                self.know(found, Some(until.clamp(now + SHORTEST, now + LONGEST)))
            }
            // An answer, too: there is no such name any more.
            DnsAnswer::Nothing => {
                let why = format!("`{host}` has no address");
                self.complain(&why, "");
                self.none(why)
            }
            DnsAnswer::Unknown(why) => {
                let why = format!("`{host}` cannot be looked up: {why}");
                match before.filter(|answer| !answer.addresses.is_empty()) {
                    Some(answer) => {
                        self.complain(&why, "; its last addresses are used");
                        let last = answer.addresses.iter().map(|address| address.socket.ip());
                        self.know(last, Some(Instant::now() + RETRY))
                    }
                    None => {
                        self.complain(&why, "");
                        self.none(why)
                    }
                }
            }
        }
    }

    /// Says what is wrong with the name, once in a while: there may be thousands of requests a second for it.
    fn complain(&self, why: &str, then: &str) {
        let now = self.millis(Instant::now());
        if self.quiet_until.load(Ordering::Relaxed) <= now {
            self.quiet_until.store(now.saturating_add(whole_millis(COMPLAINT)), Ordering::Relaxed);
            tracing::warn!(upstream = %self.upstream.name, "{why}{then}");
        }
    }

    /// Keeps that there is no address.
    fn none(&self, why: String) -> Arc<Answer> {
        let good_until = Some(Instant::now() + RETRY);
        let answer = Arc::new(Answer { addresses: Vec::new(), why_none: why.into(), good_until });
        self.known.store(Some(Arc::clone(&answer)));
        answer
    }

    /// Keeps an answer; an address that is being passed over stays so.
    fn know(&self, found: impl IntoIterator<Item = IpAddr>, good_until: Option<Instant>) -> Arc<Answer> {
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
        let answer = Arc::new(Answer { addresses: addresses.collect(), why_none: "".into(), good_until });
        self.known.store(Some(Arc::clone(&answer)));
        answer
    }

    fn millis(&self, at: Instant) -> u64 {
        whole_millis(at.saturating_duration_since(self.epoch))
    }
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether this upstream needs the DNS at all.
#[must_use]
pub fn literal(upstream: &Upstream) -> Option<IpAddr> {
    upstream.host.parse().ok()
}
