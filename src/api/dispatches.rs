//! Decisions as lists: the reference's `/dispatches`, and the feed that Hall Monitor polls. From memory; older ones are in the log.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::error::{ApiError, NeedsReader};
use crate::api::reader::{Monitor, Reader};
use crate::api::response::json;
use crate::api::schemas;
use crate::api::text::plain;
use crate::clock::timestamp;
use crate::engine::{DenyCode, Outcome};
use crate::hall::ingested::External;
use crate::hall::recent::ROWS;
use crate::hall::{Hall, Row};
use crate::ids::Env;

/// A decision in the reference's words.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dispatch {
    decision_id: String,
    decided_at: String,
    /// Empty for a request that was refused before it could be described.
    capability_id: String,
    tenant_id: Option<String>,
    env: Option<String>,
    /// 0 or 1, as in the reference; `is_denied` and `allowed` are booleans.
    #[schema(minimum = 0, maximum = 1)]
    denied: u8,
    is_denied: bool,
    allowed: bool,
    outcome: Option<&'static str>,
    deny_reason: Option<String>,
    /// The species that was selected.
    selected_worker: Option<String>,
    /// The worker that acts, or was named.
    worker_id: Option<String>,
    blast_score: Option<i64>,
    artifact_hash: Option<String>,
    /// A probe: decided, and nothing dispatched.
    dry_run: bool,
    /// Somebody else decided this and reported it here: it is not in the ledger.
    external: bool,
}

/// Decisions, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dispatches {
    dispatches: Vec<Dispatch>,
    count: usize,
}

/// A decision in Hall Monitor's words.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Event)]
pub(super) struct MonitorEvent {
    id: String,
    timestamp: String,
    /// DISPATCHED, REFUSED or STEWARD_HOLD.
    outcome: &'static str,
    /// allow or deny.
    decision: &'static str,
    worker: Option<String>,
    capability: String,
    blast_score: Option<i64>,
    /// Null for whoever reads without a token.
    tenant_id: Option<String>,
    env: Option<String>,
    /// The operator's name of the policy in force.
    profile: String,
    reason: Option<String>,
    dry_run: bool,
    external: bool,
}

/// The feed, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    events: Vec<MonitorEvent>,
    count: usize,
}

/// A forwarded exchange that has not ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Running)]
pub(super) struct ActiveExchange {
    id: String,
    worker: Option<String>,
    capability: String,
    blast_score: Option<i64>,
    started_at: String,
    tenant_id: Option<String>,
    env: String,
}

/// The exchanges under way, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ActiveExchanges {
    active: Vec<ActiveExchange>,
    count: usize,
}

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Limit {
    /// At most so many, 50 if it is not said; below 1 counts as 1, and above 200 as 200.
    #[param(schema_with = schemas::any_integer)]
    limit: Option<String>,
}

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NewestQuery {
    /// At most so many, 50 if it is not said; below 1 counts as 1, and above 1000 as 1000.
    #[param(schema_with = schemas::any_integer)]
    n: Option<String>,
}

/// The newest decisions
#[utoipa::path(get, path = "/dispatches", tag = "reference", params(Limit), security(("token" = [])),
    responses((status = 200, description = "the newest decisions", body = Dispatches), (status = 400, description = "no number", body = super::error::ErrorEnvelope), NeedsReader))]
pub(super) async fn dispatches(
    State(hall): State<Arc<Hall>>,
    reader: Reader,
    query: Result<Query<Limit>, QueryRejection>,
) -> Result<Response, ApiError> {
    let most = number("limit", query.map(|Query(Limit { limit })| limit), 200)?;
    let rows = newest(&hall, &reader, most).into_iter().map(|one| one.dispatch(&reader));
    let dispatches: Vec<Dispatch> = rows.collect();
    Ok(json(StatusCode::OK, &Dispatches { count: dispatches.len(), dispatches }))
}

/// The forwarded exchanges that have not ended, in the reference's words
#[utoipa::path(get, path = "/dispatches/active", tag = "reference", security(("token" = [])),
    responses((status = 200, description = "the exchanges under way", body = Dispatches), NeedsReader))]
pub(super) async fn dispatches_active(State(hall): State<Arc<Hall>>, reader: Reader) -> Response {
    let rows = hall.active(&reader.binding).into_iter().map(|(id, active)| {
        let input = &active.decision.input;
        Dispatch {
            decision_id: id.to_string(),
            decided_at: timestamp(active.started_at_micros),
            capability_id: input.capability_id.to_string(),
            tenant_id: Some(input.tenant_id.to_string()),
            env: Some(input.env.to_string()),
            denied: 0,
            is_denied: false,
            allowed: true,
            outcome: Some(Outcome::Dispatch.as_str()),
            deny_reason: None,
            selected_worker: active.decision.verdict.selected_species.as_deref().map(str::to_owned),
            worker_id: active.worker().map(ToString::to_string),
            blast_score: active.decision.verdict.blast_score,
            artifact_hash: Some(active.decision.artifact_hash.to_hex()),
            dry_run: false,
            external: false,
        }
    });
    let dispatches: Vec<Dispatch> = rows.collect();
    json(StatusCode::OK, &Dispatches { count: dispatches.len(), dispatches })
}

/// The newest decisions, as Hall Monitor's feed
#[utoipa::path(get, path = "/api/dispatches/recent", tag = "monitor", params(NewestQuery), security(("token" = [])),
    responses((status = 200, description = "the feed", body = Events), (status = 400, description = "no number", body = super::error::ErrorEnvelope), NeedsReader))]
pub(super) async fn recent(
    State(hall): State<Arc<Hall>>,
    Monitor(reader): Monitor,
    query: Result<Query<NewestQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let most = number("n", query.map(|Query(NewestQuery { n })| n), ROWS)?;
    let profile = hall.snapshot().settings.version.to_string();
    let events: Vec<MonitorEvent> =
        newest(&hall, &reader, most).into_iter().map(|one| one.event(&reader, profile.clone())).collect();
    Ok(json(StatusCode::OK, &Events { count: events.len(), events }))
}

/// The forwarded exchanges that have not ended, as Hall Monitor shows them
#[utoipa::path(get, path = "/api/dispatches/active", tag = "monitor", security(("token" = [])),
    responses((status = 200, description = "the exchanges under way", body = ActiveExchanges), NeedsReader))]
pub(super) async fn active(State(hall): State<Arc<Hall>>, Monitor(reader): Monitor) -> Response {
    let rows = hall.active(&reader.binding).into_iter().map(|(id, active)| {
        let input = &active.decision.input;
        ActiveExchange {
            id: id.to_string(),
            worker: active.worker().map(|id| plain(id)),
            capability: plain(&input.capability_id),
            blast_score: active.decision.verdict.blast_score,
            started_at: timestamp(active.started_at_micros),
            tenant_id: (!reader.redacted).then(|| plain(&input.tenant_id)),
            env: input.env.to_string(),
        }
    });
    let active: Vec<ActiveExchange> = rows.collect();
    json(StatusCode::OK, &ActiveExchanges { count: active.len(), active })
}

/// One of a list: a decision of this hall's, or one that was reported.
enum One {
    Ours(Box<Row>),
    External(External),
}

/// The newest of both, the newest first.
fn newest(hall: &Hall, reader: &Reader, most: usize) -> Vec<One> {
    let ours = hall.recent(most, &reader.binding).into_iter().map(|row| One::Ours(Box::new(row)));
    let external = hall.ingested().newest(most, &reader.binding).into_iter().map(One::External);
    let mut all: Vec<One> = ours.chain(external).collect();
    // Stable: ours are in the order of their ids, which is finer than time.
    all.sort_by_key(|one| {
        std::cmp::Reverse(match one {
            One::Ours(row) => row.at_micros,
            One::External(external) => external.decided_at_micros,
        })
    });
    all.truncate(most);
    all
}

impl One {
    fn dispatch(self, reader: &Reader) -> Dispatch {
        let (denied, text) = (self.denied(), |text: Option<Arc<str>>| text.map(|text| text.to_string()));
        let shared = |tenant: Option<Arc<str>>| text(tenant).filter(|_| !reader.redacted);
        match self {
            Self::Ours(row) => Dispatch {
                decision_id: row.id.to_string(),
                decided_at: timestamp(row.at_micros),
                capability_id: text(row.capability).unwrap_or_default(),
                tenant_id: shared(row.tenant),
                env: row.env.map(|env| env.to_string()),
                denied: denied.into(),
                is_denied: denied,
                allowed: !denied,
                outcome: Some(row.outcome.as_str()),
                deny_reason: row.code.map(|code| code.as_str().to_owned()),
                selected_worker: text(row.species),
                worker_id: text(row.worker),
                blast_score: row.blast_score,
                artifact_hash: row.artifact_hash.map(|hash| hash.to_hex()),
                dry_run: row.dry_run,
                external: false,
            },
            Self::External(one) => Dispatch {
                decision_id: one.decision_id.to_string(),
                decided_at: timestamp(one.decided_at_micros),
                capability_id: one.capability_id.to_string(),
                tenant_id: shared(Some(one.tenant_id)),
                env: Some(one.env.to_string()),
                denied: denied.into(),
                is_denied: denied,
                allowed: !denied,
                outcome: None,
                deny_reason: text(one.deny_reason),
                selected_worker: text(one.selected_worker),
                worker_id: None,
                blast_score: one.blast_score,
                artifact_hash: text(one.artifact_hash),
                dry_run: false,
                external: true,
            },
        }
    }

    fn event(self, reader: &Reader, profile: String) -> MonitorEvent {
        let denied = self.denied();
        let decision = if denied { "deny" } else { "allow" };
        match self {
            Self::Ours(row) => MonitorEvent {
                id: row.id.to_string(),
                timestamp: timestamp(row.at_micros),
                outcome: match row.outcome {
                    Outcome::Dispatch => "DISPATCHED",
                    Outcome::Deny => "REFUSED",
                    Outcome::Hold => "STEWARD_HOLD",
                },
                decision,
                worker: row.worker.as_deref().or(row.species.as_deref()).map(plain),
                capability: row.capability.as_deref().map(plain).unwrap_or_default(),
                blast_score: row.blast_score,
                tenant_id: row.tenant.as_deref().filter(|_| !reader.redacted).map(plain),
                env: row.env.map(Env::as_str).map(str::to_owned),
                profile: plain(&profile),
                // The sentence may name the tenant; the code's meaning does not.
                reason: if reader.redacted {
                    row.code.map(DenyCode::meaning).map(str::to_owned)
                } else {
                    row.reason.as_deref().map(plain)
                },
                dry_run: row.dry_run,
                external: false,
            },
            Self::External(one) => MonitorEvent {
                id: one.decision_id.to_string(),
                timestamp: timestamp(one.decided_at_micros),
                outcome: if denied { "REFUSED" } else { "DISPATCHED" },
                decision,
                worker: one.selected_worker.as_deref().map(plain),
                capability: plain(&one.capability_id),
                blast_score: one.blast_score,
                tenant_id: (!reader.redacted).then(|| plain(&one.tenant_id)),
                env: Some(plain(&one.env)),
                profile: plain(&profile),
                reason: one.deny_reason.as_deref().filter(|_| !reader.redacted).map(plain),
                dry_run: false,
                external: true,
            },
        }
    }

    fn denied(&self) -> bool {
        match self {
            Self::Ours(row) => row.denied(),
            Self::External(external) => external.denied,
        }
    }
}

/// A number of a query, which is 50 if it is not there, and is put within bounds.
fn number(name: &str, written: Result<Option<String>, QueryRejection>, most: usize) -> Result<usize, ApiError> {
    let Ok(written) = written else {
        return Err(ApiError::bad_parameter(name, "is there twice or is no text", "a whole number"));
    };
    let Some(text) = written else { return Ok(50) };
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ApiError::bad_parameter(name, "is no whole number", "one from 1 on"));
    }
    let number = if text.starts_with('-') { 1 } else { digits.parse().unwrap_or(usize::MAX) };
    Ok(number.clamp(1, most))
}
