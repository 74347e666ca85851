//! What does not hold in an entry by itself: a field, and why.

use serde_json::Value;

/// The stream of what belongs to no tenant.
pub(super) const HALL: &str = ":hall";

/// A field that does not hold, and why.
pub(super) type Fault = (&'static str, String);

pub(super) fn fault<T>(field: &'static str, problem: impl Into<String>) -> Result<T, Fault> {
    Err((field, problem.into()))
}

/// A field that must be a string.
pub(super) fn text<'v>(entry: &'v Value, field: &'static str) -> Result<&'v str, Fault> {
    entry.get(field).and_then(Value::as_str).ok_or_else(|| (field, "is missing or no string".to_owned()))
}
