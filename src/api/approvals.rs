//! `/wcp/approvals/…`: what waits for a human, exactly what would run, and what approvers do about it (WCP_SPEC 5.8).
//!
//! A token with the scope `approve` looks and decides, one with `read` reads the list, and one with `route` the state of what it asked
//! itself. What is not a token's to know is not there: another tenant's, one that never was and an id that is none are the same 404.

pub(super) mod approvers;
pub(super) mod several;
mod shown;

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::asked::{asked, named, read, words, wrong};
use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, ErrorEnvelope, NeedsBody, NeedsReader};
use crate::api::response::json;
use crate::engine::Json;
use crate::engine::json::present;
use crate::hall::approvals::{Approval, ApprovalState, Resolution};
use crate::hall::{Hall, NotDecided, Scope, Token};
use crate::ids::SupervisorLevel;
use shown::{ApprovalRow, OwnApproval, SeenApproval};

/// Who may see the list.
const LOOKERS: &[Scope] = &[Scope::Approve, Scope::Read];

/// How a digest is written.
const DIGEST_WRITTEN: &str = "the 64 lower-case hex digits that were shown";

/// Which approvals.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfState {
    /// Pending, if it is not said: those about which somebody has to decide. Approved: what was agreed to and has not run yet.
    #[param(inline, schema_with = listed_states)]
    state: Option<String>,
}

/// Approvals, the oldest first.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Approvals)]
pub(super) struct ApprovalRows {
    approvals: Vec<ApprovalRow>,
    count: usize,
}

/// How much was taken back.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WithdrawnApprovals)]
pub(super) struct Withdrawn {
    withdrawn: usize,
}

/// What is to become of an approval.
#[derive(ToSchema)]
#[schema(as = ResolveRequest)]
#[expect(dead_code, reason = "only described")]
pub(super) struct ResolveAsked {
    pending_approval_id: String,
    /// approve, deny, escalate, done (level executor: you did it yourself) or withdraw (what was agreed to and has not run).
    #[schema(pattern = "^(approve|deny|escalate|done|withdraw)$")]
    resolution: String,
    /// Why, for the record; whoever asked reads it.
    #[schema(max_length = 500)]
    note: Option<String>,
    /// For `approve` and `deny`: what was looked at. If it is not what would run, nothing is decided.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    digest: Option<String>,
    /// For `escalate`: to whom; the next level that agrees, if it is not said.
    #[schema(pattern = "^(executor|incident_commander)$")]
    supervisor_level: Option<String>,
}

/// What somebody of a higher level should look at.
#[derive(ToSchema)]
#[schema(as = EscalateRequest)]
#[expect(dead_code, reason = "only described")]
pub(super) struct EscalateAsked {
    pending_approval_id: String,
    #[schema(max_length = 500)]
    note: Option<String>,
    /// The next level that agrees, if it is not said.
    #[schema(pattern = "^(executor|incident_commander)$")]
    supervisor_level: Option<String>,
}

/// Why everything is taken back.
#[derive(ToSchema)]
#[schema(as = VoidAllRequest)]
#[expect(dead_code, reason = "only described")]
pub(super) struct VoidAllAsked {
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    note: String,
}

fn listed_states() -> utoipa::openapi::schema::Object {
    let states = utoipa::openapi::schema::Object::builder().schema_type(utoipa::openapi::schema::Type::String);
    states.enum_values(Some(["pending", "approved"])).build()
}

/// What waits for a human: needs the scope `approve` or `read`
#[utoipa::path(get, path = "/wcp/approvals/pending", tag = "wcp", params(OfState), security(("token" = [])),
    responses((status = 200, description = "the oldest first", body = ApprovalRows),
        (status = 400, description = "no such state", body = ErrorEnvelope<'static>), NeedsReader))]
pub(super) async fn pending(
    State(hall): State<Arc<Hall>>,
    credential: Credential,
    query: Result<Query<OfState>, QueryRejection>,
) -> Result<Response, ApiError> {
    let token = credential.present(&hall)?;
    credential::require_any(&token, LOOKERS)?;
    let Ok(Query(OfState { state })) = query else {
        return Err(ApiError::bad_parameter("state", "is there twice or is no text", "pending or approved"));
    };
    let wanted = match state.as_deref() {
        None | Some("pending") => |state: &ApprovalState| *state == ApprovalState::Pending,
        Some("approved") => |state: &ApprovalState| matches!(state, ApprovalState::Approved { .. }),
        Some(_) => return Err(ApiError::bad_parameter("state", "is none of a list", "pending or approved")),
    };
    let open = hall.open_approvals();
    let theirs = open.iter().filter(|one| wanted(&one.state) && one.is_within(&token.binding));
    let approvals: Vec<ApprovalRow> = theirs.map(|one| ApprovalRow::of(&hall, one, &token)).collect();
    Ok(json(StatusCode::OK, &ApprovalRows { count: approvals.len(), approvals }))
}

/// One approval: an approver sees what would run, and a token with the scope `route` the state of what it asked itself
#[utoipa::path(get, path = "/wcp/approvals/{pending_approval_id}", tag = "wcp", security(("token" = [])),
    params(("pending_approval_id" = String, Path, description = "the approval's id")),
    responses((status = 200, description = "the approval", body = SeenApproval),
        (status = 404, description = "none that this token may know of", body = ErrorEnvelope<'static>),
        (status = 503, description = "what would run cannot be read now", body = ErrorEnvelope<'static>), NeedsReader))]
pub(super) async fn one(
    State(hall): State<Arc<Hall>>,
    id: Result<Path<String>, PathRejection>,
    credential: Credential,
) -> Result<Response, ApiError> {
    let token = credential.present(&hall)?;
    let found = Uuid::try_parse(&named(id)).ok().and_then(|id| hall.approval(id));
    let found = found.filter(|approval| approval.is_within(&token.binding)).ok_or_else(ApiError::no_approval)?;
    let seen = if token.may(Scope::Approve) {
        SeenApproval::Whole(Box::new(whole(&hall, &found, &token).await?))
    } else if token.may(Scope::Route) && found.asker.token.as_ref() == Some(&token.name) {
        SeenApproval::Own(OwnApproval::of(&found))
    } else {
        return Err(ApiError::no_approval());
    };
    Ok(json(StatusCode::OK, &seen))
}

/// With what would run, where nobody has decided and the token may decide about such data.
async fn whole(hall: &Hall, approval: &Approval, token: &Token) -> Result<ApprovalRow, ApiError> {
    let row = ApprovalRow::of(hall, approval, token);
    let sees = |one: &Approval| one.asked.label <= token.max_label;
    if approval.state != ApprovalState::Pending || !sees(approval) {
        return Ok(row);
    }
    let contents = hall.approval_contents(approval.id).await.map_err(|why| ApiError::not_decided(&why))?;
    let Some(contents) = contents else { return Ok(row) };
    let knows = |one: &Approval| one.is_within(&token.binding);
    let similar = hall.similar_approvals(approval, &contents, knows, sees).await;
    Ok(row.showing(contents, similar.map_err(|why| ApiError::not_decided(&why))?))
}

/// Decide about an approval: needs the scope `approve`
///
/// What is agreed to runs when the same is sent again, once.
#[utoipa::path(post, path = "/wcp/approvals/resolve", tag = "wcp", security(("token" = [])), request_body = ResolveAsked,
    responses(
        (status = 200, description = "on record and in force: the approval as it is now", body = ApprovalRow),
        NeedsBody,
        (status = 404, description = "none that this token may know of", body = ErrorEnvelope<'static>),
        (status = 409, description = "it is resolved already, or cannot be resolved so", body = ErrorEnvelope<'static>),
        (status = 410, description = "it has expired", body = ErrorEnvelope<'static>),
        (status = 501, description = "this hall asks nobody", body = ErrorEnvelope<'static>),
    ))]
pub(super) async fn resolve(State(hall): State<Arc<Hall>>, request: Request) -> Result<Response, ApiError> {
    asked(&hall, request, &[Scope::Approve], async |token, headers, body| {
        let asked = read(headers, body).await?;
        let resolution = resolution(&asked)?;
        decided(&hall, token, &asked, resolution).await
    })
    .await
}

/// Have somebody of a higher level look at it: needs the scope `approve`
#[utoipa::path(post, path = "/wcp/approvals/escalate", tag = "wcp", security(("token" = [])), request_body = EscalateAsked,
    responses(
        (status = 200, description = "on record and in force: the approval as it is now", body = ApprovalRow),
        NeedsBody,
        (status = 404, description = "none that this token may know of", body = ErrorEnvelope<'static>),
        (status = 409, description = "it is resolved already, or nobody is above", body = ErrorEnvelope<'static>),
        (status = 410, description = "it has expired", body = ErrorEnvelope<'static>),
        (status = 501, description = "this hall asks nobody", body = ErrorEnvelope<'static>),
    ))]
pub(super) async fn escalate(State(hall): State<Arc<Hall>>, request: Request) -> Result<Response, ApiError> {
    asked(&hall, request, &[Scope::Approve], async |token, headers, body| {
        let asked = read(headers, body).await?;
        let resolution = Resolution::Escalate(level(&asked)?);
        decided(&hall, token, &asked, resolution).await
    })
    .await
}

/// Take back everything that was agreed to and has not run: needs the scopes `approve` and `admin`
///
/// Of a token that is bound: what is within its bounds.
#[utoipa::path(post, path = "/wcp/approvals/void-all", tag = "wcp", security(("token" = [])), request_body = VoidAllAsked,
    responses(
        (status = 200, description = "on record and in force", body = Withdrawn),
        NeedsBody,
        (status = 501, description = "this hall asks nobody", body = ErrorEnvelope<'static>),
    ))]
pub(super) async fn void_all(State(hall): State<Arc<Hall>>, request: Request) -> Result<Response, ApiError> {
    asked(&hall, request, &[Scope::Approve], async |token, headers, body| {
        credential::require(token, Scope::Admin)?;
        let approver = token.approver().ok_or_else(|| ApiError::forbidden(Scope::Approve.as_str()))?;
        let note = words(Some(&read(headers, body).await?), "note")?.filter(|note| !note.trim().is_empty());
        let note = note.ok_or_else(|| {
            wrong("missing field: note", "`note` is missing or blank: say why everything is taken back".to_owned())
        })?;
        let withdrawn = hall.withdraw_all(approver, note).await.map_err(|why| ApiError::not_decided(&why))?;
        Ok(json(StatusCode::OK, &Withdrawn { withdrawn }))
    })
    .await
}

/// Has a token decide, and answers with the approval as it is then.
async fn decided(hall: &Arc<Hall>, token: &Token, asked: &Json, resolution: Resolution) -> Result<Response, ApiError> {
    let approver = token.approver().ok_or_else(|| ApiError::forbidden(Scope::Approve.as_str()))?;
    let note = words(Some(asked), "note")?;
    let written = text(asked, "pending_approval_id")?.ok_or_else(|| {
        wrong("missing field: pending_approval_id", "`pending_approval_id` is missing: name one of the list".to_owned())
    })?;
    if !hall.has_approvals() {
        return Err(ApiError::not_decided(&NotDecided::Nobody));
    }
    let id = Uuid::try_parse(written).map_err(|_| ApiError::no_approval())?;
    let approval = hall.resolve(approver, id, resolution, note).await;
    let approval = approval.map_err(|why| ApiError::not_decided(&why))?;
    Ok(json(StatusCode::OK, &ApprovalRow::of(hall, &approval, token)))
}

/// `resolution`, with what belongs to it.
fn resolution(asked: &Json) -> Result<Resolution, ApiError> {
    const WORDS: &str = "approve, deny, escalate, done or withdraw";
    let written = text(asked, "resolution")?
        .ok_or_else(|| wrong("missing field: resolution", format!("`resolution` is missing: write {WORDS}")))?;
    let digest = || parsed(asked, "digest", DIGEST_WRITTEN);
    Ok(match written {
        "approve" => Resolution::Approve(digest()?),
        "deny" => Resolution::Deny(digest()?),
        "escalate" => Resolution::Escalate(level(asked)?),
        "done" => Resolution::Done,
        "withdraw" => Resolution::Withdraw,
        _ => return Err(invalid("resolution", written, WORDS)),
    })
}

/// `supervisor_level`, if it is given.
fn level(asked: &Json) -> Result<Option<SupervisorLevel>, ApiError> {
    parsed(asked, "supervisor_level", "executor or incident_commander")
}

/// A text that says something, if it is given.
fn parsed<T: std::str::FromStr>(asked: &Json, key: &str, expected: &str) -> Result<Option<T>, ApiError> {
    let read = |written: &str| written.parse().map_err(|_| invalid(key, written, expected));
    text(asked, key)?.map(read).transpose()
}

/// A text of the body, if it is given.
fn text<'a>(asked: &'a Json, key: &str) -> Result<Option<&'a str>, ApiError> {
    let members = asked.as_object().ok_or_else(|| {
        wrong("invalid body", "the body is no object; send such as `{\"pending_approval_id\": \"…\"}`".to_owned())
    })?;
    match present(members, key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(&format!("invalid field: {key}"), format!("`{key}` is no text"))),
    }
}

fn invalid(key: &str, written: &str, expected: &str) -> ApiError {
    let written: String = written.chars().take(64).collect();
    wrong(&format!("invalid field: {key}"), format!("`{key}`: `{written}` is none; write {expected}"))
}
