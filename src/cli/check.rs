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
            say(format_args!("{path} is sound: {rules} rules, {workers} workers, snapshot {fingerprint}"));
            ExitCode::SUCCESS
        }
        Err(problems) => misconfigured(&problems),
    }
}
