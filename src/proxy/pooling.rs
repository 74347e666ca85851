//! How long a connection to an upstream waits for its next request: less than the upstream keeps it.
//!
//! Whoever sends a request on a connection that is just being closed does not know whether it arrived, and one that may change
//! something is not sent again: the caller gets 502. Node and uvicorn close after five seconds, some sooner, and say so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http::header::CONNECTION;

use crate::proxy::persistence;

/// How much sooner we close: what an answer and the next request take on their way.
const MARGIN: Duration = Duration::from_secs(1);
/// As long as the upstream has not answered, it may keep its connections for less than is configured.
const BEFORE_ANY_ANSWER: Duration = Duration::from_millis(250);

/// The time that connections to one upstream wait.
#[derive(Debug)]
pub struct Pooling {
    most: Duration,
    /// In milliseconds.
    now: AtomicU64,
}

impl Pooling {
    /// At most so long.
    #[must_use]
    pub fn new(most: Duration) -> Self {
        Self { most, now: AtomicU64::new(millis(most.min(BEFORE_ANY_ANSWER))) }
    }

    /// How long a connection waits now.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.now.load(Ordering::Relaxed))
    }

    /// Hears what an answer says of it.
    pub fn answered(&self, headers: &HeaderMap) {
        // In one pass: a look-up of each name costs as much.
        let (mut said, mut lines, mut closes) = (None, 0, false);
        for (name, value) in headers {
            if *name == CONNECTION {
                // pingora reads the first line only. It is too late for this connection, but who says so says it again.
                closes |= lines > 0 && persistence::close_among(persistence::tokens(value));
                lines += 1;
            } else if said.is_none() && name.as_str() == "keep-alive" {
                said = Some(value.to_str().ok().and_then(timeout));
            }
        }
        let said = if closes { Some(Duration::ZERO) } else { said.flatten() };
        let time = millis(said.map_or(self.most, |said| self.most.min(said.saturating_sub(MARGIN))));
        if self.now.load(Ordering::Relaxed) != time {
            self.now.store(time, Ordering::Relaxed);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `Keep-Alive: timeout=5, max=100`
fn timeout(value: &str) -> Option<Duration> {
    value.split(',').find_map(|parameter| {
        let (name, seconds) = parameter.split_once('=')?;
        let seconds = seconds.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| Duration::from_secs(seconds))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::HeaderName;

    use super::*;

    #[test]
    fn a_connection_waits_for_less_than_the_upstream_says() {
        let pooling = Pooling::new(Duration::from_secs(4));
        assert_eq!(pooling.time(), BEFORE_ANY_ANSWER);
        let said = |value: Option<&'static str>| {
            let name = HeaderName::from_static("keep-alive");
            pooling.answered(&value.map(|value| (name, HeaderValue::from_static(value))).into_iter().collect());
            pooling.time().as_millis()
        };
        for (value, time) in [
            (None, 4000),
            (Some("timeout=5"), 4000),
            (Some("max=100, Timeout = 3"), 2000),
            (Some("timeout=1"), 0),
            (Some("timeout=18446744073709551615"), 4000),
            (Some("timeout=-1"), 4000),
            (Some("timeout=0"), 0),
            (None, 4000),
        ] {
            assert_eq!(said(value), time, "{value:?}");
        }
        let mut headers = HeaderMap::new();
        for (line, time) in [("keep-alive", 4000), ("x-hop, Close", 0)] {
            headers.append(CONNECTION, HeaderValue::from_static(line));
            pooling.answered(&headers);
            assert_eq!(pooling.time().as_millis(), time, "{line}");
        }
    }
}
