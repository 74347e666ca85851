//! `hallgate worker ban` and `unban`: hashes that no worker may have.

use std::process::ExitCode;

use serde_json::Value;

use crate::cli::client::{HallAddress, HallAnswer, body, told};

/// Ban a hash: no worker whose record or code has it may act; needs a token with the scope `admin`
#[derive(Debug, clap::Args)]
pub struct Ban {
    /// The hash of a record or of code, as `hallgate worker hash` prints it
    #[arg(value_name = "HASH")]
    hash: String,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    hall: HallAddress,
}

/// Take the ban of a hash back; needs a token with the scope `admin`
#[derive(Debug, clap::Args)]
pub struct Unban {
    /// The hash
    #[arg(value_name = "HASH")]
    hash: String,
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs `ban`.
pub fn ban(options: &Ban) -> ExitCode {
    let asked = body(&[("hash", Some(&options.hash)), ("reason", options.reason.as_deref())]);
    told(options.hall.post("/wcp/registry/ban", asked), now)
}

/// Runs `unban`.
pub fn unban(options: &Unban) -> ExitCode {
    told(options.hall.post("/wcp/registry/unban", body(&[("hash", Some(&options.hash))])), now)
}

fn now(answer: &HallAnswer) -> String {
    let hash = answer.text("hash").unwrap_or_default();
    let banned = answer.body.get("banned") == Some(&Value::Bool(true));
    let workers = answer.body.get("workers").and_then(Value::as_array).into_iter().flatten();
    let workers: Vec<&str> = workers.filter_map(Value::as_str).collect();
    let whose = if workers.is_empty() { "no worker has it".to_owned() } else { format!("of {}", workers.join(", ")) };
    format!("{hash} is {}banned: {whose}", if banned { "" } else { "not " })
}
