//! What the remote registry says, from memory: `GET /wcp/registry/verify/{worker_id}` and `GET /wcp/registry/ban-list`. No request
//! waits for the registry.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::{ApiError, NeedsReader};
use crate::api::reader::Reader;
use crate::api::response::json;
use crate::clock::timestamp;
use crate::hall::{BannedHash, Hall, Moment, Verified};
use crate::ids::Digest;

/// Where an answer that was remembered comes from.
const CACHE: &str = "local-cache";
/// Where one comes from that only we could give.
const LOCAL: &str = "local-only";
const REGISTRY: &str = "pyhall-registry";

#[derive(Serialize)]
struct Known<'a> {
    #[serde(flatten)]
    verified: &'a Verified,
    source: &'static str,
    /// When the registry was asked; null when it never is, since no such worker is enrolled here.
    checked_at: Option<String>,
    /// Whether the answer is too old to count for the worker.
    stale: bool,
}

/// What the registry last said of a worker, as it is described.
#[derive(ToSchema)]
#[schema(as = RegistryVerification)]
#[expect(dead_code, reason = "only described")]
pub(super) struct Verification {
    worker_id: String,
    /// active, revoked, banned, unknown, or another word of the registry's.
    status: String,
    current_hash: Option<String>,
    banned: bool,
    ban_reason: Option<String>,
    attested_at: Option<String>,
    ai_generated: bool,
    ai_service: Option<String>,
    ai_model: Option<String>,
    ai_session_fingerprint: Option<String>,
    /// `local-cache`, or `local-only` for a worker that is not enrolled here.
    source: String,
    /// When the registry was asked; null when it never is.
    checked_at: Option<String>,
    /// Whether the answer is too old to count.
    stale: bool,
}

/// What the remote registry last said of an enrolled worker, from memory
#[utoipa::path(get, path = "/wcp/registry/verify/{worker_id}", tag = "wcp", security(("token" = [])),
    params(("worker_id" = String, Path, description = "the worker's id")),
    responses(
        (status = 200, description = "what it said", body = Verification),
        (status = 400, description = "an id that is no text", body = crate::api::error::ErrorEnvelope<'static>),
        NeedsReader,
        (status = 503, description = "it has not answered yet, or there is none", body = Unanswered),
    ))]
pub(super) async fn verify(
    State(hall): State<Arc<Hall>>,
    Path(id): Path<String>,
    _: Reader,
) -> Result<Response, ApiError> {
    let Some(remote_registry) = hall.remote_registry() else {
        return Ok(no_answer(StatusCode::SERVICE_UNAVAILABLE, LOCAL, None));
    };
    let seen = remote_registry.seen();
    if let Some(heard) = seen.workers.get(&*id) {
        let stale = heard.asked.instant.elapsed() >= seen.max_stale;
        let checked_at = Some(timestamp(heard.asked.micros));
        return Ok(json(StatusCode::OK, &Known { verified: &heard.verified, source: CACHE, checked_at, stale }));
    }
    if !hall.snapshot().workers.contains_key(&*id) {
        let verified = &Verified::unknown(&id);
        return Ok(json(StatusCode::OK, &Known { verified, source: LOCAL, checked_at: None, stale: true }));
    }
    Ok(match seen.limited_until {
        Some(until) if until.instant > Instant::now() => {
            no_answer(StatusCode::TOO_MANY_REQUESTS, REGISTRY, Some(until))
        }
        _ => no_answer(StatusCode::SERVICE_UNAVAILABLE, REGISTRY, None),
    })
}

/// There is no answer of the registry's.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Unanswered {
    error: &'static str,
    source: &'static str,
    denied: bool,
    allowed: bool,
    reason: &'static str,
}

fn no_answer(status: StatusCode, source: &'static str, until: Option<Moment>) -> Response {
    let (error, reason) = match (status, source) {
        (StatusCode::TOO_MANY_REQUESTS, _) => ("rate limited", "the registry limits the rate; see `retry-after`"),
        (_, LOCAL) => ("no registry", "no registry is configured: set PYHALL_API_KEY or registry.api_key"),
        _ => ("unavailable", "the registry has not answered yet; /readyz says why"),
    };
    let mut response = json(status, &Unanswered { error, source, denied: true, allowed: false, reason });
    let seconds = until.map_or(1, |until| until.instant.saturating_duration_since(Instant::now()).as_secs() + 1);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

#[derive(Serialize)]
struct BanList<'a> {
    count: usize,
    hashes: Vec<String>,
    entries: &'a [BannedHash],
    /// When the registry was asked for it; null when it has never answered.
    updated_at: Option<String>,
    /// Whether it clears nobody: the last one that could be read whole is too old.
    stale: bool,
    source: &'static str,
}

/// The ban list, as it is described.
#[derive(ToSchema)]
#[schema(as = RegistryBanList)]
#[expect(dead_code, reason = "only described")]
pub(super) struct Bans {
    count: usize,
    hashes: Vec<String>,
    entries: Vec<RegistryBan>,
    /// When the registry was asked for it; null when it has never answered.
    updated_at: Option<String>,
    /// Whether it clears nobody: the last one that could be read whole is too old.
    stale: bool,
    /// `local-cache`, or `local-only` when there is no registry.
    source: String,
}

/// A hash of code that is banned.
#[derive(ToSchema)]
#[schema(as = RegistryBan)]
#[expect(dead_code, reason = "only described")]
pub(super) struct RegistryBan {
    #[schema(value_type = String)]
    sha256: Digest,
    reason: Option<String>,
    reported_at: Option<String>,
    source: Option<String>,
    /// How far the registry has looked at it. All of them count.
    review_status: Option<String>,
}

/// The hashes of code that the remote registry bans, from memory
#[utoipa::path(get, path = "/wcp/registry/ban-list", tag = "wcp", security(("token" = [])),
    responses((status = 200, description = "the last list", body = Bans), NeedsReader))]
pub(super) async fn ban_list(State(hall): State<Arc<Hall>>, _: Reader) -> Result<Response, ApiError> {
    let seen = hall.remote_registry().map(|remote_registry| remote_registry.seen());
    let source = if seen.is_some() { CACHE } else { LOCAL };
    let bans = seen.as_ref().and_then(|seen| seen.bans.as_ref().map(|(list, asked)| (list, asked, seen)));
    let list = match bans {
        Some((list, asked, seen)) => BanList {
            count: list.hashes.len(),
            hashes: list.hashes.iter().map(|hash| hash.to_hex()).collect(),
            entries: &list.entries,
            updated_at: Some(timestamp(asked.micros)),
            stale: seen.bans_whole.is_none_or(|whole| whole.instant.elapsed() >= seen.max_stale),
            source,
        },
        None => BanList { count: 0, hashes: Vec::new(), entries: &[], updated_at: None, stale: true, source },
    };
    Ok(json(StatusCode::OK, &list).into_response())
}
