//! The journey of one request: admit, identify, describe, decide, record; then a permit to forward, or an answer instead.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Uri};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::engine::DenyCode;
use crate::hall::{Ask, Door, OverRate, Recorded, Refusal, limits};
use crate::proxy::admit::{Claims, admit};
use crate::proxy::arrival::Pace;
use crate::proxy::describe;
use crate::proxy::destination::Destination;
use crate::proxy::exchange::{Exchange, Forward};
use crate::proxy::forward;
use crate::proxy::gate::{Parts, connection};
use crate::proxy::identify::{From, Unknown, Who};
use crate::proxy::reject::Answer;
use crate::proxy::routes::NoWay;
use crate::proxy::traced;
use crate::telemetry::InFlight;
use crate::tls;

/// A described request, and where it goes if it may.
pub struct Asked {
    ask: Ask,
    destination: Arc<Destination>,
    target: Option<Uri>,
}

/// Why a request cannot be asked about.
pub enum Unasked {
    /// The gate answers by itself: nothing is asked of anybody, so nobody is identified and nothing recorded.
    Answered(Box<Answer>),
    /// It is refused to somebody who is known, and that is recorded.
    Refused(Box<Refusal>),
    /// From nobody that we know: counted, and recorded only together with all others of its second.
    Stranger(Stranger, Option<IpAddr>),
    /// Over the rate of its token or tenant; the refusal is recorded once in a while.
    OverRate(OverRate, Box<Refusal>),
}

/// What is answered to whoever proves no identity.
pub enum Stranger {
    /// What proves one.
    Unauthenticated,
    /// What is malformed, in a request that would not be taken from anyone.
    Malformed(String),
    /// When the next credential is worth a try: too many from there were wrong.
    Slowed(Duration),
}

impl Stranger {
    const fn code(&self) -> DenyCode {
        match self {
            Self::Unauthenticated => DenyCode::Unauthenticated,
            Self::Malformed(_) => DenyCode::MalformedClaim,
            Self::Slowed(_) => DenyCode::RateLimited,
        }
    }
}

impl Parts {
    /// admit, identify, describe. Whoever is known is held to its rates whatever is wrong with the request, and whoever is not gets an
    /// answer and no more.
    ///
    /// # Errors
    /// Any of them says no.
    pub fn ask(&self, session: &Session, exchange: &mut Exchange) -> Result<Asked, Unasked> {
        let request = session.req_header();
        let refused = |code, message: String, who: Option<&Who>, correlation: Option<&Arc<str>>| {
            Unasked::Refused(Box::new(Refusal {
                door: Door::Gate,
                code,
                message,
                tenant: who.map(|who| Arc::clone(&who.tenant)).filter(|tenant| !tenant.is_empty()),
                worker: who.and_then(|who| who.worker.clone()),
                token: who.and_then(|who| who.caller.token.clone()),
                correlation_id: correlation.cloned(),
                raw_body: None,
            }))
        };

        let admitted = exchange.unframed.map_or_else(|| admit(request), |why| Err(why.into()));
        let proof;
        let claims = match &admitted {
            Ok(admitted) => &admitted.claims,
            Err(_) => {
                proof = Claims::of_unsound(&request.headers);
                &proof
            }
        };
        let correlation = describe::correlation(claims, &request.headers);
        exchange.correlation = Some(Arc::clone(&correlation));

        let from = From {
            address: session.client_addr().and_then(|address| address.as_inet()).map(SocketAddr::ip),
            workload: connection(session).and_then(tls::Connection::workload),
        };
        let stranger = |stranger| Unasked::Stranger(stranger, from.address);
        if let Ok(admitted) = &admitted {
            let answer = self.own_answer(request, &admitted.target.path, exchange);
            if let Some(answer) = answer.map_err(|why| stranger(Stranger::Malformed(why.to_owned())))? {
                return Err(Unasked::Answered(Box::new(answer)));
            }
        }
        let who = self.identify.who(claims, &request.headers, from, &self.hall.tokens());
        let who = who.map_err(|unknown| {
            // Where the identity is another than by token, a token is not looked at and proves nothing, nor fails to.
            let guessed = claims.token.is_some() && self.identify.looks_at_tokens();
            if guessed && let Err(wait) = self.hall.guessed(from.address) {
                return stranger(Stranger::Slowed(wait));
            }
            stranger(match (&admitted, unknown) {
                (Err(why), _) => Stranger::Malformed(why.to_string()),
                (Ok(_), Unknown::Malformed(why)) => Stranger::Malformed(why),
                (Ok(_), Unknown::Unproved) => Stranger::Unauthenticated,
            })
        })?;
        exchange.arrival.is_known();
        exchange.is_known = true;
        let (token, tenant) = (who.caller.token.as_ref(), &who.tenant);
        self.hall.admit(Door::Gate, token, Some(tenant)).map_err(|over| {
            let tenant = Some(Arc::clone(tenant)).filter(|tenant| !tenant.is_empty());
            let mut refusal = limits::over_rate(&over, Door::Gate, token.cloned(), tenant);
            refusal.correlation_id = Some(Arc::clone(&correlation));
            Unasked::OverRate(over, Box::new(refusal))
        })?;
        let admitted = admitted
            .map_err(|why| refused(DenyCode::MalformedClaim, why.into_owned(), Some(&who), Some(&correlation)))?;
        let claims = &admitted.claims;

        let path = &*admitted.target.path;
        let way = self.routes.find(&admitted.host, &admitted.target, &request.method).map_err(|why| {
            let (code, message) = match why {
                NoWay::NoRoute => {
                    let message = format!("no route for {} {path} on host `{}`", request.method, admitted.host);
                    (DenyCode::NoRoute, message)
                }
                NoWay::Ambiguous(why) => (DenyCode::MalformedClaim, why.to_owned()),
            };
            refused(code, message, Some(&who), Some(&correlation))
        })?;
        if let Some(span) = &mut exchange.traced {
            traced::routed(span, &way.route, &request.method, path);
        }
        let host = way.host.clone().unwrap_or_else(|| Arc::from(&*admitted.host));
        let http = self.describe.http(&request.method, host, path);
        let input = self.describe.describe(&way.route, &who, claims, Arc::clone(&correlation), http);
        let input = input.map_err(|(code, why)| refused(code, why, Some(&who), Some(&correlation)))?;

        let destination = Arc::clone(&way.destination);
        let target = forward::target(&destination.upstream.base_path, &way.route.path, &admitted.target, &request.uri);
        let target = target.map_err(|_| {
            let message = "the target does not fit the upstream's base path".to_owned();
            refused(DenyCode::MalformedClaim, message, Some(&who), Some(&correlation))
        })?;
        Ok(Asked { ask: Ask { caller: who.caller, input, door: Door::Gate, raw_body: None }, destination, target })
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
    ) -> Result<Option<Answer>, &'static str> {
        if let Some(allowed) = self.cors.preflight(request) {
            return allowed.map(|headers| Some(Answer::preflight(headers)));
        }
        if !self.health_path.as_ref().is_some_and(|own| own.matches(path)) {
            return Ok(None);
        }
        exchange.is_probe = true;
        exchange.traced = None;
        Ok(Some(match request.method {
            Method::GET | Method::HEAD => Answer::health(self.hall.readiness().ready),
            _ => Answer::only_get(),
        }))
    }

    /// decide, record; then there is a forward in the exchange, or an answer to give instead.
    pub async fn rule(&self, asked: Result<Asked, Unasked>, exchange: &mut Exchange) -> Option<Answer> {
        let ruled = match asked {
            Ok(Asked { ask, destination, target }) => {
                self.hall.rule(ask).await.map(|recorded| self.ruled(recorded, destination, target, exchange))
            }
            Err(Unasked::Answered(answer)) => Ok(Some(*answer)),
            Err(Unasked::Refused(refusal)) => {
                let (code, message) = (refusal.code, refusal.message.clone());
                exchange.refused = code.as_str();
                self.hall.refuse(*refusal).await.map(|receipt| {
                    let answer = Answer::refused(code, &message, Some(&receipt), exchange.correlation.as_deref());
                    exchange.receipt = Some(receipt);
                    Some(answer)
                })
            }
            Err(Unasked::Stranger(stranger, address)) => {
                let code = stranger.code();
                exchange.refused = code.as_str();
                self.hall.met_a_stranger(Door::Gate, code, address);
                let correlation = exchange.correlation.as_deref();
                Ok(Some(match stranger {
                    Stranger::Unauthenticated => Answer::unauthenticated(self.identify.wanted()),
                    Stranger::Malformed(why) => Answer::refused(code, &why, None, correlation),
                    Stranger::Slowed(wait) => {
                        let reason = "too many credentials from this network were not valid";
                        Answer::over_rate(reason, limits::seconds(wait), None, correlation)
                    }
                }))
            }
            Err(Unasked::OverRate(over, refusal)) => {
                exchange.refused = refusal.code.as_str();
                exchange.receipt = self.hall.turn_away(&over, *refusal).await;
                let (receipt, correlation) = (exchange.receipt.as_ref(), exchange.correlation.as_deref());
                Ok(Some(Answer::over_rate(&over.message, over.seconds(), receipt, correlation)))
            }
        };
        // The hall has counted and logged why it cannot.
        ruled.unwrap_or_else(|why| {
            exchange.refused = why.code().as_str();
            Some(Answer::cannot_decide(why.code(), exchange.correlation_id()))
        })
    }

    fn ruled(
        &self,
        recorded: Recorded,
        destination: Arc<Destination>,
        target: Option<Uri>,
        exchange: &mut Exchange,
    ) -> Option<Answer> {
        exchange.decision = Some(Arc::clone(recorded.decision()));
        exchange.receipt = Some(recorded.receipt().clone());
        if recorded.decision().input.dry_run {
            return Some(Answer::probe(&recorded).unwrap_or_else(|error| {
                tracing::error!(%error, "a decision cannot be written as JSON");
                Answer::cannot_decide(DenyCode::AuditUnavailable, exchange.correlation_id())
            }));
        }
        let id = recorded.receipt().id().hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).parse();
        match (recorded.permit(), id) {
            (Ok(permit), Ok(decision_id)) => {
                let _in_flight = InFlight::begin(&self.hall.metrics().exchanges_in_flight);
                exchange.forward = Some(Forward {
                    permit,
                    decision_id,
                    destination,
                    target,
                    tried: Vec::new(),
                    answered: false,
                    pace: Pace::begin(),
                    _in_flight,
                });
                None
            }
            (Ok(_), Err(_)) => Some(Answer::cannot_decide(DenyCode::AuditUnavailable, exchange.correlation_id())),
            (Err(recorded), _) => Some(Answer::denied(&recorded)),
        }
    }
}
