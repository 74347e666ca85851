//! The policy gate: Cedar policies, read and checked at load, and asked by the engine.
//!
//! A policy that does not parse, does not fit our schema or says what has no meaning here makes the whole gate unloadable, with
//! every problem of every file. What is left to go wrong while a policy is evaluated (an integer that overflows, a text that
//! is no address) denies: Cedar alone would pass over such a policy, and a `forbid` that is passed over is a hole.

mod check;
mod evaluate;
mod files;
mod named;
mod probe;
mod reads;
mod request;
mod source;
mod visitor;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use evaluate::CedarGate;
pub use named::NamedEntity;

/// A problem in a policy file, with its place and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    /// The file, or the folder when it cannot be read.
    pub file: PathBuf,
    /// Line and column in characters, both from 1; `None` when it concerns the whole file.
    pub place: Option<(usize, usize)>,
    /// The policy; empty when it concerns the whole file.
    pub policy: String,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

/// Reads a policy file, or every `*.cedar` of a folder and of those in it, in the order of their names.
///
/// # Errors
/// Every problem of every file at once.
pub fn load(path: &Path) -> Result<CedarGate, Vec<PolicyProblem>> {
    gate(path, &files::read(path)?)
}

fn gate(path: &Path, files: &[files::PolicyFile]) -> Result<CedarGate, Vec<PolicyProblem>> {
    let digest = files::digest(files);
    let (written, mut problems) = source::parse(files);
    let reads = visitor::reads_of(&written);
    let shape = check::validate(files, &written, &reads, &mut problems);
    if problems.is_empty() && written.is_empty() {
        problems.push(PolicyProblem {
            file: path.to_owned(),
            place: None,
            policy: String::new(),
            message: "holds no policy, so everything that asks the gate would be denied".to_owned(),
            help: "write one, such as `permit(principal, action, resource);`".to_owned(),
        });
    }
    match shape {
        Some(shape) if problems.is_empty() => CedarGate::build(&written, &reads, shape, digest, files)
            .map_err(|message| vec![PolicyProblem::of_file(path, message, "simplify the policy")]),
        _ => {
            problems.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
            Err(problems)
        }
    }
}

impl PolicyProblem {
    fn of_file(file: &Path, message: String, help: &str) -> Self {
        Self { file: file.to_owned(), place: None, policy: String::new(), message, help: help.to_owned() }
    }
}
