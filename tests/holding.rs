//! The gate holds: a request waits for a human with its body, and what was agreed to is forwarded once, byte for byte.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "holding/bound.rs"]
mod bound;
#[path = "holding/gate.rs"]
mod gate;
#[path = "holding/once.rs"]
mod once;
#[path = "holding/refused.rs"]
mod refused;
#[path = "holding/spending.rs"]
mod spending;
#[path = "holding/waiting.rs"]
mod waiting;
