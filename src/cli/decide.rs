//! `hallgate decide`: RouteInputs as JSON of any layout in, RouteDecisions out, in order: JSON lines for programs, words for humans.

mod values;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::{CANNOT, ConfigFile, misconfigured};
use crate::api::route_response;
use crate::clock::{now_micros, timestamp};
use crate::engine::input::written::{Absent, InvalidRequest, LONGEST, Written};
use crate::engine::{Decision, DenyCode, Explanation, Facts, Outcome, Verdict};
use crate::hall::why::{Judge, ShortVerdict};
use values::{InputValue, ValueReader};

/// Decide requests by the policy's files alone: JSON in, JSON lines or words out
///
/// Nothing is recorded and nobody is asked. Requests are JSON of any layout: one a line, over many lines, or in a list. Each gets
/// one answer, in order; what is no request gets one with `error`. Exit code 0 when all are allowed, 1 when one is denied, 2
/// when one could not be read.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Say what each gate said: to a human, and as the key `explain` of each answer
    #[arg(long)]
    explain: bool,
    /// How answers are written; without it in words on a terminal, and as JSON lines elsewhere
    #[arg(long, value_name = "FORMAT")]
    format: Option<AnswerFormat>,
    /// Files of requests; `-`, and none, is stdin
    #[arg(value_name = "FILE")]
    inputs: Vec<PathBuf>,
}

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum AnswerFormat {
    /// One JSON object a line
    Json,
    /// Words
    Text,
}

/// Runs the command.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let snapshot = match options.file.load_policy() {
        Ok(snapshot) => snapshot,
        Err(problems) => return misconfigured(&problems),
    };
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let on_terminal = || if io::stdout().is_terminal() { AnswerFormat::Text } else { AnswerFormat::Json };
    let in_words = options.format.unwrap_or_else(on_terminal) == AnswerFormat::Text;
    let (judge, explain) = (Judge::new(snapshot), options.explain);
    let mut desk = Desk { judge, out, explain, in_words, denied: false, unreadable: false };
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
    /// Whether a human is answered.
    in_words: bool,
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
    /// Answers each request. What is waiting is answered before more is waited for.
    fn answer_all(&mut self, input: impl Read, name: &Path) -> io::Result<()> {
        let mut requests = ValueReader::new(input, LONGEST);
        loop {
            if requests.waits() {
                self.out.flush()?;
            }
            match requests.next() {
                Ok(None) => return Ok(()),
                Ok(Some((line, request))) => self.answer(&request, line)?,
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

    fn answer(&mut self, request: &InputValue, line: u64) -> io::Result<()> {
        let read = match request {
            InputValue::Whole(text) => Written::read(text, &Absent { tenant: None, correlation_id: &fresh_id }),
            InputValue::TooLong => Err(InvalidRequest::Malformed(format!(
                "is over {LONGEST} bytes; send ids and labels, not the data itself"
            ))),
            InputValue::NoList(why) => Err(InvalidRequest::Malformed((*why).to_owned())),
        };
        let written = match read {
            Ok(written) => written,
            Err(why) => return self.refuse(&why, line),
        };
        let (id, time) = (fresh_id(), timestamp(now_micros()));
        match written.describe(self.judge.snapshot.settings.mode) {
            Ok(input) => {
                let (decision, explanation) = self.judge.decide(input, &Facts::default(), None, self.explain);
                self.denied |= decision.verdict.denied();
                if self.in_words {
                    return told(&mut self.out, line, &decision, explanation.as_ref());
                }
                if let Some(explanation) = &explanation {
                    tell(line, &decision.verdict, explanation);
                }
                let answer = route_response::on_decision(&decision, &id, &time, None);
                write_line(&mut self.out, &Explained { answer, explain: explanation.as_ref() })
            }
            Err(unacceptable) => {
                self.denied = true;
                let (code, message) = (DenyCode::InvalidInput.as_str(), &unacceptable.message);
                if self.in_words {
                    return writeln!(self.out, "line {line}: DENY {code}\n  reason: {message}");
                }
                let explanation = self.explain.then(Explanation::of_unacceptable);
                if explanation.is_some() {
                    let _ = writeln!(io::stderr(), "line {line}: DENY {code}: {message}");
                }
                let answer = route_response::on_unacceptable(&unacceptable, &id, &time, None, &self.judge.snapshot);
                write_line(&mut self.out, &Explained { answer, explain: explanation.as_ref() })
            }
        }
    }

    fn refuse(&mut self, why: &InvalidRequest, line: u64) -> io::Result<()> {
        self.unreadable = true;
        let reason = &why.reason("the request");
        if self.in_words {
            return writeln!(self.out, "line {line}: cannot be read: {reason}");
        }
        let no_answer = NoAnswer {
            error: &why.error("the request"),
            line,
            denied: true,
            allowed: false,
            outcome: Outcome::Deny.as_str(),
            deny_code: DenyCode::InvalidInput.as_str(),
            reason,
        };
        write_line(&mut self.out, &no_answer)
    }
}

fn fresh_id() -> Arc<str> {
    Uuid::new_v4().to_string().into()
}

/// Answers a human.
fn told(out: &mut impl Write, line: u64, decision: &Decision, why: Option<&Explanation>) -> io::Result<()> {
    writeln!(out, "line {line}: {}\n  asked: {}", ShortVerdict::of(decision), decision.input.in_words())?;
    if let Some(denial) = &decision.verdict.denial {
        writeln!(out, "  reason: {}", denial.message)?;
        if why.is_none() {
            writeln!(out, "  what to do: {}", denial.code.remedy())?;
        }
    }
    why.map_or(Ok(()), |why| write!(out, "{why}"))
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
