//! `hallgate status`: whether a running Hall is ready, and by which policy it decides.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::{HallAddress, HallAnswer};
use super::{cannot, say};

/// Show whether a running Hall is ready; with a token that is bound to nothing also why, by which policy it decides and how its ledger is
///
/// Exit codes: 0 ready, 1 not ready or with a change of files that it refuses, 2 no Hall answers.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    hall: HallAddress,
    /// Print the Hall's answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command. 0: all is well; 1: it is not; 2: no Hall answers.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let answer = match options.hall.get_openly("/readyz") {
        Ok(answer) => answer,
        Err(error) => return cannot(error),
    };
    let Some(ready) = answer.body.get("ready").and_then(Value::as_bool) else { return cannot(answer.refusal()) };
    if options.json {
        say(&answer.body);
    } else {
        say(told(&answer, ready));
    }
    let sound = ready && answer.is_success() && answer.body.get("refused_change").is_none();
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The same for a human.
fn told(answer: &HallAnswer, ready: bool) -> String {
    let shown = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "unknown".to_owned(),
    };
    let of = |path: &str| shown(answer.body.pointer(path));
    let mut lines = vec![if ready { "ready".to_owned() } else { "not ready".to_owned() }];
    let reasons = answer.body.get("reasons").and_then(Value::as_array);
    lines.extend(reasons.into_iter().flatten().map(|reason| format!("  {}", shown(Some(reason)))));
    if answer.body.get("snapshot").is_none() {
        return lines.join("\n");
    }
    lines.push(format!("policy    {}, snapshot {}", of("/policy_version"), of("/snapshot")));
    let ledger = format!("{} entries, {} waiting", of("/ledger/entries"), of("/ledger/queue_depth"));
    lines.push(format!("ledger    {ledger}, {} pruned", of("/ledger/pruned")));
    for (key, path) in [("ledger", "/ledger/error"), ("pruning", "/ledger/prune_error")] {
        if let Some(error) = answer.body.pointer(path).filter(|error| !error.is_null()) {
            lines.push(format!("{key:<9} {}", shown(Some(error))));
        }
    }
    if answer.body.get("refused_change").is_some() {
        let (since, problems) = (of("/refused_change/since"), of("/refused_change/problems"));
        lines.push(format!(
            "refused   a change since {since} has {problems} problems, the first: {}",
            of("/refused_change/first")
        ));
    }
    lines.join("\n")
}
