//! `hallgate check`: load everything that is there, and list every problem.

use std::process::ExitCode;

use super::{ConfigFile, misconfigured, say};
use crate::config::Checked;

/// Load the configuration, rules and workers, and list every problem
///
/// A file with a `policy` section alone is fine. Where there is a `gate` or a `hall`, all that `serve` needs has to be there.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
}

/// Runs the command. 0: all is well; 2: something is not.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match options.file.check() {
        Ok(Checked { snapshot, serves }) => {
            let path = options.file.path().display();
            let (rules, workers, fingerprint) = (snapshot.rules.len(), snapshot.workers.len(), snapshot.fingerprint);
            let what = if serves { "is sound" } else { "is sound as a policy (`serve` needs a section `hall`, too)" };
            let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
            let (rules, workers) = (counted(rules, "rule"), counted(workers, "worker"));
            say(format_args!("{path} {what}: {rules}, {workers}, snapshot {fingerprint}"));
            ExitCode::SUCCESS
        }
        Err(problems) => misconfigured(&problems),
    }
}
