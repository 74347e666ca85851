//! `hallgate worker`: enroll, list, revoke, restore and ban workers of a running Hall; hash records and code.

mod ban;
mod hash;
mod list;
mod register;
mod revocation;

use std::process::ExitCode;

use clap::Subcommand;

use super::client::{CallError, HallAnswer};
use super::{cannot, say};

/// Enroll workers in a running Hall, revoke and ban them, and hash records and code
///
/// The session token is `HALL_SESSION_TOKEN` in the environment.
#[derive(Debug, Subcommand)]
pub enum Options {
    Register(register::Options),
    List(list::Options),
    Revoke(revocation::Revoke),
    Restore(revocation::Restore),
    Ban(ban::Ban),
    Unban(ban::Unban),
    Hash(hash::Options),
}

/// Runs the command. 0: done; 1: the Hall refuses; 2: it could not be asked.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    match options {
        Options::Register(options) => register::run(options),
        Options::List(options) => list::run(options),
        Options::Revoke(options) => revocation::revoke(options),
        Options::Restore(options) => revocation::restore(options),
        Options::Ban(options) => ban::ban(options),
        Options::Unban(options) => ban::unban(options),
        Options::Hash(options) => hash::run(options),
    }
}

/// Says what the Hall has done, or why it has not.
fn told(answer: Result<HallAnswer, CallError>, done: impl FnOnce(&HallAnswer) -> String) -> ExitCode {
    match answer {
        Ok(answer) if answer.is_success() => {
            say(done(&answer));
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            let _ = cannot(answer.refusal());
            ExitCode::FAILURE
        }
        Err(error) => cannot(error),
    }
}

/// One segment of a path, with everything that would end it escaped.
fn segment(id: &str) -> String {
    let mut segment = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => segment.push(char::from(byte)),
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// The body of a request with these texts, those that are there.
fn body(texts: &[(&str, Option<&str>)]) -> Vec<u8> {
    let members: serde_json::Map<String, serde_json::Value> =
        texts.iter().filter_map(|(key, text)| Some(((*key).to_owned(), (*text)?.into()))).collect();
    serde_json::Value::Object(members).to_string().into_bytes()
}
