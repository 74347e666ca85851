//! The wall clock, and the one way in which times are written.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Now, in microseconds since 1970 UTC.
#[must_use]
pub fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A time, in microseconds since 1970 UTC, in ISO 8601 with microseconds and `+00:00`, as the reference writes it.
#[must_use]
pub fn timestamp(micros: i64) -> String {
    let mut text = TimestampText::new();
    text.of(micros);
    text.text
}

/// A time as people and programs write it, in microseconds since 1970 UTC: RFC 3339, or a day, or a day and a time, in UTC. `None`: it is none.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    // In an address that nobody has escaped, a `+` has become a space.
    let mended = text.contains(['T', 't']).then(|| text.replace(' ', "+"));
    let text = mended.as_deref().unwrap_or(text);
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_microsecond());
    }
    let time = text.trim_end_matches(['Z', 'z']).parse::<DateTime>().ok()?;
    // The last day that is written is later than the last time that is known.
    let micros = |time: DateTime| TimeZone::UTC.to_timestamp(time).map(Timestamp::as_microsecond);
    Some(micros(time).unwrap_or(if time.year() < 0 { i64::MIN } else { i64::MAX }))
}

/// Where many times are written as [`timestamp`] does: what they share with the one before, all but microseconds, is formatted once.
#[derive(Debug)]
pub struct TimestampText {
    /// The second that the text is of.
    second: Option<i64>,
    text: String,
}

impl TimestampText {
    /// Nothing is written yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { second: None, text: String::new() }
    }

    /// The text of a time in microseconds since 1970 UTC; of 1970 where no calendar has it.
    pub fn of(&mut self, micros: i64) -> &str {
        const TO_SECONDS: usize = "2026-01-01T00:00:00".len();
        let time = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        let micros = time.as_microsecond();
        let second = micros.div_euclid(1_000_000);
        if self.second != Some(second) {
            self.text = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            self.second = Some(second);
        }
        self.text.truncate(TO_SECONDS);
        // A String takes every write.
        let _ = write!(self.text, ".{:06}+00:00", micros.rem_euclid(1_000_000));
        &self.text
    }
}

impl Default for TimestampText {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written_and_as_people_write_them() {
        for (text, wanted) in [
            ("2026-01-01T00:00:00.000042+00:00", Some(1_767_225_600_000_042)),
            ("2026-01-01T00:00:00.000042 00:00", Some(1_767_225_600_000_042)),
            ("2026-01-01T02:00:00+02:00", Some(1_767_225_600_000_000)),
            ("2026-01-01t00:00:00z", Some(1_767_225_600_000_000)),
            ("2026-01-01", Some(1_767_225_600_000_000)),
            ("2026-01-01T00:00", Some(1_767_225_600_000_000)),
            ("9999-12-31T23:59:59Z", Some(i64::MAX)),
            ("", None),
            ("soon", None),
            ("1767225600", None),
            ("2026-13-01", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
        assert_eq!(parse(&timestamp(1_767_225_600_000_042)), Some(1_767_225_600_000_042));
    }

    #[test]
    fn a_time_is_written_with_microseconds_and_offset() {
        let mut text = TimestampText::new();
        for (micros, wanted) in [
            (1_767_225_600_000_000, "2026-01-01T00:00:00.000000+00:00"),
            (1_767_225_600_000_042, "2026-01-01T00:00:00.000042+00:00"),
            (1_767_225_601_999_999, "2026-01-01T00:00:01.999999+00:00"),
            (0, "1970-01-01T00:00:00.000000+00:00"),
            (-1, "1969-12-31T23:59:59.999999+00:00"),
            (253_402_207_199_999_999, "9999-12-30T21:59:59.999999+00:00"),
            (i64::MAX, "1970-01-01T00:00:00.000000+00:00"),
            (i64::MIN, "1970-01-01T00:00:00.000000+00:00"),
        ] {
            assert_eq!((text.of(micros), &*timestamp(micros)), (wanted, wanted));
        }
    }
}
