//! `hallgate check`: load everything that is there, list every problem, and warn of what cannot work.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{CANNOT, ConfigFile, cannot, misconfigured, say, warn};
use crate::clock::{now_micros, timestamp};
use crate::config::{Checked, EnvFiles, Problem, Problems, Warning};
use crate::engine::Snapshot;
use crate::lint;
use crate::proxy::Settings;
use crate::proxy::settings::Route;

/// How many files of policies are named.
const NAMED: usize = 50;

/// Load the configuration, rules and workers, list every problem, and warn of what cannot work
///
/// A file with a `policy` section alone is fine. Where there is a `gate` or a `hall`, all that `serve` needs has to be there.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The configuration file, as `--config`
    #[arg(value_name = "FILE", conflicts_with = "config")]
    path: Option<PathBuf>,
    #[command(flatten)]
    file: ConfigFile,
    /// A folder in which absolute paths of the configuration are looked for: a pod's file system, or what of it is here
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// A file of `NAME=value` lines, which count before the environment; may be repeated
    #[arg(long = "env-file", value_name = "FILE")]
    env_files: Vec<PathBuf>,
    /// Exit with 1 where there is a warning
    #[arg(long)]
    deny_warnings: bool,
    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command. 0: all is well; 1: there are warnings, and they were to be denied; 2: something is wrong.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let file = match &options.path {
        Some(path) => &ConfigFile { config: path.clone() },
        None => &options.file,
    };
    if let Some(root) = options.root.as_ref().filter(|root| !root.is_dir()) {
        return cannot(format_args!("`{}` is no folder: name one in `--root`", root.display()));
    }
    let variables = EnvFiles::read(&options.env_files);
    let checked = variables.and_then(|variables| file.check(&variables, options.root.as_deref()));
    let warnings = checked.as_ref().map(lint::of_checked).unwrap_or_default();
    if options.json {
        say(format_args!("{:#}", as_json(file, &checked, &warnings)));
    } else {
        match &checked {
            Ok(checked) => told(file, checked, &warnings),
            Err(problems) => return misconfigured(problems),
        }
    }
    match (checked.is_ok(), options.deny_warnings && !warnings.is_empty()) {
        (false, _) => ExitCode::from(CANNOT),
        (true, denied) => ExitCode::from(u8::from(denied)),
    }
}

/// What decides, and whether `serve` can run it.
fn parts(checked: &Checked) -> (&Snapshot, bool) {
    match checked {
        Checked::Config(config) => (&config.snapshot, true),
        Checked::Policy(policy) => (&policy.snapshot, false),
    }
}

/// The routes that only observe the policy, or did so.
fn observing(checked: &Checked) -> Vec<(usize, &Route, i64)> {
    match checked {
        Checked::Config(config) => config.gate.iter().flat_map(Settings::observing).collect(),
        Checked::Policy(_) => Vec::new(),
    }
}

fn told(file: &ConfigFile, checked: &Checked, warnings: &[Warning]) {
    warn(warnings);
    let (snapshot, serves) = parts(checked);
    let path = file.path().display();
    let what = if serves { "is sound" } else { "is sound as a policy (`serve` needs a section `gate` or `hall`, too)" };
    let counted = |n: usize, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
    let rules = counted(snapshot.rules.len(), "rule", "rules");
    let policies = counted(snapshot.gate.as_ref().map_or(0, |gate| gate.policies()), "policy", "policies");
    let workers = counted(snapshot.workers.len(), "worker", "workers");
    let needing = snapshot.asking_rules();
    let fingerprint = snapshot.fingerprint;
    let warned = if warnings.is_empty() {
        String::new()
    } else {
        format!(", {}", counted(warnings.len(), "warning", "warnings"))
    };
    say(format_args!(
        "{path} {what}: {rules} ({needing} need a permit), {policies}, {workers}{warned}, snapshot {fingerprint}"
    ));
    if let Some(shadow) = &snapshot.shadow {
        let (rules, fingerprint) = (counted(shadow.rules.len(), "rule", "rules"), shadow.fingerprint);
        let policies = counted(shadow.gate.as_ref().map_or(0, |gate| gate.policies()), "policy", "policies");
        let same = if fingerprint == snapshot.fingerprint { ", the same as what is in force" } else { "" };
        say(format_args!(
            "its shadow, which is asked and never enforced: {rules}, {policies}, snapshot {fingerprint}{same}"
        ));
    }
    for (at, route, until) in observing(checked) {
        let (now, end) = (now_micros(), timestamp(until));
        if now < until {
            say(format_args!(
                "gate.routes[{at}] ({route}) only observes the policy until {end}: what it denies passes"
            ));
        } else {
            say(format_args!(
                "gate.routes[{at}] ({route}) enforces the policy since {end}; `observe` does nothing any more"
            ));
        }
    }
    let files = snapshot.gate.as_ref().map_or(&[][..], |gate| gate.files());
    if !files.is_empty() {
        let named: Vec<&str> = files.iter().take(NAMED).map(|file| &**file).collect();
        let more = files.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        say(format_args!("policies are in {}{more}", named.join(", ")));
    }
}

/// The same for programs.
fn as_json(file: &ConfigFile, checked: &Result<Checked, Problems>, warnings: &[Warning]) -> Value {
    let problem = |Problem { file, place, key, message, help, quotable: _ }: &Problem| {
        let (line, column) = place.unzip();
        json!({ "file": file, "line": line, "column": column, "key": key, "message": message, "help": help })
    };
    let warning = |warning: &Warning| {
        let mut said = problem(&warning.about);
        if let Value::Object(members) = &mut said {
            members.insert("warning".to_owned(), warning.name.into());
        }
        said
    };
    let observed = |(at, route, until): (usize, &Route, i64)| {
        let key = format!("gate.routes[{at}]");
        json!({ "route": key, "match": route.to_string(), "until": timestamp(until), "over": until <= now_micros() })
    };
    let problems = checked.as_ref().err().map_or(&[][..], Problems::list);
    let mut answer = json!({
        "file": file.path(),
        "sound": checked.is_ok(),
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(warning).collect::<Vec<_>>(),
    });
    if let (Ok(checked), Value::Object(members)) = (checked, &mut answer) {
        let (snapshot, serves) = parts(checked);
        let gate = snapshot.gate.as_ref();
        members.extend([
            ("serves".to_owned(), serves.into()),
            ("rules".to_owned(), snapshot.rules.len().into()),
            ("rules_that_need_a_permit".to_owned(), snapshot.asking_rules().into()),
            ("policies".to_owned(), gate.map_or(0, |gate| gate.policies()).into()),
            ("policy_files".to_owned(), json!(gate.map_or(&[][..], |gate| gate.files()))),
            ("workers".to_owned(), snapshot.workers.len().into()),
            ("snapshot".to_owned(), snapshot.fingerprint.to_string().into()),
            ("shadow".to_owned(), snapshot.shadow.as_ref().map(|shadow| shadow.fingerprint.to_string()).into()),
            ("observing".to_owned(), observing(checked).into_iter().map(observed).collect()),
        ]);
    }
    answer
}
