//! `hallgate worker`: enroll, list, revoke, restore and ban workers of a running Hall; hash records and code.

mod hash;

use std::process::ExitCode;

use clap::Subcommand;

/// Enroll workers in a running Hall, revoke and ban them, and hash records and code
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Hash(hash::Options),
}

/// Runs the command. 0: done; 1: the Hall refuses; 2: it could not be asked.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match &options.command {
        Command::Hash(options) => hash::run(options),
    }
}
