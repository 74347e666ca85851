//! The access log: one line a request, with ids, codes and counts, and never a secret, a query or a body.

use pingora_core::Error;
use pingora_proxy::Session;

use crate::hall::Ending;
use crate::proxy::exchange::Exchange;
use crate::proxy::grpc;
use crate::telemetry::{logs, method};

/// Writes the line of a request that has ended: of each that was refused, would have been or went wrong, and of those that were let
/// through as many as the configuration wants. A path is logged only in the form in which it was matched, or in which no route matched it. Probes are
/// too many, and say nothing.
pub fn log(
    session: &Session,
    exchange: &Exchange,
    upstream: Option<&str>,
    ending: Option<Ending>,
    error: Option<&Error>,
    allowed: impl FnOnce() -> Option<u64>,
) {
    if exchange.is_probe {
        return;
    }
    let as_usual = exchange.code().is_empty() && exchange.would_be().is_none();
    let went_well = as_usual && error.is_none() && ending.is_none_or(|end| end == Ending::Complete);
    let left_out = match went_well.then(allowed) {
        Some(None) => return,
        Some(Some(left_out)) => left_out,
        None => 0,
    };
    let turned_away = exchange.turned_away.as_deref();
    let decision = exchange.decision.as_ref();
    let input = decision.map(|decision| &decision.input);
    let http = input.and_then(|input| input.http.as_ref());
    // Whoever was decided on has a name; of whoever was refused before that, the address may be all that is known.
    let peer = session.client_addr().filter(|_| decision.is_none());
    let head = session.response_written();
    let grpc_status = grpc::ended(exchange.grpc_status.as_ref(), head);
    tracing::info!(
        target: "hallgate::access",
        decision_id = exchange.receipt.as_ref().map(|receipt| tracing::field::display(receipt.id())),
        correlation_id = exchange.correlation_id(),
        peer = peer.map(tracing::field::display),
        method = method::said(&session.req_header().method),
        host = http.map(|http| &*http.host),
        path = http.map(|http| &*http.path).or_else(|| turned_away?.path.as_deref()).map(logs::brief),
        worker_id = decision.map_or_else(|| turned_away?.worker.as_deref(), |decision| decision.worker()),
        tenant_id = input.map(|input| &*input.tenant_id).or_else(|| turned_away?.tenant.as_deref()),
        capability = input.map(|input| &*input.capability_id),
        data_label = input.map(|input| input.data_label.as_str()),
        verdict = decision.map(|decision| decision.verdict.outcome.as_str()),
        rule = decision.map(|decision| &*decision.verdict.matched_rule_id),
        code = exchange.code(),
        would_be = exchange.would_be(),
        reason = exchange.reason().map(logs::brief),
        left_out = (left_out > 0).then_some(left_out),
        status = head.map_or(0, |head| head.status.as_u16()),
        grpc_status,
        upstream,
        ending = ending.map(Ending::as_str),
        error = error.map(|error| error.etype().as_str()),
        fault = error.and_then(|_| exchange.fault()),
        request_bytes = session.body_bytes_read(),
        response_bytes = session.body_bytes_sent(),
        micros = u64::try_from(exchange.began.elapsed().as_micros()).unwrap_or(u64::MAX),
        "request"
    );
}
