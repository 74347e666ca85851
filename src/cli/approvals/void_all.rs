//! `hallgate approvals void-all`: the one switch.

use std::process::ExitCode;

use serde_json::Value;

use crate::cli::client::{HallAddress, body, told};

/// Take back everything that was agreed to and has not run; needs a token with the scopes `approve` and `admin`
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Why, for the record
    #[arg(long)]
    note: String,
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let asked = body(&[("note", Some(&options.note))]);
    told(options.hall.post("/wcp/approvals/void-all", asked), |answer| {
        let withdrawn = answer.body.get("withdrawn").and_then(Value::as_u64).unwrap_or_default();
        format!("{withdrawn} withdrawn")
    })
}
