//! `GET /log/…`: the ledger as a C2SP tlog-tiles log, for tools and witnesses that know nothing of us.
//!
//! Whole or partial, a tile never changes once a checkpoint covers it, so it may be kept for ever; only the checkpoint may not.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::api::credential;
use crate::api::error::Refused;
use crate::hall::{Hall, Resource, Scope};

/// Whoever asks for it again gets the newest.
const NEVER: &str = "no-cache";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// The same, but not in a cache that others share.
const FOR_EVER_IN_PRIVATE: &str = "private, max-age=31536000, immutable";

/// Where checkpoint and hash tiles are public.
pub(super) async fn public(
    hall: State<Arc<Hall>>,
    path: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    serve(hall, path, headers, true).await
}

/// Where everything needs a token.
pub(super) async fn for_readers(
    hall: State<Arc<Hall>>,
    path: Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    serve(hall, path, headers, false).await
}

async fn serve(
    State(hall): State<Arc<Hall>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    public: bool,
) -> Result<Response, Refused> {
    let resource = Resource::parse(&path);
    let entries = matches!(resource, Some(Resource::Entries { .. }));
    let open = public && resource.is_some() && !entries;
    if !open {
        let token = credential::present(&hall, &headers)?;
        credential::require(&token, Scope::Read)?;
        if entries && token.binding.is_bound() {
            return Err(Refused::bound());
        }
    }
    let Some(resource) = resource else { return Err(Refused::not_in_log()) };
    let bytes = hall.published(resource).await.map_err(|error| Refused::unreadable(&error))?;
    let Some(bytes) = bytes else { return Err(Refused::not_in_log()) };
    let (kind, keep) = match resource {
        Resource::Checkpoint => ("text/plain; charset=utf-8", NEVER),
        _ if open => ("application/octet-stream", FOR_EVER),
        _ => ("application/octet-stream", FOR_EVER_IN_PRIVATE),
    };
    let headers = [(CONTENT_TYPE, HeaderValue::from_static(kind)), (CACHE_CONTROL, HeaderValue::from_static(keep))];
    Ok((headers, bytes).into_response())
}
