//! `hallgate audit`: hold a ledger to account, read it, and prove what is in it, from its files and a public key alone.

mod export;
mod prove;
mod tail;
mod verify;
mod verify_proof;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::cannot;
use crate::documents;
use crate::ledger::verify::is_key;

/// Hold a ledger to account, read it, and prove what is in it; also while it is written
#[derive(Debug, clap::Subcommand)]
pub enum Options {
    Verify(verify::Options),
    Tail(tail::Options),
    Export(export::Options),
    Prove(prove::Options),
    VerifyProof(verify_proof::Options),
}

/// Runs the command.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match options {
        Options::Verify(options) => verify::run(options),
        Options::Tail(options) => tail::run(options),
        Options::Export(options) => export::run(options),
        Options::Prove(options) => prove::run(options),
        Options::VerifyProof(options) => verify_proof::run(options),
    }
}

/// Which ledger.
#[derive(Debug, clap::Args)]
struct LedgerFolder {
    /// The ledger's folder
    #[arg(long = "ledger", value_name = "FOLDER", default_value = "ledger")]
    path: PathBuf,
}

impl LedgerFolder {
    /// The folder, if there is one: what is not there is not broken.
    fn open(&self) -> Result<&Path, String> {
        let path = self.path.display();
        std::fs::read_dir(&self.path)
            .map(|_| &*self.path)
            .map_err(|error| format!("the ledger `{path}` cannot be read: {error}: name its folder with --ledger"))
    }
}

/// Which public key.
#[derive(Debug, clap::Args)]
struct PublicKey {
    /// The verifier key `<name>+<id>+<key>`, or a file that holds it; get it from elsewhere than the ledger's folder
    #[arg(long, value_name = "KEY", default_value = KEY_FILE)]
    key: String,
}

/// Where the public key is where none is named.
const KEY_FILE: &str = "hallgate.key.pub";

impl PublicKey {
    /// The keys: what is given, or each line of the file.
    fn read(&self) -> Result<Vec<String>, String> {
        let keys: Vec<String> = match documents::text(Path::new(&self.key), documents::SMALL) {
            Ok(text) => text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect(),
            // What is no file may be the key itself.
            Err(_) if self.key.matches('+').count() >= 2 => vec![self.key.clone()],
            Err(why) => return Err(format!("the verifier key `{}` {why}", self.key)),
        };
        if keys.is_empty() { Err(format!("the file `{}` holds no verifier key", self.key)) } else { Ok(keys) }
    }

    /// The one key.
    fn one(&self) -> Result<String, String> {
        match self.read()?.as_slice() {
            [key] => match is_key(key) {
                Ok(()) => Ok(key.clone()),
                Err(why) => {
                    Err(format!("the verifier key cannot be read: {why}: write `<name>+<id>+<key>` with --key"))
                }
            },
            keys => Err(format!("the file `{}` holds {} keys, and this wants one", self.key, keys.len())),
        }
    }
}

/// How writing lines to stdout came to an end.
enum Written {
    /// There are more.
    On,
    /// Nobody reads them any more, which is all right.
    Unread,
}

/// Writes a line. A reader that has gone away is no error.
fn write_line(out: &mut impl io::Write, line: &[u8]) -> io::Result<Written> {
    match out.write_all(line).and_then(|()| out.write_all(b"\n")) {
        Ok(()) => Ok(Written::On),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::Unread),
        Err(error) => Err(error),
    }
}

/// Writes what is buffered, and gives the exit code.
fn flushed(out: &mut impl io::Write) -> ExitCode {
    match out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => cannot(error),
        _ => ExitCode::SUCCESS,
    }
}

/// Says on stderr that something was kept from being read, without ending.
fn complain(why: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "hallgate: {why}");
}
