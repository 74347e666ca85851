//! Alerts as lists, and the word that somebody knows.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, NeedsReader};
use crate::api::reader::{Monitor, Reader};
use crate::api::response::json;
use crate::api::text::plain;
use crate::clock::timestamp;
use crate::hall::{Alert, CannotDecide, Hall, Scope};

/// The most alerts of one answer, as in the reference.
const MOST: usize = 50;

/// An alert in the reference's words.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertRow {
    alert_id: String,
    created_at: String,
    /// error or warning.
    level: &'static str,
    code: &'static str,
    message: String,
    worker_id: Option<String>,
    capability_id: Option<String>,
    count: u64,
    acknowledged: bool,
}

/// Alerts, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertRows {
    alerts: Vec<AlertRow>,
    count: usize,
}

/// An alert in Hall Monitor's words.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MonitorAlert {
    id: String,
    /// error or warning.
    severity: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    body: String,
    worker_id: Option<String>,
    created_at: String,
    last_event: String,
    /// How often it happened.
    count: u64,
    acknowledged: bool,
    acknowledged_at: Option<String>,
}

/// Alerts, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MonitorAlerts {
    alerts: Vec<MonitorAlert>,
    count: usize,
}

/// The newest alerts
#[utoipa::path(get, path = "/alerts", tag = "reference", security(("token" = [])),
    responses((status = 200, description = "at most 50", body = AlertRows), NeedsReader))]
pub(super) async fn alerts(State(hall): State<Arc<Hall>>, reader: Reader) -> Response {
    let rows = hall.alerts(&reader.binding).into_iter().take(MOST).map(|alert| AlertRow {
        alert_id: alert.id.to_string(),
        created_at: timestamp(alert.created_at_micros),
        level: alert.last.kind.severity().as_str(),
        code: alert.last.kind.as_str(),
        message: alert.last.message,
        worker_id: alert.last.worker.map(|id| id.to_string()),
        capability_id: alert.last.capability.map(|id| id.to_string()),
        count: alert.count,
        acknowledged: alert.acknowledged_at_micros.is_some(),
    });
    let alerts: Vec<AlertRow> = rows.collect();
    json(StatusCode::OK, &AlertRows { count: alerts.len(), alerts })
}

/// The newest alerts, as Hall Monitor shows them
#[utoipa::path(get, path = "/api/alerts", tag = "monitor", security(("token" = [])),
    responses((status = 200, description = "at most 50", body = MonitorAlerts), NeedsReader))]
pub(super) async fn monitored(State(hall): State<Arc<Hall>>, Monitor(reader): Monitor) -> Response {
    let alerts: Vec<MonitorAlert> = hall
        .alerts(&reader.binding)
        .into_iter()
        .take(MOST)
        .map(|alert| monitor_alert(alert, reader.redacted))
        .collect();
    json(StatusCode::OK, &MonitorAlerts { count: alerts.len(), alerts })
}

/// Say that somebody knows of an alert
///
/// It is kept in memory, and opens the alert again when it happens again; that entries of the ledger are lost is acknowledged in the
/// ledger.
#[utoipa::path(post, path = "/api/alerts/{alert_id}/acknowledge", tag = "hall", security(("token" = [])),
    params(("alert_id" = String, Path, description = "the alert's id")),
    responses((status = 200, description = "the alert as it is now", body = MonitorAlert),
        (status = 404, description = "no such alert", body = super::error::ErrorEnvelope), NeedsReader))]
pub(super) async fn acknowledge(
    State(hall): State<Arc<Hall>>,
    Path(id): Path<String>,
    credential: Credential,
) -> Result<Response, ApiError> {
    let token = credential.present(&hall)?;
    credential::require(&token, Scope::Admin)?;
    let Ok(id) = Uuid::try_parse(&id) else { return Err(ApiError::no_alert()) };
    let alert = hall.acknowledge(id, &token.name, &token.binding).await;
    match alert.map_err(|why| ApiError::undecided(&CannotDecide::Record(why)))? {
        Some(alert) => {
            tracing::info!(alert = alert.last.kind.as_str(), alert_id = %alert.id, by = %token.name, "acknowledged");
            Ok(json(StatusCode::OK, &monitor_alert(alert, false)))
        }
        None => Err(ApiError::no_alert()),
    }
}

/// The sentence may name what is in the files; the title does not.
fn monitor_alert(alert: Alert, redacted: bool) -> MonitorAlert {
    let kind = alert.last.kind;
    MonitorAlert {
        id: alert.id.to_string(),
        severity: kind.severity().as_str(),
        kind: kind.as_str(),
        title: kind.title(),
        body: plain(if redacted { kind.title() } else { &alert.last.message }),
        worker_id: alert.last.worker.as_deref().map(plain),
        created_at: timestamp(alert.created_at_micros),
        last_event: timestamp(alert.last_event_micros),
        count: alert.count,
        acknowledged: alert.acknowledged_at_micros.is_some(),
        acknowledged_at: alert.acknowledged_at_micros.map(timestamp),
    }
}
