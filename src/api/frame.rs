//! What every answer has, whatever became of the request: CORS, no caching, an envelope even after a panic, and one line
//! in the log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    CACHE_CONTROL, CONNECTION, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use uuid::Uuid;

use crate::api::credential::Credential;
use crate::api::error::Refused;
use crate::api::listener::Peer;
use crate::connections::Place;
use crate::engine::Decision;
use crate::hall::{Hall, traced};
use crate::telemetry::method;
use crate::telemetry::traces::Traced;

/// What the log says about an answer; left by whoever made it. Never a token, never a body.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// The deny code; empty for a dispatch.
    pub(super) code: &'static str,
    /// The ledger entry, when there is one.
    pub(super) decision_id: Option<Uuid>,
    /// The correlation id, when there is a sound one.
    pub(super) correlation_id: Option<Arc<str>>,
    /// The decision, when it is one.
    pub(super) decision: Option<Arc<Decision>>,
}

/// The request comes from a web page that may not read the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ForeignOrigin;

/// What [`frame`] needs to know.
#[derive(Debug)]
pub(super) struct Frame {
    origins: Vec<HeaderValue>,
    scheme: &'static str,
    hall: Arc<Hall>,
}

impl Frame {
    /// A frame that lets these browser origins in.
    pub(super) fn new(origins: &[String], hall: Arc<Hall>) -> Result<Self, String> {
        let origins = origins.iter().map(|origin| {
            // Compared to the byte with what browsers send, so anything else would silently match nothing.
            let is_origin =
                origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains(['/', '*']));
            let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin);
            value.ok_or_else(|| {
                format!(
                    "`hall.cors_origins` `{origin}` is no origin; write it as `https://app.example.org`, without a path"
                )
            })
        });
        Ok(Self { origins: origins.collect::<Result<_, _>>()?, scheme: "http", hall })
    }

    /// The same around a listener that speaks TLS, or not.
    pub(super) fn over_tls(self, tls: bool) -> Self {
        Self { scheme: if tls { "https" } else { "http" }, ..self }
    }

    /// Begins a request's span, where requests are traced. Probes are too many, and say nothing.
    fn begin(&self, path: Option<&str>, request: &Request) -> Option<Traced> {
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

    /// Lets a listed browser origin read the answer.
    fn allow_origin(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        headers.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin.filter(|origin| self.origins.contains(origin)) else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}

/// Answers one request.
pub(super) async fn frame(State(frame): State<Arc<Frame>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let origin = request.headers_mut().remove(ORIGIN);
    if origin.as_ref().is_some_and(|origin| !frame.origins.contains(origin)) {
        request.extensions_mut().insert(ForeignOrigin);
    }
    let peer = request.extensions().get().and_then(|Peer(peer)| *peer);
    // Only a path of ours is logged: an unknown one may be anything, a secret included.
    let path = request.extensions().get::<MatchedPath>().cloned();
    let span = frame.begin(path.as_ref().map(MatchedPath::as_str), &request);
    let mut known = false;
    let mut response = if method == Method::OPTIONS && path.is_some() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let path = path.as_ref().map(MatchedPath::as_str);
        let answered = async {
            // A probe is answered whatever it carries: a platform that restarts what does not answer must not be slowed.
            if !matches!(path, Some("/livez" | "/readyz")) {
                match Credential::admit(&frame.hall, request.headers(), peer.map(|peer| peer.ip())).await {
                    Ok(credential) => {
                        known = credential.is_known();
                        if let Some(place) = request.extensions().get::<Arc<Place>>().filter(|_| credential.is_known())
                        {
                            place.known();
                        }
                        request.extensions_mut().insert(credential);
                    }
                    Err(refused) => return refused.into_response(),
                }
            }
            next.run(request).await
        };
        AssertUnwindSafe(answered).catch_unwind().await.unwrap_or_else(|_| {
            frame.hall.metrics().panics.inc();
            tracing::error!("a request panicked");
            Refused::internal().into_response()
        })
    };
    frame.allow_origin(origin.as_ref(), response.headers_mut());
    // Only the log says otherwise.
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if frame.hall.is_draining() {
        // Its caller is told, and goes elsewhere before the listener closes.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let path = path.as_ref().map_or("other", MatchedPath::as_str);
    // What is no refusal is a line at `debug`, which nobody has by chance.
    if known || !is_refused(&response) || frame.hall.says_of_strangers() {
        log(&method, path, peer, &response, began);
    }
    if let Some(span) = span {
        end(span, &response);
    }
    response
}

/// Ends the span of a request that is answered.
fn end(mut span: Traced, response: &Response) {
    if let Some(said) = response.extensions().get::<Said>().filter(|_| span.is_recorded()) {
        span.set_some("wcp.decision_id", said.decision_id.map(|id| id.to_string()));
        if let Some(decision) = &said.decision {
            traced::tell(&mut span, decision);
        } else {
            span.set_some("wcp.code", Some(said.code).filter(|code| !code.is_empty()));
            span.set_some("wcp.correlation_id", said.correlation_id.clone());
        }
    }
    span.end(Some(response.status().as_u16()), None);
}

/// Whether an answer says no.
fn is_refused(response: &Response) -> bool {
    let code = response.extensions().get::<Said>().map_or("", |said| said.code);
    response.status().as_u16() >= 400 || !code.is_empty()
}

/// One line an answer: refusals at `info`, the rest at `debug`.
fn log(method: &Method, path: &str, peer: Option<std::net::SocketAddr>, response: &Response, began: Instant) {
    let said = response.extensions().get::<Said>();
    let code = said.map_or("", |said| said.code);
    let decision_id = said.and_then(|said| said.decision_id).map(tracing::field::display);
    let correlation_id = said.and_then(|said| said.correlation_id.as_deref());
    let status = response.status().as_u16();
    let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let peer = peer.map(tracing::field::display);
    let method = method::said(method);
    if !is_refused(response) {
        tracing::debug!(method, path, peer, status, took_us, decision_id, correlation_id, "answered");
    } else {
        tracing::info!(method, path, peer, status, took_us, code, decision_id, correlation_id, "answered");
    }
}

#[cfg(test)]
mod tests;
