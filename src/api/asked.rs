//! What a known token asks to be changed: its JSON body and the texts in it, and the record of what is refused.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::response::Response;
use http::HeaderMap;

use crate::api::body;
use crate::api::credential::{self, Credential};
use crate::api::error::ApiError;
use crate::engine::Json;
use crate::engine::json::present;
use crate::hall::{Door, Hall, NotChanged, Refusal, Scope, Token};
use crate::ids::TenantId;

/// The most characters of somebody's words.
pub(super) const WORDS: usize = 500;

/// What a token with one of these scopes asks for. What is refused to a known token is on record before it is answered.
pub(super) async fn asked(
    hall: &Arc<Hall>,
    request: Request,
    scopes: &[Scope],
    change: impl AsyncFnOnce(&Arc<Token>, &HeaderMap, Body) -> Result<Response, ApiError>,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let token = Credential::of(&head.extensions).present(hall)?;
    let tried = match credential::require_any(&token, scopes) {
        Ok(()) => change(&token, &head.headers, body).await,
        Err(refused) => Err(refused),
    };
    match tried {
        Err(refused) => Err(on_record(hall, &token, refused).await),
        done => done,
    }
}

/// What is refused to a known token, once that is on record.
pub(super) async fn on_record(hall: &Hall, token: &Token, refused: ApiError) -> ApiError {
    if !refused.is_callers() {
        return refused;
    }
    let refusal = Refusal {
        door: Door::Api,
        code: refused.code,
        message: refused.reason.to_string(),
        tenant: token.binding.tenant.as_ref().map(TenantId::shared),
        worker: None,
        token: Some(token.name.clone()),
        correlation_id: None,
        raw_body: None,
    };
    match hall.refuse(refusal).await {
        Ok(receipt) => refused.recorded_as(receipt.id()),
        Err(why) => ApiError::undecided(&why),
    }
}

/// What a path names. What is no text is nothing's id.
pub(super) fn named(id: Result<Path<String>, PathRejection>) -> String {
    id.map(|Path(id)| id).unwrap_or_default()
}

/// The body as JSON.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Json, ApiError> {
    parsed(&body::receive(headers, body).await?)
}

/// The body as JSON, if there is one.
pub(super) async fn optional(headers: &HeaderMap, body: Body) -> Result<Option<Json>, ApiError> {
    let body = body::receive(headers, body).await?;
    if body.is_empty() { Ok(None) } else { parsed(&body).map(|body| Some(body).filter(|body| *body != Json::Null)) }
}

fn parsed(body: &[u8]) -> Result<Json, ApiError> {
    Json::parse(body).map_err(|error| wrong("invalid json", format!("the body is not JSON: {error}")))
}

/// That a field, or the whole body, means nothing.
pub(super) fn wrong(error: &str, reason: String) -> ApiError {
    ApiError::not_changed(&NotChanged::Field { error: error.to_owned(), reason })
}

/// Somebody's words for the record, such as `reason`, if they are given.
pub(super) fn words(asked: Option<&Json>, key: &str) -> Result<Option<Arc<str>>, ApiError> {
    let Some(asked) = asked else { return Ok(None) };
    let members = asked.as_object();
    let members =
        members.ok_or_else(|| wrong("invalid body", "the body is no object; send such as `{}`".to_owned()))?;
    match present(members, key) {
        None => Ok(None),
        Some(Json::String(text)) if text.chars().count() <= WORDS => Ok(Some(Arc::clone(text))),
        Some(_) => {
            Err(wrong(&format!("invalid field: {key}"), format!("`{key}` is no text of at most {WORDS} characters")))
        }
    }
}
