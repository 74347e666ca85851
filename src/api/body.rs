//! The body of a request, whole and within limits of kind, size and time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;

use crate::api::error::ApiError;
use crate::engine::input::written::LONGEST;

/// A body over the limit but not over this is read and dropped, so that its sender, who writes before it reads, sees the 413.
const DROPPED_BYTES: usize = 1024 * 1024;
/// For the whole of a body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The body, whole, of an acceptable kind and size.
pub(super) async fn receive(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, ApiError> {
    if !is_json(headers) {
        return Err(ApiError::unsupported_type());
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > DROPPED_BYTES {
        return Err(ApiError::too_large(LONGEST));
    }
    match tokio::time::timeout(BODY_TIME, collect(body, announced.min(LONGEST))).await {
        Ok(collected) => collected,
        Err(_) => Err(ApiError::timeout()),
    }
}

/// Reads a body up to the limits.
async fn collect(mut body: Body, announced: usize) -> Result<Vec<u8>, ApiError> {
    let mut whole = Vec::with_capacity(announced);
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::cut_off())?;
        let Ok(data) = frame.into_data() else { continue };
        size = size.saturating_add(data.len());
        if size > DROPPED_BYTES {
            break;
        }
        if size <= LONGEST {
            whole.extend_from_slice(&data);
        }
    }
    if size > LONGEST { Err(ApiError::too_large(LONGEST)) } else { Ok(whole) }
}

/// Whether the headers announce JSON in UTF-8, or nothing: some no-code platforms send no type with a raw body.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let plain =
        headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let json = match (types.next(), types.next()) {
        (None, _) => true,
        (Some(one), None) => names_json(one),
        _ => false,
    };
    plain && json
}

/// Whether a content type is `application/json` or `application/…+json`, in UTF-8 if it names a charset.
fn names_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = essence
        .strip_prefix("application/")
        .is_some_and(|kind| kind == "json" || kind.strip_suffix("+json").is_some_and(|name| !name.is_empty()));
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_utf_8_is_accepted_by_any_of_its_names() {
        for yes in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/vnd.api+json",
            "application/json; v=1",
        ] {
            assert!(names_json(&HeaderValue::from_static(yes)), "{yes}");
        }
        for no in [
            "",
            "text/plain",
            "text/json",
            "application/jsonp",
            "application/+json",
            "application/json; charset=utf-16",
            "application/x-www-form-urlencoded",
            "application/json, text/plain",
        ] {
            assert!(!names_json(&HeaderValue::from_static(no)), "{no}");
        }
    }

    #[test]
    fn two_types_or_a_compressed_body_are_refused() {
        let mut headers = HeaderMap::new();
        assert!(is_json(&headers));
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("identity"));
        assert!(is_json(&headers));
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert!(!is_json(&headers));
        headers.remove(CONTENT_TYPE);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!is_json(&headers));
    }
}
