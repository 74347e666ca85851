//! Lines about requests that were let through: all of them, a few in each second, or none. What is refused, or goes wrong, always has
//! its line; and whatever the log says, the ledger has every decision.

use std::sync::atomic::{AtomicU64, Ordering};

use super::LogThrottle;

/// Which of the requests that are let through have a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogAllowed {
    /// Each.
    All,
    /// A few in each second: all, where there are no more.
    #[default]
    Sample,
    /// None.
    None,
}

/// Tells for each request that is let through whether it has a line.
#[derive(Debug, Default)]
pub struct AllowedLines {
    which: LogAllowed,
    throttle: LogThrottle,
    left_out: AtomicU64,
}

impl AllowedLines {
    /// These of them.
    #[must_use]
    pub fn new(which: LogAllowed) -> Self {
        Self { which, ..Self::default() }
    }

    /// Whether this one has a line, and how many before it had none since the last that had.
    #[must_use]
    pub fn line(&self) -> Option<u64> {
        match self.which {
            LogAllowed::All => Some(0),
            LogAllowed::None => None,
            LogAllowed::Sample if self.throttle.allows() => Some(self.left_out.swap(0, Ordering::Relaxed)),
            LogAllowed::Sample => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_of_a_sample_is_said_with_the_next_line() {
        assert!((0..100).all(|_| AllowedLines::new(LogAllowed::All).line() == Some(0)));
        assert_eq!(AllowedLines::new(LogAllowed::None).line(), None);
        let sample = AllowedLines::new(LogAllowed::Sample);
        let lines: Vec<u64> = (0..100_000).filter_map(|_| sample.line()).collect();
        let left_out = sample.left_out.load(Ordering::Relaxed);
        // It may go on for more than a second, where others want the machine.
        assert!((20..10_000).contains(&lines.len()), "{}", lines.len());
        assert_eq!(lines.iter().sum::<u64>() + left_out + lines.len() as u64, 100_000);
    }
}
