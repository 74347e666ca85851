//! Several approvals at once: each is named with the digest that was looked at, decided about and recorded by itself, and answered by
//! itself.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::shown::ApprovalRow;
use super::{DIGEST_WRITTEN, invalid, parsed, text};
use crate::api::asked::{asked, on_record, read, words, wrong};
use crate::api::error::{ApiError, ErrorEnvelope, NeedsBody};
use crate::api::response::json;
use crate::engine::Json;
use crate::engine::json::present;
use crate::hall::approvals::{Approval, Approver, Resolution};
use crate::hall::{Hall, NotDecided, Scope, Token};
use crate::ids::Digest;

/// The most approvals of one request.
const MOST: usize = 100;

/// What is to become of several approvals.
#[derive(ToSchema)]
#[schema(as = ResolveSeveralRequest)]
#[expect(dead_code, reason = "only described")]
pub(in crate::api) struct ResolveSeveralAsked {
    /// Of each of them.
    #[schema(pattern = "^(approve|deny)$")]
    resolution: String,
    /// Why, for the record of each; whoever asked reads it.
    #[schema(max_length = 500)]
    note: Option<String>,
    #[schema(min_items = 1, max_items = 100)]
    approvals: Vec<LookedAt>,
}

/// An approval that somebody has looked at.
#[derive(ToSchema)]
#[schema(as = ApprovalLookedAt)]
#[expect(dead_code, reason = "only described")]
struct LookedAt {
    pending_approval_id: String,
    /// What was looked at. If it is not what would run, nothing is decided about this one.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    digest: String,
}

/// What has become of each, in the order in which they were asked for.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResolvedApprovals)]
pub(in crate::api) struct ResolvedRows<'a> {
    /// About how many something was decided.
    resolved: usize,
    approvals: Vec<ResolvedRow<'a>>,
}

/// What has become of one.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResolvedApproval)]
struct ResolvedRow<'a> {
    pending_approval_id: &'a str,
    /// The status of a request for it alone: 200, 403, 404, 409, 410 or 503.
    status: u16,
    /// On record and in force: the approval as it is now. Null where nothing was decided.
    approval: Option<ApprovalRow>,
    /// Why nothing was decided, as it is answered to a request for it alone; else null.
    refusal: Option<ErrorEnvelope<'a>>,
}

/// Agree to several approvals, or deny them: needs the scope `approve`
///
/// Each is named with the digest that was looked at, decided about and recorded by itself, and answered by itself: that one is refused
/// keeps none of the others.
#[utoipa::path(post, path = "/wcp/approvals/resolve-several", tag = "wcp", security(("token" = [])), request_body = ResolveSeveralAsked,
    responses(
        (status = 200, description = "what has become of each", body = ResolvedRows<'static>),
        NeedsBody,
        (status = 501, description = "this hall asks nobody", body = ErrorEnvelope<'static>),
    ))]
pub(in crate::api) async fn resolve_several(
    State(hall): State<Arc<Hall>>,
    request: Request,
) -> Result<Response, ApiError> {
    asked(&hall, request, &[Scope::Approve], async |token, headers, body| {
        let asked = read(headers, body).await?;
        let approver = token.approver().ok_or_else(|| ApiError::forbidden(Scope::Approve.as_str()))?;
        let resolution = resolution(&asked)?;
        let note = words(Some(&asked), "note")?;
        let looked_at = looked_at(&asked)?;
        if !hall.has_approvals() {
            return Err(ApiError::not_decided(&NotDecided::Nobody));
        }
        let mut decided: Vec<(&str, Result<Approval, ApiError>)> = Vec::with_capacity(looked_at.len());
        for (id, digest) in looked_at {
            let about = match decided.last() {
                // What could not be recorded for the last one is not waited for once more.
                Some((_, Err(down))) if !down.is_callers() => Err(down.clone()),
                _ => one(&hall, token, &approver, id, resolution(Some(digest)), note.clone()).await,
            };
            decided.push((id, about));
        }
        Ok(answer(&hall, token, &decided))
    })
    .await
}

/// Decides about one of them; that it is refused is on record, too.
async fn one(
    hall: &Arc<Hall>,
    token: &Token,
    by: &Approver,
    id: &str,
    resolution: Resolution,
    note: Option<Arc<str>>,
) -> Result<Approval, ApiError> {
    let why = match Uuid::try_parse(id) {
        Ok(id) => match hall.resolve(by.clone(), id, resolution, note).await {
            Ok(approval) => return Ok(approval),
            Err(why) => ApiError::not_decided(&why),
        },
        Err(_) => ApiError::no_approval(),
    };
    Err(on_record(hall, token, why).await)
}

fn answer(hall: &Hall, token: &Token, decided: &[(&str, Result<Approval, ApiError>)]) -> Response {
    let rows = decided.iter().map(|(id, about)| ResolvedRow::of(hall, token, id, about));
    let resolved = decided.iter().filter(|(_, about)| about.is_ok()).count();
    json(StatusCode::OK, &ResolvedRows { resolved, approvals: rows.collect() })
}

impl<'a> ResolvedRow<'a> {
    /// As this token sees it.
    fn of(hall: &Hall, token: &Token, pending_approval_id: &'a str, about: &'a Result<Approval, ApiError>) -> Self {
        let (status, approval, refusal) = match about {
            Ok(approval) => (StatusCode::OK, Some(ApprovalRow::of(hall, approval, token)), None),
            Err(refused) => (refused.status(), None, Some(refused.envelope())),
        };
        Self { pending_approval_id, status: status.as_u16(), approval, refusal }
    }
}

/// What is to become of each whose digest this is.
fn resolution(asked: &Json) -> Result<fn(Option<Digest>) -> Resolution, ApiError> {
    const WORDS: &str = "approve or deny";
    match text(asked, "resolution")? {
        Some("approve") => Ok(Resolution::Approve),
        Some("deny") => Ok(Resolution::Deny),
        Some(written) => Err(invalid("resolution", written, WORDS)),
        None => Err(wrong("missing field: resolution", format!("`resolution` is missing: write {WORDS}"))),
    }
}

/// What was looked at: ids, and the digest of each.
fn looked_at(asked: &Json) -> Result<Vec<(&str, Digest)>, ApiError> {
    let named = asked.as_object().and_then(|members| present(members, "approvals")).and_then(Json::as_array);
    let named = named.filter(|named| (1..=MOST).contains(&named.len())).ok_or_else(|| {
        let what = "each with its `pending_approval_id` and the `digest` that was looked at";
        wrong("invalid field: approvals", format!("`approvals` is no list of 1 to {MOST} approvals, {what}"))
    })?;
    let one = |one| {
        let missing = |key: &str| wrong(&format!("missing field: {key}"), format!("an approval has no `{key}`"));
        let id = text(one, "pending_approval_id")?.ok_or_else(|| missing("pending_approval_id"))?;
        let digest = parsed(one, "digest", DIGEST_WRITTEN)?;
        Ok((id, digest.ok_or_else(|| missing("digest"))?))
    };
    named.iter().map(one).collect()
}
