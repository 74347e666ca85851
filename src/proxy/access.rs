//! The access log: one line a request, with ids, codes and counts, and never a secret, a query or a body.

use pingora_core::Error;
use pingora_proxy::Session;

use crate::hall::Ending;
use crate::proxy::exchange::Exchange;
use crate::proxy::grpc;
use crate::telemetry::method;

/// Writes the line of a request that has ended. A path is logged only in the form in which it was matched. Probes
/// are too many, and say nothing.
pub fn log(
    session: &Session,
    exchange: &Exchange,
    upstream: Option<&str>,
    ending: Option<Ending>,
    error: Option<&Error>,
) {
    if exchange.is_probe {
        return;
    }
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
        path = http.map(|http| &*http.path),
        worker_id = input.and_then(|input| input.worker_id.as_deref()),
        tenant_id = input.map(|input| &*input.tenant_id),
        capability = input.map(|input| &*input.capability_id),
        verdict = decision.map(|decision| decision.verdict.outcome.as_str()),
        code = exchange.code(),
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
