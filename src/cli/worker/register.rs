//! `hallgate worker register`: enroll a worker, or give it another record.

use std::path::PathBuf;
use std::process::ExitCode;

use super::told;
use crate::cli::cannot;
use crate::cli::client::HallAddress;
use crate::documents;

/// Enroll a worker, or give an enrolled one another record
///
/// The record's `artifact_hash` is what `hallgate worker hash FILE` prints.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The registry record, a JSON file
    #[arg(value_name = "FILE")]
    record: PathBuf,
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let record = match documents::bytes(&options.record, documents::SMALL) {
        Ok(record) => record,
        Err(why) => return cannot(format_args!("{}: {why}", options.record.display())),
    };
    told(options.hall.post("/enroll", record), |answer| {
        let worker = answer.text("worker_id").unwrap_or_default();
        match answer.text("enrollment_id") {
            Some(id) => format!("enrolled {worker}: {id}"),
            None => format!("updated {worker}"),
        }
    })
}
