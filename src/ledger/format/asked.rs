//! `asked` of a decision's entry: what else a verdict can depend on, written and read back.
//!
//! What policies read of the caller's object is `request`, a text of JSON, since it may hold numbers that canonical JSON has no form
//! for. `request_absent` and `request_unkept` are JSON pointers (RFC 6901) of what was read and is not in it.

use std::sync::Arc;

use crate::engine::json::{Members, present};
use crate::engine::kept_request::AttributePath;
use crate::engine::{Decision, Json, KeptRequest};
use crate::ids::TenantRisk;
use crate::ledger::format::canonical::Object;

/// Writes it. What is not there is not claimed, not declared, not read, or as usual.
pub(super) fn push(
    mut asked: Object<'_>,
    Decision { input, verdict, .. }: &Decision,
    worker_optional: bool,
    kept: Option<&KeptRequest>,
) {
    if let Some(score) = input.blast_score {
        asked.integer("blast_score", score);
    }
    asked.mark("credential_refused", verdict.is_refused_for_the_credential());
    asked.mark("egress", input.declares_egress());
    if let Some(KeptRequest { values, absent, unkept }) = kept {
        // What was read as JSON can be written as JSON.
        asked.string("request", &serde_json::to_string(values).unwrap_or_default());
        for (key, paths) in [("request_absent", absent), ("request_unkept", unkept)] {
            if !paths.is_empty() {
                asked.strings(key, paths.iter().map(|path| pointer(path)));
            }
        }
    }
    asked.maybe("tenant_risk", input.tenant_risk.map(TenantRisk::as_str));
    asked.mark("worker_optional", worker_optional);
    asked.mark("writes", input.declares_writes());
    asked.end();
}

/// Reads back what was kept of the caller's object; `None` where nothing was.
///
/// # Errors
/// It is not what [`push`] writes: why.
pub(crate) fn kept(asked: &Members) -> Result<Option<KeptRequest>, String> {
    let Some(text) = present(asked, "request") else { return Ok(None) };
    let text = text.as_str().ok_or_else(|| format!("`asked.request` is {}, not a string", text.kind()))?;
    let values = Json::parse(text.as_bytes()).map_err(|error| format!("`asked.request`: {error}"))?;
    if values.as_object().is_none() {
        return Err(format!("`asked.request` holds {}, not an object", values.kind()));
    }
    let paths = |key: &str| match present(asked, key) {
        None => Ok(Vec::new()),
        Some(list) => list
            .as_array()
            .and_then(|pointers| pointers.iter().map(|pointer| way(pointer.as_str()?)).collect())
            .ok_or_else(|| format!("`asked.{key}` is no list of JSON pointers")),
    };
    Ok(Some(KeptRequest { values, absent: paths("request_absent")?, unkept: paths("request_unkept")? }))
}

/// The JSON pointer of a path.
fn pointer(path: &[Arc<str>]) -> String {
    path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

/// The path of a JSON pointer.
fn way(pointer: &str) -> Option<AttributePath> {
    if pointer.is_empty() {
        return Some(Box::default());
    }
    let names = pointer.strip_prefix('/')?.split('/');
    Some(names.map(|name| Arc::from(name.replace("~1", "/").replace("~0", "~"))).collect())
}

#[cfg(test)]
mod tests;
