//! `hallgate audit`: hold a ledger to account, from its files and a public key alone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{cannot, say};
use crate::ledger::verify::{VerifyError, verify};

/// Hold a ledger to account
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Verify(Verify),
}

/// Recompute a whole ledger and name the first break: exit code 0 when it holds, 1 when it does not, 2 when it cannot be read
#[derive(Debug, clap::Args)]
struct Verify {
    /// The ledger's folder
    #[arg(long, value_name = "FOLDER", default_value = "ledger")]
    ledger: PathBuf,
    /// The verifier key `<name>+<id>+<key>`, or a file that holds it; get it from elsewhere than the ledger's folder
    #[arg(long, value_name = "KEY", default_value = "hallgate.key.pub")]
    key: String,
}

/// Runs the command.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match &options.command {
        Command::Verify(options) => run_verify(options),
    }
}

fn run_verify(Verify { ledger, key }: &Verify) -> ExitCode {
    let vkey = match std::fs::read_to_string(Path::new(key)) {
        Ok(text) => text.trim_end().to_owned(),
        // What is no file may be the key itself.
        Err(_) if key.matches('+').count() >= 2 => key.clone(),
        Err(error) => return cannot(format_args!("the verifier key `{key}` cannot be read: {error}")),
    };
    match verify(ledger, &vkey) {
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
