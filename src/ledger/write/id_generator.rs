//! Ids and times in the file's order: UUIDv7s that strictly rise and times that never go back, whatever the clock does.
//!
//! An id is its entry's time and 62 random bits: 48 bits of milliseconds, then the microseconds within it in the 12 bits that
//! RFC 9562 6.2 method 3 leaves for them. When the clock stands still or goes back, the time stays and the random part rises.

use std::io;

use uuid::Uuid;

use crate::ledger::format::ids::micros;

/// Bits of an id below its time: the variant's two are always `10`.
const RANDOM_BITS: u32 = 62;
/// The last microsecond that is written, at the end of the year 9999: every time zone can still show it.
const LAST_MICROS: i64 = 253_402_207_199_999_999;

/// Where ids come from.
pub(crate) struct IdGenerator {
    last: Uuid,
    random: [u8; 4096],
    used: usize,
}

impl IdGenerator {
    /// Goes on after the last id of the file; `Uuid::nil()` for an empty one.
    pub(crate) const fn after(last: Uuid) -> Self {
        Self { last, random: [0; 4096], used: 4096 }
    }

    /// The last id given out.
    pub(crate) const fn last(&self) -> Uuid {
        self.last
    }

    /// Forgets the ids after this one, which were never written.
    pub(crate) const fn roll_back(&mut self, last: Uuid) {
        self.last = last;
    }

    /// The next id, and its time in microseconds.
    pub(crate) fn next(&mut self, now: i64) -> io::Result<(Uuid, i64)> {
        let last_micros = micros(self.last);
        let random = self.eight()?;
        let now = now.clamp(0, LAST_MICROS);
        let (time, low) = if now > last_micros {
            // Half of the range stays free for ids of the same microsecond.
            (now, random >> 3)
        } else {
            let step =
                1 + u64::from(u32::from_le_bytes(random.to_le_bytes().first_chunk().copied().unwrap_or_default()));
            let low = (self.last.as_u128() & ((1 << RANDOM_BITS) - 1)) as u64 + step;
            if low >> RANDOM_BITS == 0 { (last_micros, low) } else { (last_micros + 1, random >> 3) }
        };
        let (millis, within) = (time.unsigned_abs() / 1000, time.unsigned_abs() % 1000);
        let bits = u128::from(millis) << 80 | 7 << 76 | u128::from(within) << 64 | 2 << RANDOM_BITS | u128::from(low);
        self.last = Uuid::from_u128(bits);
        Ok((self.last, time))
    }

    fn eight(&mut self) -> io::Result<u64> {
        loop {
            if let Some(bytes) = self.random.get(self.used..).and_then(<[u8]>::first_chunk) {
                self.used += 8;
                return Ok(u64::from_le_bytes(*bytes));
            }
            getrandom::fill(&mut self.random).map_err(io::Error::other)?;
            self.used = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_while_the_clock_jumps_stands_and_goes_back() {
        let mut ids = IdGenerator::after(Uuid::nil());
        let clock =
            [1_000_000, 1_000_000, 2_000_001, 1_500_000, 0, -5, i64::MIN, 2_000_001, 2_000_002, i64::MAX, i64::MAX];
        let mut last = (Uuid::nil(), 0);
        for now in clock.into_iter().flat_map(|now| [now; 300]) {
            let next = ids.next(now).unwrap();
            assert!(next.0 > last.0 && next.1 >= last.1, "{last:?} {next:?}");
            assert_eq!((next.0.get_version_num(), next.0.get_variant()), (7, uuid::Variant::RFC4122));
            assert_eq!(micros(next.0), next.1);
            last = next;
        }
    }

    #[test]
    fn an_exhausted_microsecond_moves_to_the_next() {
        let top = Uuid::from_u128(7 << 76 | 2 << RANDOM_BITS | ((1 << RANDOM_BITS) - 1));
        let (id, time) = IdGenerator::after(top).next(0).unwrap();
        assert!(id > top);
        assert_eq!(time, 1);
    }
}
