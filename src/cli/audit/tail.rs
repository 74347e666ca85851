//! `hallgate audit tail`: the newest entries, and those that come.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::{LedgerFolder, Written, complain, flushed, write_line};
use crate::cli::cannot;
use crate::ledger::LogReader;

/// How often to look for more.
const LOOK: Duration = Duration::from_millis(100);
/// How often to look again at a place that is damaged: it may be half written.
const TRIES: u32 = 10;

/// Print the newest entries as JSON lines, and with -f those that come
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    ledger: LedgerFolder,
    /// How many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    lines: u64,
    /// Go on with those that come, until ended
    #[arg(short, long)]
    follow: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> ExitCode {
    let mut entries = match LogReader::new(&options.ledger.path).newest(options.lines) {
        Ok(entries) => entries,
        Err(error) => return cannot(error),
    };
    let mut out = io::stdout().lock();
    let mut tries = 0;
    loop {
        match entries.next() {
            Ok(Some((_, json))) => match write_line(&mut out, json) {
                Ok(Written::On) => tries = 0,
                Ok(Written::Unread) => return ExitCode::SUCCESS,
                Err(error) => return cannot(error),
            },
            Ok(None) if !options.follow => return flushed(&mut out),
            Err(error) if !options.follow || tries == TRIES => return cannot(error),
            waiting => {
                if let Err(error) = waiting {
                    tries += 1;
                    complain(format_args!("{error}; looking again"));
                }
                match out.flush() {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
                    Err(error) => return cannot(error),
                    Ok(()) => thread::sleep(LOOK),
                }
            }
        }
    }
}
