//! What the platform asks: alive, ready, how much.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, NeedsReader};
use crate::api::response::json;
use crate::clock::timestamp;
use crate::hall::{Hall, Scope};
use crate::ids::Digest;

/// OpenMetrics text, which Prometheus reads under this type.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Alive {
    status: &'static str,
}

/// Whether requests should be sent here; everything else only for a token that is bound to nothing.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Ready<'a> {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    snapshot: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_version: Option<&'a str>,
    /// The change on disk that is not in force; left out when there is none. It does not stand against readiness: what was
    /// in force before still is.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_change: Option<ChangeState<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<LedgerState<'a>>,
    /// Left out when it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<RegistryState<'a>>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegistryState<'a> {
    url: &'a str,
    /// When it last gave an answer; null when it has given none.
    answered_at: Option<String>,
    /// Why the last round did not get all answers.
    error: Option<&'a str>,
    banned_hashes: Option<usize>,
    unverified_workers: usize,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeState<'a> {
    since: String,
    problems: usize,
    first: &'a str,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
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

/// The process answers
#[utoipa::path(get, path = "/livez", tag = "probes", security(()),
    responses((status = 200, description = "it does", body = Alive)))]
pub(super) async fn livez() -> Response {
    json(StatusCode::OK, &Alive { status: "ok" })
}

/// Whether requests should be sent here, and if not, why
///
/// Strangers are told yes or no. Why, and by which policy, is for a token that is bound to nothing.
#[utoipa::path(get, path = "/readyz", tag = "probes", security((), ("token" = [])),
    responses((status = 200, description = "they should", body = Ready), (status = 503, description = "they should not", body = Ready)))]
pub(super) async fn readyz(State(hall): State<Arc<Hall>>, request: Request) -> Response {
    let now = hall.readiness();
    let status = if now.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !credential::knows_the_hall(&hall, &request) {
        let ready = Ready {
            ready: now.ready,
            reasons: None,
            snapshot: None,
            policy_version: None,
            refused_change: None,
            ledger: None,
            registry: None,
        };
        return json(status, &ready);
    }
    let ledger = LedgerState {
        writing: now.ledger.writing,
        error: now.ledger.error.as_deref(),
        broken: now.ledger.broken,
        queue_depth: now.ledger.queue_depth,
        entries: now.ledger.entries,
        pruned: now.ledger.pruned,
        prune_error: now.ledger.prune_error.as_deref(),
    };
    let refused_change = now.refused_change.as_deref().map(|change| ChangeState {
        since: timestamp(change.since_micros),
        problems: change.problems,
        first: &change.first,
    });
    let registry = now.registry.as_ref().map(|registry| RegistryState {
        url: &registry.url,
        answered_at: registry.answered_micros.map(timestamp),
        error: registry.error.as_deref(),
        banned_hashes: registry.banned_hashes,
        unverified_workers: registry.unverified_workers,
    });
    let ready = Ready {
        ready: now.ready,
        reasons: Some(&now.reasons),
        snapshot: Some(now.snapshot),
        policy_version: Some(&now.policy_version),
        refused_change,
        ledger: Some(ledger),
        registry,
    };
    json(status, &ready)
}

/// Counters in OpenMetrics text
///
/// Whether it needs a token is configured: `hall.metrics_need_token`.
#[utoipa::path(get, path = "/metrics", tag = "probes", security((), ("token" = [])),
    responses((status = 200, description = "the counters", body = String, content_type = "application/openmetrics-text"), NeedsReader))]
pub(super) async fn metrics(State(hall): State<Arc<Hall>>) -> Response {
    ([(CONTENT_TYPE, OPENMETRICS)], hall.metrics_text()).into_response()
}

/// `GET /metrics` where only tokens with the scope `read` may see it.
pub(super) async fn metrics_for_readers(hall: State<Arc<Hall>>, credential: Credential) -> Result<Response, ApiError> {
    let token = credential.present(&hall)?;
    credential::require(&token, Scope::Read)?;
    Ok(metrics(hall).await)
}
