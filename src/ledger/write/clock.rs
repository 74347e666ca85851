//! The time by which entries are dated and grow old.

use std::sync::Arc;

/// Microseconds since 1970 UTC; tests set it back.
pub(crate) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
