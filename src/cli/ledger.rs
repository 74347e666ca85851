//! `hallgate ledger`: what is done to a ledger by hand, while no process has it open.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::key::origin_of;
use super::{cannot, say};
use crate::ledger::{Durability, Gap, OpenError, Retention, Settings, recover};

/// Go on behind a gap in a ledger that is not in use
#[derive(Debug, clap::Subcommand)]
pub enum Options {
    Recover(Recover),
}

/// Keep what is behind a gap in a file of its own, name it in the log, and have the log go on. Exit code 0 when that is done or there
/// is no gap, 1 when what is signed is damaged, or with --dry-run when there is a gap; 2 when the ledger cannot be read
#[derive(Debug, clap::Args)]
pub struct Recover {
    /// The ledger's folder
    #[arg(long, value_name = "FOLDER", default_value = "ledger")]
    ledger: PathBuf,
    /// The key that signs
    #[arg(long, value_name = "FILE", default_value = "hallgate.key")]
    key: PathBuf,
    /// The log's name, `ledger.origin`; without it the one in the key's `.pub`, or else the default
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// Only say what would be done; nothing is changed
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let Options::Recover(Recover { ledger, key, origin, dry_run }) = options;
    let settings = Settings {
        path: ledger.clone(),
        durability: Durability::Process,
        key_file: key.clone(),
        origin: origin_of(key, origin.as_deref()),
        checkpoint_every: Duration::ZERO,
        queue: 0,
        segment_bytes: u64::MAX,
        request_attributes: true,
        retention: Retention::default(),
    };
    match recover(&settings, *dry_run) {
        Ok(None) => {
            say("there is no gap: nothing is to be recovered");
            ExitCode::SUCCESS
        }
        Ok(Some(gap)) => {
            say(told(&gap, *dry_run));
            if *dry_run { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error @ OpenError::Broken { .. }) => {
            say(format_args!("it cannot be recovered: {error}"));
            ExitCode::FAILURE
        }
        Err(error) => cannot(error),
    }
}

/// What was done, or would be, and each entry behind the gap that is whole.
fn told(gap: &Gap, dry_run: bool) -> String {
    let Gap { first_lost, bytes, file, file_hash, sound, .. } = gap;
    let (kept, goes) = if dry_run { ("would be kept", "would go") } else { ("are kept", "goes") };
    let mut text = format!(
        "the log ends before entry {first_lost} and {goes} on there; the {bytes} bytes behind it {kept} in `{file}` (SHA-256 \
         {file_hash}), with {} whole entries that are in the log no more",
        sound.len()
    );
    for (id, hash) in sound {
        text.push_str(&format!("\n{id} {hash}"));
    }
    text
}
