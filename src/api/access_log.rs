//! What is said of each answer: one line in the log, and the end of its span.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::response::Response;
use http::Method;
use uuid::Uuid;

use crate::engine::Decision;
use crate::hall::traced;
use crate::telemetry::method;
use crate::telemetry::traces::Traced;

/// What the log says about an answer; left by whoever made it. Never a token, never a body.
#[derive(Debug, Clone)]
pub(super) struct AnswerSummary {
    /// The deny code; empty for a dispatch.
    pub(super) code: &'static str,
    /// The ledger entry, when there is one.
    pub(super) decision_id: Option<Uuid>,
    /// The correlation id, when there is a sound one.
    pub(super) correlation_id: Option<Arc<str>>,
    /// The decision, when it is one.
    pub(super) decision: Option<Arc<Decision>>,
}

fn summary(response: &Response) -> Option<&AnswerSummary> {
    response.extensions().get()
}

/// Whether an answer says no.
pub(super) fn is_refused(response: &Response) -> bool {
    response.status().as_u16() >= 400 || summary(response).is_some_and(|summary| !summary.code.is_empty())
}

/// One line an answer: refusals at `info`, the rest at `debug`.
pub(super) fn log(method: &Method, path: &str, peer: Option<SocketAddr>, response: &Response, began: Instant) {
    let summary = summary(response);
    let code = summary.map_or("", |summary| summary.code);
    let decision_id = summary.and_then(|summary| summary.decision_id).map(tracing::field::display);
    let correlation_id = summary.and_then(|summary| summary.correlation_id.as_deref());
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

/// Ends the span of a request that is answered.
pub(super) fn end_span(mut span: Traced, response: &Response) {
    if let Some(summary) = summary(response).filter(|_| span.is_recorded()) {
        span.set_some("wcp.decision_id", summary.decision_id.map(|id| id.to_string()));
        if let Some(decision) = &summary.decision {
            traced::tell(&mut span, decision);
        } else {
            span.set_some("wcp.code", Some(summary.code).filter(|code| !code.is_empty()));
            span.set_some("wcp.correlation_id", summary.correlation_id.clone());
        }
    }
    span.end(Some(response.status().as_u16()), None);
}
