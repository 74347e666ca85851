//! Validation of a submitted record: that it is one, that it is the one that was hashed, and that it is the caller's to enroll.

use std::sync::Arc;

use super::NotChanged;
use crate::engine::json::{Finding, Members, Step, path_text, present};
use crate::engine::{Json, Mode};
use crate::hall::Token;
use crate::ids::{Digest, TenantId};
use crate::registry::hash;
use crate::registry::records::{self, Enrolled, RecordFormat};
use crate::registry::roster::told;

/// The most bytes of a record: the ledger's entry has it whole, and escaped once more.
pub const LONGEST: usize = 30_000;

/// Reads a record that somebody wants to enroll, and gives it as it is recorded. Everything that is wrong with it is told, what is
/// missing in the reference's order first.
///
/// It is held to the strict form whatever the policy's mode is, so that a later policy loads it, too.
pub(super) fn read(record: Json, reading: &RecordFormat) -> Result<(Enrolled, Arc<str>), NotChanged> {
    let members = record.as_object().ok_or_else(|| NotChanged::Field {
        error: "invalid record".to_owned(),
        reason: format!("the body is {}, not an object; send a registry record", record.kind()),
    })?;
    let needed = needed(members);
    let strict = RecordFormat { mode: Mode::Strict, ..reading.clone() };
    let read = records::enrolled(record.clone(), &strict);
    let is_whole = needed.is_empty();
    let (enrolled, rest) = match read {
        Ok(enrolled) => (Some(enrolled), Vec::new()),
        Err(findings) => (None, findings),
    };
    let mismatch = rest.iter().any(|finding| is_about(finding, hash::ARTIFACT_HASH));
    // One thing is told once, and a record that is mended has another hash.
    let said = |finding: &Finding| {
        is_about(finding, hash::ARTIFACT_HASH) || needed.iter().any(|(field, ..)| is_about(finding, field))
    };
    let rest: Vec<Finding> = rest.into_iter().filter(|finding| !said(finding)).collect();
    let enrolled = match (enrolled, is_whole) {
        (Some(enrolled), true) => enrolled,
        // As in the reference: what else is wrong with a record that somebody changed is not its sender's to mend.
        _ if is_whole && mismatch => return Err(NotChanged::Tampered),
        _ => {
            let named = |finding: &Finding| format!("invalid field: {}", path_text(&finding.steps));
            let first = needed.first().map(|(_, error, _)| error.clone()).or_else(|| rest.first().map(named));
            let mut reasons: Vec<String> = needed.into_iter().map(|(.., reason)| reason).collect();
            reasons.extend((!rest.is_empty()).then(|| told(&rest)));
            return Err(NotChanged::Field { error: first.unwrap_or_default(), reason: reasons.join("; ") });
        }
    };
    let mut text = String::new();
    crate::engine::artifact::compact_python_json(&record, &mut text);
    if text.len() > LONGEST {
        return Err(NotChanged::Field {
            error: "record too large".to_owned(),
            reason: format!(
                "the record has {} bytes, {LONGEST} are the most; leave out what no decision reads",
                text.len()
            ),
        });
    }
    let enrolled = match reading.mode {
        Mode::Strict => enrolled,
        Mode::Reference => records::enrolled(Json::clone(&enrolled.record), reading)
            .map_err(|findings| NotChanged::Field { error: "invalid record".to_owned(), reason: told(&findings) })?,
    };
    Ok((enrolled, text.into()))
}

/// Whether a finding is about a field of the record: in it, or that it is missing.
fn is_about(finding: &Finding, field: &str) -> bool {
    match finding.steps.first() {
        Some(step) => *step == Step::from(field),
        None => finding.message.starts_with(&format!("`{field}`")),
    }
}

/// The fields without which there is nothing to check, in the reference's order: each that is not as it should be, the error, and why.
fn needed(members: &Members) -> Vec<(&'static str, String, String)> {
    let mut needed = Vec::new();
    for field in ["worker_id", "worker_species_id", "capabilities", hash::ARTIFACT_HASH] {
        let problem = match (field, present(members, field)) {
            (_, None) => Some("missing"),
            ("capabilities", Some(Json::Array(names))) if names.is_empty() => Some("missing"),
            ("capabilities", Some(Json::Array(_))) => None,
            ("capabilities", Some(_)) => Some("invalid"),
            (_, Some(Json::String(text))) if text.trim().is_empty() => Some("missing"),
            (hash::ARTIFACT_HASH, Some(Json::String(text))) => {
                let digest: Result<Digest, _> = text.strip_prefix("sha256:").unwrap_or(text).parse();
                digest.is_err().then_some("invalid")
            }
            (_, Some(Json::String(_))) => None,
            (_, Some(_)) => Some("invalid"),
        };
        if let Some(problem) = problem {
            let form = match field {
                "capabilities" => "a list of one capability or more",
                hash::ARTIFACT_HASH => {
                    "what `hallgate worker hash` prints, or enroll with `hallgate worker register --hash`"
                }
                _ => "a text",
            };
            let what = match present(members, field).filter(|_| problem == "invalid") {
                None => "is missing or empty".to_owned(),
                Some(Json::String(text)) if field == hash::ARTIFACT_HASH => {
                    format!("`{}` is not a hash of 64 lower-case hex digits", text.chars().take(80).collect::<String>())
                }
                Some(value) => format!("is {}", value.kind()),
            };
            needed.push((field, format!("{problem} field: {field}"), format!("`{field}` {what}; write {form}")));
        }
    }
    needed
}

/// Whether a token may enroll this worker, and why not.
pub(super) fn may_enroll(token: &Token, enrolled: &Enrolled) -> Result<(), String> {
    let binding = &token.binding;
    let worker = &enrolled.worker;
    if let Some(tenant) = &binding.tenant
        && !is_of(enrolled, tenant)
    {
        return Err(format!(
            "`worker_id`: the token is bound to `{tenant}`, and the worker `{}` is not known to be its; name it `{tenant}.…`, or \
             another id without a namespace and with `owner: {tenant}`",
            worker.worker_id
        ));
    }
    if binding.workers.as_ref().is_some_and(|workers| !workers.contains(&worker.worker_id)) {
        return Err(format!(
            "`worker_id`: the token is not bound to `{}`; add it to the token's worker_ids",
            worker.worker_id
        ));
    }
    let Some(envs) = &binding.envs else { return Ok(()) };
    let everywhere =
        "`allowed_environments` is missing, and the token is bound to some environments; name them".to_owned();
    let asked = worker.allowed_environments.as_ref().ok_or(everywhere)?;
    match asked.iter().find(|env| !envs.contains(*env)) {
        Some(env) => Err(format!("`allowed_environments`: the token is not bound to `{env}`; leave it out")),
        None => Ok(()),
    }
}

/// Whether a worker is this tenant's. All that says whose it is must say so, and something must: an id in a namespace (`org.` or
/// `x.`), the record's `owner`, its `tenant_id`.
#[must_use]
pub fn is_of(enrolled: &Enrolled, tenant: &TenantId) -> bool {
    let id = enrolled.worker.worker_id.as_str();
    let namespaced = ["org.", "x.", "org/", "x/"].iter().any(|namespace| id.starts_with(namespace));
    let own = id.strip_prefix(tenant.as_str()).is_some_and(|rest| rest.starts_with(['.', '/']));
    if namespaced && !own {
        return false;
    }
    let mut said = own;
    for key in ["owner", "tenant_id"] {
        match enrolled.record.as_object().and_then(|record| present(record, key)) {
            None => {}
            Some(Json::String(text)) if **text == *tenant.as_str() => said = true,
            Some(_) => return false,
        }
    }
    said
}

#[cfg(test)]
mod tests;
