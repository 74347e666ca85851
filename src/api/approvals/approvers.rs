//! How often and how fast approvers decide, for whoever looks after them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::LOOKERS;
use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, NeedsReader};
use crate::api::response::json;
use crate::engine::Binding;
use crate::hall::Hall;
use crate::hall::approvals::habits::Habit;

/// How one decided of late: the last hundred times, since the process began.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApproverHabit)]
struct ApproverRow {
    /// The token.
    approver: String,
    /// How often they agreed.
    agreed: usize,
    /// How often they did something else.
    otherwise: usize,
    /// After how many seconds since it was asked for, in the middle.
    median_seconds: i64,
    /// How often they agreed within ten seconds: who does so each time has not read it.
    agreed_within_ten_seconds: usize,
}

/// Approvers, by name.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApproverHabits)]
pub(in crate::api) struct ApproverRows {
    approvers: Vec<ApproverRow>,
}

/// How often and how fast approvers decide: needs the scope `approve` or `read`; a token that is bound sees itself alone
#[utoipa::path(get, path = "/wcp/approvals/approvers", tag = "wcp", security(("token" = [])),
    responses((status = 200, description = "by name", body = ApproverRows), NeedsReader))]
pub(in crate::api) async fn approvers(
    State(hall): State<Arc<Hall>>,
    credential: Credential,
) -> Result<Response, ApiError> {
    let token = credential.present(&hall)?;
    credential::require_any(&token, LOOKERS)?;
    let sees_all = token.binding == Binding::default();
    let theirs = hall.approvers_habits().into_iter().filter(|habit| sees_all || habit.approver == token.name);
    let row = |habit: Habit| ApproverRow {
        approver: habit.approver.to_string(),
        agreed: habit.agreed,
        otherwise: habit.otherwise,
        median_seconds: habit.median_seconds,
        agreed_within_ten_seconds: habit.quick,
    };
    Ok(json(StatusCode::OK, &ApproverRows { approvers: theirs.map(row).collect() }))
}
