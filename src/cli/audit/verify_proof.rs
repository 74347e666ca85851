//! `hallgate audit verify-proof`: check a proof offline, trusting nothing but a public key.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::PublicKey;
use crate::cli::{cannot, say};
use crate::ledger::verify::proof::{ProofError, verify_proof};

/// Check a proof offline, with nothing but a public key: exit code 0 when it holds, 1 when it does not, 2 when it is no proof
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The proof, from `audit prove` or `GET /wcp/receipts/ID`; `-` reads stdin
    #[arg(value_name = "FILE")]
    proof: PathBuf,
    #[command(flatten)]
    key: PublicKey,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let keys = match options.key.read() {
        Ok(keys) => keys,
        Err(error) => return cannot(error),
    };
    let name = options.proof.display();
    let document = if options.proof.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(&options.proof)
    };
    let document = match document {
        Ok(document) => document,
        Err(error) => return cannot(format_args!("the proof `{name}` cannot be read: {error}")),
    };
    match verify_proof(&document, &keys) {
        Ok(proved) => {
            say(format_args!("it holds: {proved}"));
            ExitCode::SUCCESS
        }
        Err(error @ ProofError::Refuted { .. }) => {
            say(format_args!("`{name}` {error}"));
            ExitCode::FAILURE
        }
        Err(error @ ProofError::Unreadable(_)) => cannot(format_args!("`{name}` {error}")),
    }
}
