//! `hallgate approvals show`: exactly what would run, and why a human is asked.

use std::process::ExitCode;

use super::shown;
use crate::cli::client::{CallError, HallAddress, HallAnswer, segment, told};

/// Show exactly what would run, who asks, why it is held and until when
///
/// Behind it stands how it differs from what else waits of the same worker and capability.
/// What could change a terminal or hide something is written as an escape, such as \u{1b}; a line of what would run begins with `| `.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The approval
    #[arg(value_name = "ID")]
    id: String,
    /// Print the Hall's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    told(fetch(&options.hall, &options.id), |answer| {
        if options.json { answer.body.to_string() } else { shown::whole(&answer.body) }
    })
}

/// What the Hall says of one approval.
pub(super) fn fetch(hall: &HallAddress, id: &str) -> Result<HallAnswer, CallError> {
    hall.get(&format!("/wcp/approvals/{}", segment(id)))
}
