//! The command line: one file a command. Exit codes: 0 yes, 1 no (denied, differs, broken), 2 cannot.
//!
//! Answers go to stdout, everything else to stderr.

mod approvals;
mod audit;
mod check;
mod client;
mod console;
mod decide;
mod demo;
mod explain;
mod gate;
mod init;
mod k8s;
mod key;
mod ledger;
mod lines;
mod manual;
mod replay;
mod route;
pub mod serve;

mod status;
mod test;
mod token;
mod worker;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::config::{self, Checked, Config, EnvFiles, Excerpts, Files, Problems, Warning};
use crate::engine::Snapshot;

/// Which program this is, and from which commit it was built: see build.rs.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("HALLGATE_BUILT"), ")");

/// A reverse-proxy sidecar and Hall Server that decides, records and only then forwards
#[derive(Debug, Parser)]
#[command(name = "hallgate", version = VERSION, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Options),
    Check(check::Options),
    Decide(decide::Options),
    Test(test::Options),
    Replay(replay::Options),
    Explain(explain::Options),
    #[command(subcommand)]
    Audit(audit::Options),
    #[command(subcommand)]
    Ledger(ledger::Options),
    #[command(subcommand)]
    Key(key::Options),
    #[command(subcommand)]
    Token(token::Options),
    #[command(subcommand)]
    Worker(worker::Options),
    #[command(subcommand)]
    Approvals(approvals::Options),
    #[command(subcommand)]
    Console(console::Options),
    Route(route::Options),
    Status(status::Options),
    Init(init::Options),
    Gate(gate::Options),
    #[command(subcommand)]
    K8s(k8s::Options),
    Demo(demo::Options),
    Completions(manual::Completions),
    Man(manual::Man),
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "conf/hallgate.yaml")]
    config: PathBuf,
}

impl ConfigFile {
    /// Loads it with the process's environment, and says which files can be loaded again.
    fn load_from(&self) -> (Result<Config, Problems>, Files) {
        Config::load_from(&self.config, &environment)
    }

    /// Loads its `policy` section alone.
    fn load_policy(&self) -> Result<Snapshot, Problems> {
        Config::load_policy(&self.config, &environment)
    }

    /// Loads its `policy` section alone, and says where its ledger is.
    fn load_policy_and_ledger(&self) -> Result<(Snapshot, PathBuf), Problems> {
        Config::load_policy_and_ledger(&self.config, &environment)
    }

    /// Loads as much of it as is there, with variables of files before those of the environment, and absolute paths in `root`.
    fn check(&self, variables: &EnvFiles, root: Option<&Path>) -> Result<Checked, Problems> {
        let environment = |name: &str| variables.get(name).or_else(|| environment(name));
        Config::check(&self.config, &environment, root)
    }

    /// Where it is.
    fn path(&self) -> &Path {
        &self.config
    }
}

/// The process's environment. A variable that is not UTF-8 counts as not set: no value of ours could hold it.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An upstream's URL on the command line.
fn upstream_url(text: &str) -> Result<String, String> {
    config::upstream_url(text).map(|()| text.to_owned()).map_err(|why| format!("{}: {}", why.is, why.help))
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(options) => serve::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Decide(options) => decide::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Replay(options) => replay::run(&options),
        Command::Explain(options) => explain::run(&options),
        Command::Audit(options) => audit::run(&options),
        Command::Ledger(options) => ledger::run(&options),
        Command::Key(options) => key::run(&options),
        Command::Worker(options) => worker::run(&options),
        Command::Approvals(options) => approvals::run(&options),
        Command::Console(options) => console::run(&options),
        Command::Token(options) => token::run(&options),
        Command::Route(options) => route::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Init(options) => init::run(&options),
        Command::Gate(options) => gate::run(&options),
        Command::K8s(options) => k8s::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Completions(options) => manual::complete(&options, Cli::command()),
        Command::Man(options) => manual::man(&options, Cli::command()),
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

/// Says on stderr what is sound and yet not wise.
fn warn(what: &[Warning]) {
    let mut excerpts = Excerpts::default();
    for warning in what {
        let _ = writeln!(io::stderr(), "{}", excerpts.of_warning(warning));
    }
}

/// Says on stderr everything that is wrong with a configuration, and gives the exit code.
fn misconfigured(problems: &Problems) -> ExitCode {
    let _ = writeln!(io::stderr(), "{}", Excerpts::default().of_problems(problems));
    ExitCode::from(CANNOT)
}
