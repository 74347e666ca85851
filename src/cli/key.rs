//! `hallgate key`: make, show and change the ledger's signing key.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{cannot, say};
use crate::ledger::{KeyError, LogKey, rotate};

/// The log's name where none is given; the same as the configuration's default.
const ORIGIN: &str = "hallgate.local/ledger";

/// Make, show and change the ledger's signing key
#[derive(Debug, clap::Subcommand)]
pub enum Options {
    /// Make a signing key, and the public key in FILE.pub beside it; never overwrites one
    New(KeyFile),
    /// Print the public key of a signing key: what auditors need
    Show(KeyFile),
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
pub struct KeyFile {
    /// The signing key's file
    #[arg(value_name = "FILE", default_value = "hallgate.key")]
    file: PathBuf,
    /// The log's name, `ledger.origin`; without it the one in FILE.pub, or else the default
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

/// Change the key of a ledger that is not in use: the old key signs the new one. Then set `ledger.key_file` to the new one
#[derive(Debug, clap::Args)]
pub struct Rotate {
    /// The ledger's folder
    #[arg(long, value_name = "FOLDER", default_value = "ledger")]
    ledger: PathBuf,
    /// The key that signs now
    #[arg(long, value_name = "FILE", default_value = "hallgate.key")]
    old: PathBuf,
    /// The key that is to sign, made with `hallgate key new`
    #[arg(long, value_name = "FILE")]
    new: PathBuf,
    /// The log's name, `ledger.origin`; without it the one in the old key's `.pub`, or else the default
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

/// Runs the command.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match options {
        Options::New(KeyFile { file, origin }) => show(LogKey::make(file, &origin_of(file, origin.as_deref()))),
        Options::Show(KeyFile { file, origin }) => show(LogKey::read(file, &origin_of(file, origin.as_deref()))),
        Options::Rotate(options) => run_rotate(options),
    }
}

fn show(key: Result<LogKey, KeyError>) -> ExitCode {
    match key {
        Ok(key) => {
            say(key.vkey());
            ExitCode::SUCCESS
        }
        Err(error) => cannot(error),
    }
}

fn run_rotate(Rotate { ledger, old, new, origin }: &Rotate) -> ExitCode {
    let origin = origin_of(old, origin.as_deref());
    let keys = LogKey::read(old, &origin).and_then(|old| Ok((old, LogKey::read(new, &origin)?)));
    let (old_key, new_key) = match keys {
        Ok(keys) => keys,
        Err(error) => return cannot(error),
    };
    match rotate(ledger, &old_key, &new_key) {
        Ok(size) => {
            say(format_args!(
                "the key changes after {size} entries, signed by both; set `ledger.key_file` to `{}` before the next start\n{}",
                new.display(),
                new_key.vkey()
            ));
            ExitCode::SUCCESS
        }
        Err(error) => cannot(error),
    }
}

/// The log's name: as given, else as in the public key beside the file.
pub(super) fn origin_of(file: &Path, given: Option<&str>) -> String {
    let public = || {
        let mut name = file.as_os_str().to_owned();
        name.push(".pub");
        let text = std::fs::read_to_string(name).ok()?;
        text.split_once('+').map(|(name, _)| name.to_owned())
    };
    given.map(str::to_owned).or_else(public).unwrap_or_else(|| ORIGIN.to_owned())
}
