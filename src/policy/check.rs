//! Holds policies against our schema, completed with what they read of the caller's object.

use std::collections::BTreeSet;

use cedar_policy::{PolicyId, PolicySet, Schema, ValidationMode, Validator};

use super::PolicyProblem;
use super::files::PolicyFile;
use super::reads::PolicyReads;
use super::request::Shape;
use super::source::{PolicySource, of_diagnostic};

const SCHEMA: &str = include_str!("hallgate.cedarschema");

/// Holds the policies against the schema, completed with what they read of the caller's object. `None` when that cannot be.
pub(super) fn validate(
    files: &[PolicyFile],
    written: &[PolicySource],
    reads: &PolicyReads,
    problems: &mut Vec<PolicyProblem>,
) -> Option<Shape> {
    let mut found = reads.problems.clone();
    let shape = reads.request.shape("context.request", &mut found);
    // What Cedar would say about these policies follows from what is said here.
    let said: BTreeSet<usize> = found.iter().map(|(policy, ..)| *policy).collect();
    for (policy, message, help) in found {
        let next = written.get(policy + 1);
        let Some((written, file)) = with_file(files, written.get(policy)) else { continue };
        let end = next.filter(|next| next.file == written.file).map_or(file.text.len(), |next| next.offset);
        let text = file.text.get(written.offset..end).unwrap_or_default();
        problems.push(PolicyProblem {
            file: file.path.clone(),
            place: Some(file.place(written.offset + quoted(&message, text).unwrap_or(0))),
            policy: written.id.to_string(),
            message,
            help,
        });
    }
    let mut set = PolicySet::new();
    let mut unheard = Vec::new();
    for (_, written) in written.iter().enumerate().filter(|(at, _)| !said.contains(at)) {
        if let Err(error) = set.add(written.policy.clone()) {
            unheard.push((written, error.to_string()));
        }
    }
    let schema = format!("{SCHEMA}\ntype Request = {};\n", shape.in_schema());
    let schema = match Schema::from_cedarschema_str(&schema) {
        Ok((schema, _)) => schema,
        Err(error) => {
            let file = files.first()?;
            let message = format!("what the policies read of context.request makes no schema: {error}");
            problems.push(PolicyProblem::of_file(&file.path, message, "read it in another way"));
            return None;
        }
    };
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let by_id = |id: &PolicyId| written.iter().find(|written| PolicyId::new(&written.id) == *id);
    let mut erring = BTreeSet::new();
    for error in result.validation_errors() {
        erring.insert(error.policy_id());
        if let Some((written, file)) = with_file(files, by_id(error.policy_id())) {
            problems.push(of_diagnostic(file, &written.id, error, written.offset, "correct the policy"));
        }
    }
    // That such a policy never applies follows from its errors.
    for warning in result.validation_warnings().filter(|warning| !erring.contains(warning.policy_id())) {
        if let Some((written, file)) = with_file(files, by_id(warning.policy_id())) {
            problems.push(of_diagnostic(
                file,
                &written.id,
                warning,
                written.offset,
                "correct the policy, or remove it",
            ));
        }
    }
    for (written, error) in unheard {
        let Some((written, file)) = with_file(files, Some(written)) else { continue };
        problems.push(PolicyProblem::of_file(&file.path, format!("`{}`: {error}", written.id), "correct the policy"));
    }
    Some(shape)
}

/// Where in a text is what a message quotes: a literal, else what stands between backticks.
fn quoted(message: &str, text: &str) -> Option<usize> {
    let literal = message.find('"').and_then(|from| message.get(from..)).filter(|literal| literal.len() > 2);
    let named = message.split('`').nth(1).filter(|named| !named.is_empty());
    literal.and_then(|literal| text.find(literal)).or_else(|| text.find(named?))
}

fn with_file<'a>(
    files: &'a [PolicyFile],
    written: Option<&'a PolicySource>,
) -> Option<(&'a PolicySource, &'a PolicyFile)> {
    let written = written?;
    Some((written, files.get(written.file)?))
}
