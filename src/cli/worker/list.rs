//! `hallgate worker list`: the enrolled workers, one a line.

use std::process::ExitCode;

use serde_json::Value;

use crate::cli::client::{HallAddress, HallAnswer, told};

/// List the enrolled workers: id, species, status, risk tier and capabilities, one worker a line
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    told(options.hall.get("/workers"), lines)
}

fn lines(answer: &HallAnswer) -> String {
    let workers = answer.body.get("workers").and_then(Value::as_array);
    let line = |worker: &Value| {
        let text = |key: &str| worker.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
        let capabilities = worker.get("capabilities").and_then(Value::as_array).into_iter().flatten();
        let capabilities: Vec<&str> = capabilities.filter_map(Value::as_str).collect();
        let [id, species, status, tier] = ["worker_id", "worker_species_id", "status", "risk_tier"].map(text);
        format!("{id}\t{species}\t{status}\t{tier}\t{}", capabilities.join(","))
    };
    workers.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_a_line_of_tabs() {
        let body = serde_json::json!({"count": 2, "workers": [
            {"worker_id": "wrk_a", "worker_species_id": "wrk.data.reader", "status": "active", "risk_tier": "low",
             "capabilities": ["cap.a", "cap.b"], "enrolled_at": null},
            {"worker_id": "wrk_b", "worker_species_id": "wrk.data.reader", "status": "revoked", "capabilities": []},
        ]});
        let expected = "wrk_a\twrk.data.reader\tactive\tlow\tcap.a,cap.b\nwrk_b\twrk.data.reader\trevoked\t-\t";
        assert_eq!(lines(&HallAnswer { status: 200, body }), expected);
    }
}
