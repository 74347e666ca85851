//! A request's span: begun with its header, passed on to the upstream, ended with the exchange. Without traces there is none.
//!
//! It says no more than the access log and the ledger do, and less: no path but the route's own, for a collector is often
//! somebody else's, and paths may hold secrets.

use std::sync::Arc;

use http::{Method, Version};
use pingora_core::{Error, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::hall::{Ending, traced};
use crate::proxy::exchange::Exchange;
use crate::proxy::gate::connection;
use crate::proxy::gen_ai;
use crate::proxy::grpc;
use crate::proxy::settings::Route;
use crate::telemetry::traces::{TRACEPARENT, TRACESTATE, Traced, Traces};

/// Begins the span of a request whose header has arrived.
pub fn begin(traces: &Traces, session: &Session) -> Option<Box<Traced>> {
    let request = session.req_header();
    let mut span = traces.begin(&request.method, &request.headers)?;
    span.set("url.scheme", if connection(session).is_some() { "https" } else { "http" });
    span.set_some("network.protocol.version", version(request.version));
    Some(Box::new(span))
}

/// Says which route a request has, and whether it calls a model there.
pub fn routed(span: &mut Traced, route: &Route, method: &Method, path: &str) {
    if !span.is_recorded() {
        return;
    }
    let upstream = &route.upstream;
    span.routed(route.path.as_str());
    span.set("wcp.upstream", Arc::clone(&upstream.name));
    let path = format!("{}{path}", upstream.base_path);
    let provider = gen_ai::provider(&upstream.host);
    if method == Method::POST
        && let Some(call) = gen_ai::call(&path, provider)
    {
        span.set("gen_ai.operation.name", call.operation);
        span.set_some("gen_ai.provider.name", provider);
        span.set_some("gen_ai.request.model", call.model.map(Arc::<str>::from));
    }
}

/// Makes the upstream's span a child of this one. What other systems noted stays only beside the parent that it came with.
///
/// # Errors
/// The header cannot be set.
pub fn pass_on(span: &Traced, request: &mut RequestHeader) -> Result<()> {
    if !span.has_parent() {
        request.remove_header(TRACESTATE);
    }
    match span.traceparent() {
        Some(traceparent) => request.insert_header(TRACEPARENT, traceparent),
        None => Ok(()),
    }
}

/// Ends the span of a request that has ended.
pub fn end(mut span: Traced, session: &Session, exchange: &Exchange, ending: Option<Ending>, error: Option<&Error>) {
    if span.is_recorded() {
        span.set("http.request.body.size", session.body_bytes_read());
        span.set("http.response.body.size", session.body_bytes_sent());
        tell(&mut span, exchange, ending);
    }
    let head = session.response_written();
    let call = grpc::ended(exchange.grpc_status.as_ref(), head).map(grpc::named);
    if let Some((status, _)) = call {
        span.set("rpc.system.name", "grpc");
        span.set("rpc.response.status_code", status);
    }
    let failed = call.filter(|(_, servers)| *servers).map(|(status, _)| status);
    span.end(head.map(|head| head.status.as_u16()), error.map(|error| error.etype().as_str()).or(failed));
}

/// Ends the span of a request that was cut off: the process ended before it, or it panicked.
pub fn cut_off(mut span: Traced, exchange: &Exchange) {
    if span.is_recorded() {
        tell(&mut span, exchange, exchange.forward.as_ref().map(|_| Ending::Aborted));
    }
    span.end(None, Some(if std::thread::panicking() { "panic" } else { "cut_off" }));
}

/// Says what became of the request.
fn tell(span: &mut Traced, exchange: &Exchange, ending: Option<Ending>) {
    let waited = exchange.waited.map(|waited| i64::try_from(waited.as_millis()).unwrap_or(i64::MAX));
    span.set_some("wcp.approval_wait_ms", waited);
    span.set_some("wcp.ending", ending.map(Ending::as_str));
    span.set_some("wcp.decision_id", exchange.receipt.as_ref().map(|receipt| receipt.id().to_string()));
    if let Some(decision) = &exchange.decision {
        span.set_some("server.address", decision.input.http.as_ref().map(|http| Arc::clone(&http.host)));
        traced::tell(span, decision);
    } else {
        span.set_some("wcp.code", Some(exchange.refused).filter(|code| !code.is_empty()));
        span.set_some("wcp.correlation_id", exchange.correlation.clone());
    }
}

const fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}
