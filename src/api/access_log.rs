//! What is said of each answer: one line in the log, and the end of its span.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::response::Response;
use http::Method;
use uuid::Uuid;

use crate::engine::Decision;
use crate::hall::Token;
use crate::hall::traced;
use crate::ids::TenantId;
use crate::telemetry::traces::Traced;
use crate::telemetry::{logs, method};

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
    /// Why it is refused without one.
    pub(super) refusal: Option<Cow<'static, str>>,
    /// Which worker asks, when that is said without a decision.
    pub(super) worker: Option<Arc<str>>,
}

fn summary(response: &Response) -> Option<&AnswerSummary> {
    response.extensions().get()
}

/// Whether an answer says no.
pub(super) fn is_refused(response: &Response) -> bool {
    response.status().as_u16() >= 400 || summary(response).is_some_and(|summary| !summary.code.is_empty())
}

/// One line an answer. Refusals, and as many of the decisions that let something through as the configuration wants, are at `info`,
/// all else is at `debug`.
pub(super) fn log(
    method: &Method,
    path: &str,
    (peer, token): (Option<SocketAddr>, Option<&Token>),
    response: &Response,
    began: Instant,
    allowed: impl FnOnce() -> Option<u64>,
) {
    let summary = summary(response);
    let decision = summary.and_then(|summary| summary.decision.as_ref());
    let code = summary.map_or("", |summary| summary.code);
    let decision_id = summary.and_then(|summary| summary.decision_id).map(tracing::field::display);
    let correlation_id = summary.and_then(|summary| summary.correlation_id.as_deref());
    let status = response.status().as_u16();
    let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let peer = peer.map(tracing::field::display);
    let method = method::said(method);
    let left_out = match (is_refused(response), decision.is_some()) {
        (true, _) => Some(0),
        (false, true) => allowed(),
        (false, false) => None,
    };
    let Some(left_out) = left_out else {
        tracing::debug!(method, path, peer, status, took_us, decision_id, correlation_id, "answered");
        return;
    };
    let input = decision.map(|decision| &decision.input);
    let denial = decision.and_then(|decision| decision.verdict.denial.as_ref());
    let refusal = summary.and_then(|summary| summary.refusal.as_deref());
    let bound = token.and_then(|token| token.binding.tenant.as_ref());
    tracing::info!(
        decision_id,
        correlation_id,
        peer,
        token = token.map(|token| token.name.as_str()),
        method,
        path,
        worker_id = decision.map_or_else(|| summary?.worker.as_deref(), |decision| decision.worker()).map(logs::brief),
        tenant_id = input.map(|input| logs::brief(&input.tenant_id)).or_else(|| bound.map(TenantId::as_str)),
        capability = input.map(|input| logs::brief(&input.capability_id)),
        data_label = input.map(|input| input.data_label.as_str()),
        verdict = decision.map(|decision| decision.verdict.outcome.as_str()),
        rule = decision.map(|decision| &*decision.verdict.matched_rule_id),
        code,
        reason = denial.map(|denial| &*denial.message).or(refusal).map(logs::brief),
        status,
        left_out = (left_out > 0).then_some(left_out),
        took_us,
        "answered"
    );
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
