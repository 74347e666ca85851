//! `hallgate decide`: RouteInput JSON lines in, RouteDecision JSON lines out, one answer a line and in order.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::lines::{InputLine, LineReader};
use super::{CANNOT, ConfigFile, misconfigured};
use crate::api::route_response;
use crate::clock::{now_micros, timestamp};
use crate::engine::input::written::{Absent, InvalidRequest, LONGEST, Written};
use crate::engine::policy_gate::Policies;
use crate::engine::{
    self, Decision, DenyCode, Explanation, Facts, Outcome, Question, RouteInput, Snapshot, Verdict, explain, whose_code,
};
use crate::ledger::past::KnownRequest;
use crate::registry::code::SourceHashes;

/// Decide requests by the policy's files alone: JSON lines in, JSON lines out
///
/// Nothing is recorded and nobody is asked. One answer a line and in order; a line that is no request gets an object with
/// `error`. Exit code 0 when all are allowed, 1 when one is denied, 2 when one could not be read.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Say what each gate said: to a human on stderr, and as the key `explain` of each answer
    #[arg(long)]
    explain: bool,
    /// Files of one request a line; `-`, and none, is stdin
    #[arg(value_name = "FILE")]
    inputs: Vec<PathBuf>,
}

/// Runs the command.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let snapshot = match options.file.load_policy() {
        Ok(snapshot) => snapshot,
        Err(problems) => return misconfigured(&problems),
    };
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut desk =
        Desk { judge: Judge::new(snapshot), out, explain: options.explain, denied: false, unreadable: false };
    let stdin = [PathBuf::from("-")];
    let inputs = if options.inputs.is_empty() { &stdin[..] } else { &options.inputs };
    for input in inputs {
        let answered = if input == Path::new("-") {
            desk.answer_all(io::stdin().lock(), input)
        } else {
            match File::open(input) {
                Ok(file) => desk.answer_all(file, input),
                Err(error) => desk.passes_over(input, &error),
            }
        };
        match answered {
            Ok(()) => {}
            // Who reads the answers has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Err(error) => return super::cannot(format_args!("the answers cannot be written: {error}")),
        }
    }
    match desk.out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            super::cannot(format_args!("the answers cannot be written: {error}"))
        }
        _ if desk.unreadable => ExitCode::from(CANNOT),
        _ if desk.denied => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Where requests are answered.
struct Desk<W> {
    judge: Judge,
    out: W,
    explain: bool,
    denied: bool,
    unreadable: bool,
}

/// An answer with what explains it.
#[derive(Serialize)]
struct Explained<'a, A> {
    #[serde(flatten)]
    answer: A,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<&'a Explanation>,
}

/// What stands in the place of an answer to what is no request. Who looks only at `denied` is refused.
#[derive(Serialize)]
struct NoAnswer<'a> {
    error: &'a str,
    line: u64,
    denied: bool,
    allowed: bool,
    outcome: &'static str,
    deny_code: &'static str,
    reason: &'a str,
}

impl<W: Write> Desk<W> {
    /// Answers each line. What is waiting is answered before more is waited for.
    fn answer_all(&mut self, input: impl Read, name: &Path) -> io::Result<()> {
        let mut lines = LineReader::new(BufReader::with_capacity(1 << 16, input), LONGEST);
        let mut number = 0;
        loop {
            if lines.reader().buffer().is_empty() {
                self.out.flush()?;
            }
            number += 1;
            match lines.next() {
                Ok(None) => return Ok(()),
                Ok(Some(line)) => self.answer(&line, number)?,
                Err(error) => return self.passes_over(name, &error),
            }
        }
    }

    /// Says that an input cannot be read.
    fn passes_over(&mut self, name: &Path, error: &io::Error) -> io::Result<()> {
        self.unreadable = true;
        let _ = writeln!(io::stderr(), "hallgate: `{}` cannot be read: {error}", name.display());
        Ok(())
    }

    fn answer(&mut self, line: &InputLine<'_>, number: u64) -> io::Result<()> {
        let read = match line {
            InputLine::Whole(text) => Written::read(text, &Absent { tenant: None, correlation_id: &fresh_id }),
            InputLine::TooLong => Err(InvalidRequest::Malformed(format!(
                "is over {LONGEST} bytes; send ids and labels, not the data itself"
            ))),
        };
        let written = match read {
            Ok(written) => written,
            Err(why) => return self.refuse(&why, number),
        };
        let (id, time) = (fresh_id(), timestamp(now_micros()));
        match written.describe(self.judge.snapshot.settings.mode) {
            Ok(input) => {
                let (decision, explanation) = self.judge.decide(input, &Facts::default(), self.explain);
                self.denied |= decision.verdict.denied();
                if let Some(explanation) = &explanation {
                    tell(number, &decision.verdict, explanation);
                }
                let answer = route_response::on_decision(&decision, &id, &time, None);
                write_line(&mut self.out, &Explained { answer, explain: explanation.as_ref() })
            }
            Err(unacceptable) => {
                self.denied = true;
                let explanation = self.explain.then(Explanation::of_unacceptable);
                if explanation.is_some() {
                    let code = DenyCode::InvalidInput.as_str();
                    let _ = writeln!(io::stderr(), "line {number}: DENY {code}: {}", unacceptable.message);
                }
                let answer = route_response::on_unacceptable(&unacceptable, &id, &time, None, &self.judge.snapshot);
                write_line(&mut self.out, &Explained { answer, explain: explanation.as_ref() })
            }
        }
    }

    fn refuse(&mut self, why: &InvalidRequest, line: u64) -> io::Result<()> {
        self.unreadable = true;
        let no_answer = NoAnswer {
            error: &why.error("the line"),
            line,
            denied: true,
            allowed: false,
            outcome: Outcome::Deny.as_str(),
            deny_code: DenyCode::InvalidInput.as_str(),
            reason: &why.reason("the line"),
        };
        write_line(&mut self.out, &no_answer)
    }
}

/// Who decides by a policy's files alone.
pub(super) struct Judge {
    pub(super) snapshot: Snapshot,
    source_hashes: SourceHashes,
}

impl Judge {
    /// By this snapshot.
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, source_hashes: SourceHashes::default() }
    }

    /// The decision on a request, and, if that is asked for, why.
    pub(super) fn decide(&self, input: RouteInput, facts: &Facts, wants_why: bool) -> (Decision, Option<Explanation>) {
        if wants_why {
            let (decision, explanation) = self.explain(input, facts);
            return (decision, Some(explanation));
        }
        let Self { snapshot, source_hashes } = self;
        let question = source_hashes.know_now(Question::ask(&input, facts, snapshot), snapshot);
        let verdict = engine::decide(&question, snapshot);
        (Decision::new(input, Arc::new(verdict), snapshot, false), None)
    }

    /// The decision on a request, and why.
    pub(super) fn explain(&self, input: RouteInput, facts: &Facts) -> (Decision, Explanation) {
        let Self { snapshot, source_hashes } = self;
        let question = source_hashes.know_now(Question::ask(&input, facts, snapshot), snapshot);
        let (verdict, explanation) = explain(&question, snapshot);
        (Decision::new(input, Arc::new(verdict), snapshot, false), explanation)
    }

    /// Why these policies cannot be asked of what is known of a caller's object; `None` where they can.
    pub(super) fn lacks(&self, known: &KnownRequest, policies: Policies) -> Option<String> {
        let lacking = known.lacks(self.snapshot.gate.as_ref()?.attributes(policies))?;
        Some(format!("the policies read {lacking}, which the entry does not keep"))
    }

    /// Whether the decision on a request depends on what the code of a worker is at the time.
    pub(super) fn looks_at_code(&self, input: &RouteInput, facts: &Facts) -> bool {
        whose_code(&Question::ask(input, facts, &self.snapshot), &self.snapshot).is_some()
    }
}

fn fresh_id() -> Arc<str> {
    Uuid::new_v4().to_string().into()
}

/// Tells a human why.
fn tell(line: u64, verdict: &Verdict, explanation: &Explanation) {
    let code = verdict.denial.as_ref().map_or("", |denial| denial.code.as_str());
    let _ = writeln!(io::stderr(), "line {line}: {} {code}\n{explanation}", verdict.outcome.as_str());
}

fn write_line(out: &mut impl Write, answer: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, answer)?;
    out.write_all(b"\n")
}
