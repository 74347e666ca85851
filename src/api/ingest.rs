//! `POST /decisions/ingest`: decisions that others made. Kept apart from this hall's own, marked as external, and never in the chain.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::body::receive;
use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, NeedsBody};
use crate::api::response::json;
use crate::engine::Json;
use crate::engine::json::{Members, present};
use crate::hall::ingested::External;
use crate::hall::{Hall, Scope};

/// The most characters of a text.
const TEXT: usize = 512;
/// How far ahead of this hall's clock another's may be; what is later counts as that.
const AHEAD: Duration = Duration::from_secs(300);

/// A decision that was made elsewhere. What is left out is empty, and `env` is dev.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(super) struct ExternalDecision {
    /// Any id; a fresh one if it is not given. The same one again is not recorded twice.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,128}$", nullable = true)]
    decision_id: Option<String>,
    /// ISO 8601 with an offset; now if it is not given or in the future.
    #[schema(format = DateTime, nullable = true)]
    decided_at: Option<String>,
    #[schema(pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{0,512}$")]
    capability_id: Option<String>,
    /// The token's own, if it is bound to one.
    #[schema(pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{0,512}$")]
    tenant_id: Option<String>,
    #[schema(pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{0,512}$")]
    env: Option<String>,
    /// What Python counts as true: anything but absent, null, false, 0 and what is empty.
    #[schema(value_type = Value, required = false)]
    denied: (),
    #[schema(pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{0,512}$")]
    deny_reason: Option<String>,
    #[schema(pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{0,512}$")]
    selected_worker: Option<String>,
    blast_score: Option<i64>,
    #[schema(pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]{0,512}$")]
    artifact_hash: Option<String>,
}

/// That it is recorded.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Ingested)]
pub(super) struct IngestReceipt {
    recorded: bool,
    decision_id: String,
    /// It was here before, and stays as it was.
    duplicate: bool,
    /// False: it is kept in memory, the newest thousand of all, until the process ends.
    durable: bool,
}

/// Report a decision that was made elsewhere
#[utoipa::path(post, path = "/decisions/ingest", tag = "reference", security(("token" = [])), request_body = ExternalDecision,
    responses((status = 201, description = "it is in the list", body = IngestReceipt), NeedsBody))]
pub(super) async fn ingest(State(hall): State<Arc<Hall>>, request: Request) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let token = Credential::of(&head.extensions).present(&hall)?;
    credential::require(&token, Scope::Ingest)?;
    let body = receive(&head.headers, body).await?;
    let now = jiff::Timestamp::now();
    let tenant = token.binding.tenant.as_ref().map(|tenant| tenant.shared());
    let external = read(&body, tenant, now).map_err(|why| ApiError::bad_body(&why))?;
    if !external.visible_to(&token.binding) {
        return Err(ApiError::not_its_own());
    }
    let decision_id = external.decision_id.to_string();
    let duplicate = !hall.ingest(external);
    Ok(json(StatusCode::CREATED, &IngestReceipt { recorded: true, decision_id, duplicate, durable: false }))
}

/// Reads a decision. The error names the field, and what to change.
fn read(body: &[u8], tenant: Option<Arc<str>>, now: jiff::Timestamp) -> Result<External, String> {
    let json = Json::parse(body).map_err(|error| error.to_string())?;
    let members = json.as_object().ok_or_else(|| format!("the body must be an object, not {}", json.kind()))?;
    let decision_id = match text(members, "decision_id")? {
        None => Uuid::new_v4().to_string().into(),
        Some(id) if is_sound_id(&id) => id,
        Some(_) => return Err("decision_id must be 1 to 128 letters, digits, `.`, `_`, `:` or `-`".to_owned()),
    };
    let decided_at = match text(members, "decided_at")?.filter(|time| !time.is_empty()) {
        None => now,
        Some(time) => {
            let time: jiff::Timestamp = time
                .parse()
                .map_err(|_| "decided_at must be a time such as 2026-01-01T00:00:00.000000+00:00".to_owned())?;
            // Lists are in the order of time: nothing stands on top of them for years.
            time.min(now.saturating_add(AHEAD).unwrap_or(now))
        }
    };
    let blast_score = present(members, "blast_score").map(|score| {
        // `7.0` is 7, as it is for the reference.
        let whole = match score {
            Json::Float(value) if value.fract() == 0.0 => format!("{value:.0}").parse().ok(),
            other => other.as_i64(),
        };
        whole.ok_or("blast_score must be an integer of 64 bits, or null")
    });
    Ok(External {
        decision_id,
        decided_at_micros: decided_at.as_microsecond(),
        capability_id: text(members, "capability_id")?.unwrap_or_default(),
        tenant_id: text(members, "tenant_id")?.filter(|id| !id.is_empty()).or(tenant).unwrap_or_default(),
        env: text(members, "env")?.unwrap_or_else(|| "dev".into()),
        denied: present(members, "denied").is_some_and(Json::truthy),
        deny_reason: text(members, "deny_reason")?,
        selected_worker: text(members, "selected_worker")?,
        blast_score: blast_score.transpose()?,
        artifact_hash: text(members, "artifact_hash")?,
    })
}

fn text(members: &Members, key: &str) -> Result<Option<Arc<str>>, String> {
    match present(members, key) {
        None => Ok(None),
        Some(Json::String(text)) if text.chars().count() > TEXT || text.chars().any(char::is_control) => {
            Err(format!("{key} must be at most {TEXT} characters and none of them a control character"))
        }
        Some(Json::String(text)) => Ok(Some(Arc::clone(text))),
        Some(other) => Err(format!("{key} must be a string, not {}", other.kind())),
    }
}

/// Lists put it where it is not escaped.
fn is_sound_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_report_has_the_references_defaults() {
        let now = jiff::Timestamp::now();
        let read = read(b"{}", None, now).unwrap();
        assert_eq!((&*read.env, &*read.capability_id, read.denied), ("dev", "", false));
        assert_eq!(read.decided_at_micros, now.as_microsecond());
        assert!(Uuid::try_parse(&read.decision_id).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, named) in [
            ("[]", "an object"),
            ("{", "JSON"),
            (r#"{"decision_id": "<b>"}"#, "decision_id"),
            (r#"{"decision_id": ""}"#, "decision_id"),
            (r#"{"decided_at": "yesterday"}"#, "decided_at"),
            (r#"{"capability_id": 7}"#, "capability_id"),
            (r#"{"blast_score": 1.5}"#, "blast_score"),
            (r#"{"env": "a\u0000"}"#, "env"),
        ] {
            let error = read(body.as_bytes(), None, jiff::Timestamp::now()).unwrap_err();
            assert!(error.contains(named), "{body}: {error}");
        }
    }
}
