//! Who reads: a token with the scope `read`, or, where the configuration says so, Hall Monitor on this machine, which sends none.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::api::cors::ForeignOrigin;
use crate::api::credential::{self, Credential};
use crate::api::decisions::Viewers;
use crate::api::error::ApiError;
use crate::api::listener::Peer;
use crate::connections;
use crate::console::Sessions;
use crate::engine::Binding;
use crate::hall::{Hall, Scope};
use crate::tls;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(super) struct ApiState {
    /// The hall.
    pub(super) hall: Arc<Hall>,
    /// Whether Hall Monitor on this machine reads without a token.
    pub(super) monitor: bool,
    /// Who looks on at the feed.
    pub(super) viewers: Arc<Viewers>,
    /// Who is signed in to the console, where there is one.
    pub(super) sessions: Option<Arc<Sessions>>,
    /// By which listeners here prove themselves, each by the name of its section.
    pub(super) certificates: Arc<[(&'static str, tls::Server)]>,
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

/// Whether a request without a credential comes from a program on this machine that means this machine, and not from a web page.
fn is_of_this_machine(parts: &Parts) -> bool {
    let Parts { headers, extensions, .. } = parts;
    let peer = extensions.get().and_then(|Peer(peer)| *peer);
    let foreign = extensions.get::<ForeignOrigin>().is_some()
        || headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    connections::is_of_this_machine(parts, peer) && !foreign && !headers.contains_key(AUTHORIZATION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

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
