//! `hallgate audit export`: entries as JSON lines, each exactly the bytes whose SHA-256 is its receipt hash.

use std::io::{self, BufWriter};
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;

use super::{LedgerFolder, Written, flushed, write_line};
use crate::cli::cannot;
use crate::ledger::LogReader;
use crate::ledger::{Filter, Filtered};

/// Print entries as JSON lines, oldest first; a line's SHA-256 is its receipt hash
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    ledger: LedgerFolder,
    /// From this time, such as 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only of this tenant's stream; `:hall` for what belongs to none
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only decisions on this capability
    #[arg(long, value_name = "CAPABILITY")]
    capability: Option<String>,
    /// Only decisions with this verdict
    #[arg(long)]
    verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verdict {
    Allow,
    Deny,
    Hold,
}

impl Verdict {
    /// As entries say it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Hold => "REQUIRE_HUMAN",
        }
    }
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let Options { ledger, since, until, tenant, capability, verdict } = options;
    let filter = Filter {
        since: since.map(Timestamp::as_microsecond),
        until: until.map(Timestamp::as_microsecond),
        tenant: tenant.clone(),
        capability: capability.clone(),
        policy_decision: verdict.map(Verdict::as_str),
    };
    let mut entries = match LogReader::new(&ledger.path).filtered(&filter) {
        Ok(entries) => entries,
        Err(error) => return cannot(error),
    };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    loop {
        match entries.next() {
            Ok(Some((_, json))) => match filter.apply(json) {
                Ok(Filtered::Kept) => match write_line(&mut out, json) {
                    Ok(Written::On) => {}
                    Ok(Written::Unread) => return ExitCode::SUCCESS,
                    Err(error) => return cannot(error),
                },
                Ok(Filtered::Skipped) => {}
                Ok(Filtered::Done) => return flushed(&mut out),
                Err(error) => return cannot(error),
            },
            Ok(None) => return flushed(&mut out),
            Err(error) => {
                // What was sound is not kept back.
                let _ = flushed(&mut out);
                return cannot(error);
            }
        }
    }
}
