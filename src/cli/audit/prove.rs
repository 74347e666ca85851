//! `hallgate audit prove`: a document with which anyone can verify, offline, that an entry is in the log, or that the log goes on
//! from an older checkpoint.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use uuid::Uuid;

use super::LedgerFolder;
use crate::cli::cannot;
use crate::ledger::LogReader;

/// Print the proof that an entry is in the log, for `verify-proof`: exit code 1 when there is no such entry, or none signed
#[derive(Debug, clap::Args)]
#[group(id = "what", required = true, multiple = false, args = ["id", "since"])]
pub struct Options {
    #[command(flatten)]
    ledger: LedgerFolder,
    /// The decision's or receipt's id
    #[arg(value_name = "ID")]
    id: Option<Uuid>,
    /// Instead: that the log goes on from this older checkpoint
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let published = LogReader::new(&options.ledger.path);
    if let Some(file) = &options.since {
        let proof = std::fs::read(file)
            .map_err(|error| io::Error::new(error.kind(), format!("`{}` cannot be read: {error}", file.display())))
            .and_then(|older| published.prove_since(&older));
        return proof.map_or_else(cannot, |proof| print(&proof));
    }
    let Some(id) = options.id else { return cannot("name an id, or --since an older checkpoint") };
    let found = match published.find(id) {
        Ok(Some(found)) => found,
        Ok(None) => return no(format_args!("the ledger has no entry {id}, or not any more")),
        Err(error) => return cannot(error),
    };
    match published.prove(&found) {
        Ok(Some(proof)) => print(&proof),
        Ok(None) => no(format_args!("entry {id} is newer than the checkpoint: try again when the next one is signed")),
        Err(error) => cannot(error),
    }
}

fn print(proof: &impl Serialize) -> ExitCode {
    match serde_json::to_string_pretty(proof) {
        Ok(text) => {
            let written = writeln!(io::stdout(), "{text}");
            written.map_or_else(cannot, |()| ExitCode::SUCCESS)
        }
        Err(error) => cannot(error),
    }
}

fn no(why: impl std::fmt::Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "hallgate: {why}");
    ExitCode::FAILURE
}
