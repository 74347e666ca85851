//! `hallgate worker`: enroll, list, revoke, restore and ban workers of a running Hall; hash records and code.

mod ban;
mod hash;
mod list;
mod register;
mod revocation;

use std::process::ExitCode;

use clap::Subcommand;

/// Enroll workers in a running Hall, revoke and ban them, and hash records and code
///
/// The session token is `HALL_SESSION_TOKEN` in the environment.
#[derive(Debug, Subcommand)]
pub enum Options {
    Register(register::Options),
    List(list::Options),
    Revoke(revocation::Revoke),
    Restore(revocation::Restore),
    Ban(ban::Ban),
    Unban(ban::Unban),
    Hash(hash::Options),
}

/// Runs the command. 0: done; 1: the Hall refuses; 2: it could not be asked.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match options {
        Options::Register(options) => register::run(options),
        Options::List(options) => list::run(options),
        Options::Revoke(options) => revocation::revoke(options),
        Options::Restore(options) => revocation::restore(options),
        Options::Ban(options) => ban::ban(options),
        Options::Unban(options) => ban::unban(options),
        Options::Hash(options) => hash::run(options),
    }
}
