//! The gate's pipeline, top down: validate, identify, admit, route, describe, decide and record; then a permit to forward, an
//! answer instead, or a human who is asked first.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{Method, Uri};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::engine::DenyCode;
use crate::hall::{Admission, Applicant, Ask, CannotDecide, Door, NotAdmitted, Recorded, Refusal, Ruled};
use crate::proxy::arrival::MinimumRate;
use crate::proxy::correlation::correlation_id;
use crate::proxy::describe::RequestFacts;
use crate::proxy::destination::Destination;
use crate::proxy::exchange::{Exchange, Forward};
use crate::proxy::forward;
use crate::proxy::gate::{Parts, connection};
use crate::proxy::holding::HeldExchange;
use crate::proxy::identify::{From, Unknown};
use crate::proxy::reject::OwnAnswer;
use crate::proxy::routes::{NoWay, Way};
use crate::proxy::settings::HoldWait;
use crate::proxy::traced;
use crate::proxy::validate::{Claims, ValidRequest, validate};
use crate::telemetry::InFlight;
use crate::tls;

/// A described request, and where it goes if it may.
pub struct Described {
    ask: Ask,
    destination: Arc<Destination>,
    target: Option<Uri>,
    wait: HoldWait,
}

/// What becomes of a request.
pub enum Decided {
    /// It is forwarded: the permit is in the exchange.
    Forward,
    /// It is answered here.
    Answer(Box<OwnAnswer>),
    /// A human has to agree.
    Held(Box<HeldExchange>),
}

/// Why a request goes no further than to its answer.
pub enum Stopped {
    /// The gate answers by itself: nothing is asked of anybody, so nobody is identified and nothing recorded.
    Answered(Box<OwnAnswer>),
    /// From nobody that we know: counted, and recorded only together with all others of its second.
    Stranger(Stranger, Option<IpAddr>),
    /// Its credential is one of too many that are wrong, or it is over a rate.
    NotAdmitted(NotAdmitted),
    /// It is refused to somebody who is known, and that is recorded.
    Refused(Box<Refusal>),
}

/// What is answered to whoever proves no identity.
pub enum Stranger {
    /// What proves one.
    Unauthenticated,
    /// What is malformed, in a request that would not be taken from anyone.
    Malformed(String),
}

impl Stranger {
    const fn code(&self) -> DenyCode {
        match self {
            Self::Unauthenticated => DenyCode::Unauthenticated,
            Self::Malformed(_) => DenyCode::MalformedClaim,
        }
    }
}

impl Parts {
    /// The steps that need nobody but the gate. Whoever is known is held to its rates whatever is wrong with the request, and whoever is
    /// not gets an answer and no more.
    ///
    /// # Errors
    /// A step says no.
    pub fn describe(&self, session: &Session, exchange: &mut Exchange) -> Result<Described, Stopped> {
        let request = session.req_header();
        let valid = exchange.unframed.map_or_else(|| validate(request), |why| Err(why.into()));
        let proof;
        let claims = match &valid {
            Ok(valid) => &valid.claims,
            Err(_) => {
                proof = Claims::of_unsound(&request.headers);
                &proof
            }
        };
        let correlation = correlation_id(claims, &request.headers);
        exchange.correlation = Some(Arc::clone(&correlation));

        let from = From {
            address: session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip),
            workload: connection(session).and_then(tls::Connection::workload),
        };
        if let Ok(valid) = &valid {
            let answer = self.own_answer(request, &valid.target.path, exchange);
            let answer = answer.map_err(|why| Stopped::Stranger(Stranger::Malformed(why.to_owned()), from.address))?;
            if let Some(answer) = answer {
                return Err(Stopped::Answered(Box::new(answer)));
            }
        }

        let identified = self.identify.who(claims, &request.headers, from, &self.hall.tokens());
        // Where the identity is another than by token, a token is not looked at and proves nothing, nor fails to.
        let presented = claims.token.is_some() && self.identify.looks_at_tokens();
        let applicant = match &identified {
            Ok(who) => Some(Applicant::Known { token: who.caller.token.as_ref(), tenant: Some(&who.tenant) }),
            Err(_) => presented.then_some(Applicant::Unknown(from.address)),
        };
        exchange.is_known = identified.is_ok();
        if exchange.is_known {
            exchange.arrival.is_known();
        }
        // Whoever has waited was admitted when it came.
        if let Some(applicant) = applicant.filter(|_| !exchange.returns) {
            let admission = Admission { door: Door::Gate, applicant, correlation_id: Some(&correlation) };
            self.hall.admit(admission).map_err(Stopped::NotAdmitted)?;
        }
        let who = identified.map_err(|unknown| {
            let stranger = match (&valid, unknown) {
                (Err(why), _) => Stranger::Malformed(why.to_string()),
                (Ok(_), Unknown::Malformed(why)) => Stranger::Malformed(why),
                (Ok(_), Unknown::Unproved) => Stranger::Unauthenticated,
            };
            Stopped::Stranger(stranger, from.address)
        })?;

        let refused = |code, message: String| {
            Stopped::Refused(Box::new(Refusal {
                door: Door::Gate,
                code,
                message,
                tenant: Some(Arc::clone(&who.tenant)).filter(|tenant| !tenant.is_empty()),
                worker: who.worker.clone(),
                token: who.caller.token.clone(),
                correlation_id: Some(Arc::clone(&correlation)),
                raw_body: None,
            }))
        };
        let valid = valid.map_err(|why| refused(DenyCode::MalformedClaim, why.into_owned()))?;
        let way = self.route(&valid, request).map_err(|(code, why)| {
            if code == DenyCode::NoRoute {
                exchange.turned_away().path = Some((&*valid.target.path).into());
            }
            refused(code, why)
        })?;
        if let Some(span) = &mut exchange.traced {
            traced::routed(span, &way.route, &request.method, &valid.target.path);
        }
        let host = way.host.clone().unwrap_or_else(|| Arc::from(&*valid.host));
        let described = RequestFacts { method: &request.method, host, path: &valid.target.path };
        let input = self.describe.describe(&way.route, &who, &valid.claims, Arc::clone(&correlation), described);
        let input = input.map_err(|(code, why)| refused(code, why))?;

        let destination = Arc::clone(&way.destination);
        let target = forward::target(&destination.upstream.base_path, &way.route.path, &valid.target, &request.uri);
        let target = target.map_err(|_| {
            refused(DenyCode::MalformedClaim, "the target does not fit the upstream's base path".to_owned())
        })?;
        let (observed_until, wait) = (way.route.observed_until, way.route.hold);
        let ask = Ask { caller: who.caller, input, door: Door::Gate, raw_body: None, observed_until };
        Ok(Described { ask, destination, target, wait })
    }

    /// What the gate answers by itself, if this is that: probes of its own health, and the preflights of pages that may call.
    ///
    /// # Errors
    /// No browser asks so; says why.
    fn own_answer(
        &self,
        request: &RequestHeader,
        path: &str,
        exchange: &mut Exchange,
    ) -> Result<Option<OwnAnswer>, &'static str> {
        if let Some(allowed) = self.cors.preflight(request) {
            return allowed.map(|headers| Some(OwnAnswer::preflight(headers)));
        }
        if !self.health_path.as_ref().is_some_and(|own| own.matches(path)) {
            return Ok(None);
        }
        exchange.is_probe = true;
        exchange.traced = None;
        Ok(Some(match request.method {
            Method::GET | Method::HEAD => OwnAnswer::health(self.hall.readiness().ready),
            _ => OwnAnswer::only_get(),
        }))
    }

    /// The route of a request.
    ///
    /// # Errors
    /// There is none, or it is not clear which; the code and one sentence.
    fn route(
        &self,
        valid: &ValidRequest<'_>,
        request: &RequestHeader,
    ) -> Result<&Way<Arc<Destination>>, (DenyCode, String)> {
        self.routes.find(&valid.host, &valid.target, &request.method).map_err(|why| match why {
            NoWay::NoRoute => {
                let (path, host) = (&valid.target.path, &valid.host);
                (DenyCode::NoRoute, format!("no route for {} {path} on host `{host}`", request.method))
            }
            NoWay::Ambiguous(why) => (DenyCode::MalformedClaim, why.to_owned()),
        })
    }

    /// Describes, decides and records, or sees to what cannot be described.
    pub async fn decide(&self, session: &mut Session, exchange: &mut Exchange) -> Decided {
        let decided = match self.describe(session, exchange) {
            Ok(Described { ask, destination, target, wait }) => self.hall.rule(ask).await.map(|ruled| match ruled {
                Ruled::Recorded(recorded) => self.permit(recorded, destination, target, exchange),
                Ruled::Held(request) => {
                    Decided::Held(Box::new(HeldExchange { request: *request, destination, target, wait }))
                }
            }),
            Err(stop) => Box::pin(self.turn_away(stop, exchange)).await.map(Decided::from),
        };
        decided.unwrap_or_else(|why| self.undecided(&why, exchange))
    }

    /// What is answered where nothing could be decided or recorded. The hall has counted and logged why.
    pub fn undecided(&self, why: &CannotDecide, exchange: &mut Exchange) -> Decided {
        exchange.refused = why.code().as_str();
        OwnAnswer::cannot_decide(why.code(), exchange.correlation_id()).into()
    }

    /// Counts or records a request that goes no further. What is answered.
    ///
    /// # Errors
    /// It could not be recorded.
    async fn turn_away(&self, stop: Stopped, exchange: &mut Exchange) -> Result<OwnAnswer, CannotDecide> {
        let correlation = exchange.correlation.clone();
        let correlation = correlation.as_deref();
        match stop {
            Stopped::Answered(answer) => Ok(*answer),
            Stopped::Stranger(stranger, address) => {
                let code = stranger.code();
                exchange.refused = code.as_str();
                if let Stranger::Malformed(why) = &stranger {
                    exchange.turned_away().reason.clone_from(why);
                }
                self.hall.count_anonymous_refusal(Door::Gate, code, address);
                Ok(match stranger {
                    Stranger::Unauthenticated => OwnAnswer::unauthenticated(self.identify.wanted()),
                    Stranger::Malformed(why) => OwnAnswer::refused(code, &why, None, correlation),
                })
            }
            Stopped::NotAdmitted(why) => {
                exchange.refused = DenyCode::RateLimited.as_str();
                let (message, seconds) = (why.message().to_owned(), why.seconds());
                exchange.turned_away().reason.clone_from(&message);
                exchange.turned_away().tenant = why.tenant().cloned();
                exchange.receipt = self.hall.turn_away(why).await;
                Ok(OwnAnswer::over_rate(&message, seconds, exchange.receipt.as_ref(), correlation))
            }
            Stopped::Refused(refusal) => {
                let (code, message) = (refusal.code, refusal.message.clone());
                exchange.refused = code.as_str();
                let noted = exchange.turned_away();
                noted.reason.clone_from(&message);
                (noted.worker, noted.tenant) = (refusal.worker.clone(), refusal.tenant.clone());
                let receipt = self.hall.refuse(*refusal).await?;
                let answer = OwnAnswer::refused(code, &message, Some(&receipt), correlation);
                exchange.receipt = Some(receipt);
                Ok(answer)
            }
        }
    }

    /// The permit to forward, in the exchange; without one the answer.
    pub fn permit(
        &self,
        recorded: Recorded,
        destination: Arc<Destination>,
        target: Option<Uri>,
        exchange: &mut Exchange,
    ) -> Decided {
        exchange.decision = Some(Arc::clone(recorded.decision()));
        exchange.receipt = Some(recorded.receipt().clone());
        if recorded.decision().input.dry_run {
            return OwnAnswer::probe(&recorded)
                .unwrap_or_else(|error| {
                    tracing::error!(%error, "a decision cannot be written as JSON");
                    OwnAnswer::cannot_decide(DenyCode::AuditUnavailable, exchange.correlation_id())
                })
                .into();
        }
        let id = recorded.receipt().id().hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).parse();
        match (recorded.permit(), id) {
            (Ok(permit), Ok(decision_id)) => {
                let _in_flight = InFlight::begin(&self.hall.metrics().exchanges_in_flight);
                exchange.forward = Some(Box::new(Forward {
                    permit,
                    decision_id,
                    destination,
                    target,
                    tried: Vec::new(),
                    answered: false,
                    pace: MinimumRate::begin(),
                    _in_flight,
                }));
                Decided::Forward
            }
            (Ok(_), Err(_)) => OwnAnswer::cannot_decide(DenyCode::AuditUnavailable, exchange.correlation_id()).into(),
            (Err(recorded), _) => OwnAnswer::denied(recorded.decision(), recorded.receipt()).into(),
        }
    }
}

impl std::convert::From<OwnAnswer> for Decided {
    fn from(answer: OwnAnswer) -> Self {
        Self::Answer(Box::new(answer))
    }
}
