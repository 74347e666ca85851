//! What the ledger withstands, tried on the real process: kills at any moment, full, stalled and read-only disks,
//! lost and damaged files, threads that panic.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "endurance/approvals.rs"]
mod approvals;
#[path = "endurance/disks.rs"]
mod disks;
#[path = "endurance/faults.rs"]
mod faults;
#[path = "endurance/files.rs"]
mod files;
#[path = "endurance/kills.rs"]
mod kills;
#[path = "endurance/pages.rs"]
mod pages;
#[path = "endurance/power.rs"]
mod power;
#[path = "endurance/random.rs"]
mod random;
#[path = "endurance/stalls.rs"]
mod stalls;
#[path = "endurance/stored.rs"]
mod stored;
#[path = "endurance/threads.rs"]
mod threads;
