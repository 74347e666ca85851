//! `hallgate worker register`: enroll a worker, or give it another record.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::client::{HallAddress, told};
use crate::cli::{cannot, misconfigured};
use crate::config::Problems;
use crate::documents;
use crate::engine::Json;
use crate::engine::artifact::compact_python_json;
use crate::registry::hash;
use crate::registry::records::{self, RecordFormat};

/// Enroll a worker, or give an enrolled one another record
///
/// A record has an `artifact_hash`, by which the Hall knows that it is the one that somebody looked at: what `hallgate worker hash FILE`
/// prints, or with --hash the hash of what is in the file now. Everything that is wrong with the record is told before the Hall is asked.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The registry record, a JSON file
    #[arg(value_name = "FILE")]
    record: PathBuf,
    /// Register it with the hash of what it is now, instead of the one in the file; the file stays as it is
    #[arg(long)]
    hash: bool,
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let text = match documents::text(&options.record, documents::SMALL) {
        Ok(text) => text,
        Err(why) => return cannot(format_args!("{}: {why}", options.record.display())),
    };
    // Where a source file may be is the Hall's to say.
    let mut found = records::record(&options.record, &text, &RecordFormat::default()).err().unwrap_or_default();
    found.retain(|problem| !options.hash || problem.field != hash::ARTIFACT_HASH);
    if !found.is_empty() {
        return misconfigured(&Problems::of_record(found));
    }
    let text = if options.hash { hashed(&text).unwrap_or(text) } else { text };
    told(options.hall.post("/enroll", text.into_bytes()), |answer| {
        let worker = answer.text("worker_id").unwrap_or_default();
        match answer.text("enrollment_id") {
            Some(id) => format!("enrolled {worker}: {id}"),
            None => format!("updated {worker}"),
        }
    })
}

/// The record with the hash of all the rest of it; `None` where it is none.
fn hashed(text: &str) -> Option<String> {
    let mut record = Json::parse(text.as_bytes()).ok()?.as_object()?.clone();
    let hash = hash::of_record(&record);
    record.insert(hash::ARTIFACT_HASH.into(), Json::String(format!("sha256:{hash}").into()));
    let mut text = String::new();
    compact_python_json(&Json::Object(record), &mut text);
    Some(text)
}
