//! What an upstream answers: admitted with the same care as a request, or the caller gets 502 in its place.
//!
//! pingora passes on what the next reader could end elsewhere: lengths said twice, other transfer codings than it decodes, the
//! version of another hop, a switch of protocols that nobody asked for. And an interim answer passes by all that is done to a
//! final one.

use std::sync::LazyLock;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Method, StatusCode, Version};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use crate::hall::Permit;
use crate::proxy::forward::{DECISION_ID, RECEIPT, value};
use crate::proxy::header_names::{self, HeaderNames};
use crate::proxy::persistence;

/// The most interim answers before a final one: an upstream that says every twenty seconds that it works has half an hour.
const MOST_INFORMATIONAL: u32 = 100;

/// Headers that are said of the connection between us and the upstream, whether `Connection` names them or not.
const HOP_BY_HOP: [&str; 4] = ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authentication-info"];

/// Headers that end a message, lead it or are set before its body: none of them may come behind it (RFC 9110 6.5.1).
static NEVER_TRAILERS: LazyLock<HeaderNames> = LazyLock::new(|| {
    HeaderNames::of([
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    ])
});

/// The most digits of a length.
const MOST_DIGITS: usize = 18;

const MALFORMED_LENGTH: &str = "the upstream's answer has a malformed length";

/// Admits a head: of an interim answer, the `interim`th, or of the final one.
///
/// # Errors
/// It cannot be passed on; says why.
pub fn admit(response: &mut ResponseHeader, request: &RequestHeader, interim: u32) -> Result<(), &'static str> {
    let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
    if switches && !is_asked_for(response, request) {
        return Err("the upstream switches to a protocol that was not asked for");
    }
    if interim > MOST_INFORMATIONAL {
        return Err("the upstream gives interim answers without end");
    }
    let seen = Seen::of(&response.headers);
    frame(response, request, seen)?;
    // Of most answers nothing is to be looked at but where they end.
    if seen.not_the_callers || response.status.is_informational() {
        for name in names(response) {
            response.remove_header(&name);
        }
    }
    Ok(())
}

/// What a head has to be looked at for: found in one pass, since a look-up of each name costs as much.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Another word on its end than one plain length.
    end: bool,
    /// Something that could be another's than the caller's.
    not_the_callers: bool,
}

impl Seen {
    fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        let mut lengths = 0;
        for (name, value) in headers {
            if *name == CONTENT_LENGTH {
                lengths += 1;
                seen.end |= lengths > 1 || !is_plain(value.as_bytes());
            } else if *name == TRANSFER_ENCODING {
                seen.end = true;
            } else if *name == CONNECTION {
                seen.not_the_callers |= !matches!(value.as_bytes(), b"keep-alive" | b"close");
            } else {
                seen.not_the_callers |= *name == UPGRADE || is_ours(name) || HOP_BY_HOP.contains(&name.as_str());
            }
        }
        seen
    }
}

/// Whether a length is written as it is passed on.
fn is_plain(length: &[u8]) -> bool {
    let sound = (1..=MOST_DIGITS).contains(&length.len()) && length.iter().all(u8::is_ascii_digit);
    sound && (length == b"0" || length.first() != Some(&b'0'))
}

/// Whether an upgrade was asked for, and it is this one.
fn is_asked_for(response: &ResponseHeader, request: &RequestHeader) -> bool {
    let taken = response.headers.get(UPGRADE).map(HeaderValue::as_bytes);
    let asked = |taken: &[u8]| {
        let mut asked = request.headers.get_all(UPGRADE).iter().flat_map(persistence::tokens);
        asked.any(|asked| asked.eq_ignore_ascii_case(taken))
    };
    response.version == Version::HTTP_11 && taken.is_some_and(asked)
}

/// Says once, and in the words of this hop, where the answer ends.
fn frame(response: &mut ResponseHeader, request: &RequestHeader, seen: Seen) -> Result<(), &'static str> {
    let bodiless = response.status.is_informational() || response.status == StatusCode::NO_CONTENT;
    if !seen.end && !bodiless {
        if response.version == Version::HTTP_10 {
            response.set_version(Version::HTTP_11);
        }
        return Ok(());
    }
    let mut codings = response.headers.get_all(TRANSFER_ENCODING).iter();
    let coded = match (codings.next(), codings.next()) {
        (None, _) => false,
        // No other is ever asked for (`TE` stays with the caller), and pingora takes away no other.
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        _ => return Err("the upstream's answer has a transfer coding that was not asked for"),
    };
    if coded && response.version == Version::HTTP_10 {
        return Err("the upstream's answer has chunks, which HTTP/1.0 does not know");
    }
    let to_http10 = request.version == Version::HTTP_10;
    if coded && (bodiless || to_http10) {
        // HTTP/1.0 has its answers end with the connection.
        response.remove_header(&TRANSFER_ENCODING);
    }
    match length(&response.headers)? {
        Some(_) if bodiless => {
            response.remove_header(&CONTENT_LENGTH);
        }
        Some(Length { value, plain: false }) => {
            response.insert_header(CONTENT_LENGTH, value).map_err(|_| MALFORMED_LENGTH)?
        }
        Some(Length { plain: true, .. }) | None => {}
    }
    if response.version == Version::HTTP_10 {
        response.set_version(Version::HTTP_11);
    }
    Ok(())
}

/// The length that an answer says.
struct Length {
    value: u64,
    /// Whether it is said once, and in no more digits than it has.
    plain: bool,
}

fn length(headers: &HeaderMap) -> Result<Option<Length>, &'static str> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().flat_map(persistence::tokens);
    let Some(length) = lengths.next() else { return Ok(None) };
    let mut plain = length == b"0" || length.first() != Some(&b'0');
    for other in lengths {
        plain = false;
        if other != length {
            return Err("the upstream's answer has two lengths");
        }
    }
    // Longer ones are none: others count in 64 bits, some with a sign.
    let sound = (1..=MOST_DIGITS).contains(&length.len()) && length.iter().all(u8::is_ascii_digit);
    let value = std::str::from_utf8(length).ok().filter(|_| sound).and_then(|length| length.parse().ok());
    value.map(|value| Some(Length { value, plain })).ok_or(MALFORMED_LENGTH)
}

/// What of an answer is not the caller's: what only we say, what is said of the upstream's connection, and what that names.
fn names(response: &ResponseHeader) -> Vec<HeaderName> {
    let switches = response.status == StatusCode::SWITCHING_PROTOCOLS;
    // pingora says itself what becomes of the caller's connection, but behind a final answer only.
    let interim = response.status.is_informational() && !switches;
    let upgrades = switches || response.status == StatusCode::UPGRADE_REQUIRED;
    let nominated = response.headers.get_all(CONNECTION).iter().flat_map(persistence::tokens);
    let nominated = nominated.filter_map(|token| HeaderName::from_bytes(token).ok());
    // How the answer ends is ours to say, above.
    let ours = |name: &HeaderName| matches!(*name, CONNECTION | CONTENT_LENGTH | TRANSFER_ENCODING | UPGRADE);
    let said = response
        .headers
        .keys()
        .filter(|name| is_ours(name) || HOP_BY_HOP.contains(&name.as_str()))
        .chain((!upgrades && response.headers.contains_key(UPGRADE)).then_some(&UPGRADE))
        .chain(interim.then_some(&CONNECTION));
    nominated.filter(|name| !ours(name)).chain(said.cloned()).collect()
}

/// Whether an answer has no body, whatever it says.
#[must_use]
pub fn is_bodiless(response: &ResponseHeader, request: &RequestHeader) -> bool {
    match response.status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => true,
        // What follows is no body.
        StatusCode::SWITCHING_PROTOCOLS => false,
        _ => request.method == Method::HEAD,
    }
}

/// Marks an answer as ours.
///
/// # Errors
/// A header cannot be set.
pub fn stamp(response: &mut ResponseHeader, permit: &Permit, decision_id: &HeaderValue) -> Result<()> {
    response.insert_header(DECISION_ID, decision_id.clone())?;
    response.insert_header(RECEIPT, value(&permit.receipt().hash().hex_digits())?)
}

/// Takes from trailers what an upstream says about decisions, which is not believed, and what cannot be said behind a body: whoever
/// adds trailers to the head (RFC 9110 6.5.1 lets them) would end the answer elsewhere, or read it as something else.
pub fn trailers(trailers: &mut HeaderMap) {
    let forged = |name: &HeaderName| is_ours(name) || NEVER_TRAILERS.have(name.as_str());
    while let Some(forged) = trailers.keys().find(|name| forged(name)).cloned() {
        trailers.remove(&forged);
    }
}

/// A header that only we may set.
fn is_ours(name: &HeaderName) -> bool {
    header_names::is_wcp(name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers<'a> = &'a [(&'static str, &'a str)];

    fn response(version: Version, status: u16, headers: Headers<'_>) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        response.set_version(version);
        for (name, value) in headers {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    fn request(version: Version, headers: Headers<'_>) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_version(version);
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    /// What is left of an answer to a plain request.
    fn admitted(status: u16, headers: Headers<'_>) -> Result<Vec<String>, &'static str> {
        let mut response = response(Version::HTTP_11, status, headers);
        admit(&mut response, &request(Version::HTTP_11, &[]), 1)?;
        let mut left: Vec<_> =
            response.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        Ok(left)
    }

    #[test]
    fn a_length_is_said_once() {
        for lengths in [&[("content-length", "5")][..], &[("content-length", "5, 5")], &[("content-length", "5"); 2]] {
            assert_eq!(admitted(200, lengths).unwrap(), ["content-length: 5"], "{lengths:?}");
            assert!(admitted(204, lengths).unwrap().is_empty());
            assert!(admitted(103, lengths).unwrap().is_empty());
        }
        for (said, length) in [("00", "0"), ("0", "0"), ("005", "5"), ("999999999999999999", "999999999999999999")] {
            assert_eq!(admitted(200, &[("content-length", said)]).unwrap(), [format!("content-length: {length}")]);
        }
        for malformed in
            ["", ",", "5,,5", "+5", "-5", "0x5", "5 5", "5.0", "9223372036854775808", "0000000000000000005"]
        {
            assert!(admitted(200, &[("content-length", malformed)]).is_err(), "{malformed}");
        }
        assert!(admitted(200, &[("content-length", "5, 6")]).is_err());
        assert!(admitted(200, &[("content-length", "5"), ("content-length", "6")]).is_err());
    }

    #[test]
    fn only_chunks_are_taken() {
        assert_eq!(admitted(200, &[("transfer-encoding", "Chunked")]).unwrap(), ["transfer-encoding: Chunked"]);
        assert!(admitted(204, &[("transfer-encoding", "chunked")]).unwrap().is_empty());
        for codings in [
            &[("transfer-encoding", "gzip")][..],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked, identity")],
            &[("transfer-encoding", "chunked"); 2],
        ] {
            assert!(admitted(200, codings).is_err(), "{codings:?}");
        }
        let chunked = [("transfer-encoding", "chunked")];
        let mut old = response(Version::HTTP_10, 200, &chunked);
        assert!(admit(&mut old, &request(Version::HTTP_11, &[]), 0).is_err());
        let mut old = response(Version::HTTP_10, 200, &[]);
        admit(&mut old, &request(Version::HTTP_11, &[]), 0).unwrap();
        assert_eq!(old.version, Version::HTTP_11);
        let mut new = response(Version::HTTP_11, 200, &chunked);
        admit(&mut new, &request(Version::HTTP_10, &[]), 0).unwrap();
        assert!(new.headers.is_empty());
    }

    #[test]
    fn what_is_not_the_callers_is_removed() {
        let said: Headers<'_> = &[
            ("connection", "keep-alive, X-Hop"),
            ("connection", "x-other, content-type, content-length"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("proxy-authenticate", "Basic"),
            ("wcp-receipt", "forged"),
            ("wcp-anything", "forged"),
            ("WCP.Decision_Id", "forged"),
            ("upgrade", "h2,h2c"),
            ("link", "</a>"),
            ("content-length", "0"),
        ];
        let kept = ["connection: keep-alive, X-Hop", "connection: x-other, content-type, content-length", "link: </a>"];
        assert_eq!(admitted(200, said).unwrap(), [kept[0], kept[1], "content-length: 0", kept[2]]);
        assert_eq!(admitted(103, said).unwrap(), [kept[2]]);
        assert_eq!(admitted(100, &[("connection", "close")]).unwrap(), [""; 0]);
        assert_eq!(admitted(426, &[("upgrade", "websocket")]).unwrap(), ["upgrade: websocket"]);
    }

    #[test]
    fn an_upgrade_is_one_that_was_asked_for() {
        let asks = request(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", "spdy/3.1, WebSocket")]);
        let switch =
            |version, headers: Headers<'_>, request| admit(&mut response(version, 101, headers), request, 0).is_ok();
        let websocket: Headers<'_> = &[("connection", "upgrade"), ("upgrade", "websocket")];
        assert!(switch(Version::HTTP_11, websocket, &asks));
        assert!(!switch(Version::HTTP_10, websocket, &asks));
        assert!(!switch(Version::HTTP_11, &[], &asks));
        assert!(!switch(Version::HTTP_11, &[("upgrade", "h2c")], &asks));
        assert!(!switch(Version::HTTP_11, websocket, &request(Version::HTTP_11, &[])));
    }

    #[test]
    fn trailers_say_nothing_that_belongs_before_a_body() {
        let said = [
            "grpc-status",
            "grpc-message",
            "x-sum",
            "wcp-receipt",
            "wcp.decision_id",
            "content-length",
            "Transfer_Encoding",
            "connection",
            "trailer",
            "set-cookie",
            "host",
        ];
        let mut said: HeaderMap =
            said.iter().map(|name| (name.parse().unwrap(), HeaderValue::from_static("1"))).collect();
        trailers(&mut said);
        assert_eq!(said.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status", "grpc-message", "x-sum"]);
    }

    #[test]
    fn a_tunnel_is_no_body() {
        let mut head = request(Version::HTTP_11, &[]);
        head.set_method(Method::HEAD);
        let bodiless = |status| is_bodiless(&response(Version::HTTP_11, status, &[]), &head);
        assert!(bodiless(200) && bodiless(204) && !bodiless(101));
    }

    #[test]
    fn interim_answers_have_an_end() {
        let mut hint = response(Version::HTTP_11, 103, &[]);
        assert!(admit(&mut hint, &request(Version::HTTP_11, &[]), MOST_INFORMATIONAL).is_ok());
        assert!(admit(&mut hint, &request(Version::HTTP_11, &[]), MOST_INFORMATIONAL + 1).is_err());
    }
}
