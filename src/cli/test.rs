//! `hallgate test`: golden routing cases in files, each an input beside what its answer must say.

mod cases;
mod differences;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;

use super::decide::Judge;
use super::{CANNOT, ConfigFile, cannot, misconfigured, say};
use crate::api::route_response;
use crate::documents;
use crate::engine::input::written::{Absent, Written};
use crate::engine::{Explanation, Facts};
use cases::{Case, CaseProblem, find, parse};
use differences::{Difference, differences, projected};

/// What a case expects when `--update` writes it for the first time.
const FIRST: [&str; 4] = ["outcome", "deny_code", "matched_rule_id", "selected_worker_species_id"];

/// Run golden routing cases against the policy, and show what differs
///
/// A case is `{"name": …, "input": {…}, "expect": {…}}`; a file holds one, or a list of them. Every key of `expect` must be in
/// the answer with the same value. Exit code 0 when all agree, 1 when one differs, 2 when one cannot be read.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Write what is answered into `expect`, and change nothing else in the files
    #[arg(long)]
    update: bool,
    /// Case files, or folders in which every `*.json` is one; without any, `cases` beside the configuration
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// What became of the cases.
#[derive(Default)]
struct Count {
    agreed: usize,
    differed: usize,
    updated: usize,
    unreadable: usize,
}

/// Runs the command.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let judge = match options.file.load_policy() {
        Ok(snapshot) => Judge::new(snapshot),
        Err(problems) => return misconfigured(&problems),
    };
    let beside = [options.file.path().parent().unwrap_or(Path::new("")).join("cases")];
    let paths = if options.paths.is_empty() { &beside[..] } else { &options.paths };
    let files = match find(paths) {
        Ok(files) => files,
        Err(problem) => return cannot(problem),
    };
    let mut count = Count::default();
    for file in &files {
        run_file(file, &judge, options.update, &mut count);
    }
    let Count { agreed, differed, updated, unreadable } = count;
    let also = |n: usize, what: &str| if n == 0 { String::new() } else { format!(", {n} {what}") };
    say(format_args!(
        "{} cases in {} files: {agreed} agree{}{}{}",
        agreed + differed + updated + unreadable,
        files.len(),
        also(differed, if differed == 1 { "differs" } else { "differ" }),
        also(updated, "updated"),
        also(unreadable, "cannot be read"),
    ));
    match (unreadable, differed) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::FAILURE,
        _ => ExitCode::from(CANNOT),
    }
}

fn run_file(file: &Path, judge: &Judge, update: bool, count: &mut Count) {
    let unreadable = &mut count.unreadable;
    let mut complain = |problem: &CaseProblem| {
        *unreadable += 1;
        let _ = writeln!(io::stderr(), "{}{problem}", file.display());
    };
    let text = match documents::text(file, documents::LARGE) {
        Ok(text) => text,
        Err(why) => return complain(&CaseProblem::of_file(why.to_string())),
    };
    let cases = match parse(&text) {
        Ok(cases) => cases,
        Err(problem) => return complain(&problem),
    };
    let runs: Vec<_> = cases.iter().map(|case| (case, Run::of(case, judge))).collect();
    if update && let Err(error) = rewrite(file, text, &runs) {
        return complain(&CaseProblem::of_file(format!("cannot be written: {error}")));
    }
    for (case, run) in &runs {
        let place = format!("{}{}", file.display(), case.title());
        let (run, expect) = match (run, &case.expect) {
            (Err(problem), _) => {
                complain(problem);
                continue;
            }
            (Ok(_), None) if update => {
                count.updated += 1;
                say(format_args!("{place}: written"));
                continue;
            }
            (Ok(_), None) => {
                complain(&case.problem("has no `expect`: write one, or run with `--update`"));
                continue;
            }
            (Ok(run), Some(expect)) => (run, expect),
        };
        let found = differences(expect, &run.answer);
        if found.is_empty() {
            count.agreed += 1;
            continue;
        }
        say(place);
        for Difference { key, expected, found } in &found {
            say(format_args!("    {key}\n      - {expected}\n      + {found}"));
        }
        if update {
            count.updated += 1;
        } else {
            count.differed += 1;
            say(format_args!("  why:\n{}", run.why));
        }
    }
}

/// Writes into a file what its cases are to expect. From the last to the first, so that no place moves that is still needed.
fn rewrite(file: &Path, text: String, runs: &[(&Case, Result<Run, CaseProblem>)]) -> io::Result<()> {
    let mut written = text.clone();
    for (case, run) in runs.iter().rev() {
        if let Ok(run) = run
            && let Some(expect) = run.updated(case)
        {
            case.put_expect(&mut written, &expect);
        }
    }
    if written == text { Ok(()) } else { fs::write(file, written) }
}

/// A case that was decided.
struct Run {
    answer: Value,
    why: Explanation,
}

impl Run {
    fn of(case: &Case, judge: &Judge) -> Result<Self, CaseProblem> {
        // Always the same, so that an answer is: its artifact hash, too.
        let absent = Absent { tenant: None, correlation_id: &|| Arc::from("hallgate-test") };
        let written = Written::read(case.input.as_bytes(), &absent);
        let written = written.map_err(|why| case.problem(why.reason("`input`")))?;
        let (id, time) = ("", "");
        let (answer, why) = match written.describe(judge.snapshot.settings.mode) {
            Ok(input) => {
                let (decision, why) = judge.decide(input, &Facts::default(), true);
                (serde_json::to_value(route_response::on_decision(&decision, id, time, None)), why)
            }
            Err(unacceptable) => {
                let answer = route_response::on_unacceptable(&unacceptable, id, time, None, &judge.snapshot);
                (serde_json::to_value(answer), None)
            }
        };
        let mut answer =
            answer.map_err(|error| case.problem(format!("has an answer that cannot be written: {error}")))?;
        // What is another in every run cannot be expected.
        for key in ["decision_id", "timestamp", "decided_at", "telemetry_envelopes"] {
            answer.as_object_mut().and_then(|answer| answer.remove(key));
        }
        Ok(Self { answer, why: why.unwrap_or_else(Explanation::of_unacceptable) })
    }

    /// What the case is to expect, when that is something else than it does.
    fn updated(&self, case: &Case) -> Option<Value> {
        let expect = match &case.expect {
            Some(expect) => projected(expect, &self.answer),
            None => FIRST
                .into_iter()
                .map(|key| (key.to_owned(), self.answer.get(key).cloned().unwrap_or_default()))
                .collect(),
        };
        (case.expect.as_ref() != Some(&expect)).then_some(expect)
    }
}
