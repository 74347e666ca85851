//! `hallgate approvals approvers`: how often and how fast each approver decides.

use std::process::ExitCode;

use serde_json::Value;

use super::shown;
use crate::cli::client::{HallAddress, told};

/// List how often and how fast each approver decides, one a line: who, how often they agreed, how often they did not, after how many
/// seconds (the median), and how often they agreed within ten seconds
///
/// Of the last hundred decisions of each since the Hall began. Who agrees to everything within seconds reads nothing.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print the Hall's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    told(options.hall.get("/wcp/approvals/approvers"), |answer| {
        if options.json {
            return answer.body.to_string();
        }
        let rows = answer.body.get("approvers").and_then(Value::as_array).into_iter().flatten();
        let keys = ["approver", "agreed", "otherwise", "median_seconds", "agreed_within_ten_seconds"];
        let lines: Vec<String> = rows.map(|row| keys.map(|key| shown::text(row, key)).join("\t")).collect();
        lines.join("\n")
    })
}
