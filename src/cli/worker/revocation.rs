//! `hallgate worker revoke` and `restore`: whether a worker may act.

use std::process::ExitCode;

use crate::cli::client::{HallAddress, HallAnswer, body, segment, told};

/// Take from a worker the right to act, from the next request on
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// The worker
    #[arg(value_name = "WORKER_ID")]
    worker: String,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    hall: HallAddress,
}

/// Take a worker's revocation back; needs a token with the scope `admin`
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The worker
    #[arg(value_name = "WORKER_ID")]
    worker: String,
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs `revoke`.
pub fn revoke(options: &Revoke) -> ExitCode {
    let path = format!("/wcp/workers/{}/revoke", segment(&options.worker));
    told(options.hall.post(&path, body(&[("reason", options.reason.as_deref())])), now)
}

/// Runs `restore`.
pub fn restore(options: &Restore) -> ExitCode {
    let path = format!("/wcp/workers/{}/restore", segment(&options.worker));
    told(options.hall.post(&path, body(&[])), now)
}

fn now(answer: &HallAnswer) -> String {
    let [worker, status] = ["worker_id", "status"].map(|key| answer.text(key).unwrap_or_default());
    let unchanged = if answer.text("receipt_id").is_none() { " (as before)" } else { "" };
    format!("{worker} is {status}{unchanged}")
}
