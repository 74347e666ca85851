//! `hallgate audit verify`: recompute a ledger, or a range of it, and name the first break.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{LedgerFolder, PublicKey};
use crate::cli::{cannot, say};
use crate::ledger::verify::range::verify_range;
use crate::ledger::verify::{VerifyError, verify_since};

/// Recompute a ledger and name the first break: exit code 0 when it holds, 1 when it does not, 2 when it cannot be read
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    ledger: LedgerFolder,
    #[command(flatten)]
    key: PublicKey,
    /// An older checkpoint of the same log, kept elsewhere: that the ledger goes on from it is verified, too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to"])]
    since: Option<PathBuf>,
    /// Only the entries from this number, counted from 0
    #[arg(long, value_name = "ENTRY")]
    from: Option<u64>,
    /// Only the entries up to this number
    #[arg(long, value_name = "ENTRY")]
    to: Option<u64>,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let Options { ledger, key, since, from, to } = options;
    let vkey = match key.one() {
        Ok(vkey) => vkey,
        Err(error) => return cannot(error),
    };
    let ledger = match ledger.open() {
        Ok(ledger) => ledger,
        Err(error) => return cannot(error),
    };
    if from.is_some() || to.is_some() {
        return told(verify_range(ledger, &vkey, from.unwrap_or(0), *to));
    }
    let older = match since.as_ref().map(std::fs::read).transpose() {
        Ok(older) => older,
        Err(error) => return cannot(format_args!("the older checkpoint cannot be read: {error}")),
    };
    told(verify_since(ledger, &vkey, older.as_deref()))
}

fn told(found: Result<impl Display, VerifyError>) -> ExitCode {
    match found {
        Ok(report) => {
            say(report);
            ExitCode::SUCCESS
        }
        Err(error @ VerifyError::Broken(_)) => {
            say(error);
            ExitCode::FAILURE
        }
        Err(error @ VerifyError::Unreadable { .. }) => cannot(error),
    }
}
