//! `hallgate approvals list`: what waits for a human, one a line.

use std::process::ExitCode;

use serde_json::Value;

use super::shown;
use crate::cli::client::{HallAddress, HallAnswer, told};

/// Where the list is.
pub(super) const PENDING: &str = "/wcp/approvals/pending";

/// List what waits for a human, the oldest first: id, level, label, tenant, worker, capability, until when and why, one a line
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What was agreed to and has not run yet instead
    #[arg(long)]
    approved: bool,
    /// Print the Hall's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let path = if options.approved { &format!("{PENDING}?state=approved") } else { PENDING };
    told(options.hall.get(path), |answer| if options.json { answer.body.to_string() } else { lines(answer) })
}

fn lines(answer: &HallAnswer) -> String {
    approvals(answer).map(shown::line).collect::<Vec<_>>().join("\n")
}

/// The approvals of a list.
pub(super) fn approvals(answer: &HallAnswer) -> impl Iterator<Item = &Value> {
    answer.body.get("approvals").and_then(Value::as_array).into_iter().flatten()
}
