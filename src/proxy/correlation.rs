//! What ties a request to others: its correlation id.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::proxy::validate::Claims;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The caller's id, else that of an outer tracing system, else a new one.
#[must_use]
pub fn correlation_id(claims: &Claims<'_>, headers: &HeaderMap) -> Arc<str> {
    let sound = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // traceparent: version, trace id, parent, flags
    let trace = || header(&TRACEPARENT)?.split('-').nth(1).filter(|id| id.len() == 32 && id.bytes().any(|b| b != b'0'));
    match claims
        .correlation
        .filter(sound)
        .or_else(|| header(&REQUEST_ID).filter(sound))
        .or_else(|| trace().filter(sound))
    {
        Some(id) => Arc::from(id),
        None => Arc::from(&*uuid::Uuid::new_v4().hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn requests_are_tied_together_by_the_best_id_at_hand() {
        let id = |claim, headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value)))
                .collect();
            correlation_id(&Claims { correlation: claim, ..Claims::default() }, &headers).to_string()
        };
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(id(Some("mine"), &[("x-request-id", "r")]), "mine");
        assert_eq!(id(None, &[("x-request-id", "r"), ("traceparent", trace)]), "r");
        assert_eq!(id(None, &[("x-request-id", "r r"), ("traceparent", trace)]), "4bf92f3577b34da6a3ce929d0e0e4736");
        let fresh = || id(None, &[("traceparent", "00-00000000000000000000000000000000-0-0")]);
        assert_eq!(fresh().len(), 36);
        assert_ne!(fresh(), fresh());
    }
}
