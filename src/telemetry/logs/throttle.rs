//! Lines that strangers cause: a few in each second show what goes on, and all of them would fill a disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// So many lines in each second.
const MOST: u64 = 20;
/// Bits of the count, beside the second that it is of.
const COUNT: u32 = 16;

/// Lets a few lines pass in each second.
#[derive(Debug)]
pub struct LogThrottle {
    began: Instant,
    /// The second, and how many asked in it.
    now: AtomicU64,
}

impl Default for LogThrottle {
    fn default() -> Self {
        Self { began: Instant::now(), now: AtomicU64::new(0) }
    }
}

impl LogThrottle {
    /// Whether one more line may be written.
    pub fn allows(&self) -> bool {
        self.allows_in(self.began.elapsed().as_secs())
    }

    fn allows_in(&self, second: u64) -> bool {
        let next = |now: u64| {
            let asked = if now >> COUNT == second { now & ((1 << COUNT) - 1) } else { 0 };
            (asked < MOST).then_some(second << COUNT | (asked + 1))
        };
        self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_pass_in_each_second() {
        let throttle = LogThrottle::default();
        for second in [0, 1, 7] {
            assert_eq!((0..1000).filter(|_| throttle.allows_in(second)).count() as u64, MOST, "{second}");
        }
    }
}
