//! `hallgate worker hash`: the hash of a registry record, and of a worker's source file.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{cannot, say};
use crate::engine::Json;
use crate::ids::Digest;
use crate::registry::{code, hash};

/// Print the hash of a registry record (`artifact_hash`), of a source file (`attestation.code_hash`), or of both
///
/// The record's hash covers its `attestation`: write the code's hash into it first.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The registry record, a JSON file
    #[arg(value_name = "FILE", required_unless_present = "code")]
    record: Option<PathBuf>,
    /// The worker's source file; its hash comes last
    #[arg(long, value_name = "SOURCE")]
    code: Option<PathBuf>,
}

/// Runs the command. 0: the hashes are printed, one a line; 2: a file cannot be read.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let record = options.record.as_deref().map(record_hash).transpose();
    let code = options.code.as_deref().map(code_hash).transpose();
    match (record, code) {
        (Ok(record), Ok(code)) => {
            if let Some(hash) = record {
                say(format_args!("sha256:{hash}"));
            }
            if let Some(hash) = code {
                say(hash);
            }
            ExitCode::SUCCESS
        }
        (Err(why), _) | (_, Err(why)) => cannot(why),
    }
}

fn record_hash(file: &Path) -> Result<Digest, String> {
    let shown = file.display();
    let bytes = std::fs::read(file).map_err(|error| format!("{shown}: cannot be read: {error}"))?;
    let record = Json::parse(&bytes).map_err(|error| format!("{shown}: {error}"))?;
    let members = record.as_object();
    let members = members.ok_or_else(|| format!("{shown}: is {}, not an object: write a record", record.kind()))?;
    Ok(hash::of_record(members))
}

/// A file that would be too large to be hashed at dispatch has no hash that could be of use.
fn code_hash(file: &Path) -> Result<Digest, String> {
    let shown = file.display();
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|opened| opened.take(code::MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("{shown}: cannot be read: {error}"))?;
    if bytes.len() as u64 > code::MAX_BYTES {
        return Err(format!("{shown}: is larger than {} bytes, which no dispatch would read", code::MAX_BYTES));
    }
    Ok(Digest::of(&bytes))
}
