//! `hallgate explain`: why a recorded decision was made, decided again gate by gate, and which members of it the verdict turns on.

use std::path::PathBuf;
use std::process::ExitCode;

use uuid::Uuid;

use super::{CANNOT, ConfigFile, cannot, misconfigured, say};
use crate::hall::why::{Judge, Reasons};
use crate::ledger::LogReader;

/// Say why a recorded decision was made, gate by gate, and what would change it
///
/// It is decided again by the policy's files as they are now; where they have changed since, that is said. Exit code 0 when it comes
/// out as it was, 1 when another verdict comes out now, 2 when it cannot be decided again or is not there.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// The ledger's folder, instead of the configuration's
    #[arg(long, value_name = "FOLDER")]
    ledger: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// The decision's id: `wcp-decision-id` of an answer, `decision_id` of a denial or of a line in the log
    #[arg(value_name = "ID")]
    id: Uuid,
}

/// Runs the command.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let loaded = match &options.ledger {
        Some(folder) => options.file.load_policy().map(|snapshot| (snapshot, folder.clone())),
        None => options.file.load_policy_and_ledger(),
    };
    let (judge, folder) = match loaded {
        Ok((snapshot, folder)) => (Judge::new(snapshot), folder),
        Err(problems) => return misconfigured(&problems),
    };
    let found = match LogReader::new(&folder).find(options.id) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let (id, folder) = (options.id, folder.display());
            return cannot(format_args!("the ledger `{folder}` has no entry {id}, or not any more"));
        }
        Err(error) => return cannot(error),
    };
    let reasons = match Reasons::of_entry(&found.json, &judge, &|_| true) {
        Ok(reasons) => reasons,
        Err(why) => return cannot(format_args!("entry {} {why}", options.id)),
    };
    if options.json {
        say(reasons.to_json())
    } else {
        say(format_args!("{reasons}").to_string().trim_end())
    }
    match reasons.comes_out() {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => ExitCode::from(CANNOT),
    }
}
