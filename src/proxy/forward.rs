//! What the upstream gets: our headers instead of the caller's, and the path that was matched.

use std::borrow::Cow;

use http::header::{HOST, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use pingora_core::Result;
use pingora_core::{Error, ErrorType};
use pingora_http::RequestHeader;

use crate::hall::Permit;
use crate::proxy::destination::Destination;
use crate::proxy::target::Target;

/// The decision's id.
pub const DECISION_ID: HeaderName = HeaderName::from_static("wcp-decision-id");
/// The hash of the decision's ledger entry.
pub const RECEIPT: HeaderName = HeaderName::from_static("wcp-receipt");
const ARTIFACT_HASH: HeaderName = HeaderName::from_static("wcp-artifact-hash");
const CORRELATION_ID: HeaderName = HeaderName::from_static("wcp-correlation-id");

/// The target to forward: the upstream's base path, the path that was matched, the query as it came. `None`: as it came.
///
/// # Errors
/// The parts do not make a URI, which a canonical path always does.
pub fn target(base_path: &str, target: &Target<'_>, came: &Uri) -> Result<Option<Uri>, http::uri::InvalidUri> {
    if base_path.is_empty() && matches!(target.path, Cow::Borrowed(_)) {
        // HTTP/2 has its authority in the URI; ours goes into Host.
        return Ok(came.authority().and(came.path_and_query()).map(|target| Uri::from(target.clone())));
    }
    let path = &target.path;
    let text = match target.query {
        Some(query) => format!("{base_path}{path}?{query}"),
        None => format!("{base_path}{path}"),
    };
    Ok(Some(Uri::from(PathAndQuery::from_maybe_shared(bytes::Bytes::from(text))?)))
}

/// Makes a caller's request into ours. Takes the permit: the upstream's credential is put on nothing else.
///
/// # Errors
/// A header cannot be set.
pub fn request(
    request: &mut RequestHeader,
    permit: &Permit,
    decision_id: &HeaderValue,
    destination: &Destination,
    target: Option<&Uri>,
) -> Result<()> {
    let ours: Vec<HeaderName> = request.headers.keys().filter(|name| destination.is_ours(name)).cloned().collect();
    for name in ours {
        request.remove_header(&name);
    }
    if let Some(target) = target {
        request.set_uri(target.clone());
    }
    request.insert_header(HOST, destination.host.clone())?;
    let decision = permit.decision();
    request.insert_header(DECISION_ID, decision_id.clone())?;
    request.insert_header(ARTIFACT_HASH, header(&decision.artifact_hash.to_hex())?)?;
    request.insert_header(CORRELATION_ID, header(&decision.input.correlation_id)?)?;
    for (name, value) in &destination.upstream.headers {
        request.insert_header(name.clone(), value.clone())?;
    }
    Ok(())
}

/// A value of ours.
///
/// # Errors
/// It is malformed, which none is.
pub fn header(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| Error::explain(ErrorType::InternalError, "a header of ours is malformed"))
}
