//! `GET /wcp/receipts/{decision_id}`: a receipt, its inclusion proof and the checkpoint, to be verified offline.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use uuid::Uuid;

use crate::api::answer::json;
use crate::api::credential;
use crate::api::error::Refused;
use crate::hall::{Hall, Scope};

/// Answers with the proof of one receipt. An id that is none, one that is not there and another tenant's are answered alike.
pub(super) async fn receipt(
    State(hall): State<Arc<Hall>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let token = credential::present(&hall, &headers)?;
    credential::require(&token, Scope::Read)?;
    let Ok(id) = Uuid::try_parse(&id) else { return Err(Refused::no_receipt()) };
    match hall.receipt(id, &token.binding).await {
        Ok(Some(proof)) => Ok(json(StatusCode::OK, &proof)),
        Ok(None) => Err(Refused::no_receipt()),
        Err(error) => Err(Refused::unreadable(&error)),
    }
}
