//! gRPC's form of an answer of the gate's own. A gRPC client does not read HTTP statuses and bodies: it gets a status, a message
//! and metadata in the header block that ends the call. Where nothing was answered yet, that is the only one (Trailers-Only).

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};

/// The code of a dry run that would be allowed.
pub const DRY_RUN: &str = "DRY_RUN";
/// The status of a call.
pub const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Clients with a retry policy wait so many milliseconds before the next try.
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// The deny code as metadata, so that no one has to read the message.
const CODE: HeaderName = HeaderName::from_static("wcp-code");

/// What a message may not hold as it is; what is not ASCII is encoded in any case.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// What is to be said.
#[derive(Debug, Clone, Copy)]
pub struct GrpcStatus<'a> {
    /// The HTTP status of the same answer.
    pub status: StatusCode,
    /// The deny code.
    pub code: &'static str,
    /// What a person reads. Clients take 8 KiB of metadata in all, and three bytes can become of one.
    pub message: &'a str,
    /// Seconds after which another try is worth it.
    pub retry_after: Option<u64>,
}

/// The names of the statuses, by number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// How a call ended, as its answer says: at its end, or in its head where that is all of it. `None` where it is no call's.
#[must_use]
pub fn ended(at_end: Option<&HeaderValue>, head: Option<&ResponseHeader>) -> Option<u16> {
    at_end.or_else(|| head?.headers.get(STATUS))?.to_str().ok()?.parse().ok()
}

/// The name of a status, and whether it is the server's error and not its caller's (OpenTelemetry's RPC conventions).
#[must_use]
pub fn named(status: u16) -> (&'static str, bool) {
    (NAMES.get(usize::from(status)).copied().unwrap_or("_OTHER"), matches!(status, 2 | 4 | 12..=15))
}

/// Whether this is a gRPC call. HTTP/1.1 carries none, and gRPC-Web reads HTTP.
#[must_use]
pub fn is_call(request: &RequestHeader) -> bool {
    if request.version != Version::HTTP_2 || request.method != Method::POST {
        return false;
    }
    let content_type = request.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let (grpc, rest) = content_type.split_at_checked(16).unwrap_or((content_type, b""));
    grpc.eq_ignore_ascii_case(b"application/grpc") && matches!(rest.first(), None | Some(b'+' | b';'))
}

/// The head of an answer that is nothing but a head.
///
/// # Errors
/// A header cannot be set.
pub fn head(said: GrpcStatus<'_>) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(StatusCode::OK, Some(8))?;
    head.insert_header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))?;
    for (name, value) in end(said) {
        head.insert_header(name, value)?;
    }
    Ok(head)
}

/// The trailers of an answer that has begun.
#[must_use]
pub fn trailers(said: GrpcStatus<'_>) -> HeaderMap {
    end(said).collect()
}

fn end(said: GrpcStatus<'_>) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    // Encoded, it is visible ASCII.
    let message = HeaderValue::try_from(utf8_percent_encode(said.message, ENCODED).to_string()).ok();
    let pushback = said.retry_after.map(|seconds| HeaderValue::from(seconds.saturating_mul(1000)));
    let always = [(STATUS, HeaderValue::from(status(said))), (CODE, HeaderValue::from_static(said.code))];
    always.into_iter().chain(message.map(|message| (MESSAGE, message))).chain(pushback.map(|wait| (PUSHBACK, wait)))
}

/// The gRPC status that says the same as an HTTP status.
fn status(said: GrpcStatus<'_>) -> u16 {
    match said.status.as_u16() {
        // A dry run is never made, so it never succeeds.
        200 if said.code == DRY_RUN => 9, // FAILED_PRECONDITION
        400 => 3,                         // INVALID_ARGUMENT
        401 => 16,                        // UNAUTHENTICATED
        200 | 403 => 7,                   // PERMISSION_DENIED
        404 => 12,                        // UNIMPLEMENTED
        408 | 504 => 4,                   // DEADLINE_EXCEEDED
        413 | 429 => 8,                   // RESOURCE_EXHAUSTED
        502 | 503 => 14,                  // UNAVAILABLE
        _ => 13,                          // INTERNAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(version: Version, method: &str, content_type: &str) -> bool {
        let mut request = RequestHeader::build(method, b"/shop.v1.Stock/Get", None).unwrap();
        request.set_version(version);
        request.insert_header(CONTENT_TYPE, content_type).unwrap();
        is_call(&request)
    }

    #[test]
    fn a_call_is_told_by_its_content_type_over_http2() {
        for content_type in
            ["application/grpc", "application/grpc+proto", "application/grpc+json", "Application/gRPC;charset=utf-8"]
        {
            assert!(call(Version::HTTP_2, "POST", content_type), "{content_type}");
            assert!(!call(Version::HTTP_11, "POST", content_type), "{content_type}");
            assert!(!call(Version::HTTP_2, "GET", content_type), "{content_type}");
        }
        for content_type in
            ["application/grpc-web", "application/grpc-web+proto", "application/json", "application/grp", ""]
        {
            assert!(!call(Version::HTTP_2, "POST", content_type), "{content_type}");
        }
        let mut bare = RequestHeader::build("POST", b"/", None).unwrap();
        bare.set_version(Version::HTTP_2);
        assert!(!is_call(&bare));
    }

    #[test]
    fn a_message_is_visible_ascii() {
        let said = GrpcStatus {
            status: StatusCode::FORBIDDEN,
            code: "DENY_POLICY",
            message: "100 % \u{e9}\n",
            retry_after: None,
        };
        assert_eq!(head(said).unwrap().headers[MESSAGE], "100 %25 %C3%A9%0A");
    }
}
