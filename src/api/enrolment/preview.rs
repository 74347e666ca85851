//! `POST /api/enroll/preview`: what an enrolment would come to. Nothing is changed or recorded.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::asked::read;
use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, ErrorEnvelope, NeedsBody};
use crate::api::response::json;
use crate::engine::Json;
use crate::hall::Hall;
use crate::hall::enrolment::RecordDifference;

/// What an enrolment would come to.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EnrolmentPreview)]
pub(super) struct Preview {
    worker_id: String,
    /// enrolled, updated, or unchanged.
    would_be: &'static str,
    /// Of the record as it is.
    artifact_hash: String,
    /// The record with its hash: what is to be sent to `/enroll`.
    #[schema(value_type = Object)]
    record: Json,
    /// The members that are others than in the record in force.
    differences: Vec<MemberDifference>,
}

/// A member that is another.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberDifference {
    member: String,
    /// Null where it is new.
    #[schema(value_type = Value)]
    was: Option<Json>,
    /// Null where it is gone.
    #[schema(value_type = Value)]
    now: Option<Json>,
}

/// What an enrolment would come to: needs the scope `enroll`
///
/// The hash of the record as it is, and how the record differs from the one in force. What `/enroll` would refuse is refused here, too; nothing is
/// changed, and nothing recorded.
#[utoipa::path(post, path = "/api/enroll/preview", tag = "hall", security(("token" = [])), request_body = Object,
    responses(
        (status = 200, description = "what it would come to", body = Preview),
        NeedsBody,
        (status = 409, description = "its record is in the folder, or the change needs the scope `admin`", body = ErrorEnvelope<'static>),
        (status = 501, description = "this hall enrolls nobody over the API", body = ErrorEnvelope<'static>),
    ))]
pub(in crate::api) async fn preview(State(hall): State<Arc<Hall>>, request: Request) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let token = Credential::of(&head.extensions).present(&hall)?;
    credential::require_any(&token, super::TAKERS)?;
    let record = read(&head.headers, body).await?;
    let found = hall.preview_enrolment(&token, record).map_err(|why| ApiError::not_changed(&why))?;
    let of = |RecordDifference { member, was, now }: RecordDifference| MemberDifference {
        member: member.to_string(),
        was,
        now,
    };
    let preview = Preview {
        worker_id: found.worker_id,
        would_be: found.action.map_or("unchanged", |action| action.as_str()),
        artifact_hash: format!("sha256:{}", found.hash),
        record: found.record,
        differences: found.differences.into_iter().map(of).collect(),
    };
    Ok(json(StatusCode::OK, &preview))
}
