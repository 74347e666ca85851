//! `hallgate test`: golden routing cases in files, each an input beside what its answer must say; and what of the policy they reach.

mod cases;
mod coverage;
mod differences;
mod results;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::Value;

use super::{CANNOT, ConfigFile, cannot, misconfigured, say};
use crate::api::route_response;
use crate::config::Excerpts;
use crate::documents;
use crate::engine::input::written::{Absent, Written};
use crate::engine::{Explanation, Facts, RouteInput};
use crate::hall::why::Judge;
use cases::{Case, CaseProblem, find, parse};
use coverage::Coverage;
use differences::{differences, projected};
use results::{CaseOutcome, CaseResult, Results};

/// What a case expects when `--update` writes it for the first time.
const FIRST: [&str; 4] = ["outcome", "deny_code", "matched_rule_id", "selected_worker_species_id"];

/// Run golden routing cases against the policy, and show what differs
///
/// A case is `{"name": …, "input": {…}, "expect": {…}}`; a file holds one, or a list of them. Every key of `expect` must be in
/// the answer with the same value. Exit code 0 when all agree, 1 when one differs or less is covered than `--min` says, 2 when
/// one cannot be read.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Write what is answered into `expect`, and change nothing else in the files
    #[arg(long)]
    update: bool,
    /// Name the rules, policies and conditions that no case reaches, or that went one way only
    #[arg(long)]
    coverage: bool,
    /// The least percentage that has to be covered
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=100))]
    min: Option<u64>,
    /// Write the results as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
    /// Case files, or folders in which every `*.json` is one; without any, `cases` beside the configuration
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
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
    let mut coverage = (options.coverage || options.min.is_some()).then(|| Coverage::of(&judge));
    let mut results = Results::new(files.len());
    let mut excerpts = Excerpts::default();
    for file in &files {
        for result in run_file(file, &judge, options.update, coverage.as_mut(), &mut excerpts) {
            if !options.json {
                result.tell(options.update, &mut excerpts);
            }
            results.push(result);
        }
    }
    if let Some(path) = &options.junit
        && let Err(error) = fs::write(path, results.to_junit())
    {
        return cannot(format_args!("`{}` cannot be written: {error}", path.display()));
    }
    let covered = coverage.as_ref().map(Coverage::percent);
    if options.json {
        say(format_args!("{:#}", results.to_json(coverage.as_ref().map(Coverage::to_json))));
    } else {
        coverage.iter().for_each(say);
        say(&results);
    }
    let too_little = covered.zip(options.min).filter(|(covered, min)| covered < min);
    if let Some((covered, min)) = too_little {
        let _ = writeln!(io::stderr(), "hallgate: {covered}% is covered, and --min wants {min}%");
    }
    match (results.unreadable(), results.differed() + usize::from(too_little.is_some())) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::FAILURE,
        _ => ExitCode::from(CANNOT),
    }
}

/// What becomes of the cases of a file. What is quoted of it is its text before anything is written.
fn run_file(
    file: &Path,
    judge: &Judge,
    update: bool,
    mut coverage: Option<&mut Coverage<'_>>,
    excerpts: &mut Excerpts,
) -> Vec<CaseResult> {
    let whole = |message: String, help| vec![CaseResult::of_file(file, CaseProblem::of_file(message, help))];
    let text = match documents::text(file, documents::LARGE) {
        Ok(text) => text,
        Err(why) => return whole(why.to_string(), "name files of cases, or folders of them"),
    };
    excerpts.quote(file, &text);
    let cases = match parse(&text) {
        Ok(cases) => cases,
        Err(problems) => return problems.into_iter().map(|problem| CaseResult::of_file(file, problem)).collect(),
    };
    let runs = cases.iter().map(|case| (case, Run::of(case, judge, coverage.as_deref_mut()))).collect::<Vec<_>>();
    if update && let Err(error) = rewrite(file, text, &runs) {
        return whole(format!("cannot be written: {error}"), "let it be written, or leave `--update` out");
    }
    let outcome = |(case, run): (&Case, Result<Run, CaseProblem>)| {
        let outcome = match (run, &case.expect) {
            (Err(problem), _) => CaseOutcome::Unreadable(problem),
            (Ok(_), None) if update => CaseOutcome::Written,
            (Ok(_), None) => {
                let help = "write one, or run with `--update`";
                CaseOutcome::Unreadable(case.problem(None, "has no `expect`", help))
            }
            (Ok(run), Some(expect)) => match differences(expect, &run.answer) {
                found if found.is_empty() => CaseOutcome::Agreed,
                found if update => CaseOutcome::Updated(found),
                found => CaseOutcome::Differed(found, run.why),
            },
        };
        CaseResult::of(file, case, outcome)
    };
    runs.into_iter().map(outcome).collect()
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
    fn of(case: &Case, judge: &Judge, coverage: Option<&mut Coverage<'_>>) -> Result<Self, CaseProblem> {
        // Always the same, so that an answer is: its artifact hash, too.
        let absent = Absent { tenant: None, correlation_id: &|| Arc::from("hallgate-test") };
        let written = Written::read(case.input.as_bytes(), &absent);
        let written = written.map_err(|why| case.problem(why.field(), why.reason("`input`"), ""))?;
        let (id, time) = ("", "");
        let (answer, why) = match written.describe(judge.snapshot.settings.mode) {
            Ok(input) => {
                let asked = coverage.is_some().then(|| RouteInput::clone(&input));
                let (decision, why) = judge.explain(input, &Facts::default(), None);
                if let (Some(coverage), Some(asked)) = (coverage, asked) {
                    coverage.take(&asked, &why);
                }
                (serde_json::to_value(route_response::on_decision(&decision, id, time, None)), why)
            }
            Err(unacceptable) => {
                let answer = route_response::on_unacceptable(&unacceptable, id, time, None, &judge.snapshot);
                (serde_json::to_value(answer), Explanation::of_unacceptable())
            }
        };
        let mut answer =
            answer.map_err(|error| case.problem(None, format!("has an answer that cannot be written: {error}"), ""))?;
        // What is another in every run cannot be expected.
        for key in ["decision_id", "timestamp", "decided_at", "telemetry_envelopes"] {
            answer.as_object_mut().and_then(|answer| answer.remove(key));
        }
        Ok(Self { answer, why })
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
