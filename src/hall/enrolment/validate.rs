//! Validation of a submitted record: that it is one, that it is the one that was hashed, and that it is the caller's to enroll.

use std::sync::Arc;

use super::NotChanged;
use crate::engine::json::{Members, path_text, present};
use crate::engine::{Json, Mode};
use crate::hall::Token;
use crate::ids::{Digest, TenantId};
use crate::registry::hash;
use crate::registry::records::{self, Enrolled, RecordFormat};
use crate::registry::roster::told;

/// The most bytes of a record: the ledger's entry has it whole, and escaped once more.
pub const LONGEST: usize = 30_000;

/// Reads a record that somebody wants to enroll, and gives it as it is recorded. What is missing is told in the reference's order.
///
/// It is held to the strict form whatever the policy's mode is, so that a later policy loads it, too.
pub(super) fn read(record: Json, reading: &RecordFormat) -> Result<(Enrolled, Arc<str>), NotChanged> {
    let members = record.as_object().ok_or_else(|| NotChanged::Field {
        error: "invalid record".to_owned(),
        reason: format!("the body is {}, not an object; send a registry record", record.kind()),
    })?;
    needed(members)?;
    let written = present(members, hash::ARTIFACT_HASH).and_then(Json::as_str).map(|text| &**text).unwrap_or_default();
    let claimed: Digest = written.strip_prefix("sha256:").unwrap_or(written).parse().map_err(|_| NotChanged::Field {
        error: format!("invalid field: {}", hash::ARTIFACT_HASH),
        reason: format!(
            "`artifact_hash`: `{}` is not a hash; write what `hallgate worker hash` prints: `sha256:` and 64 lower-case hex digits",
            written.chars().take(80).collect::<String>()
        ),
    })?;
    if claimed != hash::of_record(members) {
        return Err(NotChanged::Tampered);
    }
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
    let strict = RecordFormat { mode: Mode::Strict, ..reading.clone() };
    let enrolled = records::enrolled(record, &strict).map_err(|findings| {
        let field = findings.first().map(|finding| path_text(&finding.steps)).unwrap_or_default();
        NotChanged::Field { error: format!("invalid field: {field}"), reason: told(&findings) }
    })?;
    let enrolled = match reading.mode {
        Mode::Strict => enrolled,
        Mode::Reference => records::enrolled(Json::clone(&enrolled.record), reading)
            .map_err(|findings| NotChanged::Field { error: "invalid record".to_owned(), reason: told(&findings) })?,
    };
    Ok((enrolled, text.into()))
}

/// The fields without which there is nothing to check, in the reference's order.
fn needed(members: &Members) -> Result<(), NotChanged> {
    for field in ["worker_id", "worker_species_id", "capabilities", hash::ARTIFACT_HASH] {
        let problem = match (field, present(members, field)) {
            (_, None) => Some("missing"),
            ("capabilities", Some(Json::Array(names))) if names.is_empty() => Some("missing"),
            ("capabilities", Some(Json::Array(_))) => None,
            ("capabilities", Some(_)) => Some("invalid"),
            (_, Some(Json::String(text))) if text.trim().is_empty() => Some("missing"),
            (_, Some(Json::String(_))) => None,
            (_, Some(_)) => Some("invalid"),
        };
        if let Some(problem) = problem {
            let form = match field {
                "capabilities" => "a list of one capability or more",
                hash::ARTIFACT_HASH => "what `hallgate worker hash` prints",
                _ => "a text",
            };
            let found = present(members, field).filter(|_| problem == "invalid");
            let what = found.map_or_else(|| "is missing or empty".to_owned(), |value| format!("is {}", value.kind()));
            return Err(NotChanged::Field {
                error: format!("{problem} field: {field}"),
                reason: format!("`{field}` {what}; write {form}"),
            });
        }
    }
    Ok(())
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
