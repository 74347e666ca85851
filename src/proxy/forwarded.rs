//! What an upstream is told of the caller's connection: nothing, or what we see of it, in `X-Forwarded-For`, `-Host` and `-Proto` and in
//! `Forwarded` (RFC 7239). What callers say of it is theirs to invent, so it never passes, in no spelling; but what a proxy before
//! us says is gone on with, where its network is listed.

use std::net::IpAddr;

use http::header::{FORWARDED, HOST, HeaderName, HeaderValue, VIA};
use pingora_core::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::proxy::forward::value;
use crate::proxy::gate::connection;
use crate::proxy::header_names;
use crate::proxy::settings::{Forwarding, Upstream};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a listed proxy is believed to say, in this spelling alone.
const BELIEVED: [HeaderName; 8] = [
    FORWARDED,
    VIA,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-real-ip"),
];

/// What we see of a caller's connection, and the host that it asks for.
#[derive(Debug, Clone)]
pub struct CallerView {
    /// The peer's address; `None` on a Unix socket.
    peer: Option<IpAddr>,
    /// With its port where it was sent; `None` for HTTP/1.0 without one.
    host: Option<String>,
    scheme: &'static str,
}

impl CallerView {
    /// What this upstream has to be told of, if anything.
    #[must_use]
    pub fn for_upstream(upstream: &Upstream, session: &Session) -> Option<Self> {
        if upstream.forwarding == Forwarding::Drop && !upstream.keeps_host {
            return None;
        }
        Some(Self {
            peer: session
                .client_addr()
                .and_then(|address| address.as_inet())
                .map(|address| address.ip().to_canonical()),
            host: asked_host(session.req_header()),
            scheme: if connection(session).is_some() { "https" } else { "http" },
        })
    }

    /// The host that the caller asks for, with its port, of which the upstream is told.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether what the peer says of the connection before it is believed.
    #[must_use]
    pub fn is_believed(&self, upstream: &Upstream) -> bool {
        matches!(&upstream.forwarding, Forwarding::Append(peers) if peers.iter().any(|peers| peers.include(self.peer)))
    }

    /// Adds to a request what this upstream is told, and the host that the caller asks for, where the upstream gets that.
    ///
    /// # Errors
    /// A header cannot be set.
    pub fn tell(&self, upstream: &Upstream, request: &mut RequestHeader) -> Result<()> {
        if upstream.keeps_host
            && let Some(host) = &self.host
        {
            request.insert_header(HOST, value(host.as_bytes())?)?;
        }
        if upstream.forwarding == Forwarding::Drop {
            return Ok(());
        }
        // A proxy that speaks one of the two languages said there what the other one would contradict.
        let said = |names: &[HeaderName]| names.iter().any(|name| request.headers.contains_key(name));
        let old = said(&[X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO]);
        let new = said(&[FORWARDED]);
        if old || !new {
            if let Some(peer) = self.peer {
                append(request, X_FORWARDED_FOR, &peer.to_string())?;
            }
            for (name, ours) in [(X_FORWARDED_HOST, self.host.as_deref()), (X_FORWARDED_PROTO, Some(self.scheme))] {
                if let Some(ours) = ours.filter(|_| !request.headers.contains_key(&name)) {
                    request.insert_header(name, value(ours.as_bytes())?)?;
                }
            }
        }
        if new || !old {
            append(request, FORWARDED, &self.element())?;
        }
        Ok(())
    }

    /// RFC 7239 4: values with more than a token has are quoted, and IPv6 addresses are in brackets.
    fn element(&self) -> String {
        let peer = match self.peer {
            Some(IpAddr::V4(peer)) => format!("for={peer};"),
            Some(IpAddr::V6(peer)) => format!("for=\"[{peer}]\";"),
            None => String::new(),
        };
        let host = self.host.as_ref().map(|host| format!("host=\"{host}\";")).unwrap_or_default();
        format!("{peer}{host}proto={}", self.scheme)
    }
}

/// Whether this header says, in any spelling, what the connection before us was like, and does not pass.
#[must_use]
pub fn is_stripped(name: &HeaderName, believed: bool) -> bool {
    header_names::is_forwarding(name.as_str()) && !(believed && BELIEVED.contains(name))
}

/// Adds an element to a list, which is then on one line.
fn append(request: &mut RequestHeader, name: HeaderName, element: &str) -> Result<()> {
    let mut list: Vec<&[u8]> = request.headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    list.push(element.as_bytes());
    let list = value(&list.join(&b", "[..]))?;
    request.insert_header(name, list)
}

/// The host that a sound request asks for, in lower case and without a dot at its end, as routes have matched it, and its port.
fn asked_host(request: &RequestHeader) -> Option<String> {
    let header = || request.headers.get(HOST).and_then(|host| host.to_str().ok());
    let asked = request.uri.authority().map(|authority| authority.as_str()).or_else(header)?;
    let at = asked.rfind(':').filter(|_| !asked.ends_with(']')).unwrap_or(asked.len());
    let (name, port) = asked.split_at_checked(at)?;
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    Some(name + port).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests;
