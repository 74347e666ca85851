//! `hallgate approvals approve`, `deny`, `done`, `escalate` and `withdraw`: what an approver decides.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{show, shown};
use crate::cli::client::{HallAddress, HallAnswer, body, told};
use crate::cli::{cannot, say};
use crate::ids::SupervisorLevel;

/// The word that is typed where more than a gatekeeper has to agree, or to several at once.
const WORD: &str = "approve";
/// The longest line that is read for it, in bytes.
const LINE: u64 = 256;

/// The most that a Hall decides about in one request.
const TOGETHER: usize = 100;

/// Which approval, and why.
#[derive(Debug, Args)]
struct Which {
    /// The approval
    #[arg(value_name = "ID")]
    id: String,
    /// Why, for the record; whoever asked reads it
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    hall: HallAddress,
}

/// Show what would run, and agree to exactly that: it runs when the same is sent again, once
///
/// Each of several is shown before any is agreed to. Where they are several, or of a level above gatekeeper, the word `approve` has to be
/// typed, or --yes to be given where there is no terminal.
#[derive(Debug, Args)]
pub struct Approve {
    /// The approvals
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Why, for the record; whoever asked reads it
    #[arg(long)]
    note: Option<String>,
    /// Agree without a word that is typed
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    hall: HallAddress,
}

/// Say no: whoever asks again is denied until it would have expired
#[derive(Debug, Args)]
pub struct Deny {
    #[command(flatten)]
    which: Which,
}

/// Say that you have done it yourself, where the level is executor
#[derive(Debug, Args)]
pub struct Done {
    #[command(flatten)]
    which: Which,
}

/// Have somebody of a higher level look at it; it expires when it would have
#[derive(Debug, Args)]
pub struct Escalate {
    #[command(flatten)]
    which: Which,
    /// Of what level, executor or incident_commander; without it the next one that agrees
    #[arg(long, value_name = "LEVEL")]
    to: Option<SupervisorLevel>,
}

/// Take back what was agreed to and has not run
#[derive(Debug, Args)]
pub struct Withdraw {
    #[command(flatten)]
    which: Which,
}

/// Runs `approve`. It sends the digests of what it has just shown. Where one cannot be shown, none is agreed to.
pub fn approve(options: &Approve) -> ExitCode {
    let Approve { ids, note, yes, hall } = options;
    let mut shown: Vec<(&str, String)> = Vec::new();
    let mut is_grave = false;
    for id in ids {
        if shown.iter().any(|(before, _)| before == id) {
            continue;
        }
        let seen = match show::fetch(hall, id) {
            Ok(seen) if seen.is_success() => seen,
            other => return told(other, |_| String::new()),
        };
        say(shown::whole(&seen.body));
        let Some(digest) = seen.text("digest") else {
            let _ = cannot("this token sees nothing but the state: use one with the scope `approve`");
            return ExitCode::FAILURE;
        };
        let may = seen.body.get("may_decide") == Some(&Value::Bool(true));
        is_grave |= may && seen.text("supervisor_level") != Some(SupervisorLevel::Gatekeeper.as_str());
        shown.push((id, digest.to_owned()));
    }
    if (is_grave || shown.len() > 1) && !yes {
        if !io::stdin().is_terminal() {
            return cannot(
                "they are several, or of a level above gatekeeper, and there is no terminal to type a word at: give --yes",
            );
        }
        if !typed() {
            return cannot(format_args!("nothing was decided: the word was not `{WORD}`"));
        }
    }
    if let [(id, digest)] = shown.as_slice() {
        return resolve(hall, id, note.as_deref(), &[("resolution", Some("approve")), ("digest", Some(digest))]);
    }
    // One that is refused keeps none of the others.
    shown.chunks(TOGETHER).map(|together| several(hall, together, note.as_deref())).fold(
        ExitCode::SUCCESS,
        |failed, code| {
            if code == ExitCode::SUCCESS { failed } else { code }
        },
    )
}

/// Agrees to several, each of which is answered by itself.
fn several(hall: &HallAddress, shown: &[(&str, String)], note: Option<&str>) -> ExitCode {
    let one = |(id, digest): &(&str, String)| json!({"pending_approval_id": id, "digest": digest});
    let mut asked = json!({"resolution": "approve", "approvals": shown.iter().map(one).collect::<Vec<_>>()});
    if let (Some(asked), Some(note)) = (asked.as_object_mut(), note) {
        asked.insert("note".to_owned(), note.into());
    }
    let answer = match hall.post("/wcp/approvals/resolve-several", asked.to_string().into_bytes()) {
        Ok(answer) if answer.is_success() => answer,
        other => return told(other, |_| String::new()),
    };
    let mut code = ExitCode::SUCCESS;
    for one in answer.body.get("approvals").and_then(Value::as_array).into_iter().flatten() {
        let of = |key: &str| one.get(key).cloned().unwrap_or_default();
        let status = of("status").as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or_default();
        let about = HallAnswer { status, body: of("approval") };
        if about.is_success() {
            say(now(&about));
        } else {
            let refused = HallAnswer { status, body: of("refusal") }.refusal();
            let _ = cannot(format_args!("{}: {refused}", shown::text(one, "pending_approval_id")));
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Whether somebody types the word.
fn typed() -> bool {
    let _ = write!(io::stderr(), "type `{WORD}` to agree to exactly what is shown: ");
    let _ = io::stderr().flush();
    let mut line = String::new();
    io::stdin().lock().take(LINE).read_line(&mut line).is_ok() && line.trim() == WORD
}

/// Runs `deny`.
pub fn deny(options: &Deny) -> ExitCode {
    options.which.resolve(&[("resolution", Some("deny"))])
}

/// Runs `done`.
pub fn done(options: &Done) -> ExitCode {
    options.which.resolve(&[("resolution", Some("done"))])
}

/// Runs `escalate`.
pub fn escalate(options: &Escalate) -> ExitCode {
    let to = options.to.map(SupervisorLevel::as_str);
    options.which.resolve(&[("resolution", Some("escalate")), ("supervisor_level", to)])
}

/// Runs `withdraw`.
pub fn withdraw(options: &Withdraw) -> ExitCode {
    options.which.resolve(&[("resolution", Some("withdraw"))])
}

impl Which {
    fn resolve(&self, resolution: &[(&str, Option<&str>)]) -> ExitCode {
        resolve(&self.hall, &self.id, self.note.as_deref(), resolution)
    }
}

fn resolve(hall: &HallAddress, id: &str, note: Option<&str>, resolution: &[(&str, Option<&str>)]) -> ExitCode {
    let which = [("pending_approval_id", Some(id)), ("note", note)];
    told(hall.post("/wcp/approvals/resolve", body(&[&which, resolution].concat())), now)
}

/// What has become of it.
fn now(answer: &HallAnswer) -> String {
    let of = |key: &str| shown::text(&answer.body, key);
    let (id, state) = (of("pending_approval_id"), of("state"));
    let votes = answer.body.get("votes").and_then(Value::as_array).map_or(0, Vec::len);
    match state.as_str() {
        "approved" => format!("{id} is approved: sent again before {} it runs, once", of("expires_at")),
        "pending" => format!("{id} is pending: {votes} of {} of level {} agree", of("quorum"), of("supervisor_level")),
        _ => format!("{id} is {state}"),
    }
}
