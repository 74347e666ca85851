//! `hallgate approvals`: what waits for a human at a running Hall, exactly what would run, and what an approver does about it.

mod approvers;
mod decide;
mod list;
mod show;
mod shown;
mod similar;
mod void_all;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

/// See what waits for a human at a running Hall, and decide about it
///
/// The session token is `HALL_SESSION_TOKEN` in the environment: one with the scope `approve`, or for `list` and `watch` with `read`.
#[derive(Debug, Subcommand)]
pub enum Options {
    List(list::Options),
    Show(show::Options),
    Approve(decide::Approve),
    Deny(decide::Deny),
    Done(decide::Done),
    Escalate(decide::Escalate),
    Withdraw(decide::Withdraw),
    VoidAll(void_all::Options),
    Watch(watch::Options),
    Approvers(approvers::Options),
}

/// Runs the command. 0: done; 1: the Hall refuses; 2: it could not be asked.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match options {
        Options::List(options) => list::run(options),
        Options::Show(options) => show::run(options),
        Options::Approve(options) => decide::approve(options),
        Options::Deny(options) => decide::deny(options),
        Options::Done(options) => decide::done(options),
        Options::Escalate(options) => decide::escalate(options),
        Options::Withdraw(options) => decide::withdraw(options),
        Options::VoidAll(options) => void_all::run(options),
        Options::Watch(options) => watch::run(options),
        Options::Approvers(options) => approvers::run(options),
    }
}

/// What the Hall says of an approval, in words, as `show` prints them.
#[must_use]
pub fn whole(approval: &Value) -> String {
    shown::whole(approval)
}
