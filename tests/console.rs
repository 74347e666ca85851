//! The console, from the outside: who gets in, what they see and change, and that nothing that a caller wrote does anything there.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "console/browser.rs"]
mod browser;
#[path = "console/connect.rs"]
mod connect;
#[path = "console/desk.rs"]
mod desk;
#[path = "console/enrol.rs"]
mod enrol;
#[path = "console/entry.rs"]
mod entry;
#[path = "console/evidence.rs"]
mod evidence;
#[path = "console/policy.rs"]
mod policy;
#[path = "console/visits.rs"]
mod visits;
