//! Approvals, from the outside: a request is held, a human sees exactly what would run and agrees, and that one request runs, once.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "approvals/asking.rs"]
mod asking;
#[path = "approvals/callbacks.rs"]
mod callbacks;
#[path = "approvals/command.rs"]
mod command;
#[path = "approvals/deciding.rs"]
mod deciding;
#[path = "approvals/desk.rs"]
mod desk;
#[path = "approvals/flows.rs"]
mod flows;
#[path = "approvals/kept.rs"]
mod kept;
#[path = "approvals/lasting.rs"]
mod lasting;
#[path = "approvals/notices.rs"]
mod notices;
#[path = "readme/page.rs"]
#[expect(dead_code, reason = "the test of all pages uses the rest of it")]
mod page;
#[path = "approvals/pages.rs"]
mod pages;
#[path = "approvals/receiver.rs"]
mod receiver;
#[path = "approvals/resting.rs"]
mod resting;
#[path = "approvals/signed.rs"]
mod signed;
