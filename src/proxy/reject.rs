//! The one place where the gate's own answers are made. A no is `application/problem+json`, or a gRPC status for a gRPC call. The connection
//! stays usable.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use pingora_core::Result;
use pingora_core::protocols::http::ServerSession;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::timestamp;
use crate::engine::{Decision, DenyCode, RouteDecision, WouldBe, route_decision};
use crate::hall::{Receipt, Recorded};
use crate::proxy::cors::{Cors, Headers};
use crate::proxy::forward::{DECISION_ID, RECEIPT};
use crate::proxy::grpc;
use crate::proxy::problem::{PendingApproval, ProblemDetails};
use crate::telemetry::logs;

/// A denied body of at most this many bytes is read and thrown away, so that its connection can go on.
const DRAINED: u64 = 64 * 1024;
/// Seconds after which a 503 is worth another try.
const RETRY_SECONDS: u64 = 1;

/// An answer of the gate's own.
#[derive(Debug)]
pub struct OwnAnswer {
    status: StatusCode,
    code: &'static str,
    message: String,
    body: Body,
    content_type: &'static str,
    receipt: Option<(HeaderValue, HeaderValue)>,
    /// What else its head says.
    headers: Headers,
    /// Seconds after which another try is worth it.
    retry_after: Option<u64>,
}

/// What follows the head.
#[derive(Debug)]
enum Body {
    Ready(Bytes),
    Problem(Box<ProblemDetails>),
}

/// What is said of a dry run.
#[derive(Serialize)]
struct Probe<'a> {
    #[serde(flatten)]
    decision: RouteDecision<'a>,
    /// What would be said if the policy were enforced on this route.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_be: Option<Value>,
}

impl OwnAnswer {
    /// A decision that does not dispatch: 403, or 503 when there is only too much to do.
    #[must_use]
    pub fn denied(decision: &Arc<Decision>, receipt: &Receipt) -> Self {
        let denial = decision.verdict.denial.as_ref();
        let code = denial.map_or(DenyCode::RequiresHumanApproval, |denial| denial.code);
        let reason = denial.map_or(code.meaning(), |denial| &*denial.message);
        let correlation = Some(&*decision.input.correlation_id);
        let status = if code == DenyCode::Overloaded { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
        Self::problem(status, code, reason, Some(receipt), Some(decision), correlation)
    }

    /// The same with another status: what cannot wait for a human because of its body.
    #[must_use]
    pub fn denied_with(status: StatusCode, recorded: &Recorded) -> Self {
        Self { status, ..Self::denied(recorded.decision(), recorded.receipt()) }
    }

    /// A request that was refused before a decision, and recorded where its caller is known.
    #[must_use]
    pub fn refused(code: DenyCode, reason: &str, receipt: Option<&Receipt>, correlation: Option<&str>) -> Self {
        let status = match code {
            DenyCode::NoRoute => StatusCode::NOT_FOUND,
            DenyCode::CapabilityNotOnRoute => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::problem(status, code, reason, receipt, None, correlation)
    }

    /// Over a rate: 429.
    #[must_use]
    pub fn over_rate(reason: &str, seconds: u64, receipt: Option<&Receipt>, correlation: Option<&str>) -> Self {
        let code = DenyCode::RateLimited;
        let answer = Self::problem(StatusCode::TOO_MANY_REQUESTS, code, reason, receipt, None, correlation);
        Self { retry_after: Some(seconds), ..answer }
    }

    /// Nobody that we know: 401, with a challenge and what to do.
    #[must_use]
    pub fn unauthenticated((challenge, remedy): (&'static str, &str)) -> Self {
        let code = DenyCode::Unauthenticated;
        let detail = format!("{}: {remedy}", code.meaning());
        let answer = Self::written(StatusCode::UNAUTHORIZED, code.as_str(), code.meaning(), detail, None, None, None);
        // The scheme is never `Bearer`: that would send a client's own Authorization, which is the upstream's.
        Self { headers: vec![(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))], ..answer }
    }

    /// Not decided or not recorded, and why: 503.
    #[must_use]
    pub fn cannot_decide(code: DenyCode, correlation: Option<&str>) -> Self {
        Self::problem(StatusCode::SERVICE_UNAVAILABLE, code, code.meaning(), None, None, correlation)
    }

    /// Permitted, but not delivered: 502, 504, 400 or 408 when the body did not come whole, or, when it is our fault, 500. `fault`:
    /// what is wrong with the body, or with the upstream's answer.
    #[must_use]
    pub fn undelivered(
        status: StatusCode,
        fault: Option<&'static str>,
        decision: Option<&Decision>,
        receipt: Option<&Receipt>,
    ) -> Self {
        let (code, reason) = match (status, fault) {
            (StatusCode::BAD_GATEWAY, Some(fault)) => ("UPSTREAM_MALFORMED", fault),
            (StatusCode::BAD_GATEWAY, None) => {
                ("UPSTREAM_UNREACHABLE", "the upstream could not be reached or broke off")
            }
            (StatusCode::GATEWAY_TIMEOUT, _) => ("UPSTREAM_TIMEOUT", "the upstream did not answer in time"),
            (StatusCode::BAD_REQUEST | StatusCode::REQUEST_TIMEOUT, _) => {
                ("REQUEST_BROKEN", fault.unwrap_or("the request could not be read to its end"))
            }
            _ => ("GATE_ERROR", "the gate failed inside"),
        };
        let detail = format!("{reason}: the request was permitted and is recorded");
        let correlation = decision.map(|decision| &*decision.input.correlation_id);
        Self::written(status, code, reason, detail, receipt, decision, correlation)
    }

    /// The decision on a dry run: 200.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn probe(recorded: &Recorded) -> Result<Self, serde_json::Error> {
        let receipt = recorded.receipt();
        let at = timestamp(receipt.recorded_at_micros());
        let id = receipt.id().to_string();
        let would_be = recorded.decision().verdict.would_be.as_deref().map(|WouldBe { outcome, denial }| {
            json!({ "outcome": outcome.as_str(), "code": denial.code.as_str(), "reason": denial.message })
        });
        let body = serde_json::to_vec(&Probe { decision: route_decision(recorded.decision(), &id, &at), would_be })?;
        let denial = recorded.decision().verdict.denial.as_ref();
        let code = denial.map_or(grpc::DRY_RUN, |denial| denial.code.as_str());
        Ok(Self {
            status: StatusCode::OK,
            code,
            message: message(code, denial.map_or("it would be allowed", |denial| &*denial.message), Some(&id)),
            body: Body::Ready(body.into()),
            content_type: "application/json",
            receipt: stamp(receipt),
            headers: Headers::new(),
            retry_after: None,
        })
    }

    /// Whether requests should be sent here: yes or no, and nothing of what is behind.
    #[must_use]
    pub fn health(ready: bool) -> Self {
        if ready {
            Self::plain(StatusCode::OK, "ok\n")
        } else {
            Self::plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
    }

    /// The gate's own path is only read.
    #[must_use]
    pub fn only_get() -> Self {
        let headers = vec![(ALLOW, HeaderValue::from_static("GET, HEAD"))];
        Self { headers, ..Self::plain(StatusCode::METHOD_NOT_ALLOWED, "send GET or HEAD\n") }
    }

    /// A preflight is allowed this.
    #[must_use]
    pub fn preflight(headers: Headers) -> Self {
        Self { headers, ..Self::plain(StatusCode::NO_CONTENT, "") }
    }

    fn plain(status: StatusCode, body: &'static str) -> Self {
        Self {
            status,
            code: "",
            message: String::new(),
            body: Body::Ready(Bytes::from_static(body.as_bytes())),
            content_type: "text/plain; charset=utf-8",
            receipt: None,
            headers: Headers::new(),
            retry_after: None,
        }
    }

    /// Whether it answers something that was asked for; else the gate speaks for itself.
    const fn says_no(&self) -> bool {
        !self.code.is_empty()
    }

    fn problem(
        status: StatusCode,
        code: DenyCode,
        reason: &str,
        receipt: Option<&Receipt>,
        decision: Option<&Arc<Decision>>,
        correlation: Option<&str>,
    ) -> Self {
        let detail = decision.and_then(|decision| decision.detail());
        let detail = detail.unwrap_or_else(|| format!("{}: {}", code.meaning(), code.remedy()));
        Self::written(status, code.as_str(), reason, detail, receipt, decision.map(|decision| &**decision), correlation)
    }

    fn written(
        status: StatusCode,
        code: &'static str,
        reason: &str,
        detail: String,
        receipt: Option<&Receipt>,
        decision: Option<&Decision>,
        correlation: Option<&str>,
    ) -> Self {
        let id = receipt.map(|receipt| receipt.id().to_string());
        let message = message(code, reason, id.as_deref());
        let problem = ProblemDetails {
            detail,
            decision_id: id,
            reason: reason.to_owned(),
            artifact_hash: decision.map(|decision| decision.artifact_hash.to_hex()),
            pending: decision.and_then(|decision| decision.approval.as_deref()).and_then(PendingApproval::of),
            correlation_id: correlation.map(Arc::from),
        };
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_SECONDS);
        Self {
            status,
            code,
            message,
            body: Body::Problem(Box::new(problem)),
            content_type: "application/problem+json",
            receipt: receipt.and_then(stamp),
            headers: Headers::new(),
            retry_after,
        }
    }

    /// The same for a gRPC call.
    fn said(&self) -> grpc::GrpcStatus<'_> {
        grpc::GrpcStatus { status: self.status, code: self.code, message: &self.message, retry_after: self.retry_after }
    }

    /// What names the decision.
    fn stamp(&self, head: &mut ResponseHeader) -> Result<()> {
        if let Some((id, receipt)) = &self.receipt {
            head.insert_header(DECISION_ID, id.clone())?;
            head.insert_header(RECEIPT, receipt.clone())?;
        }
        Ok(())
    }

    /// What is written to this request.
    fn body(&self, request: &RequestHeader) -> Bytes {
        match &self.body {
            Body::Ready(body) => body.clone(),
            Body::Problem(problem) => problem.json(self.status, self.code, &self.message, &request.headers).into(),
        }
    }

    fn head(&self, length: usize) -> Result<ResponseHeader> {
        let mut head = ResponseHeader::build_no_case(self.status, Some(8))?;
        if self.status != StatusCode::NO_CONTENT {
            head.insert_header(CONTENT_TYPE, HeaderValue::from_static(self.content_type))?;
            head.insert_header(CONTENT_LENGTH, HeaderValue::from(length))?;
        }
        head.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
        self.stamp(&mut head)?;
        if let Some(seconds) = self.retry_after {
            head.insert_header(RETRY_AFTER, HeaderValue::from(seconds))?;
        }
        for (name, value) in &self.headers {
            head.insert_header(name.clone(), value.clone())?;
        }
        Ok(head)
    }

    /// Sends it instead of anything from upstream, to a web page as `cors` lets it be read. `respond_error` would close the connection.
    ///
    /// # Errors
    /// The caller cannot be written to.
    pub async fn send(self, session: &mut Session, cors: &Cors) -> Result<()> {
        if self.says_no()
            && grpc::is_call(session.req_header())
            && let ServerSession::H2(stream) = session.as_downstream_mut()
        {
            let mut head = grpc::head(self.said())?;
            self.stamp(&mut head)?;
            cors.mark(stream.req_header(), &mut head)?;
            return stream.write_response_header(Box::new(head), true);
        }
        if small_body_follows(session) {
            session.set_close_on_response_before_downstream_finish(false);
        }
        let body = self.body(session.req_header());
        let mut head = self.head(body.len())?;
        cors.mark(session.req_header(), &mut head)?;
        let bodiless = session.req_header().method == Method::HEAD || body.is_empty();
        session.write_response_header(Box::new(head), bodiless).await?;
        let body = if bodiless { Bytes::new() } else { body };
        session.write_response_body(Some(body), true).await
    }

    /// Says it behind an answer that has begun, where a gRPC call makes that possible, and gives the status that was said. It would
    /// otherwise be reset, which its client takes for its own cancelling. Elsewhere the caller sees that the answer breaks off.
    pub fn end(&self, session: &mut Session) -> Option<HeaderValue> {
        if !grpc::is_call(session.req_header()) {
            return None;
        }
        let ServerSession::H2(stream) = session.as_downstream_mut() else { return None };
        let trailers = grpc::trailers(self.said());
        let status = trailers.get(grpc::STATUS).cloned();
        stream.write_trailers(trailers).ok().and(status)
    }
}

/// Whether a body is on its way that is small enough to be thrown away. One that waits for `100 Continue` never comes.
fn small_body_follows(session: &Session) -> bool {
    let headers = &session.req_header().headers;
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    length.is_some_and(|length| length <= DRAINED) && !headers.contains_key(EXPECT)
}

/// In one sentence: the code, the reason and where to look it up. A reason may name a path, and paths can be long.
fn message(code: &str, reason: &str, decision_id: Option<&str>) -> String {
    let reason = logs::brief(reason);
    match decision_id {
        Some(id) => format!("{code}: {reason} (decision {id})"),
        None => format!("{code}: {reason}"),
    }
}

fn stamp(receipt: &Receipt) -> Option<(HeaderValue, HeaderValue)> {
    let id = HeaderValue::try_from(receipt.id().to_string()).ok()?;
    Some((id, HeaderValue::try_from(receipt.hash().to_hex()).ok()?))
}
