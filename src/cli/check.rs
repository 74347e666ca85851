//! `hallgate check`: load everything that is there, and list every problem.

use std::process::ExitCode;

use super::{ConfigFile, misconfigured, say, warn};
use crate::config::Checked;

/// How many files of policies are named.
const NAMED: usize = 50;

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
        Ok(Checked { snapshot, serves, warnings }) => {
            for warning in &warnings {
                warn(format_args!("{warning}"));
            }
            let path = options.file.path().display();
            let what = if serves { "is sound" } else { "is sound as a policy (`serve` needs a section `hall`, too)" };
            let counted = |n: usize, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
            let rules = counted(snapshot.rules.len(), "rule", "rules");
            let policies = counted(snapshot.gate.as_ref().map_or(0, |gate| gate.policies()), "policy", "policies");
            let workers = counted(snapshot.workers.len(), "worker", "workers");
            let needing = snapshot.asking_rules();
            let fingerprint = snapshot.fingerprint;
            say(format_args!(
                "{path} {what}: {rules} ({needing} need a permit), {policies}, {workers}, snapshot {fingerprint}"
            ));
            let files = snapshot.gate.as_ref().map_or(&[][..], |gate| gate.files());
            if !files.is_empty() {
                let named: Vec<&str> = files.iter().take(NAMED).map(|file| &**file).collect();
                let more = files.len().saturating_sub(NAMED);
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                say(format_args!("policies are in {}{more}", named.join(", ")));
            }
            ExitCode::SUCCESS
        }
        Err(problems) => misconfigured(&problems),
    }
}
