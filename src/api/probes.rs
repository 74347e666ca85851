//! What the platform asks: alive, ready, how much.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::api::answer::json;
use crate::api::credential;
use crate::api::error::Refused;
use crate::hall::{Hall, Scope};
use crate::ids::Digest;

/// OpenMetrics text, which Prometheus reads under this type.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    reasons: &'a [String],
    snapshot: Digest,
    ledger: LedgerState<'a>,
}

#[derive(Serialize)]
struct LedgerState<'a> {
    writing: bool,
    error: Option<&'a str>,
    broken: bool,
    queue_depth: usize,
    entries: u64,
    pruned: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prune_error: Option<&'a str>,
}

/// `GET /livez`: the process answers.
pub(super) async fn livez() -> Response {
    json(StatusCode::OK, &Alive { status: "ok" })
}

/// `GET /readyz`: whether requests should be sent here, and if not, why.
pub(super) async fn readyz(State(hall): State<Arc<Hall>>) -> Response {
    let now = hall.readiness();
    let status = if now.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let ledger = LedgerState {
        writing: now.ledger.writing,
        error: now.ledger.error.as_deref(),
        broken: now.ledger.broken,
        queue_depth: now.ledger.queue_depth,
        entries: now.ledger.entries,
        pruned: now.ledger.pruned,
        prune_error: now.ledger.prune_error.as_deref(),
    };
    json(status, &Ready { ready: now.ready, reasons: &now.reasons, snapshot: now.snapshot, ledger })
}

/// `GET /metrics`.
pub(super) async fn metrics(State(hall): State<Arc<Hall>>) -> Response {
    ([(CONTENT_TYPE, OPENMETRICS)], hall.metrics_text()).into_response()
}

/// `GET /metrics` where only tokens with the scope `read` may see it.
pub(super) async fn metrics_for_readers(hall: State<Arc<Hall>>, headers: HeaderMap) -> Result<Response, Refused> {
    let token = credential::present(&hall, &headers)?;
    credential::require(&token, Scope::Read)?;
    Ok(metrics(hall).await)
}
