//! What the upstream gets: our headers instead of the caller's, and the path that was matched.

use std::borrow::Cow;

use http::header::{COOKIE, HOST, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use pingora_core::Result;
use pingora_core::{Error, ErrorType};
use pingora_http::RequestHeader;

use crate::hall::Permit;
use crate::proxy::destination::Destination;
use crate::proxy::forwarded::{self, CallerView};
use crate::proxy::pattern::PathPattern;
use crate::proxy::target::Target;

// As texts: pingora copies the name that it is given as a `HeaderName`.

/// The decision's id.
pub const DECISION_ID: &str = "wcp-decision-id";
/// The hash of the decision's ledger entry.
pub const RECEIPT: &str = "wcp-receipt";
const ARTIFACT_HASH: &str = "wcp-artifact-hash";
const CORRELATION_ID: &str = "wcp-correlation-id";

/// The target to forward: the upstream's base path, the path that was matched, in which what the route's `*` cover is spelled as it
/// came, and the query as it came. `None`: as it came.
///
/// # Errors
/// The parts do not make a URI, which a canonical path always does.
pub fn target(
    base_path: &str,
    pattern: &PathPattern,
    target: &Target<'_>,
    came: &Uri,
) -> Result<Option<Uri>, http::uri::InvalidUri> {
    let path = match &target.path {
        Cow::Borrowed(_) if base_path.is_empty() => {
            // HTTP/2 has its authority in the URI; ours goes into Host.
            return Ok(came.authority().and(came.path_and_query()).map(|target| Uri::from(target.clone())));
        }
        Cow::Borrowed(path) => Cow::Borrowed(*path),
        Cow::Owned(path) => Cow::Owned(target.spelled(&pattern.covered(path))),
    };
    let text = match target.query {
        Some(query) => format!("{base_path}{path}?{query}"),
        None => format!("{base_path}{path}"),
    };
    Ok(Some(Uri::from(PathAndQuery::from_maybe_shared(bytes::Bytes::from(text))?)))
}

/// Makes a caller's request into ours. Takes the permit: the upstream's credential is put on nothing else. `seen` is what the upstream
/// has to be told of the caller's connection.
///
/// # Errors
/// A header cannot be set.
pub fn request(
    request: &mut RequestHeader,
    permit: &Permit,
    decision_id: &HeaderValue,
    destination: &Destination,
    target: Option<&Uri>,
    seen: Option<&CallerView>,
) -> Result<()> {
    let decision = permit.decision();
    callers(request, destination, target, seen, Some(&decision.input.correlation_id))?;
    request.insert_header(HOST, destination.host.clone())?;
    if let Some(seen) = seen {
        seen.tell(&destination.upstream, request)?;
    }
    join_cookies(request)?;
    request.insert_header(DECISION_ID, decision_id.clone())?;
    if destination.upstream.told_all {
        request.insert_header(ARTIFACT_HASH, value(&decision.artifact_hash.hex_digits())?)?;
        request.insert_header(CORRELATION_ID, header(&decision.input.correlation_id)?)?;
    }
    for (name, value) in &destination.upstream.headers {
        request.insert_header(name.clone(), value.clone())?;
    }
    Ok(())
}

/// Leaves of a caller's request what is forwarded of it: without what only we may say, but for the correlation id that is the decision's,
/// and for the target that was matched.
///
/// # Errors
/// A header cannot be set.
pub fn callers(
    request: &mut RequestHeader,
    destination: &Destination,
    target: Option<&Uri>,
    seen: Option<&CallerView>,
    correlation_id: Option<&str>,
) -> Result<()> {
    let believed = seen.is_some_and(|seen| seen.is_believed(&destination.upstream));
    let headers = &request.headers;
    let correlates = |name: &HeaderName| {
        name.as_str() == CORRELATION_ID
            && headers.get(name).is_some_and(|id| Some(id.as_bytes()) == correlation_id.map(str::as_bytes))
    };
    let is_ours =
        |name: &&HeaderName| (destination.is_ours(name) || forwarded::is_stripped(name, believed)) && !correlates(name);
    let ours: Vec<HeaderName> = headers.keys().filter(is_ours).cloned().collect();
    for name in ours {
        request.remove_header(&name);
    }
    if let Some(target) = target {
        request.set_uri(target.clone());
    }
    destination.credentials.take_from(request)
}

/// Says all cookies in one line. HTTP/2 splits them for its compression, and they are joined before they go on by HTTP/1.1, where many
/// servers read the first line only (RFC 9113 8.2.3); whoever sends several by HTTP/1.1 got them from such a split.
fn join_cookies(request: &mut RequestHeader) -> Result<()> {
    let mut lines = request.headers.get_all(COOKIE).iter();
    if lines.nth(1).is_none() {
        return Ok(());
    }
    let lines: Vec<&[u8]> = request.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    request.insert_header(COOKIE, value(&lines.join(&b"; "[..]))?)
}

/// A value of ours.
///
/// # Errors
/// It is malformed, which none is.
pub fn header(text: &str) -> Result<HeaderValue> {
    value(text.as_bytes())
}

/// A value that is made of what is sound.
///
/// # Errors
/// It is malformed, which none is.
pub fn value(bytes: &[u8]) -> Result<HeaderValue> {
    HeaderValue::from_bytes(bytes)
        .map_err(|_| Error::explain(ErrorType::InternalError, "a header of ours is malformed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_said_in_one_line() {
        for (lines, joined) in [
            (&["a=1", "b=2; c=\"x;y\"", "d="][..], &["a=1; b=2; c=\"x;y\"; d="][..]),
            (&["a=1; b=2"], &["a=1; b=2"]),
            (&[], &[]),
        ] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            for line in lines {
                request.append_header(COOKIE, *line).unwrap();
            }
            join_cookies(&mut request).unwrap();
            assert_eq!(request.headers.get_all(COOKIE).iter().collect::<Vec<_>>(), joined);
        }
    }
}
