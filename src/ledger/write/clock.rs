//! The time by which entries are dated and grow old.

use std::sync::Arc;
use std::time::SystemTime;

/// Microseconds since 1970 UTC; tests set it back.
pub(crate) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Microseconds since 1970 UTC.
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
