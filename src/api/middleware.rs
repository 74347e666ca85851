//! What every request goes through, whatever becomes of it: CORS, authentication, an error envelope even after a panic, no
//! caching, one line in the log.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{CACHE_CONTROL, CONNECTION, ORIGIN};
use http::{HeaderValue, Method, StatusCode};

use crate::api::access_log;
use crate::api::cors::{AllowedOrigins, ForeignOrigin};
use crate::api::credential::Credential;
use crate::api::error::ApiError;
use crate::api::listener::Peer;
use crate::connections::ConnectionPlace;
use crate::console::CameFrom;
use crate::hall::{Hall, Token};
use crate::telemetry::traces::Traced;

/// What [`around`] needs to know.
#[derive(Debug)]
pub(super) struct Middleware {
    origins: AllowedOrigins,
    scheme: &'static str,
    hall: Arc<Hall>,
}

impl Middleware {
    /// A middleware that lets these browser origins in, behind a listener that speaks TLS, or not.
    ///
    /// # Errors
    /// One of the origins can be none.
    pub(super) fn new(origins: &[String], tls: bool, hall: Arc<Hall>) -> Result<Self, String> {
        let scheme = if tls { "https" } else { "http" };
        Ok(Self { origins: AllowedOrigins::new(origins)?, scheme, hall })
    }

    /// Begins a request's span, where requests are traced. Probes are too many, and say nothing.
    fn begin_span(&self, path: Option<&str>, request: &Request) -> Option<Traced> {
        let traces = self.hall.traces()?;
        if matches!(path, Some("/livez" | "/readyz" | "/metrics")) {
            return None;
        }
        let mut span = traces.begin(request.method(), request.headers())?;
        if let Some(path) = path {
            span.routed(path);
        }
        span.set("url.scheme", self.scheme);
        Some(span)
    }
}

/// Answers one request.
pub(super) async fn around(State(of): State<Arc<Middleware>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let origin = request.headers_mut().remove(ORIGIN);
    if origin.as_ref().is_some_and(|origin| !of.origins.contains(origin)) {
        request.extensions_mut().insert(ForeignOrigin);
    }
    let peer = request.extensions().get().and_then(|Peer(peer)| *peer);
    request.extensions_mut().insert(CameFrom { peer, origin: origin.clone() });
    // Only a path of ours is logged: an unknown one may be anything, a secret included.
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map(MatchedPath::as_str);
    let span = of.begin_span(path, &request);
    let mut token = None;
    let mut response = if method == Method::OPTIONS && path.is_some() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let answered = async {
            // A probe is answered whatever it carries: a platform that restarts what does not answer must not be slowed.
            if !matches!(path, Some("/livez" | "/readyz")) {
                match authenticate(&of.hall, &mut request, peer).await {
                    Ok(proved) => token = proved,
                    Err(refused) => return refused.into_response(),
                }
            }
            next.run(request).await
        };
        AssertUnwindSafe(answered).catch_unwind().await.unwrap_or_else(|_| {
            of.hall.metrics().panics.inc();
            tracing::error!("a request panicked");
            ApiError::internal().into_response()
        })
    };
    of.origins.allow(origin.as_ref(), response.headers_mut());
    // Only the log says otherwise.
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if of.hall.is_draining() {
        // Its caller is told, and goes elsewhere before the listener closes.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // What is no refusal of a stranger's is a line at `debug`, which nobody has by chance.
    if token.is_some() || !access_log::is_refused(&response) || of.hall.says_of_strangers() {
        let who = (peer, token.as_deref());
        access_log::log(&method, path.unwrap_or("other"), who, &response, began, || of.hall.says_of_allowed());
    }
    if let Some(span) = span {
        access_log::end_span(span, &response);
    }
    response
}

/// Leaves with a request who sent it, looked up once: the token that proves it, if one does.
///
/// # Errors
/// It goes no further.
pub(super) async fn authenticate(
    hall: &Arc<Hall>,
    request: &mut Request,
    peer: Option<SocketAddr>,
) -> Result<Option<Arc<Token>>, ApiError> {
    let credential = Credential::authenticate(hall, request.headers(), peer.map(|peer| peer.ip())).await?;
    let token = credential.token();
    if let Some(place) = request.extensions().get::<Arc<ConnectionPlace>>().filter(|_| token.is_some()) {
        place.known();
    }
    request.extensions_mut().insert(credential);
    Ok(token)
}

#[cfg(test)]
mod tests;
