//! `GET /wcp/receipts/{decision_id}`: a receipt, its inclusion proof and the checkpoint, to be verified offline.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use uuid::Uuid;

use crate::api::error::{ApiError, NeedsReader};
use crate::api::reader::Reader;
use crate::api::response::json;
use crate::api::schemas::ProvenReceipt;
use crate::hall::Hall;

/// A receipt with the proof that it is in the log
///
/// An id that is none, one that is not there and another tenant's are answered alike.
#[utoipa::path(get, path = "/wcp/receipts/{decision_id}", tag = "wcp", security(("token" = [])),
    params(("decision_id" = String, Path, description = "the `decision_id` of an answer")),
    responses((status = 200, description = "the receipt and its proof", body = ProvenReceipt),
        (status = 404, description = "no such receipt", body = super::error::ErrorEnvelope),
        (status = 503, description = "the ledger cannot be read or sign now", body = super::error::ErrorEnvelope), NeedsReader))]
pub(super) async fn receipt(
    State(hall): State<Arc<Hall>>,
    Path(id): Path<String>,
    reader: Reader,
) -> Result<Response, ApiError> {
    let Ok(id) = Uuid::try_parse(&id) else { return Err(ApiError::no_receipt()) };
    match hall.receipt(id, &reader.binding).await {
        Ok(Some(proof)) => Ok(json(StatusCode::OK, &proof)),
        Ok(None) => Err(ApiError::no_receipt()),
        Err(error) => Err(ApiError::unread(&error)),
    }
}
