//! How often something may happen: a leaky bucket for each key, in memory that does not grow, whoever chooses the keys.
//!
//! A bucket is one number, the time at which it will have leaked dry (GCRA). Keys have no bucket of their own: each has two of a
//! fixed table, by a hash that nobody outside knows, and may go on while either has room. Alone, both say the same; whoever shares
//! one of them with a busier key is still judged by the other.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Buckets in a table: 64 KiB.
const CELLS: usize = 8192;

/// So many in a span of time, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds in which a bucket leaks one.
    every: u64,
    /// How many a dry bucket takes.
    burst: u32,
}

impl Rate {
    /// So many in each span, and so many at once.
    #[must_use]
    pub fn new(count: NonZeroU32, span: Duration, burst: NonZeroU32) -> Self {
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self { every: (span / u64::from(count.get())).max(1), burst: burst.get() }
    }

    /// What a full bucket holds, in nanoseconds.
    fn brim(self) -> u64 {
        self.every.saturating_mul(self.burst.into())
    }
}

/// A rate for every key.
#[derive(Debug)]
pub struct Buckets {
    rate: Rate,
    /// For each the nanoseconds since `began` at which it is dry.
    cells: Box<[AtomicU64]>,
    secret: RandomState,
    began: Instant,
}

impl Buckets {
    /// Dry buckets.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let cells = (0..CELLS).map(|_| AtomicU64::new(0)).collect();
        Self { rate, cells, secret: RandomState::new(), began: Instant::now() }
    }

    /// One more of this key.
    ///
    /// # Errors
    /// There is no room: after this time there is.
    pub fn take(&self, key: impl Hash) -> Result<(), Duration> {
        self.take_at(key, self.now())
    }

    /// How long there is no room for one more of this key; `None` when there is.
    pub fn full(&self, key: impl Hash) -> Option<Duration> {
        let now = self.now();
        let [one, other] = self.cells_of(key);
        let wait = |cell: &AtomicU64| self.pour(cell.load(Ordering::Relaxed), now).err();
        Some(wait(one)?.min(wait(other)?))
    }

    fn take_at(&self, key: impl Hash, now: u64) -> Result<(), Duration> {
        let [one, other] = self.cells_of(key);
        let fill = |cell: &AtomicU64| {
            let filled = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |dry_at| self.pour(dry_at, now).ok());
            filled.map(drop).map_err(|dry_at| self.pour(dry_at, now).err().unwrap_or_default())
        };
        if std::ptr::eq(one, other) {
            return fill(one);
        }
        match (fill(one), fill(other)) {
            (Err(one), Err(other)) => Err(one.min(other)),
            _ => Ok(()),
        }
    }

    /// When a bucket that is dry at `dry_at` is dry after one more; an error when it has no room, and for how long.
    fn pour(&self, dry_at: u64, now: u64) -> Result<u64, Duration> {
        let poured = dry_at.max(now).saturating_add(self.rate.every);
        match (poured - now).checked_sub(self.rate.brim()) {
            None | Some(0) => Ok(poured),
            Some(over) => Err(Duration::from_nanos(over)),
        }
    }

    fn cells_of(&self, key: impl Hash) -> [&AtomicU64; 2] {
        let hash = self.secret.hash_one(key);
        let (high, low) = ((hash >> 32) as usize, (hash & 0xffff_ffff) as usize);
        // There are always `CELLS` of them.
        static NONE: AtomicU64 = AtomicU64::new(u64::MAX);
        [high, low].map(|half| self.cells.get(half % CELLS).unwrap_or(&NONE))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn buckets(count: u32, burst: u32) -> Buckets {
        let some = |n| NonZeroU32::new(n).unwrap();
        Buckets::new(Rate::new(some(count), Duration::from_secs(1), some(burst)))
    }

    #[test]
    fn a_burst_passes_then_the_rate_counts() {
        let buckets = buckets(10, 3);
        for _ in 0..3 {
            assert_eq!(buckets.take_at("a", SECOND), Ok(()));
        }
        assert_eq!(buckets.take_at("a", SECOND), Err(Duration::from_millis(100)));
        // What is refused does not count.
        assert_eq!(buckets.take_at("a", SECOND), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take_at("b", SECOND), Ok(()), "each key has its own");
        assert_eq!(buckets.take_at("a", SECOND + SECOND / 10), Ok(()));
        assert_eq!(buckets.take_at("a", SECOND + SECOND / 10), Err(Duration::from_millis(100)));
        // However long nothing comes, no more than a burst is saved up.
        let passed = (0..9).filter(|_| buckets.take_at("a", 100 * SECOND).is_ok()).count();
        assert_eq!(passed, 3);
    }

    #[test]
    fn over_any_time_no_more_than_burst_and_rate_pass() {
        let buckets = buckets(100, 20);
        let passed = (0..10_000_u64).filter(|n| buckets.take_at("a", n * SECOND / 1000).is_ok()).count();
        assert!((1000..=1021).contains(&passed), "{passed} of 10 s at 100 a second");
    }

    #[test]
    fn a_few_hundred_busy_keys_do_not_stop_a_quiet_one() {
        let buckets = buckets(1, 1);
        for key in 0..300 {
            let _ = buckets.take_at(("busy", key), SECOND);
        }
        let stopped = (0..300).filter(|key| buckets.take_at(("quiet", key), SECOND).is_err()).count();
        // Both of its buckets would have to be taken, by up to 1,200 of 8,192: some two in a hundred.
        assert!(stopped < 30, "{stopped} of 300");
    }

    #[test]
    fn it_is_known_beforehand_that_there_is_no_room() {
        let buckets = buckets(1, 2);
        assert_eq!(buckets.full("a"), None);
        assert_eq!((buckets.take("a"), buckets.full("a")), (Ok(()), None));
        assert_eq!(buckets.take("a"), Ok(()));
        assert!(buckets.full("a").is_some_and(|wait| wait <= Duration::from_secs(1)));
        assert_eq!(buckets.full("b"), None);
    }
}
