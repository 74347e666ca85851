//! `POST /api/server/go-online` and `go-offline`: whether this hall decides. Only `admin` may switch it, and each switch is recorded.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, ErrorEnvelope, NeedsReader};
use crate::api::response::json;
use crate::hall::{CannotDecide, Failure, Hall, NotOnline, Scope};

/// The hall decides.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Online {
    ok: bool,
    /// Null: this hall asks no registry.
    account_standing: Option<String>,
    tier_id: Option<String>,
}

/// The hall stays offline.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NotSwitched {
    ok: bool,
    error: &'static str,
    message: String,
    account_standing: Option<String>,
    denied: bool,
    allowed: bool,
}

/// The hall decides nothing more.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Offline {
    ok: bool,
}

/// Switch the hall on: needs the scope `admin`; the body is not looked at
#[utoipa::path(post, path = "/api/server/go-online", tag = "hall", security(("token" = [])),
    responses(
        (status = 200, description = "it decides", body = Online),
        (status = 401, description = "no token, or one that is not known", body = ErrorEnvelope<'static>),
        (status = 403, description = "the token may not, or the account's standing does not let it", content((ErrorEnvelope<'static> = "application/json"), (NotSwitched = "application/json"))),
        (status = 429, description = "over a rate", body = ErrorEnvelope<'static>),
        (status = 502, description = "the registry's answer is of no use", body = NotSwitched),
        (status = 503, description = "it could not be recorded, or the registry does not answer", content((ErrorEnvelope<'static> = "application/json"), (NotSwitched = "application/json"))),
    ))]
pub(super) async fn go_online(State(hall): State<Arc<Hall>>, credential: Credential) -> Response {
    let token = match admin(&hall, credential) {
        Ok(token) => token,
        Err(refused) => return refused.into_response(),
    };
    let refused = |status, error, message: String, account_standing| {
        json(status, &NotSwitched { ok: false, error, message, account_standing, denied: true, allowed: false })
    };
    match hall.go_online(token).await {
        Ok(account) => {
            let (account_standing, tier_id) =
                account.map_or((None, None), |account| (Some(account.standing), account.tier_id));
            json(StatusCode::OK, &Online { ok: true, account_standing, tier_id })
        }
        Err(ref why @ NotOnline::Standing(ref account)) => {
            refused(StatusCode::FORBIDDEN, "standing", why.to_string(), Some(account.standing.clone()))
        }
        Err(NotOnline::Record(why)) => ApiError::undecided(&CannotDecide::Record(why)).into_response(),
        Err(ref why @ NotOnline::Registry(ref failure)) => {
            let (status, error) = match failure {
                Failure::Refused(_) | Failure::Status(_) | Failure::Malformed(_) => {
                    (StatusCode::BAD_GATEWAY, "bad gateway")
                }
                Failure::Unreachable(_) | Failure::RateLimited(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            };
            refused(status, error, why.to_string(), None)
        }
    }
}

/// Switch the hall off: needs the scope `admin`; nothing is decided or forwarded until it is switched on
#[utoipa::path(post, path = "/api/server/go-offline", tag = "hall", security(("token" = [])),
    responses(
        (status = 200, description = "it decides nothing more", body = Offline),
        NeedsReader,
        (status = 503, description = "it could not be recorded", body = ErrorEnvelope<'static>),
    ))]
pub(super) async fn go_offline(State(hall): State<Arc<Hall>>, credential: Credential) -> Result<Response, ApiError> {
    let token = admin(&hall, credential)?;
    hall.go_offline(token).await.map_err(|why| ApiError::undecided(&CannotDecide::Record(why)))?;
    Ok(json(StatusCode::OK, &Offline { ok: true }))
}

/// The name of a token that may switch the hall.
fn admin(hall: &Arc<Hall>, credential: Credential) -> Result<crate::ids::TokenName, ApiError> {
    let token = credential.present(hall)?;
    credential::require(&token, Scope::Admin)?;
    Ok(token.name.clone())
}
