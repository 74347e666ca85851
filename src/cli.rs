//! The command line: one file a command. Exit codes: 0 yes, 1 no (denied, differs, broken), 2 cannot.
//!
//! Answers go to stdout, everything else to stderr.

pub mod audit;
pub mod check;
pub mod demo;
pub mod key;
pub mod serve;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Problems};

/// A reverse-proxy sidecar and Hall Server that decides, records and only then forwards
#[derive(Debug, Parser)]
#[command(name = "hallgate", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Options),
    Check(check::Options),
    Audit(audit::Options),
    Key(key::Options),
    Demo(demo::Options),
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "conf/hallgate.yaml")]
    config: PathBuf,
}

impl ConfigFile {
    /// Loads it with the process's environment.
    fn load(&self) -> Result<Config, Problems> {
        // A variable that is not UTF-8 counts as not set: no value of ours could hold it.
        Config::load(&self.config, &|name| std::env::var(name).ok())
    }

    /// Where it is.
    fn path(&self) -> &Path {
        &self.config
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(options) => serve::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Audit(options) => audit::run(&options),
        Command::Key(options) => key::run(&options),
        Command::Demo(options) => demo::run(&options),
    }
}

/// Exit code 2: bad input or configuration.
const CANNOT: u8 = 2;

/// Says an answer on stdout. A reader that has gone away needs none.
fn say(answer: impl Display) {
    let _ = writeln!(io::stdout(), "{answer}");
}

/// Says on stderr why the command cannot do its work, and gives its exit code.
fn cannot(why: impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "hallgate: {why}");
    ExitCode::from(CANNOT)
}

/// Says on stderr everything that is wrong with a configuration, and gives the exit code.
fn misconfigured(problems: &Problems) -> ExitCode {
    let _ = writeln!(io::stderr(), "{problems}");
    ExitCode::from(CANNOT)
}
