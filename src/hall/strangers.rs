//! Those who present credentials that are none: each network of theirs may do so a few times, then it waits.
//!
//! While it waits, no credential from there is taken, or trying them would go on unslowed, but for those that were right from there
//! before: platforms share addresses, and one scenario with an old token must not stop its neighbours'.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::rate::{Buckets, Rate};
use crate::ids::TokenName;

/// How many pairs of a token and a network are remembered: 32 KiB. The newest of two that share a place counts.
const PAIRS: usize = 4096;

/// Failed attempts, and who is known.
#[derive(Debug)]
pub struct Strangers {
    failures: Buckets,
    known: Box<[AtomicU64]>,
    secret: RandomState,
}

impl Strangers {
    /// Nobody has failed yet, and nobody is known.
    #[must_use]
    pub fn new(failures: Rate) -> Self {
        let known = (0..PAIRS).map(|_| AtomicU64::new(0)).collect();
        Self { failures: Buckets::new(failures), known, secret: RandomState::new() }
    }

    /// Somebody at this address has presented a credential, and it is this token's, or nobody's. `None` for an address that the
    /// socket does not say: all of them count as one.
    ///
    /// # Errors
    /// The credential, right or wrong, is not to be taken before this time has passed.
    pub fn met(&self, peer: Option<IpAddr>, token: Option<&TokenName>) -> Result<(), Duration> {
        let network = peer.map(network);
        let full = self.failures.full(network);
        match (token, full) {
            (Some(token), None) => self.remember(network, token),
            (Some(token), Some(wait)) if !self.knows(network, token) => return Err(wait),
            (Some(_), Some(_)) => {}
            (None, None) => {
                let _ = self.failures.take(network);
            }
            (None, Some(wait)) => return Err(wait),
        }
        Ok(())
    }

    fn remember(&self, network: Option<IpAddr>, token: &TokenName) {
        let (place, pair) = self.pair(network, token);
        if let Some(place) = place
            && place.load(Ordering::Relaxed) != pair
        {
            place.store(pair, Ordering::Relaxed);
        }
    }

    fn knows(&self, network: Option<IpAddr>, token: &TokenName) -> bool {
        let (place, pair) = self.pair(network, token);
        place.is_some_and(|place| place.load(Ordering::Relaxed) == pair)
    }

    fn pair(&self, pair: impl Hash, token: &TokenName) -> (Option<&AtomicU64>, u64) {
        // Zero is an empty place.
        let hash = self.secret.hash_one((pair, token)).max(1);
        (self.known.get((hash >> 32) as usize % PAIRS), hash)
    }
}

/// What one caller can have many of counts as one: a customer gets 2⁶⁴ addresses of IPv6, and one of IPv4.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn strangers() -> Strangers {
        let some = |n| NonZeroU32::new(n).unwrap();
        // So slow that a test never sees a bucket leak.
        Strangers::new(Rate::new(some(1), Duration::from_secs(3600), some(3)))
    }

    fn peer(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn after_a_few_failures_a_network_waits_and_others_do_not() {
        let (strangers, token) = (strangers(), "make".parse().unwrap());
        let (bad, good) = (peer("192.0.2.1"), peer("192.0.2.2"));
        for _ in 0..3 {
            assert_eq!(strangers.met(bad, None), Ok(()));
        }
        assert!(strangers.met(bad, None).is_err());
        assert!(strangers.met(bad, Some(&token)).is_err(), "or the next guess would tell itself from the wrong ones");
        assert_eq!(strangers.met(good, Some(&token)), Ok(()));
        assert_eq!(strangers.met(None, Some(&token)), Ok(()));
        assert!(strangers.met(peer("::ffff:192.0.2.1"), None).is_err(), "the same address, written for IPv6");
    }

    #[test]
    fn whoever_was_right_before_is_still_taken() {
        let (strangers, make, n8n) = (strangers(), "make".parse().unwrap(), "n8n".parse().unwrap());
        let shared = peer("2001:db8:1:2::1");
        assert_eq!(strangers.met(shared, Some(&make)), Ok(()));
        for host in 1..=3 {
            assert_eq!(strangers.met(peer(&format!("2001:db8:1:2::{host}")), None), Ok(()));
        }
        assert!(strangers.met(peer("2001:db8:1:2:ffff::9"), None).is_err(), "one network");
        assert_eq!(strangers.met(peer("2001:db8:1:3::1"), None), Ok(()), "another");
        assert_eq!(strangers.met(shared, Some(&make)), Ok(()));
        assert!(strangers.met(shared, Some(&n8n)).is_err());
        assert!(strangers.met(peer("192.0.2.1"), Some(&make)).is_ok());
    }
}
