//! `GET /api/decisions`: what was decided lately, by who asked, for what and how it ended. From memory; what is older is in the log.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::error::{ApiError, ErrorEnvelope, NeedsReader};
use crate::api::reader::Reader;
use crate::api::response::json;
use crate::clock::timestamp;
use crate::engine::{DenyCode, Outcome};
use crate::hall::{Hall, Row};
use crate::ids::Env;

/// The most decisions of one answer, and how many there are if it is not said.
const MOST: usize = 200;
const IF_NOT_SAID: usize = 50;
/// The verdicts, as they are asked for.
const VERDICTS: &[Outcome] = &[Outcome::Dispatch, Outcome::Deny, Outcome::Hold];

/// Which decisions: those that are all of what is said.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The worker that acts or was named.
    #[param(inline)]
    worker: Option<String>,
    /// DISPATCH, DENY or STEWARD_HOLD.
    #[param(inline, schema_with = verdicts)]
    verdict: Option<String>,
    /// The deny code.
    #[param(inline, schema_with = codes)]
    code: Option<String>,
    /// The capability.
    #[param(inline)]
    capability: Option<String>,
    /// The tenant.
    #[param(inline)]
    tenant: Option<String>,
    /// The environment.
    #[param(inline, schema_with = envs)]
    env: Option<String>,
    /// Those before this one: `next` of the answer before.
    #[param(inline, schema_with = an_id)]
    before: Option<String>,
    /// At most so many, from 1 to 200; 50 if it is not said.
    #[param(inline, schema_with = a_limit)]
    limit: Option<String>,
}

/// A decision.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Decision)]
pub(super) struct DecisionRow {
    decision_id: String,
    decided_at: String,
    /// DISPATCH, DENY or STEWARD_HOLD.
    outcome: &'static str,
    deny_code: Option<&'static str>,
    /// Why not, in a sentence.
    deny_message: Option<String>,
    /// Null for a request that was refused before it could be described.
    capability_id: Option<String>,
    tenant_id: Option<String>,
    worker_id: Option<String>,
    worker_species_id: Option<String>,
    env: Option<&'static str>,
    /// gate or api.
    door: Option<&'static str>,
    blast_score: Option<i64>,
    dry_run: bool,
}

/// Decisions, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Decisions)]
pub(super) struct DecisionRows {
    decisions: Vec<DecisionRow>,
    count: usize,
    /// What to send as `before` for those that come next; null: memory has no more of them.
    next: Option<String>,
}

fn text(values: impl Iterator<Item = &'static str>) -> utoipa::openapi::schema::Object {
    let text = utoipa::openapi::schema::Object::builder().schema_type(utoipa::openapi::schema::Type::String);
    text.enum_values(Some(values)).build()
}

fn verdicts() -> utoipa::openapi::schema::Object {
    text(VERDICTS.iter().map(|verdict| verdict.as_str()))
}

fn codes() -> utoipa::openapi::schema::Object {
    text(DenyCode::ALL.iter().map(|code| code.as_str()))
}

fn envs() -> utoipa::openapi::schema::Object {
    text(Env::ALL.iter().map(|env| env.as_str()))
}

fn an_id() -> utoipa::openapi::schema::Object {
    let id = utoipa::openapi::schema::Object::builder().schema_type(utoipa::openapi::schema::Type::String);
    id.format(Some(utoipa::openapi::SchemaFormat::Custom("uuid".to_owned()))).build()
}

fn a_limit() -> utoipa::openapi::schema::Object {
    let number = utoipa::openapi::schema::Object::builder().schema_type(utoipa::openapi::schema::Type::Integer);
    number.minimum(Some(1)).maximum(Some(MOST)).build()
}

/// What was decided lately: needs the scope `read`
///
/// The newest thousand of each thread are remembered; `hallgate audit export` has the older ones.
#[utoipa::path(get, path = "/api/decisions", tag = "hall", params(Wanted), security(("token" = [])),
    responses((status = 200, description = "the newest first", body = DecisionRows),
        (status = 400, description = "a parameter is unknown, there twice, or means nothing", body = ErrorEnvelope<'static>), NeedsReader))]
pub(super) async fn decisions(
    State(hall): State<Arc<Hall>>,
    reader: Reader,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(wanted) = query.map_err(|_| {
        let known = "worker, verdict, code, capability, tenant, env, before and limit, each once";
        ApiError::bad_parameter("parameters", "are unknown or there twice", known)
    })?;
    let filter = Filter::of(&wanted)?;
    let most = match wanted.limit.as_deref().map(str::parse) {
        None => IF_NOT_SAID,
        Some(Ok(most @ 1..=MOST)) => most,
        Some(_) => return Err(ApiError::bad_parameter("limit", "is no number of decisions", "a number from 1 to 200")),
    };
    // One more, to know whether there is one.
    let mut rows = hall.recent_of(most + 1, &reader.binding, |row| filter.passes(row));
    let more = rows.len() > most;
    rows.truncate(most);
    let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let decisions: Vec<DecisionRow> = rows.into_iter().map(DecisionRow::of).collect();
    Ok(json(StatusCode::OK, &DecisionRows { count: decisions.len(), decisions, next }))
}

/// What a row has to be.
struct Filter<'a> {
    wanted: &'a Wanted,
    verdict: Option<Outcome>,
    code: Option<DenyCode>,
    env: Option<Env>,
    before: Option<Uuid>,
}

impl<'a> Filter<'a> {
    fn of(wanted: &'a Wanted) -> Result<Self, ApiError> {
        let known = |key, expected: &str| ApiError::bad_parameter(key, "is none", expected);
        let verdict = wanted.verdict.as_deref().map(|written| {
            let verdict = VERDICTS.iter().copied().find(|verdict| verdict.as_str() == written);
            verdict.ok_or_else(|| known("verdict", "DISPATCH, DENY or STEWARD_HOLD"))
        });
        let code = wanted.code.as_deref().map(|written| {
            let code = DenyCode::ALL.iter().copied().find(|code| code.as_str() == written);
            code.ok_or_else(|| known("code", "a deny code, such as DENY_NO_MATCHING_RULE"))
        });
        let env = wanted.env.as_deref().map(|env| env.parse().map_err(|_| known("env", "dev, stage, prod or edge")));
        let before =
            wanted.before.as_deref().map(|id| Uuid::try_parse(id).map_err(|_| known("before", "a decision's id")));
        Ok(Self {
            wanted,
            verdict: verdict.transpose()?,
            code: code.transpose()?,
            env: env.transpose()?,
            before: before.transpose()?,
        })
    }

    fn passes(&self, row: &Row) -> bool {
        let is =
            |wanted: &Option<String>, text: &Option<Arc<str>>| wanted.is_none() || wanted.as_deref() == text.as_deref();
        is(&self.wanted.worker, &row.worker)
            && is(&self.wanted.capability, &row.capability)
            && is(&self.wanted.tenant, &row.tenant)
            && self.verdict.is_none_or(|verdict| verdict == row.outcome)
            && (self.code.is_none() || self.code == row.code)
            && (self.env.is_none() || self.env == row.env)
            && self.before.is_none_or(|before| row.id < before)
    }
}

impl DecisionRow {
    fn of(row: Row) -> Self {
        let text = |text: Option<Arc<str>>| text.map(|text| text.to_string());
        Self {
            decision_id: row.id.to_string(),
            decided_at: timestamp(row.at_micros),
            outcome: row.outcome.as_str(),
            deny_code: row.code.map(DenyCode::as_str),
            deny_message: text(row.reason),
            capability_id: text(row.capability),
            tenant_id: text(row.tenant),
            worker_id: text(row.worker),
            worker_species_id: text(row.species),
            env: row.env.map(Env::as_str),
            door: row.door.map(|door| door.as_str()),
            blast_score: row.blast_score,
            dry_run: row.dry_run,
        }
    }
}
