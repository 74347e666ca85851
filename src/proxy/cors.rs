//! Which web pages may read answers (CORS), where the gate says it: then it alone does.
//!
//! A preflight has no credential by its nature, so it is answered without a decision, to the pages that are listed, and never
//! forwarded. On every answer, denials included, what an upstream says of CORS gives way: two answers to one question count
//! as none to a browser, and an upstream's `*` would let in the pages that are not listed. Only which of its headers a listed page
//! may read is its own to say.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use crate::proxy::persistence::tokens;
use crate::telemetry::method;

/// What of the gate's own a page may read, besides what every page may.
const EXPOSED: HeaderValue = HeaderValue::from_static("wcp-decision-id, wcp-receipt, retry-after");
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// The most headers that a page may ask to send; SDKs send a dozen of their own.
const MOST_HEADERS: usize = 64;
/// The most bytes of their names.
const LONGEST_HEADERS: usize = 4096;

/// Headers of an answer.
pub type Headers = Vec<(HeaderName, HeaderValue)>;

/// The pages that may call, by origin; none: CORS is the upstreams'.
#[derive(Debug)]
pub struct Cors {
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// For pages of these origins, as browsers write them.
    #[must_use]
    pub const fn new(origins: Vec<HeaderValue>) -> Self {
        Self { origins }
    }

    /// The origin of a page that is listed.
    fn listed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let mut origins = headers.get_all(ORIGIN).iter();
        origins.next().filter(|origin| origins.next().is_none() && self.origins.contains(origin))
    }

    /// What a listed page's preflight is answered, besides what every answer has; `None`: it is none. A page may send whatever it
    /// asks for: whether that is let in is the request's own matter, and its answer can be read.
    ///
    /// # Errors
    /// It asks for what no browser asks for; says what.
    pub fn preflight(&self, request: &RequestHeader) -> Option<Result<Headers, &'static str>> {
        if self.origins.is_empty() || request.method != Method::OPTIONS {
            return None;
        }
        self.listed(&request.headers)?;
        let asked = request.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        Some(allowed(asked, &request.headers))
    }

    /// Says on an answer of the gate's own which page may read it.
    ///
    /// # Errors
    /// A header cannot be set.
    pub fn mark(&self, request: &RequestHeader, answer: &mut ResponseHeader) -> Result<()> {
        if self.origins.is_empty() {
            return Ok(());
        }
        answer.append_header(VARY, HeaderValue::from_static("origin"))?;
        if let Some(origin) = self.listed(&request.headers) {
            answer.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, origin)?;
            answer.append_header(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)?;
        }
        Ok(())
    }

    /// Says it on an upstream's answer, in place of what the upstream says.
    ///
    /// # Errors
    /// A header cannot be set.
    pub fn mark_forwarded(&self, request: &RequestHeader, answer: &mut ResponseHeader) -> Result<()> {
        if self.origins.is_empty() {
            return Ok(());
        }
        let said: Vec<_> =
            answer.headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
        let listed = self.listed(&request.headers).is_some();
        for name in said.iter().filter(|name| !listed || **name != ACCESS_CONTROL_EXPOSE_HEADERS) {
            answer.remove_header(name);
        }
        self.mark(request, answer)
    }
}

fn allowed(asked: &HeaderValue, headers: &HeaderMap) -> Result<Headers, &'static str> {
    let asked_method = Method::from_bytes(asked.as_bytes()).ok().filter(method::is_sound);
    if asked_method.is_none() || headers.get_all(ACCESS_CONTROL_REQUEST_METHOD).iter().count() > 1 {
        return Err("access-control-request-method is not one method in upper case");
    }
    let mut names = String::new();
    let mut count = 0;
    for token in
        headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().flat_map(tokens).filter(|token| !token.is_empty())
    {
        let name =
            HeaderName::from_bytes(token).map_err(|_| "access-control-request-headers holds what is no header name")?;
        count += 1;
        if count > MOST_HEADERS || names.len() + name.as_str().len() > LONGEST_HEADERS {
            return Err("access-control-request-headers names more than 64 headers, or has more than 4096 bytes");
        }
        if count > 1 {
            names.push_str(", ");
        }
        names.push_str(name.as_str());
    }
    let mut allowed = vec![(ACCESS_CONTROL_ALLOW_METHODS, asked.clone()), (ACCESS_CONTROL_MAX_AGE, MAX_AGE)];
    if let Ok(names) = HeaderValue::from_str(&names)
        && count > 0
    {
        allowed.push((ACCESS_CONTROL_ALLOW_HEADERS, names));
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://app.example";

    fn cors() -> Cors {
        Cors::new(vec![HeaderValue::from_static("https://other.example"), HeaderValue::from_static(PAGE)])
    }

    fn request(method: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build(method, b"/", None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    /// The headers of an answer, in order.
    fn said(headers: &HeaderMap) -> Vec<String> {
        let mut said: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        said.sort();
        said
    }

    fn preflight(asked: &[(&'static str, &str)]) -> Option<Result<Vec<String>, &'static str>> {
        let all = [&[("origin", PAGE)], asked].concat();
        let answer = cors().preflight(&request("OPTIONS", &all))?;
        Some(answer.map(|headers| said(&headers.into_iter().collect())))
    }

    #[test]
    fn a_listed_page_may_send_what_it_asks_for() {
        let asked = [
            ("access-control-request-method", "PATCH"),
            ("access-control-request-headers", "authorization,Content-Type, x-stainless-os,"),
            ("access-control-request-headers", "wcp-token"),
        ];
        let allowed = [
            "access-control-allow-headers: authorization, content-type, x-stainless-os, wcp-token",
            "access-control-allow-methods: PATCH",
            "access-control-max-age: 600",
        ];
        assert_eq!(preflight(&asked).unwrap().unwrap(), allowed);
        assert_eq!(preflight(&asked[..1]).unwrap().unwrap(), allowed[1..]);
    }

    #[test]
    fn what_no_browser_asks_for_is_refused() {
        let many = vec!["x-a"; MOST_HEADERS + 1].join(",");
        let long = vec!["x".repeat(LONGEST_HEADERS / 2); 3].join(",");
        let get = ("access-control-request-method", "GET");
        for asked in [
            &[("access-control-request-method", "get")][..],
            &[("access-control-request-method", "GET, PUT")],
            &[get, get],
            &[get, ("access-control-request-headers", "a b")],
            &[get, ("access-control-request-headers", &many)],
            &[get, ("access-control-request-headers", &long)],
        ] {
            assert!(matches!(preflight(asked), Some(Err(_))), "{asked:?}");
        }
    }

    #[test]
    fn a_preflight_is_a_listed_pages() {
        let asks = ("access-control-request-method", "POST");
        for (method, headers) in [
            ("GET", &[("origin", PAGE), asks][..]),
            ("OPTIONS", &[("origin", PAGE)]),
            ("OPTIONS", &[asks]),
            ("OPTIONS", &[("origin", "https://app.example.evil"), asks]),
            ("OPTIONS", &[("origin", "null"), asks]),
            ("OPTIONS", &[("origin", PAGE), ("origin", PAGE), asks]),
        ] {
            assert!(cors().preflight(&request(method, headers)).is_none(), "{method} {headers:?}");
        }
        let page = request("OPTIONS", &[("origin", PAGE), asks]);
        assert!(cors().preflight(&page).is_some() && Cors::new(Vec::new()).preflight(&page).is_none());
    }

    #[test]
    fn the_gate_alone_says_who_may_read_an_answer() {
        let upstream = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-request-id"),
            ("vary", "accept"),
        ];
        let marked = |cors: &Cors, origin: &str| {
            let mut answer = ResponseHeader::build(200, None).unwrap();
            for (name, value) in upstream {
                answer.append_header(name, value).unwrap();
            }
            cors.mark_forwarded(&request("GET", &[("origin", origin)]), &mut answer).unwrap();
            said(&answer.headers)
        };
        let listed = [
            "access-control-allow-origin: https://app.example",
            "access-control-expose-headers: wcp-decision-id, wcp-receipt, retry-after",
            "access-control-expose-headers: x-request-id",
            "vary: accept",
            "vary: origin",
        ];
        assert_eq!(marked(&cors(), PAGE), listed);
        assert_eq!(marked(&cors(), "https://evil.example"), ["vary: accept", "vary: origin"]);
        // Where no page is listed, it is the upstream's to say.
        assert_eq!(marked(&Cors::new(Vec::new()), PAGE).len(), upstream.len());
    }
}
