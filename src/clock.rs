//! The wall clock, and the one way in which times are written.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in microseconds since 1970 UTC.
#[must_use]
pub fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A time, in microseconds since 1970 UTC, in ISO 8601 with microseconds and `+00:00`, as the reference writes it.
#[must_use]
pub fn timestamp(micros: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}
