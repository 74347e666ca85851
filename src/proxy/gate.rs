//! The gate's phases, in the order in which pingora calls them: each is one line of ours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, StatusCode, Version};
use pingora_core::modules::http::HttpModules;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::connections;
use crate::hall::{Ending, Hall};
use crate::proxy::access;
use crate::proxy::cors::Cors;
use crate::proxy::describe::Describe;
use crate::proxy::destination::Destination;
use crate::proxy::exchange::{Exchange, Forward};
use crate::proxy::forward;
use crate::proxy::forwarded::CallerView;
use crate::proxy::grpc;
use crate::proxy::identify::Identify;
use crate::proxy::pattern::PathPattern;
use crate::proxy::persistence;
use crate::proxy::pipeline::Decided;
use crate::proxy::reject::OwnAnswer;
use crate::proxy::response;
use crate::proxy::routes::Routes;
use crate::proxy::traced;
use crate::proxy::upstream_peer::for_upgrade;
use crate::telemetry::method;
use crate::tls;

/// At most this many addresses are tried for one request.
const ADDRESSES_TRIED: usize = 3;
/// How long a rejected body is read, so that its connection can go on.
const DRAIN: Duration = Duration::from_secs(5);

/// The gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Parts>);

impl Gate {
    /// A gate of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

/// What the gate is made of.
#[derive(Debug)]
pub struct Parts {
    /// Decides and records.
    pub hall: Arc<Hall>,
    /// Who callers are.
    pub identify: Identify,
    /// What they ask.
    pub describe: Describe,
    /// Where it may go.
    pub routes: Routes<Arc<Destination>>,
    /// Which web pages may read answers.
    pub cors: Cors,
    /// Where the gate says itself whether requests should be sent to it.
    pub health_path: Option<PathPattern>,
    /// Longest silence of a caller.
    pub idle_timeout: Duration,
    /// Longest silence on an upgraded connection.
    pub upgraded_idle_timeout: Duration,
    /// Bytes a second that a body has to arrive with over any `idle_timeout`; zero: none.
    pub min_body_rate: u32,
}

impl Parts {
    /// Has a connection end behind its answer, where somebody waits for its place or the gate drains: its caller is told, and goes elsewhere
    /// before the listener closes.
    pub(super) fn may_tell_to_go(&self, session: &mut Session) {
        let place = session.digest().and_then(connections::place_of);
        if self.hall.is_draining() || place.is_some_and(|place| place.is_waited_for()) {
            session.set_keepalive(None);
        }
    }
}

/// What is known of the caller's connection by its TLS handshake; `None` without TLS.
pub fn connection(session: &Session) -> Option<&tls::Connection> {
    tls::connection(session.digest()?.ssl_digest.as_ref()?)
}

/// The forward under way. Without one there is no permit, and nothing may reach an upstream.
fn permitted(exchange: &mut Exchange) -> Result<&mut Forward> {
    exchange
        .forward
        .as_deref_mut()
        .ok_or_else(|| Error::explain(ErrorType::InternalError, "there is no permit").into_in())
}

/// How a failed exchange is answered; `None` when nobody is there to hear it.
fn status_of(error: &Error) -> Option<StatusCode> {
    use ErrorType::{
        ConnectTimedout, ConnectionClosed, ReadError, ReadTimedout, TLSHandshakeTimedout, WriteError, WriteTimedout,
    };
    match (error.esource(), error.etype()) {
        (ErrorSource::Upstream, ConnectTimedout | TLSHandshakeTimedout | ReadTimedout | WriteTimedout) => {
            Some(StatusCode::GATEWAY_TIMEOUT)
        }
        (ErrorSource::Upstream, _) => Some(StatusCode::BAD_GATEWAY),
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed | WriteTimedout) => None,
        (ErrorSource::Downstream, ReadTimedout) => Some(StatusCode::REQUEST_TIMEOUT),
        (ErrorSource::Downstream, _) => Some(StatusCode::BAD_REQUEST),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn ending_of(error: Option<&Error>) -> Ending {
    match error.map(|error| (error.esource(), error.etype())) {
        None => Ending::Complete,
        Some((ErrorSource::Upstream, _)) => Ending::UpstreamFailed,
        Some((ErrorSource::Downstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout)) => Ending::Aborted,
        Some((ErrorSource::Downstream, _)) => Ending::ClientGone,
        Some((ErrorSource::Internal | ErrorSource::Unset, _)) => Ending::Aborted,
    }
}

#[async_trait]
impl ProxyHttp for Gate {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(Arc::clone(self.0.hall.metrics()))
    }

    /// None: no compression, no cache. What the upstream sends is what the caller gets.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    /// Hardens the session: pingora's own limits are per read, or none.
    async fn early_request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<()> {
        let place = session.digest().and_then(connections::place_of);
        exchange.arrival.has_arrived(place);
        self.0.may_tell_to_go(session);
        let idle = self.0.idle_timeout;
        session.set_read_timeout(Some(idle));
        session.set_write_timeout(Some(idle));
        session.set_total_drain_timeout(Some(DRAIN));
        // Without it, a second request that is sent early aborts the first, which may already be forwarded.
        session.set_pipelining_enabled(true);
        persistence::settle(session, exchange)
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        if let Some(traces) = self.0.hall.traces() {
            exchange.traced = traced::begin(traces, session);
        }
        let decided = match self.0.decide(session, exchange).await {
            Decided::Held(held) => Box::pin(self.0.hold(session, exchange, held)).await,
            decided => decided,
        };
        let Decided::Answer(answer) = decided else {
            if session.as_downstream_mut().is_body_done() {
                exchange.arrival.is_uploaded();
            } else {
                exchange.arrival.uploads();
            }
            return Ok(false);
        };
        if Box::pin(answer.send(session, &self.0.cors)).await.is_err() {
            session.set_keepalive(None);
        }
        Ok(true)
    }

    /// Runs again on a retry, so it borrows the permit.
    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        let forward = permitted(exchange)?;
        let mut peer = forward.destination.addresses.next(&forward.tried).await.map_err(|why| {
            tracing::debug!(upstream = %forward.destination.upstream.name, "{why}");
            Error::explain(ErrorType::ConnectNoRoute, "the upstream's name has no address").into_up()
        })?;
        forward.destination.prepare(&mut peer);
        if session.is_upgrade_req() {
            for_upgrade(&mut peer, self.0.upgraded_idle_timeout);
        }
        Ok(peer)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let Forward { permit, decision_id, destination, target, .. } = permitted(exchange)?;
        let seen = CallerView::for_upstream(&destination.upstream, session);
        forward::request(request, permit, decision_id, destination, target.as_ref(), seen.as_ref())?;
        if session.as_downstream_mut().is_body_done() {
            // Who was told to go on, because a human had to see it first, is not told again.
            request.remove_header(&EXPECT);
        }
        if request.version == Version::HTTP_2 && request.remove_header(&EXPECT).is_some() {
            // pingora does not hear an interim answer over HTTP/2, and the caller would wait for it.
            let told = tokio::time::timeout(self.0.idle_timeout, session.write_continue_response()).await;
            let told =
                told.unwrap_or_else(|_| Err(Error::explain(ErrorType::WriteTimedout, "the caller does not read")));
            told.map_err(|error| error.into_down())?;
        }
        exchange.traced.as_ref().map_or(Ok(()), |span| traced::pass_on(span, request))
    }

    /// A body has one end. To an HTTP/1.1 upstream pingora writes an empty last piece, as HTTP/2 ends with, as a last chunk, and
    /// the last chunk behind it (cloudflare/pingora#935): the second one would be the beginning of the connection's next request,
    /// and from then on callers would get each other's answers. An end without a piece is written once.
    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let bytes = body.as_ref().map_or(0, |body| body.len() as u64);
        let forward = permitted(exchange)?;
        forward.permit.sent_upstream(bytes);
        if !end && !forward.answered {
            let keeps_up = forward.pace.keeps_up(bytes, self.0.min_body_rate, self.0.idle_timeout);
            // A call may have little to say, and go on for long.
            if !keeps_up && !grpc::is_call(session.req_header()) {
                return Err(Error::explain(ErrorType::ReadTimedout, "the body arrives too slowly").into_down());
            }
            exchange.arrival.uploads();
        } else {
            exchange.arrival.is_uploaded();
        }
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let request = session.req_header();
        let upgraded = response.status == StatusCode::SWITCHING_PROTOCOLS;
        let interim = response.status.is_informational() && !upgraded;
        exchange.interim += u32::from(interim);
        if !interim && let Some(forward) = &exchange.forward {
            forward.destination.pooling.answered(&response.headers);
        }
        if let Err(why) = response::admit(response, request, exchange.interim) {
            exchange.unsound_answer = Some(why);
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        }
        if interim {
            return Ok(());
        }
        exchange.bodiless = response::is_bodiless(response, request);
        if request.version == Version::HTTP_10 && !response.headers.contains_key(CONTENT_LENGTH) {
            // Its end is the connection's.
            session.set_keepalive(None);
        }
        if upgraded {
            session.set_read_timeout(Some(self.0.upgraded_idle_timeout));
            session.set_write_timeout(Some(self.0.upgraded_idle_timeout));
        }
        exchange.arrival.is_uploaded();
        let forward = permitted(exchange)?;
        forward.answered = true;
        forward.permit.answered(response.status.as_u16());
        forward.destination.answered(response.status);
        response::stamp(response, &forward.permit, &forward.decision_id)?;
        self.0.cors.mark_forwarded(session.req_header(), response)
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        exchange: &mut Exchange,
    ) -> Result<Option<Bytes>> {
        response::trailers(trailers);
        exchange.grpc_status = trailers.get(grpc::STATUS).cloned();
        Ok(None)
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        _: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        if exchange.bodiless && body.is_some() {
            *body = Some(Bytes::new());
        }
        permitted(exchange)?.permit.sent_to_caller(body.as_ref().map_or(0, |body| body.len() as u64));
        Ok(None)
    }

    /// Nothing was sent yet, so another address may be tried whatever the method.
    fn fail_to_connect(
        &self,
        _: &mut Session,
        peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(forward) = &mut exchange.forward {
            let (failed, addresses) = forward.destination.addresses.failed(peer);
            forward.tried.extend(failed);
            error.set_retry(failed.is_some() && forward.tried.len() < addresses.min(ADDRESSES_TRIED));
        }
        error
    }

    /// pingora's own rule, without naming the peer in the error: an idempotent request may be repeated when the connection
    /// had been reused and the whole of its body is still there.
    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Exchange,
        reused: bool,
    ) -> Box<Error> {
        // What a human has agreed to is sent once.
        let once = exchange.decision.as_ref().is_some_and(|decision| decision.approval.is_some());
        if !once && session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated() {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        if error.retry()
            && let Some(forward) = &mut exchange.forward
        {
            forward.permit.sent_again();
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, exchange: &mut Exchange) -> FailToProxy {
        // Behind a switch of protocols nothing is HTTP any more.
        let final_head =
            |head: &ResponseHeader| !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS;
        let begun = session.response_written().is_some_and(final_head);
        let mut error_code = 0;
        let malformed = exchange.body_fault().map(|_| StatusCode::BAD_REQUEST);
        if let Some(status) = malformed.or_else(|| status_of(error)) {
            session.set_keepalive(None);
            let fault = exchange.fault();
            let answer = OwnAnswer::undelivered(status, fault, exchange.decision.as_deref(), exchange.receipt.as_ref());
            if begun {
                exchange.grpc_status = answer.end(session);
            } else {
                error_code = status.as_u16();
                // A caller that cannot be written to is gone, and nothing is left to do.
                let _ = answer.send(session, &self.0.cors).await;
            }
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// The end: the permit learns how, and its drop writes the outcome entry.
    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        // Who sends what cannot be read is there.
        let malformed = error.is_some() && exchange.body_fault().is_some();
        let ending = if malformed { Ending::Aborted } else { ending_of(error) };
        let forward = exchange.forward.take().map(|mut forward| {
            forward.permit.ended(ending);
            if !forward.answered {
                forward.destination.failed();
            }
            forward
        });
        let upstream = forward.as_ref().map(|forward| &*forward.destination.upstream.name);
        let ending = upstream.map(|_| ending);
        if exchange.is_known || self.0.hall.says_of_strangers() {
            access::log(session, exchange, upstream, ending, error, || self.0.hall.says_of_allowed());
        }
        if let Some(span) = exchange.traced.take() {
            traced::end(*span, session, exchange, ending, error);
        }
    }

    /// pingora would log the whole target, query and all; our own line says what happened.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Exchange, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }

    /// For the log lines of pingora that cannot be suppressed: no target, no host.
    fn request_summary(&self, session: &Session, exchange: &Exchange) -> String {
        let method = method::said(&session.req_header().method);
        format!("{method}, correlation id {}", exchange.correlation_id().unwrap_or("none"))
    }
}
