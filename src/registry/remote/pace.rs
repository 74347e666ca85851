//! When the registry is asked next: once a refresh, sooner after a failure but ever less so, and never before it wants to be.

use std::time::{Duration, Instant};

use super::failure::Failure;

/// The longest that a registry can keep us from asking.
const LONGEST_LIMIT: Duration = Duration::from_secs(3600);

/// The pace of asking.
#[derive(Debug)]
pub struct RefreshSchedule {
    refresh: Duration,
    /// Rounds in a row that failed.
    failures: u32,
    limited_until: Option<Instant>,
    random: fn() -> f64,
}

impl RefreshSchedule {
    /// One round a refresh.
    #[must_use]
    pub const fn new(refresh: Duration) -> Self {
        Self { refresh, failures: 0, limited_until: None, random }
    }

    /// A round ended so: when the next begins. Halls that began together drift apart, and never are later than a refresh.
    pub fn next(&mut self, now: Instant, failure: Option<&Failure>) -> Instant {
        let random = (self.random)();
        match failure {
            None => {
                (self.failures, self.limited_until) = (0, None);
                now + self.refresh.mul_f64(0.9 + random / 10.0)
            }
            Some(Failure::RateLimited(wait)) => {
                self.failures = self.failures.saturating_add(1);
                let wait = wait.unwrap_or(self.refresh).min(LONGEST_LIMIT);
                // Not all of those who were told the same come back in the same moment.
                let until = now + wait + (wait / 10 + Duration::from_millis(100)).mul_f64(random);
                self.limited_until = Some(until);
                until
            }
            Some(_) => {
                self.failures = self.failures.saturating_add(1);
                let wait = (self.refresh / 16).saturating_mul(1 << self.failures.min(10).saturating_sub(1));
                now + wait.min(self.refresh).mul_f64(0.5 + random / 2.0)
            }
        }
    }

    /// Until when the registry does not want to be asked, if that is still to come.
    #[must_use]
    pub fn limited_until(&self, now: Instant) -> Option<Instant> {
        self.limited_until.filter(|until| *until > now)
    }
}

/// From 0 to 1. Without randomness halls stay in step, which is no reason to stop asking.
fn random() -> f64 {
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Duration = Duration::from_secs(64);

    fn pace(random: fn() -> f64) -> RefreshSchedule {
        RefreshSchedule { random, ..RefreshSchedule::new(REFRESH) }
    }

    #[test]
    fn a_round_begins_within_a_refresh_of_the_last_and_not_much_sooner() {
        let now = Instant::now();
        let next = |random| pace(random).next(now, None) - now;
        assert_eq!((next(|| 0.0), next(|| 1.0)), (REFRESH.mul_f64(0.9), REFRESH));
        let drawn = super::random();
        assert!((0.0..=1.0).contains(&drawn), "{drawn}");
    }

    #[test]
    fn failures_are_tried_again_ever_less_often_and_at_least_once_a_refresh() {
        let now = Instant::now();
        let mut pace = pace(|| 1.0);
        let failure = Failure::Status(500);
        let waits: Vec<_> = (0..40).map(|_| (pace.next(now, Some(&failure)) - now).as_secs()).collect();
        assert_eq!(waits[..6], [4, 8, 16, 32, 64, 64]);
        assert!(waits[6..].iter().all(|wait| *wait == 64), "{waits:?}");
        pace.next(now, None);
        assert_eq!((pace.next(now, Some(&failure)) - now).as_secs(), 4, "a good round makes good");
    }

    #[test]
    fn a_limit_is_kept_and_left_one_by_one() {
        let now = Instant::now();
        let wait = Some(Duration::from_secs(300));
        let until = |random, wait| pace(random).next(now, Some(&Failure::RateLimited(wait))) - now;
        assert_eq!(until(|| 0.0, wait).as_secs(), 300);
        assert_eq!(until(|| 1.0, wait).as_secs(), 330);
        assert_eq!(until(|| 0.0, None), REFRESH);
        assert_eq!(until(|| 0.0, Some(Duration::from_secs(u64::MAX))), LONGEST_LIMIT);
        let mut pace = pace(|| 0.0);
        let until = pace.next(now, Some(&Failure::RateLimited(wait)));
        assert_eq!((pace.limited_until(now), pace.limited_until(until)), (Some(until), None));
        pace.next(now, None);
        assert_eq!(pace.limited_until(now), None);
    }
}
