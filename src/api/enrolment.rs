//! `POST /enroll`, and what revokes, restores and bans: the registry changes, and the answer says so when it is in force.
//!
//! Who may: a token with the scope `enroll` enrolls and revokes, one with `admin` also restores and bans. What is refused to a
//! known token is recorded, as what is done is.

pub(super) mod preview;

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::asked::{asked, named, optional, read, words, wrong};
use crate::api::error::{ApiError, ErrorEnvelope, NeedsBody};
use crate::api::response::json;
use crate::clock::timestamp;
use crate::engine::Json;
use crate::engine::json::{Members, present};
use crate::engine::snapshot::WorkerStatus;
use crate::hall::{Hall, Receipt, Registered, Scope};
use crate::ids::Digest;

/// Who may take a right away.
const TAKERS: &[Scope] = &[Scope::Enroll, Scope::Admin];

/// A worker is new.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EnrolledWorker)]
pub(super) struct New {
    enrolled: bool,
    enrollment_id: String,
    worker_id: String,
    enrolled_at: String,
    artifact_hash_verified: bool,
}

/// A worker was there before.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdatedWorker)]
pub(super) struct Updated {
    enrolled: bool,
    updated: bool,
    worker_id: String,
    artifact_hash_verified: bool,
}

/// What became of a worker.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerStanding)]
pub(super) struct WorkerState<'a> {
    ok: bool,
    worker_id: &'a str,
    /// active, revoked, banned or unverified: what counts now.
    status: &'static str,
    /// The ledger's entry; null when nothing changed.
    receipt_id: Option<String>,
}

/// What became of a hash.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HashStanding)]
pub(super) struct HashState {
    ok: bool,
    hash: String,
    banned: bool,
    /// The enrolled workers whose record or code it is.
    workers: Vec<String>,
    /// The ledger's entry; null when nothing changed.
    receipt_id: Option<String>,
}

/// A hash, and why.
#[derive(ToSchema)]
#[schema(as = BanRequest)]
#[expect(dead_code, reason = "only described")]
pub(super) struct BanAsked {
    /// `sha256:` and 64 lower-case hex digits, of a record or of code.
    #[schema(pattern = "^(sha256:)?[0-9a-f]{64}$")]
    hash: String,
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// A hash.
#[derive(ToSchema)]
#[schema(as = UnbanRequest)]
#[expect(dead_code, reason = "only described")]
pub(super) struct UnbanAsked {
    /// `sha256:` and 64 lower-case hex digits.
    #[schema(pattern = "^(sha256:)?[0-9a-f]{64}$")]
    hash: String,
}

/// A reason, or nothing.
#[derive(ToSchema)]
#[schema(as = RevokeRequest)]
#[expect(dead_code, reason = "only described")]
pub(super) struct RevokeAsked {
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Enroll a worker, or give it another record: needs the scope `enroll`
#[utoipa::path(post, path = "/enroll", tag = "reference", security(("token" = [])), request_body = Object,
    responses(
        (status = 201, description = "it is new, on record, and in force", body = New),
        (status = 200, description = "it was there, and has this record now", body = Updated),
        NeedsBody,
        (status = 409, description = "its record is in the folder, or the change needs the scope `admin`", body = ErrorEnvelope<'static>),
        (status = 501, description = "this hall enrolls nobody over the API", body = ErrorEnvelope<'static>),
    ))]
pub(super) async fn enroll(State(hall): State<Arc<Hall>>, request: Request) -> Result<Response, ApiError> {
    asked(&hall, request, TAKERS, async |token, headers, body| {
        let record = read(headers, body).await?;
        let worker_id = text(record.as_object(), "worker_id").unwrap_or_default();
        let registered = hall.enroll(token, record).await.map_err(|why| ApiError::not_changed(&why))?;
        Ok(match &registered {
            Registered { known: false, receipt: Some(receipt), .. } => json(
                StatusCode::CREATED,
                &New {
                    enrolled: true,
                    enrollment_id: format!("enr_{}", receipt.id()),
                    worker_id,
                    enrolled_at: timestamp(receipt.recorded_at_micros()),
                    artifact_hash_verified: true,
                },
            ),
            _ => json(
                StatusCode::OK,
                &Updated { enrolled: true, updated: true, worker_id, artifact_hash_verified: true },
            ),
        })
    })
    .await
}

/// Take from a worker the right to act: needs the scope `enroll`
#[utoipa::path(post, path = "/wcp/workers/{worker_id}/revoke", tag = "wcp", security(("token" = [])),
    params(("worker_id" = String, Path, description = "the worker's id")), request_body = Option<RevokeAsked>,
    responses(
        (status = 200, description = "it does not act any more", body = WorkerState),
        NeedsBody,
        (status = 404, description = "no such worker", body = ErrorEnvelope<'static>),
        (status = 501, description = "this hall changes no worker over the API", body = ErrorEnvelope<'static>),
    ))]
pub(super) async fn revoke(
    State(hall): State<Arc<Hall>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    asked(&hall, request, TAKERS, async |token, headers, body| {
        let (id, reason) = (named(id), words(optional(headers, body).await?.as_ref(), "reason")?);
        let registered = hall.revoke(token, &id, reason).await.map_err(|why| ApiError::not_changed(&why))?;
        Ok(of_worker(&id, &registered))
    })
    .await
}

/// Take a revocation back: needs the scope `admin`
#[utoipa::path(post, path = "/wcp/workers/{worker_id}/restore", tag = "wcp", security(("token" = [])),
    params(("worker_id" = String, Path, description = "the worker's id")), request_body = Option<RevokeAsked>,
    responses(
        (status = 200, description = "it acts, unless something else speaks against it", body = WorkerState),
        NeedsBody,
        (status = 404, description = "no such worker", body = ErrorEnvelope<'static>),
        (status = 501, description = "this hall changes no worker over the API", body = ErrorEnvelope<'static>),
    ))]
pub(super) async fn restore(
    State(hall): State<Arc<Hall>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    asked(&hall, request, &[Scope::Admin], async |token, headers, body| {
        let id = named(id);
        words(optional(headers, body).await?.as_ref(), "reason")?;
        let registered = hall.restore(token, &id).await.map_err(|why| ApiError::not_changed(&why))?;
        Ok(of_worker(&id, &registered))
    })
    .await
}

/// Ban the hash of a record or of code: needs the scope `admin` and a token that is bound to nothing
#[utoipa::path(post, path = "/wcp/registry/ban", tag = "wcp", security(("token" = [])), request_body = BanAsked,
    responses(
        (status = 200, description = "no worker with it acts any more", body = HashState),
        NeedsBody,
        (status = 501, description = "this hall changes no worker over the API", body = ErrorEnvelope<'static>),
    ))]
pub(super) async fn ban(State(hall): State<Arc<Hall>>, request: Request) -> Result<Response, ApiError> {
    asked(&hall, request, &[Scope::Admin], async |token, headers, body| {
        let asked = read(headers, body).await?;
        let (hash, reason) = (hash(&asked)?, words(Some(&asked), "reason")?);
        let registered = hall.ban(token, hash, reason).await.map_err(|why| ApiError::not_changed(&why))?;
        Ok(of_hash(hash, &registered))
    })
    .await
}

/// Take a ban back: needs the scope `admin` and a token that is bound to nothing
#[utoipa::path(post, path = "/wcp/registry/unban", tag = "wcp", security(("token" = [])), request_body = UnbanAsked,
    responses(
        (status = 200, description = "it is not banned any more", body = HashState),
        NeedsBody,
        (status = 404, description = "it is not banned", body = ErrorEnvelope<'static>),
        (status = 501, description = "this hall changes no worker over the API", body = ErrorEnvelope<'static>),
    ))]
pub(super) async fn unban(State(hall): State<Arc<Hall>>, request: Request) -> Result<Response, ApiError> {
    asked(&hall, request, &[Scope::Admin], async |token, headers, body| {
        let hash = hash(&read(headers, body).await?)?;
        let registered = hall.unban(token, hash).await.map_err(|why| ApiError::not_changed(&why))?;
        Ok(of_hash(hash, &registered))
    })
    .await
}

/// `hash`: of a record or of code, with `sha256:` before it or not.
fn hash(asked: &Json) -> Result<Digest, ApiError> {
    let members = asked.as_object();
    if members.and_then(|members| present(members, "hash")).is_none() {
        return Err(wrong("missing field: hash", "`hash` is missing; name the hash of a record or of code".to_owned()));
    }
    let written = text(members, "hash").unwrap_or_default();
    written.strip_prefix("sha256:").unwrap_or(&written).parse().map_err(|error| {
        wrong("invalid field: hash", format!("`hash`: {error}; write `sha256:` and 64 lower-case hex digits"))
    })
}

fn text(members: Option<&Members>, key: &str) -> Option<String> {
    present(members?, key)?.as_str().map(ToString::to_string)
}

fn of_worker(id: &str, registered: &Registered) -> Response {
    let status = registered.status.as_str();
    json(StatusCode::OK, &WorkerState { ok: true, worker_id: id, status, receipt_id: receipt_id(registered) })
}

fn of_hash(hash: Digest, registered: &Registered) -> Response {
    let banned = registered.status == WorkerStatus::Banned;
    let workers = registered.workers.iter().map(ToString::to_string).collect();
    let hash = format!("sha256:{hash}");
    json(StatusCode::OK, &HashState { ok: true, hash, banned, workers, receipt_id: receipt_id(registered) })
}

fn receipt_id(registered: &Registered) -> Option<String> {
    registered.receipt.as_ref().map(|receipt: &Receipt| receipt.id().to_string())
}
