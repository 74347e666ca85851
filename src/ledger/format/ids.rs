//! Entries' ids: UUIDv7s whose order is the entries', and whose time is the entry's.

use uuid::Uuid;

/// The time within one of our ids, in microseconds since 1970 UTC.
pub(crate) fn micros(id: Uuid) -> i64 {
    let bits = id.as_u128();
    let millis = i64::try_from(bits >> 80).unwrap_or(i64::MAX / 1000);
    let within = i64::try_from(bits >> 64 & 0xfff).unwrap_or(0);
    millis.saturating_mul(1000).saturating_add(within)
}
