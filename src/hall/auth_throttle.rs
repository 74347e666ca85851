//! Throttling of failed authentication, by network. Unauthenticated requests are counted, and one ledger entry a second sums them up.
//!
//! Whoever guesses at credentials is answered more and more slowly, network by network. A right credential is never held up by
//! that: platforms share addresses, and what bounds guessing is the length of the secrets.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rate::{Buckets, Rate};
use super::recent::Row;
use super::{Hall, Refusal};
use crate::engine::DenyCode;
use crate::ids::network;
use crate::ledger::{AnonymousRefusals, Door, Record};
use crate::telemetry::{LogThrottle, RefusalLabels};

/// From one entry about them to the next.
const EVERY: Duration = Duration::from_secs(1);
/// How long the process waits for such an entry when it ends.
const NOTE_TIME: Duration = Duration::from_secs(1);
/// How many networks are told apart at a time: 10 KiB.
const NETWORKS: usize = 256;
/// How many of them an entry names.
const BUSIEST: usize = 10;

/// Wrong credentials of each network, and everybody who is not on record yet.
#[derive(Debug)]
pub(super) struct AuthThrottle {
    failures: Buckets,
    tally: Mutex<Tally>,
    /// Somebody is about to record the tally.
    telling: AtomicBool,
    lines: LogThrottle,
}

/// How many there were since the last entry.
#[derive(Debug, Default)]
struct Tally {
    requests: BTreeMap<(&'static str, &'static str), u64>,
    /// At most so many of each. A network that is not among them takes the place of the least busy one, and its count: so none
    /// that is among the busiest is missed, whoever came first.
    networks: Vec<(Option<IpAddr>, u64)>,
}

impl Tally {
    fn count(&mut self, of: (&'static str, &'static str), network: Option<IpAddr>, requests: u64) {
        let counted = self.requests.entry(of).or_default();
        *counted = counted.saturating_add(requests);
        self.network(network, requests);
    }

    fn network(&mut self, network: Option<IpAddr>, requests: u64) {
        if let Some((_, counted)) = self.networks.iter_mut().find(|(known, _)| *known == network) {
            *counted = counted.saturating_add(requests);
        } else if self.networks.len() < NETWORKS {
            self.networks.push((network, requests));
        } else if let Some(least) = self.networks.iter_mut().min_by_key(|(_, counted)| *counted) {
            *least = (network, least.1.saturating_add(requests));
        }
    }

    /// Takes back what could not be recorded.
    fn merge(&mut self, other: Self) {
        for (of, requests) in other.requests {
            let counted = self.requests.entry(of).or_default();
            *counted = counted.saturating_add(requests);
        }
        for (network, requests) in other.networks {
            self.network(network, requests);
        }
    }

    /// As it is recorded; `None` when there was nobody.
    fn crowd(&self) -> Option<AnonymousRefusals> {
        let (&(door, code), _) = self.requests.iter().max_by_key(|(_, requests)| **requests)?;
        let each: Vec<String> =
            self.requests.iter().map(|((door, code), requests)| format!("{requests} {code} ({door})")).collect();
        let mut networks = self.networks.clone();
        networks.sort_unstable_by_key(|(network, requests)| (std::cmp::Reverse(*requests), *network));
        Some(AnonymousRefusals {
            door: if door == Door::Gate.as_str() { Door::Gate } else { Door::Api },
            code: DenyCode::ALL.iter().copied().find(|known| known.as_str() == code)?,
            message: format!("requests that proved no identity: {}", each.join(", ")),
            requests: self.requests.values().copied().fold(0, u64::saturating_add),
            networks: networks.iter().take(BUSIEST).map(|(network, requests)| named(*network, *requests)).collect(),
        })
    }
}

fn named(network: Option<IpAddr>, requests: u64) -> String {
    match network {
        Some(IpAddr::V4(address)) => format!("{address} {requests}"),
        Some(IpAddr::V6(address)) => format!("{address}/64 {requests}"),
        None => format!("unix {requests}"),
    }
}

impl AuthThrottle {
    /// Nobody was there yet.
    #[must_use]
    pub(super) fn new(failures: Rate) -> Self {
        Self {
            failures: Buckets::new(failures),
            tally: Mutex::default(),
            telling: AtomicBool::new(false),
            lines: LogThrottle::default(),
        }
    }

    /// Somebody at this address has presented a credential that is nobody's.
    ///
    /// # Errors
    /// There were too many from there: the next one is worth a try after this time.
    pub(super) fn failed(&self, peer: Option<IpAddr>) -> Result<(), Duration> {
        self.failures.take(peer.map(network))
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hall {
    /// Whether a line may say what one more stranger was answered: they are counted, and a log is not theirs to fill.
    #[must_use]
    pub fn says_of_strangers(&self) -> bool {
        self.limits.auth_throttle.lines.allows()
    }

    /// Counts a request whose caller proves no identity. It has no entry of its own: one entry a second says how many there were.
    pub fn count_anonymous_refusal(self: &Arc<Self>, door: Door, code: DenyCode, peer: Option<IpAddr>) {
        let labels = RefusalLabels { door: door.as_str(), code: code.as_str() };
        self.metrics.refusals.get_or_create(&labels).inc();
        let strangers = &self.limits.auth_throttle;
        strangers.tally().count((door.as_str(), code.as_str()), peer.map(network), 1);
        if !strangers.telling.swap(true, Ordering::AcqRel)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let hall = Arc::clone(self);
            runtime.spawn(async move {
                loop {
                    let telling = Telling(&hall.limits.auth_throttle);
                    tokio::time::sleep(EVERY).await;
                    hall.record_strangers().await;
                    drop(telling);
                    // Whoever came while it was told has nobody else to do it.
                    let strangers = &hall.limits.auth_throttle;
                    if strangers.tally().requests.is_empty() || strangers.telling.swap(true, Ordering::AcqRel) {
                        break;
                    }
                }
            });
        }
    }

    /// Records how many strangers there were since this was recorded last, if there were any, but does not wait for long.
    pub async fn tell_of_strangers(&self) {
        let _no_time_left = tokio::time::timeout(NOTE_TIME, self.record_strangers()).await;
    }

    /// The same, for as long as the disk takes, so that nobody is told of twice. Where there is no entry, they are remembered.
    async fn record_strangers(&self) {
        let tally = std::mem::take(&mut *self.limits.auth_throttle.tally());
        let Some(crowd) = tally.crowd() else { return };
        let row = Row::of_refusal(&Refusal {
            door: crowd.door,
            code: crowd.code,
            message: crowd.message.clone(),
            tenant: None,
            worker: None,
            token: None,
            correlation_id: None,
            raw_body: None,
        });
        let recorded = match self.announce().await {
            Ok(()) => self.ledger.record_change(Record::AnonymousRefusals(crowd)).await,
            Err(error) => Err(error),
        };
        match recorded {
            Ok(receipt) => self.recent.note(row.recorded_as(&receipt)),
            Err(_) => self.limits.auth_throttle.tally().merge(tally),
        }
    }
}

/// Held by whoever is about to record the tally; however it ends, the next stranger finds somebody else.
struct Telling<'a>(&'a AuthThrottle);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.telling.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: (&str, &str) = ("gate", "DENY_UNAUTHENTICATED");

    fn peer(text: &str) -> Option<IpAddr> {
        Some(network(text.parse().unwrap()))
    }

    #[test]
    fn the_busiest_are_named_however_many_came_before_them() {
        let mut tally = Tally::default();
        assert!(tally.crowd().is_none());
        for host in 0..10_000_u32 {
            tally.count(WRONG, Some(IpAddr::V4((0x0a00_0000 + host).into())), 1);
        }
        for _ in 0..500 {
            tally.count(WRONG, peer("2001:db8::1"), 1);
            tally.count(("api", "DENY_UNAUTHENTICATED"), None, 1);
        }
        assert!(tally.networks.len() <= NETWORKS);
        let crowd = tally.crowd().unwrap();
        assert_eq!(
            (crowd.requests, crowd.door, crowd.code, crowd.networks.len()),
            (11_000, Door::Gate, DenyCode::Unauthenticated, BUSIEST)
        );
        let named = |name: &str| crowd.networks.iter().take(2).any(|network| network.starts_with(name));
        assert!(named("2001:db8::/64 ") && named("unix "), "{:?}", crowd.networks);
        assert!(crowd.message.contains("10500 DENY_UNAUTHENTICATED (gate)"), "{}", crowd.message);
        assert!(crowd.message.contains("500 DENY_UNAUTHENTICATED (api)"), "{}", crowd.message);
        // What could not be recorded is in the next one.
        let mut next = Tally::default();
        next.count(WRONG, None, 7);
        next.merge(tally);
        assert_eq!(next.crowd().unwrap().requests, 11_007);
    }
}
