//! Who reads: a token with the scope `read`, or, where the configuration says so, Hall Monitor on this machine, which sends none.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::header::{AUTHORIZATION, FORWARDED, HOST, VIA};
use http::request::Parts;

use crate::api::cors::ForeignOrigin;
use crate::api::credential::{self, Credential};
use crate::api::error::ApiError;
use crate::api::listener::Peer;
use crate::engine::Binding;
use crate::hall::{Hall, Scope};

/// What the handlers share.
#[derive(Debug, Clone)]
pub(super) struct ApiState {
    /// The hall.
    pub(super) hall: Arc<Hall>,
    /// Whether Hall Monitor on this machine reads without a token.
    pub(super) monitor: bool,
}

impl FromRef<ApiState> for Arc<Hall> {
    fn from_ref(shared: &ApiState) -> Self {
        Self::clone(&shared.hall)
    }
}

/// Somebody who may read.
#[derive(Debug)]
pub(super) struct Reader {
    /// What it is bound to: it sees nothing else.
    pub(super) binding: Binding,
    /// Whether tenants and sentences that may name one are left out.
    pub(super) redacted: bool,
}

impl FromRequestParts<ApiState> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &ApiState) -> Result<Self, ApiError> {
        let Ok(credential) = Credential::from_request_parts(parts, shared).await;
        let token = credential.present(&shared.hall)?;
        credential::require(&token, Scope::Read)?;
        Ok(Self { binding: token.binding.clone(), redacted: false })
    }
}

/// Somebody who may read what Hall Monitor polls.
#[derive(Debug)]
pub(super) struct Monitor(pub(super) Reader);

impl FromRequestParts<ApiState> for Monitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &ApiState) -> Result<Self, ApiError> {
        if shared.monitor && is_of_this_machine(parts) {
            return Ok(Self(Reader { binding: Binding::default(), redacted: true }));
        }
        Reader::from_request_parts(parts, shared).await.map(Self)
    }
}

/// Whether a request without a credential comes from a program on this machine that means this machine: not through a proxy on it,
/// not from a web page, and not under a name that a web page made to lead here.
fn is_of_this_machine(parts: &Parts) -> bool {
    let Parts { headers, extensions, uri, .. } = parts;
    let loopback = |peer: SocketAddr| peer.ip().to_canonical().is_loopback();
    let peer = extensions.get().is_some_and(|Peer(peer)| peer.is_some_and(loopback));
    let proxied = [FORWARDED, VIA].iter().any(|name| headers.contains_key(name))
        || headers.keys().any(|name| name.as_str().starts_with("x-forwarded-") || name.as_str() == "x-real-ip");
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(names_this_machine),
        _ => false,
    };
    let target = uri.authority().is_none_or(|authority| names_this_machine(authority.as_str()));
    let foreign = extensions.get::<ForeignOrigin>().is_some()
        || headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    peer && !proxied && host && target && !foreign && !headers.contains_key(AUTHORIZATION)
}

/// Whether a `host` means this machine, whatever the port.
fn names_this_machine(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(|name| {
        let rest = host.get(..name.len()).filter(|start| start.eq_ignore_ascii_case(name));
        let port = rest.and_then(|_| host.get(name.len()..));
        port.is_some_and(|port| {
            port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn only_names_of_this_machine_count() {
        for yes in ["localhost", "localhost:8765", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8765", "[::1]:8765", "[::1]"]
        {
            assert!(names_this_machine(yes), "{yes}");
        }
        for no in [
            "",
            "localhost.evil.example",
            "localhost:evil",
            "evil.example:8765",
            "127.0.0.1.nip.io",
            "127.0.0.11",
            "::1",
        ] {
            assert!(!names_this_machine(no), "{no}");
        }
    }

    fn of_this_machine(peer: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let mut request = Request::get("/api/health").extension(Peer(peer.parse().ok()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        is_of_this_machine(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_web_page_a_proxy_and_another_machine_are_not_this_machine() {
        let here = "127.0.0.1:50000";
        assert!(of_this_machine(here, &[("host", "localhost:8765")]));
        assert!(of_this_machine("[::ffff:127.0.0.1]:50000", &[("host", "127.0.0.1:8765")]));
        assert!(!of_this_machine("10.0.0.1:50000", &[("host", "localhost:8765")]));
        assert!(!of_this_machine("", &[("host", "localhost:8765")]), "a peer that is not known");
        assert!(!of_this_machine(here, &[]), "no host");
        for (name, value) in [
            ("host", "rebound.evil.example:8765"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("via", "1.1 proxy"),
            ("sec-fetch-site", "cross-site"),
            ("authorization", "Bearer wrong"),
        ] {
            assert!(!of_this_machine(here, &[("host", "localhost"), (name, value)]), "{name}: {value}");
        }
    }
}
