//! `GET /log/…`: the ledger as a C2SP tlog-tiles log, for tools and witnesses that know nothing of us.
//!
//! Whole or partial, a tile never changes once a checkpoint covers it, so it may be kept for ever; only the checkpoint may not.

use std::io::{self, Write as _};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};

use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, NeedsReader};
use crate::hall::{Hall, LogResource, Scope};

/// Whoever asks for it again gets the newest.
const NEVER: &str = "no-cache";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// The same, but not in a cache that others share.
const FOR_EVER_IN_PRIVATE: &str = "private, max-age=31536000, immutable";

/// A part of the log as C2SP tlog-tiles names them
///
/// `checkpoint`, `tile/<level>/<number>[.p/<width>]` or `tile/entries/<number>[.p/<width>]`. Entries always need a token that is bound
/// to nothing; whether the rest needs a token is configured: `ledger.public_tiles`.
#[utoipa::path(get, path = "/log/{resource}", tag = "log", security((), ("token" = [])),
    params(("resource" = String, Path, description = "its name, slashes included", example = "checkpoint")),
    responses(
        (status = 200, description = "a checkpoint as text, or a tile", content((String = "text/plain"), (Vec<u8> = "application/octet-stream"))),
        (status = 404, description = "no such part, not yet or no longer", body = super::error::ErrorEnvelope),
        (status = 503, description = "the ledger cannot be read now", body = super::error::ErrorEnvelope), NeedsReader))]
pub(super) async fn public(
    hall: State<Arc<Hall>>,
    path: Path<String>,
    credential: Credential,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    serve(hall, path, credential, headers, true).await
}

/// Where everything needs a token.
pub(super) async fn for_readers(
    hall: State<Arc<Hall>>,
    path: Path<String>,
    credential: Credential,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    serve(hall, path, credential, headers, false).await
}

async fn serve(
    State(hall): State<Arc<Hall>>,
    Path(path): Path<String>,
    credential: Credential,
    headers: HeaderMap,
    public: bool,
) -> Result<Response, ApiError> {
    let resource = LogResource::parse(&path);
    let entries = matches!(resource, Some(LogResource::Entries { .. }));
    let open = public && resource.is_some() && !entries;
    if !open {
        let token = credential.present(&hall)?;
        credential::require(&token, Scope::Read)?;
        if entries && token.binding.is_bound() {
            return Err(ApiError::bound());
        }
    }
    let Some(resource) = resource else { return Err(ApiError::not_in_log()) };
    let bytes = hall.published(resource).await.map_err(|error| ApiError::unread(&error))?;
    let Some(bytes) = bytes else { return Err(ApiError::not_in_log()) };
    let (kind, keep) = match resource {
        LogResource::Checkpoint => ("text/plain; charset=utf-8", NEVER),
        _ if open => ("application/octet-stream", FOR_EVER),
        _ => ("application/octet-stream", FOR_EVER_IN_PRIVATE),
    };
    let fixed = [(CONTENT_TYPE, HeaderValue::from_static(kind)), (CACHE_CONTROL, HeaderValue::from_static(keep))];
    if !entries {
        return Ok((fixed, bytes).into_response());
    }
    let vary = (VARY, HeaderValue::from_static("accept-encoding"));
    if !accepts_gzip(&headers) {
        return Ok((fixed, [vary], bytes).into_response());
    }
    // Hashes do not shrink; entries do, to a fraction. It takes a while for the largest bundles, so not on this thread.
    let zipped = tokio::task::spawn_blocking(move || {
        let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
        zip.write_all(&bytes).and_then(|()| zip.finish())
    });
    let zipped = zipped.await.map_err(io::Error::other).flatten();
    let zipped = zipped.map_err(|error| ApiError::unread(&error.into()))?;
    Ok((fixed, [vary, (CONTENT_ENCODING, HeaderValue::from_static("gzip"))], zipped).into_response())
}

/// Whether the caller names gzip among what it can read, and does not exclude it.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        gzip && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}
