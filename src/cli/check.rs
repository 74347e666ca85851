//! `hallgate check`: load everything that `serve` would, and list every problem.

use std::process::ExitCode;

use super::{ConfigFile, misconfigured, say};

/// Load the configuration, rules and workers, and list every problem
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
}

/// Runs the command. 0: all is well; 2: something is not.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match options.file.load() {
        Ok(config) => {
            let (rules, workers) = (config.snapshot.rules.len(), config.snapshot.workers.len());
            let (path, fingerprint) = (options.file.path().display(), config.snapshot.fingerprint);
            let policies = config.snapshot.gate.as_ref().map_or(0, |gate| gate.policies());
            // Policies that no rule asks are sound, and of no use.
            let asked = config.snapshot.asking_rules();
            say(format_args!(
                "{path} is sound: {rules} rules, {policies} policies asked by {asked} of them, {workers} workers, \
                 snapshot {fingerprint}"
            ));
            ExitCode::SUCCESS
        }
        Err(problems) => misconfigured(&problems),
    }
}
