//! `hallgate console`: ways into the pages of a running Hall.

use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::client::{HallAddress, body, told};

/// See a running Hall in a browser; it has pages where `hall.console` is true
///
/// The session token is `HALL_SESSION_TOKEN` in the environment: what it may see and do, the pages show and do.
#[derive(Debug, Subcommand)]
pub enum Options {
    Link(MakeLink),
}

/// Print a link that signs your token in once, within five minutes; it is a secret
#[derive(Debug, clap::Args)]
pub struct MakeLink {
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs the command. 0: done; 1: the Hall refuses; 2: it could not be asked.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let Options::Link(MakeLink { hall }) = options;
    told(hall.post("/api/console/link", body(&[])), |answer| {
        format!("{}{}", hall.url().trim_end_matches('/'), answer.text("path").unwrap_or_default())
    })
}
