//! What the ledger withstands, tried on the real process: kills at any moment, full and read-only disks, lost and damaged files.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "serve/house.rs"]
#[expect(dead_code, reason = "the tests of serve use the rest of it")]
mod house;

#[path = "endurance/disks.rs"]
mod disks;
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
#[path = "endurance/stored.rs"]
mod stored;
