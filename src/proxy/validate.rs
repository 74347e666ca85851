//! Validation: before anyone is identified, the request itself is sound, or it is refused.
//!
//! pingora accepts more than a security product may (a missing Host, repeated lengths, any `Connection` nomination). Here
//! everything fails closed, in one pass over the headers, which also picks out the claims.

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Version};
use pingora_http::RequestHeader;

use crate::ids::meant;
use crate::proxy::header_names;
use crate::proxy::target::{self, Target};
use crate::telemetry::method;

/// The most headers that a request may have.
const MAX_HEADERS: usize = 128;
/// The most bytes of headers in all.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The longest claim; a session token is well below it.
const MAX_CLAIM: usize = 512;

/// The longest name that an answer repeats.
const LONGEST_NAMED: usize = 64;

/// The claims that there are.
const CLAIMS: [&str; 11] = [
    "wcp-token",
    "wcp-worker-id",
    "wcp-tenant-id",
    "wcp-env",
    "wcp-capability",
    "wcp-data-label",
    "wcp-correlation-id",
    "wcp-tenant-risk",
    "wcp-qos-class",
    "wcp-blast-score",
    "wcp-dry-run",
];
/// What a gate says about its decision, to an upstream or to its caller.
const STAMPS: [&str; 4] = ["wcp-artifact-hash", "wcp-code", "wcp-decision-id", "wcp-receipt"];

/// A sound request.
#[derive(Debug)]
pub struct ValidRequest<'a> {
    /// The host that is asked for, lower-case, without port; empty for HTTP/1.0 without one.
    pub host: Cow<'a, str>,
    /// The target in canonical form.
    pub target: Target<'a>,
    /// What the request claims about itself.
    pub claims: Claims<'a>,
}

/// The claims of a request as they were written. Each is visible ASCII, not empty, and was sent once.
#[derive(Debug, Default)]
pub struct Claims<'a> {
    /// `wcp-token`: a session token, a secret.
    pub token: Option<&'a str>,
    /// `wcp-worker-id`.
    pub worker: Option<&'a str>,
    /// `wcp-tenant-id`.
    pub tenant: Option<&'a str>,
    /// `wcp-env`: looked at only to be refused when malformed; the environment is the gate's.
    pub env: Option<&'a str>,
    /// `wcp-capability`.
    pub capability: Option<&'a str>,
    /// `wcp-data-label`.
    pub data_label: Option<&'a str>,
    /// `wcp-correlation-id`.
    pub correlation: Option<&'a str>,
    /// `wcp-tenant-risk`.
    pub tenant_risk: Option<&'a str>,
    /// `wcp-qos-class`.
    pub qos_class: Option<&'a str>,
    /// `wcp-blast-score`.
    pub blast_score: Option<&'a str>,
    /// `wcp-dry-run`.
    pub dry_run: Option<&'a str>,
}

impl<'a> Claims<'a> {
    /// Of a request that is not sound only what may prove who sent it.
    #[must_use]
    pub fn of_unsound(headers: &'a HeaderMap) -> Self {
        let mut tokens = headers.get_all("wcp-token").iter();
        match (tokens.next(), tokens.next()) {
            (Some(token), None) => {
                Self { token: token.to_str().ok().filter(|token| !token.is_empty()), ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        Some(match name {
            "wcp-token" => &mut self.token,
            "wcp-worker-id" => &mut self.worker,
            "wcp-tenant-id" => &mut self.tenant,
            "wcp-env" => &mut self.env,
            "wcp-capability" => &mut self.capability,
            "wcp-data-label" => &mut self.data_label,
            "wcp-correlation-id" => &mut self.correlation,
            "wcp-tenant-risk" => &mut self.tenant_risk,
            "wcp-qos-class" => &mut self.qos_class,
            "wcp-blast-score" => &mut self.blast_score,
            "wcp-dry-run" => &mut self.dry_run,
            _ => return None,
        })
    }
}

/// Validates a request.
///
/// # Errors
/// The request is not sound; says why, without repeating what was sent.
pub fn validate(request: &RequestHeader) -> Result<ValidRequest<'_>, Cow<'static, str>> {
    if !method::is_sound(&request.method) {
        return Err("the method is not in upper case, or longer than 32 characters".into());
    }
    if matches!(request.method, Method::CONNECT | Method::TRACE) {
        return Err("the methods CONNECT and TRACE are not forwarded".into());
    }
    let claims = headers(&request.headers)?;
    if !request.raw_path_is_utf8() {
        return Err("the target is not UTF-8; percent-encode it".into());
    }
    let target = target::read(request.raw_path())?;
    Ok(ValidRequest { host: host(request)?, target, claims })
}

fn headers(headers: &HeaderMap) -> Result<Claims<'_>, Cow<'static, str>> {
    if headers.len() > MAX_HEADERS {
        return Err("the request has more than 128 headers".into());
    }
    let mut claims = Claims::default();
    let mut bytes = 0;
    let mut lengths = 0;
    for (name, value) in headers {
        let name = name.as_str();
        bytes += name.len() + value.len() + 4;
        match name {
            "connection" => nominations(value)?,
            "content-length" => {
                lengths += 1;
                if lengths > 1 || value.is_empty() || !value.as_bytes().iter().all(u8::is_ascii_digit) {
                    return Err("content-length is repeated or not a number".into());
                }
            }
            "transfer-encoding" if !value.as_bytes().eq_ignore_ascii_case(b"chunked") => {
                return Err("transfer-encoding may only be `chunked`".into());
            }
            "transfer-encoding" => {}
            name if header_names::is_wcp(name) => claim(&mut claims, name, value)?,
            name if header_names::is_framing(name) => {
                return Err(format!("{name} could be taken for another header: it is written with `-`").into());
            }
            name if header_names::is_rerouting(name) => {
                return Err(format!("{name} is not accepted: send the path and method that are meant").into());
            }
            _ => {}
        }
    }
    if bytes > MAX_HEADER_BYTES {
        return Err("the headers are longer than 65536 bytes".into());
    }
    Ok(claims)
}

/// A nominated header is removed on the way: after our decision, so it could be one that the decision or the upstream needs.
fn nominations(value: &HeaderValue) -> Result<(), Cow<'static, str>> {
    let known = |token: &[u8]| {
        [&b""[..], b"close", b"keep-alive", b"upgrade", b"te"].iter().any(|known| known.eq_ignore_ascii_case(token))
    };
    if value.as_bytes().split(|byte| *byte == b',').all(|token| known(token.trim_ascii())) {
        Ok(())
    } else {
        Err("connection may only name close, keep-alive, upgrade and te".into())
    }
}

fn claim<'a>(claims: &mut Claims<'a>, name: &str, value: &'a HeaderValue) -> Result<(), Cow<'static, str>> {
    let Some(slot) = claims.slot(name) else {
        // A gate before this one has decided, too. What it says of that is not believed here, nor passed on.
        if STAMPS.contains(&name) {
            return Ok(());
        }
        let name = name.get(..LONGEST_NAMED).unwrap_or(name);
        let help = meant(name, CLAIMS, || format!("claims are {}", CLAIMS.join(", ")));
        return Err(format!("{name} is not a claim: {help}").into());
    };
    if slot.is_some() {
        return Err(format!("{name} is sent more than once").into());
    }
    let value = value.as_bytes();
    if value.is_empty() || value.len() > MAX_CLAIM || !value.iter().all(u8::is_ascii_graphic) {
        return Err(format!("{name} is empty, longer than 512 bytes, or holds more than visible ASCII").into());
    }
    *slot = std::str::from_utf8(value).ok();
    Ok(())
}

/// The host that is asked for: the one Host header, or HTTP/2's authority.
fn host(request: &RequestHeader) -> Result<Cow<'_, str>, Cow<'static, str>> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let header = hosts.next().map(HeaderValue::as_bytes);
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    if hosts.next().is_some() || matches!((header, authority), (Some(header), Some(authority)) if header != authority) {
        return Err("the request names more than one host".into());
    }
    let host = match authority.or(header) {
        Some(host) => host,
        None if request.version == Version::HTTP_10 => return Ok(Cow::Borrowed("")),
        None => return Err("the request names no host".into()),
    };
    let host = std::str::from_utf8(host).unwrap_or("");
    let name = without_port(host).ok_or("the host is malformed")?;
    // What is left names the same host: neither nothing nor another one with a dot at its end.
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.ends_with('.') {
        return Err("the host is malformed".into());
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(Cow::Owned(name.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(name))
}

fn without_port(host: &str) -> Option<&str> {
    let (name, rest) = if let Some(bracketed) = host.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        (address, rest)
    } else {
        let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if name.is_empty() || !name.bytes().all(sound) {
            return None;
        }
        (name, rest)
    };
    let sound = match rest.strip_prefix(':') {
        Some(port) => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
        None => rest.is_empty(),
    };
    sound.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        for (name, value) in headers {
            request.append_header((*name).to_owned(), HeaderValue::from_bytes(value.as_bytes()).unwrap()).unwrap();
        }
        request
    }

    fn refused(headers: &[(&str, &str)]) -> bool {
        let headers = [&[("host", "h")], headers].concat();
        validate(&request("GET", "/", &headers)).is_err()
    }

    #[test]
    fn a_sound_request_is_admitted_with_its_claims() {
        let request = request(
            "POST",
            "/v1/%61?q=1",
            &[
                ("Host", "API.Example.org.:8080"),
                ("WCP-Capability", "cap.a"),
                ("wcp-decision-id", "x"),
                ("connection", "Upgrade, keep-alive"),
                ("transfer-encoding", "chunked"),
            ],
        );
        let valid = validate(&request).unwrap();
        assert_eq!(valid.host, "api.example.org");
        assert_eq!((&*valid.target.path, valid.target.query), ("/v1/a", Some("q=1")));
        assert_eq!(valid.claims.capability, Some("cap.a"));
    }

    #[test]
    fn malformed_claims_are_refused() {
        let long = "x".repeat(MAX_CLAIM + 1);
        for name in CLAIMS {
            let odd = name.to_ascii_uppercase();
            assert!(!refused(&[(name, "x")]), "{name}");
            assert!(refused(&[(name, "x"), (name, "x")]), "{name} twice");
            assert!(refused(&[(name, "x"), (&odd, "y")]), "{name} twice, once in odd case");
            for value in ["", " ", "a b", "a\tb", "é", &long] {
                assert!(refused(&[(name, value)]), "{name}: {value:?}");
            }
        }
        for (unknown, help) in [
            ("wcp_worker_id", "did you mean `wcp-worker-id`?"),
            ("Wcp.Token", "did you mean `wcp-token`?"),
            ("wcp-data-lable", "did you mean `wcp-data-label`?"),
            ("WCP~env", "did you mean `wcp-env`?"),
            ("wcp-label", "wcp-data-label"),
            ("wcp-", "wcp-data-label"),
            ("wcp-decision_id", "wcp-data-label"),
        ] {
            let why = validate(&request("GET", "/", &[("host", "h"), (unknown, "x")])).unwrap_err();
            assert!(why.starts_with(&unknown.to_ascii_lowercase()) && why.contains(help), "{why}");
        }
        let long = format!("wcp-{}", "x".repeat(10_000));
        assert!(validate(&request("GET", "/", &[("host", "h"), (&long, "x")])).unwrap_err().len() < 400);
    }

    #[test]
    fn headers_that_lead_astray_are_refused() {
        for bad in [
            &[("connection", "close, wcp-worker-id")][..],
            &[("connection", "close"), ("connection", "authorization")],
            &[("connection", "http2-settings")],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "5, 5")],
            &[("content-length", "+5")],
            &[("content-length", "")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("x-http-method-override", "DELETE")],
            &[("X-Original-URL", "/admin")],
            &[("x_http_method_override", "DELETE")],
            &[("X-HTTP_Method-Override", "DELETE")],
            &[("X.Rewrite_URL", "/admin")],
            &[("Transfer_Encoding", "chunked")],
            &[("content.length", "5")],
            &[("cookie", &"x".repeat(MAX_HEADER_BYTES))],
        ] {
            assert!(refused(bad), "{bad:?}");
        }
        let many: Vec<_> = std::iter::repeat_n(("a", "b"), MAX_HEADERS).collect();
        assert!(refused(&many));
    }

    #[test]
    fn a_request_names_one_host() {
        let host = |hosts: &[(&str, &str)]| validate(&request("GET", "/", hosts)).map(|valid| valid.host.into_owned());
        for (written, name) in
            [("h", "h"), ("H.Example:80", "h.example"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("a_b.c.", "a_b.c")]
        {
            assert_eq!(host(&[("host", written)]).as_deref(), Ok(name));
        }
        for bad in [
            "", ".", "a..", ":80", "h:", "h:x", "h:123456", "a b", "u@h", "h/", "[::1", "[x]", "[::1]80", "é",
            "h:80:80",
        ] {
            assert!(host(&[("host", bad)]).is_err(), "{bad}");
        }
        assert!(host(&[("host", "a"), ("host", "a")]).is_err());
        assert!(host(&[]).is_err());
        let mut old = request("GET", "/", &[]);
        old.set_version(Version::HTTP_10);
        assert_eq!(validate(&old).unwrap().host, "");
    }

    #[test]
    fn some_methods_are_not_forwarded() {
        for method in ["CONNECT", "TRACE", "delete", "Get", &"X".repeat(33)] {
            assert!(validate(&request(method, "/", &[("host", "h")])).is_err());
        }
    }
}
