//! `GET /api/decisions`: what was decided, by who asked, for what and how it ended, out of the ledger; as JSON, as CSV, and as it happens.

mod csv;
pub(super) mod feed;
mod viewers;
pub(super) mod wanted;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::{ApiError, ErrorEnvelope, NeedsReader};
use crate::api::reader::Reader;
use crate::api::response::json;
use crate::clock::timestamp;
use crate::engine::DenyCode;
use crate::hall::{DecisionQuery, FoundRows, Hall, Row};
use crate::ids::{DataLabel, Env};
pub(super) use viewers::Viewers;
use wanted::{DecisionPage, DecisionWords, Words};

/// The most decisions of one answer in JSON, and how many there are if it is not said.
const MOST: usize = 200;
const IF_NOT_SAID: usize = 50;
/// The same in CSV.
const MOST_LINES: usize = 5000;
const LINES_IF_NOT_SAID: usize = 1000;

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
    /// How sensitive the data is.
    data_label: Option<&'static str>,
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
    /// What to send as `cursor` for those that come next; null: there are no more.
    next: Option<String>,
    /// Null: all that the ledger has was looked at. Else from when on; what is older is being made ready to be looked up.
    complete_since: Option<String>,
}

/// What was decided: needs the scope `read`
///
/// Out of all that the ledger has, the newest first. As CSV with `format=csv` or `accept: text/csv`: up to 5,000 at a time, with the next ones behind
/// the header `link`, and cells that a spreadsheet would calculate behind a `'`.
#[utoipa::path(get, path = "/api/decisions", tag = "hall", params(DecisionWords, DecisionPage), security(("token" = [])),
    responses((status = 200, description = "the newest first", content((DecisionRows = "application/json"), (String = "text/csv"))),
        (status = 400, description = "a parameter is unknown, there twice, or means nothing", body = ErrorEnvelope<'static>),
        (status = 503, description = "the ledger cannot be read now, or it takes too long", body = ErrorEnvelope<'static>), NeedsReader))]
pub(super) async fn decisions(
    State(hall): State<Arc<Hall>>,
    reader: Reader,
    headers: HeaderMap,
    words: Words,
) -> Result<Response, ApiError> {
    let mut asked = wanted::words(words, true)?;
    let again = asked.clone();
    let in_lines = wanted::in_lines(&mut asked, headers.get(ACCEPT))?;
    let (most, usual) = if in_lines { (MOST_LINES, LINES_IF_NOT_SAID) } else { (MOST, IF_NOT_SAID) };
    let most = wanted::limit(&mut asked, most, usual)?;
    let query = wanted::query(asked, reader.binding)?;
    // One more, to know whether there is one.
    let found = hall.decisions(DecisionQuery { most: most + 1, ..query }).await;
    let FoundRows { mut rows, complete_since, .. } = found.map_err(|error| ApiError::unread(&error))?;
    let more = rows.len() > most;
    rows.truncate(most);
    let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
    let decisions: Vec<DecisionRow> = rows.into_iter().map(DecisionRow::of).collect();
    let complete_since = complete_since.map(timestamp);
    if in_lines {
        return Ok(csv::answer(&decisions, next.map(|next| wanted::address(&again, &next)), complete_since));
    }
    Ok(json(StatusCode::OK, &DecisionRows { count: decisions.len(), decisions, next, complete_since }))
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
            data_label: row.label.map(DataLabel::as_str),
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
