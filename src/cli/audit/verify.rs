//! `hallgate audit verify`: recompute a ledger, a range of it, or a bundle, and name the first break.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{KEY_FILE, LedgerFolder, PublicKey};
use crate::cli::{cannot, say};
use crate::ledger::verify::bundle::{BundleError, verify_bundle};
use crate::ledger::verify::range::verify_range;
use crate::ledger::verify::{VerifyError, verify_since};

/// Recompute a ledger and name the first break: exit code 0 when it holds, 1 when it does not, 2 when it cannot be read
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Instead of a ledger: a bundle of `audit export --bundle`, whose key is held to --key where one is given; `-` reads stdin
    #[arg(value_name = "BUNDLE", conflicts_with_all = ["path", "since", "from", "to"])]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    ledger: LedgerFolder,
    /// The verifier key `<name>+<id>+<key>`, or a file that holds it; get it from elsewhere than the ledger's folder [default:
    /// hallgate.key.pub]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
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
    let Options { bundle, ledger, key, since, from, to } = options;
    if let Some(bundle) = bundle {
        return of_bundle(bundle, key.as_deref());
    }
    let key = PublicKey { key: key.clone().unwrap_or_else(|| KEY_FILE.to_owned()) };
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

fn of_bundle(path: &Path, key: Option<&str>) -> ExitCode {
    let keys = match key.map(|key| PublicKey { key: key.to_owned() }.read()).transpose() {
        Ok(keys) => keys,
        Err(why) => return cannot(why),
    };
    let name = path.display();
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        match File::open(path) {
            Ok(file) => Box::new(file),
            Err(error) => return cannot(format_args!("the bundle `{name}` cannot be read: {error}")),
        }
    };
    match verify_bundle(BufReader::new(input), keys.as_deref()) {
        Ok(found) => {
            say(found);
            if keys.is_none() {
                say(
                    "whose key that is the bundle does not prove: compare it with one that you have from elsewhere, with --key",
                );
            }
            ExitCode::SUCCESS
        }
        Err(error @ BundleError::Broken { .. }) => {
            say(format_args!("`{name}` {error}"));
            ExitCode::FAILURE
        }
        Err(error @ BundleError::Unreadable(_)) => cannot(format_args!("`{name}` {error}")),
    }
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
