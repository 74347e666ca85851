//! `GET /api/evidence`: entries of the ledger as JSON lines, as rows, or as a bundle that proves itself; and `/api/evidence/check`: the whole ledger
//! recomputed while it is written.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use crate::api::asked::{optional, wrong};
use crate::api::decisions::wanted::{a_time, codes, labels, text, verdicts};
use crate::api::error::{ApiError, ErrorEnvelope, NeedsBody, NeedsReader};
use crate::api::listener::Progress;
use crate::api::reader::Reader;
use crate::api::response::json;
use crate::clock::{self, timestamp};
use crate::engine::DenyCode;
use crate::engine::json::present;
use crate::hall::evidence::check::CheckState;
use crate::hall::evidence::export::NotExported;
use crate::hall::{ExportForm, Filter, Hall};
use crate::ids::DataLabel;

/// Which entries, and how they are written.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EvidenceQuery {
    /// jsonl (each line's SHA-256 is its receipt hash), csv, or bundle (for `hallgate audit verify`); jsonl if it is not said.
    #[param(inline, schema_with = formats)]
    format: Option<String>,
    /// From this time, in UTC.
    #[param(inline, schema_with = a_time)]
    since: Option<String>,
    /// Before this time.
    #[param(inline, schema_with = a_time)]
    until: Option<String>,
    /// Only of this tenant's stream; `:hall` for what belongs to none.
    #[param(inline)]
    tenant: Option<String>,
    /// Only decisions of this worker.
    #[param(inline)]
    worker: Option<String>,
    /// Only decisions on this capability.
    #[param(inline)]
    capability: Option<String>,
    /// Only decisions about data with this label.
    #[param(inline, schema_with = labels)]
    label: Option<String>,
    /// Only decisions with this verdict.
    #[param(inline, schema_with = verdicts)]
    verdict: Option<String>,
    /// Only denials with this code.
    #[param(inline, schema_with = codes)]
    code: Option<String>,
}

fn formats() -> Object {
    text(["jsonl", "csv", "bundle"].into_iter())
}

/// Entries of the ledger, oldest first: needs the scope `read`
///
/// Those that the token may see, as they are read: at most two exports at once, and one that is not read for half a minute, or takes an hour, ends. An answer that breaks off is not
/// whole. Entries that are newer than the checkpoint are not in a bundle.
#[utoipa::path(get, path = "/api/evidence", tag = "hall", params(EvidenceQuery), security(("token" = [])),
    responses((status = 200, description = "the entries", content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 400, description = "a parameter is unknown, there twice, or means nothing", body = ErrorEnvelope<'static>),
        (status = 503, description = "the ledger cannot be read, or two exports are being written", body = ErrorEnvelope<'static>), NeedsReader))]
pub(super) async fn export(
    State(hall): State<Arc<Hall>>,
    reader: Reader,
    query: Result<Query<EvidenceQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(|_| {
        let known = "format, since, until, tenant, worker, capability, label, verdict and code, each once";
        ApiError::bad_parameter("parameters", "are unknown or there twice", known)
    })?;
    let (form, kind, file) = match asked.format.as_deref() {
        None | Some("jsonl") => (ExportForm::Lines, "application/x-ndjson", "evidence.jsonl"),
        Some("csv") => (ExportForm::Rows, "text/csv; charset=utf-8; header=present", "evidence.csv"),
        Some("bundle") => (ExportForm::Bundle(hall.vkey().to_owned()), "application/x-ndjson", "evidence.bundle"),
        Some(_) => return Err(ApiError::bad_parameter("format", "is none", "jsonl, csv or bundle")),
    };
    let pieces = hall.export(filter(asked)?, form, &reader.binding).map_err(|error| match error {
        NotExported::Busy => ApiError::busy(),
        NotExported::Unread(error) => ApiError::unread(&error),
    })?;
    let progress = request.extensions().get::<Progress>().cloned().unwrap_or_default();
    let pieces = stream::unfold((pieces, progress), async |(mut pieces, progress)| {
        let piece = pieces.next().await?;
        // Whoever takes it is there.
        progress.goes_on();
        Some((piece, (pieces, progress)))
    });
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(kind))];
    let mut answer = (StatusCode::OK, headers, Body::from_stream(pieces)).into_response();
    if let Ok(named) = HeaderValue::try_from(format!("attachment; filename=\"{file}\"")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, named);
    }
    Ok(answer)
}

/// What is asked for as the ledger chooses.
fn filter(asked: EvidenceQuery) -> Result<Filter, ApiError> {
    let wrong = |key, expected: &str| ApiError::bad_parameter(key, "is none", expected);
    let time = |key, text: Option<String>| -> Result<Option<i64>, ApiError> {
        let parsed = text.map(|text| {
            clock::parse(&text).ok_or_else(|| wrong(key, "a day or a time, such as 2026-11-29 or 2026-11-29T08:00:00Z"))
        });
        parsed.transpose()
    };
    let label = asked.label.map(|text| {
        let label = DataLabel::ALL.iter().copied().find(|label| label.as_str() == text);
        label.map(DataLabel::as_str).ok_or_else(|| wrong("label", "PUBLIC, INTERNAL, CONFIDENTIAL or RESTRICTED"))
    });
    let verdict = asked.verdict.map(|text| match text.as_str() {
        "DISPATCH" => Ok("ALLOW"),
        "DENY" => Ok("DENY"),
        "STEWARD_HOLD" => Ok("REQUIRE_HUMAN"),
        _ => Err(wrong("verdict", "DISPATCH, DENY or STEWARD_HOLD")),
    });
    let code = asked.code.map(|text| {
        let code = DenyCode::ALL.iter().copied().find(|code| code.as_str() == text);
        code.map(DenyCode::as_str).ok_or_else(|| wrong("code", "a deny code, such as DENY_NO_MATCHING_RULE"))
    });
    Ok(Filter {
        since: time("since", asked.since)?,
        until: time("until", asked.until)?,
        tenant: asked.tenant,
        worker: asked.worker,
        capability: asked.capability,
        data_label: label.transpose()?,
        policy_decision: verdict.transpose()?,
        deny_code: code.transpose()?,
    })
}

/// How the last check of the whole ledger stands.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LedgerCheckAnswer {
    /// never, running, sound, broken or unreadable.
    found: &'static str,
    /// In words: what holds, or the first thing that does not.
    words: String,
    began_at: Option<String>,
    ended_at: Option<String>,
    /// Under which verifier key; empty: none was made.
    key: String,
    /// This log's own verifier key. Who wants proof compares it with one from elsewhere.
    own_key: String,
}

/// Under which key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(super) struct LedgerCheckRequest {
    /// A verifier key that is kept elsewhere; without it, the log's own.
    key: Option<String>,
}

fn checked(hall: &Hall, state: CheckState) -> Response {
    let CheckState { began_micros, ended_micros, key, found, words } = state;
    let (began_at, ended_at) = (began_micros.map(timestamp), ended_micros.map(timestamp));
    let own_key = hall.vkey().to_owned();
    json(StatusCode::OK, &LedgerCheckAnswer { found: found.as_str(), words, began_at, ended_at, key, own_key })
}

/// How the last check of the whole ledger stands: needs the scope `read` and a token that is bound to nothing
#[utoipa::path(get, path = "/api/evidence/check", tag = "hall", security(("token" = [])),
    responses((status = 200, description = "what came of it", body = LedgerCheckAnswer), NeedsReader))]
pub(super) async fn check(State(hall): State<Arc<Hall>>, reader: Reader) -> Result<Response, ApiError> {
    if reader.binding.is_bound() {
        return Err(ApiError::bound());
    }
    Ok(checked(&hall, hall.ledger_check()))
}

/// Recompute the whole ledger, and name the first break: needs the scope `read` and a token that is bound to nothing
///
/// It goes on beside the answer, one at once; ask how it stands with GET. Whoever holds the machine could have this answer what they like: `hallgate audit verify` on another
/// machine, under a key from elsewhere, is proof.
#[utoipa::path(post, path = "/api/evidence/check", tag = "hall", security(("token" = [])), request_body = Option<LedgerCheckRequest>,
    responses((status = 200, description = "it is under way", body = LedgerCheckAnswer), NeedsBody))]
pub(super) async fn begin_check(
    State(hall): State<Arc<Hall>>,
    reader: Reader,
    request: Request,
) -> Result<Response, ApiError> {
    if reader.binding.is_bound() {
        return Err(ApiError::bound());
    }
    let (head, body) = request.into_parts();
    let asked = optional(&head.headers, body).await?;
    let members = asked.as_ref().map(|asked| {
        asked.as_object().ok_or_else(|| wrong("invalid body", "the body is no object; send such as `{}`".to_owned()))
    });
    let key = match members.transpose()?.and_then(|members| present(members, "key")) {
        None => None,
        Some(key) => Some(key.as_str().ok_or_else(|| wrong("invalid field: key", "`key` is no text".to_owned()))?),
    };
    let state = hall.check_ledger(key.map(|key| &**key)).map_err(|why| {
        wrong("invalid field: key", format!("`key` is no verifier key: {why}; write `<name>+<id>+<key>`"))
    })?;
    Ok(checked(&hall, state))
}
