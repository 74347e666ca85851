//! A held request at the gate: its body is read to its end, what would run is put to a human, and it is sent on as it came, once.
//!
//! A caller that may wait is kept until somebody agrees, and goes the whole way again then, from its credential on. The body is read before
//! that, so that a caller who leaves is seen; where that cannot be, its wait ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, StatusCode, Uri};
use pingora_core::ErrorType;
use pingora_proxy::Session;
use tokio::time::timeout;
use uuid::Uuid;

use crate::engine::DenyCode;
use crate::hall::approvals::{Phase, Subject};
use crate::hall::{CannotDecide, Door, HeldContents, HeldRequest, Recorded};
use crate::proxy::destination::Destination;
use crate::proxy::exchange::Exchange;
use crate::proxy::forwarded::CallerView;
use crate::proxy::gate::Parts;
use crate::proxy::pipeline::Decided;
use crate::proxy::reject::OwnAnswer;
use crate::proxy::settings::HoldWait;
use crate::proxy::would_run::WouldRun;
use crate::telemetry::traces::TracedPart;

/// The longest body that waits: what pingora keeps to send again.
const LONGEST: usize = 65_536;
/// How long a body has to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
const PREFER: &str = "prefer";
/// The span of a wait, and the attribute that says how it ended.
const WAIT: &str = "wait for a human";
const WAIT_ENDED: &str = "wcp.approval_wait_ended";

/// A request that is held, and where it goes if somebody agrees.
pub struct HeldExchange {
    pub(super) request: HeldRequest,
    pub(super) destination: Arc<Destination>,
    pub(super) target: Option<Uri>,
    pub(super) wait: HoldWait,
}

/// How a caller's wait ended.
#[derive(Debug, Clone, Copy)]
enum WaitEnd {
    /// The approval has moved.
    Moved(Phase),
    /// It has waited for as long as it may.
    Late,
    /// The gate drains.
    Drains,
    /// The caller is gone.
    Left,
}

/// Why a request cannot wait for anybody, and with which status that is said.
struct Unheld(StatusCode, String);

impl Parts {
    /// Puts a held request to a human, and has it go on when they have agreed, now or within the wait of its route.
    pub async fn hold(&self, session: &mut Session, exchange: &mut Exchange, held: Box<HeldExchange>) -> Decided {
        match self.ask_human(session, exchange, held).await {
            Ok(decided) => decided,
            Err(why) => self.undecided(&why, exchange),
        }
    }

    async fn ask_human(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        held: Box<HeldExchange>,
    ) -> Result<Decided, CannotDecide> {
        let reading = self.hall.read_for_human(held.request.caller())?;
        let bytes = match Box::pin(self.whole_body(session, exchange)).await {
            Ok(bytes) => bytes,
            Err(Unheld(status, why)) => {
                // What is left of it is not read.
                session.set_keepalive(None);
                let recorded = Box::pin(self.hall.deny_held(held.request, DenyCode::CannotBeHeld, why)).await?;
                note(exchange, &recorded);
                return Ok(OwnAnswer::denied_with(status, &recorded).into());
            }
        };
        let wait = asked_wait(&session.req_header().headers, held.wait);
        let caller = held.request.caller().clone();
        // Boxed, so that whoever waits does not have in memory what is done before and behind that.
        let (recorded, place) = Box::pin(self.put(session, held, bytes, None)).await?;
        let Some(id) = pending(&recorded) else {
            return Ok(self.permit(recorded, place.0, place.1, exchange));
        };
        note(exchange, &recorded);
        drop((recorded, place));
        if wait.is_zero() {
            return still_held(exchange);
        }
        let Some(waiting) = self.hall.wait_for_human(&caller, bytes) else { return still_held(exchange) };
        drop(reading);
        let began = Instant::now();
        let span = exchange.traced.as_ref().and_then(|span| span.part(WAIT));
        let ended = self.decided_within(session, id, wait, span).await;
        exchange.waited = Some(began.elapsed());
        drop(waiting);
        // Much may have changed meanwhile.
        self.may_tell_to_go(session);
        if !matches!(ended, WaitEnd::Moved(_)) {
            return still_held(exchange);
        }
        exchange.returns = true;
        match Box::pin(self.decide(session, exchange)).await {
            Decided::Held(held) => {
                let (recorded, place) = Box::pin(self.put(session, held, bytes, Some(id))).await?;
                Ok(self.permit(recorded, place.0, place.1, exchange))
            }
            decided => Ok(decided),
        }
    }

    /// Has a held request spend what was agreed to, or asks; and where it goes.
    async fn put(
        &self,
        session: &Session,
        held: Box<HeldExchange>,
        bytes: usize,
        returning: Option<Uuid>,
    ) -> Result<(Recorded, (Arc<Destination>, Option<Uri>)), CannotDecide> {
        let HeldExchange { request, destination, target, wait: _ } = *held;
        let unbound = self.hall.unbound_headers().ok_or(CannotDecide::Approvals)?;
        let seen = CallerView::for_upstream(&destination.upstream, session);
        let would_run = WouldRun::of(session.req_header(), &destination, target.as_ref(), seen.as_ref())
            .map_err(|_| CannotDecide::Approvals)?;
        let subject = Subject::of(request.input(), request.caller().token.as_ref(), Door::Gate.as_str());
        // A copy for this moment: whoever waits has it in memory once.
        let body = session.as_ref().get_retry_buffer().unwrap_or_default();
        if body.len() != bytes {
            // What is sent on would be another body than the one that was read: nobody is asked about that, and nothing spends a yes.
            return Err(CannotDecide::Approvals);
        }
        let subject = would_run.subject(subject, unbound, &body);
        let contents = || would_run.contents(&body);
        let recorded =
            self.hall.hold(request, HeldContents { subject, contents: &contents, returning, callback: None }).await?;
        Ok((recorded, (destination, target)))
    }

    /// Reads the body to its end: how many bytes it has. pingora keeps it, and sends it on when the request is forwarded.
    async fn whole_body(&self, session: &mut Session, exchange: &mut Exchange) -> Result<usize, Unheld> {
        let cannot = |status, why: &str| Err(Unheld(status, why.to_owned()));
        if session.is_upgrade_req() {
            return cannot(StatusCode::FORBIDDEN, "it asks to switch protocols, and a human cannot see what follows");
        }
        let too_large = || {
            let why = format!("its body is over {LONGEST} bytes, which is the most that a human can be shown");
            Err(Unheld(StatusCode::PAYLOAD_TOO_LARGE, why))
        };
        let header = session.req_header();
        let announced = header.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > LONGEST as u64) {
            return too_large();
        }
        let expects = header.headers.contains_key(EXPECT);
        session.enable_retry_buffering();
        let read = async {
            if expects {
                session.write_continue_response().await?;
            }
            let mut bytes = 0;
            while !session.as_downstream_mut().is_body_done() {
                exchange.arrival.uploads();
                let Some(piece) = session.read_request_body().await? else { break };
                bytes += piece.len();
                if bytes > LONGEST {
                    return Ok(None);
                }
            }
            exchange.arrival.is_uploaded();
            Ok::<_, Box<pingora_core::Error>>(Some(bytes))
        };
        match timeout(BODY_TIME.min(self.idle_timeout), read).await {
            Ok(Ok(Some(bytes))) if !session.as_ref().retry_buffer_truncated() => Ok(bytes),
            Ok(Ok(_)) => too_large(),
            Ok(Err(error)) if *error.etype() != ErrorType::ReadTimedout => {
                cannot(StatusCode::BAD_REQUEST, "its body could not be read to its end")
            }
            // By whichever clock.
            Ok(Err(_)) | Err(_) => {
                cannot(StatusCode::REQUEST_TIMEOUT, "its body did not arrive in time to be shown to a human")
            }
        }
    }

    /// Waits until an approval moves, at most so long. The span of that says how it ended, also if nobody is there any more who waits.
    async fn decided_within(
        &self,
        session: &mut Session,
        id: Uuid,
        wait: Duration,
        mut span: Option<Box<TracedPart>>,
    ) -> WaitEnd {
        if let Some(span) = &mut span {
            span.set("wcp.approval_id", id.to_string());
            span.set(WAIT_ENDED, "cut_off");
        }
        let Some(mut phase) = self.hall.watch_approval(id) else { return WaitEnd::Late };
        let moved = async {
            let now = phase.wait_for(|phase| *phase != Phase::Pending).await;
            now.map_or(Phase::Over, |phase| *phase)
        };
        let ended = tokio::select! {
            biased;
            phase = moved => WaitEnd::Moved(phase),
            () = self.hall.drains() => WaitEnd::Drains,
            () = gone(session) => WaitEnd::Left,
            () = tokio::time::sleep(wait) => WaitEnd::Late,
        };
        if let Some(span) = &mut span {
            span.set(WAIT_ENDED, self.said_of(ended, id));
        }
        ended
    }

    /// How a wait ended, for its span.
    fn said_of(&self, ended: WaitEnd, id: Uuid) -> &'static str {
        match ended {
            WaitEnd::Moved(Phase::Approved) => "approved",
            WaitEnd::Moved(_) => self.hall.approval(id).map_or("over", |approval| approval.state.as_str()),
            WaitEnd::Drains => "drained",
            WaitEnd::Left => "caller_left",
            WaitEnd::Late => "timed_out",
        }
    }
}

/// Resolves when the caller is seen to leave.
async fn gone(session: &mut Session) {
    // A body that was read is followed by nothing, so what comes is an end or the next request, behind which no end is seen.
    if session.as_downstream_mut().read_body_or_idle(true).await.is_ok() {
        std::future::pending::<()>().await;
    }
    session.set_keepalive(None);
}

fn note(exchange: &mut Exchange, recorded: &Recorded) {
    exchange.decision = Some(Arc::clone(recorded.decision()));
    exchange.receipt = Some(recorded.receipt().clone());
}

/// What is answered while nobody has decided. It is made when it is said: whoever waits does not have it in memory.
fn still_held(exchange: &Exchange) -> Result<Decided, CannotDecide> {
    match (&exchange.decision, &exchange.receipt) {
        (Some(decision), Some(receipt)) => Ok(OwnAnswer::denied(decision, receipt).into()),
        _ => Err(CannotDecide::Approvals),
    }
}

/// The id under which a human is asked, while one is.
fn pending(recorded: &Recorded) -> Option<Uuid> {
    let mark = recorded.decision().approval.as_deref()?;
    if mark.granted.is_some() {
        return None;
    }
    mark.id.parse().ok()
}

/// How long a caller wants to wait (RFC 7240 4.3), as far as its route lets it; else as its route says.
fn asked_wait(headers: &HeaderMap, route: HoldWait) -> Duration {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut words = preferences.flat_map(|line| line.split(',')).map(str::trim);
    let seconds = words.find_map(|word| {
        let (name, value) = word.split_once('=')?;
        let seconds = value.split(';').next()?.trim().trim_matches('"').parse::<u64>().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then_some(seconds)
    });
    seconds.map_or(route.wait, |seconds| Duration::from_secs(seconds).min(route.max_wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_waits_as_long_as_it_prefers_and_its_route_lets_it() {
        let route = HoldWait { wait: Duration::from_secs(30), max_wait: Duration::from_secs(120) };
        for (said, seconds) in [
            (&[][..], 30),
            (&["respond-async"], 30),
            (&["wait=0"], 0),
            (&["respond-async, wait=60"], 60),
            (&["return=minimal", "Wait=\"61\"; x=1"], 61),
            (&["wait=86400"], 120),
            (&["wait=soon"], 30),
            (&["wait"], 30),
        ] {
            let headers = said.iter().map(|value| (http::HeaderName::from_static(PREFER), value.parse().unwrap()));
            assert_eq!(asked_wait(&headers.collect(), route), Duration::from_secs(seconds), "{said:?}");
        }
    }
}
