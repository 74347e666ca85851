//! Whether a caller's connection goes on behind a request (RFC 9112 9.3), or becomes something else (`Upgrade`, RFC 9110 7.8).

use http::header::{CONNECTION, HeaderName, UPGRADE};
use http::{HeaderValue, Version};
use pingora_core::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::connections::framing::is_never_taken;
use crate::proxy::exchange::Exchange;

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Settles whether the connection goes on behind this request: not where it is not clear where the request ends, where its caller
/// says so, or where an upgrade is asked for.
///
/// # Errors
/// A header cannot be set.
pub fn settle(session: &mut Session, exchange: &mut Exchange) -> Result<()> {
    if let Some(framing) = &exchange.arrival.framing {
        exchange.unframed = framing.lock().agrees(session.to_h1_raw().len()).err();
    }
    if session.req_header().version == Version::HTTP_10 {
        // It would take an interim answer for the answer (RFC 9110 15.2).
        session.as_downstream_mut().set_ignore_info_resp(true);
    }
    let ends = exchange.unframed.is_some() || closes(session.req_header());
    if upgrade(session.req_header_mut())? || ends {
        session.set_keepalive(None);
    }
    Ok(())
}

/// Whether `Connection` says, on any of its lines, that this is the last request. pingora reads the first line only.
fn closes(request: &RequestHeader) -> bool {
    close_among(request.headers.get_all(CONNECTION).iter().flat_map(tokens))
}

/// Whether one of these words ends a connection.
pub fn close_among<'a>(mut tokens: impl Iterator<Item = &'a [u8]>) -> bool {
    tokens.any(|token| is(token, "close"))
}

/// Takes an upgrade that cannot be meant from a request: one of HTTP/1.0, one that `Connection` does not name (pingora would
/// forward it, and name it), and an offer that is never taken, as Java's client and curl make it with requests like any other.
/// Whether the connection ends with this request: behind one for an upgrade nobody knows whether what follows is another one.
fn upgrade(request: &mut RequestHeader) -> Result<bool> {
    let upgrades = request.headers.get_all(UPGRADE);
    if upgrades.iter().next().is_none() {
        return Ok(false);
    }
    let offered = upgrades.iter().all(|upgrade| is_never_taken(upgrade.as_bytes()));
    let named = request.headers.get_all(CONNECTION).iter().flat_map(tokens).any(|token| is(token, "upgrade"));
    if offered || !named || request.version != Version::HTTP_11 {
        request.remove_header(&UPGRADE);
        request.remove_header(&HTTP2_SETTINGS);
        let kept: Vec<Vec<u8>> = request
            .headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(tokens)
            .filter(|token| !is(token, "upgrade") && !is(token, HTTP2_SETTINGS.as_str()))
            .map(<[u8]>::to_vec)
            .collect();
        request.remove_header(&CONNECTION);
        if let Ok(kept) = HeaderValue::from_bytes(&kept.join(&b", "[..]))
            && !kept.is_empty()
        {
            request.insert_header(CONNECTION, kept)?;
        }
    }
    Ok(!offered)
}

/// The words of a list.
pub fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn is(token: &[u8], name: &str) -> bool {
    token.eq_ignore_ascii_case(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of `Upgrade` and `Connection`, and whether the connection ends.
    fn settled(version: Version, headers: &[(&'static str, &str)]) -> (Vec<String>, bool) {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_version(version);
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        let ends = upgrade(&mut request).unwrap();
        let left = request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        (left, ends)
    }

    #[test]
    fn only_what_is_asked_for_in_so_many_words_is_an_upgrade() {
        let new = |headers: &[(&'static str, &str)]| settled(Version::HTTP_11, headers);
        assert_eq!(new(&[("connection", "close, x")]), (vec!["connection: close, x".to_owned()], false));
        let asked = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        let (left, ends) = new(&asked);
        assert_eq!((left.len(), ends), (2, true));
        assert_eq!(settled(Version::HTTP_10, &asked), (vec!["connection: keep-alive".to_owned()], true));
        assert_eq!(new(&[("upgrade", "websocket")]), (Vec::new(), true));
        for offer in ["h2c", "H2C", "TLS/1.2"] {
            let headers =
                [("connection", "Upgrade, HTTP2-Settings"), ("upgrade", offer), ("http2-settings", "AAMAAABk")];
            assert_eq!(new(&headers), (Vec::new(), false), "{offer}");
        }
        // What else is named stays, and is refused.
        let headers = [("connection", "upgrade, authorization"), ("upgrade", "h2c")];
        assert_eq!(new(&headers), (vec!["connection: authorization".to_owned()], false));
    }
}
