//! `hallgate approvals watch`: what comes to wait for a human, as it comes.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::list::{PENDING, approvals};
use super::shown;
use crate::cli::cannot;
use crate::cli::client::{CallError, HallAddress, HallAnswer};

/// How often the Hall is asked.
const LOOK: Duration = Duration::from_secs(2);

/// Print what waits for a human and then each that comes, one a line, until ended
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print each as the Hall's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hall: HallAddress,
}

/// Runs the command. It ends with whoever reads it, or when the Hall refuses; a Hall that is gone for a while is waited for.
pub fn run(options: &Options) -> ExitCode {
    let mut known: BTreeSet<String> = BTreeSet::new();
    let (mut has_heard, mut is_lost) = (false, false);
    loop {
        let answer = options.hall.get(PENDING);
        match &answer {
            Ok(answer) if answer.is_success() => {
                if is_lost {
                    let _ = writeln!(io::stderr(), "hallgate: the Hall answers again");
                }
                (has_heard, is_lost) = (true, false);
                match print_new(answer, &mut known, options.json) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
                    Err(error) => return cannot(error),
                }
            }
            Ok(refused) if !(has_heard && matches!(refused.status, 429 | 500..)) => {
                let _ = cannot(refused.refusal());
                return ExitCode::FAILURE;
            }
            Err(error) if !has_heard => return cannot(error),
            passing if !is_lost => {
                is_lost = true;
                complain(passing);
            }
            _ => {}
        }
        thread::sleep(LOOK);
    }
}

/// Says once why nothing comes for now.
fn complain(passing: &Result<HallAnswer, CallError>) {
    let _ = match passing {
        Ok(refused) => writeln!(io::stderr(), "hallgate: {}; asking again", refused.refusal()),
        Err(error) => writeln!(io::stderr(), "hallgate: {error}; asking again"),
    };
}

/// Prints those that were not there before, and remembers those that are there.
fn print_new(answer: &HallAnswer, known: &mut BTreeSet<String>, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut there = BTreeSet::new();
    for approval in approvals(answer) {
        let id = shown::text(approval, "pending_approval_id");
        if !known.contains(&id) {
            writeln!(out, "{}", if json { approval.to_string() } else { shown::line(approval) })?;
        }
        there.insert(id);
    }
    *known = there;
    out.flush()
}
