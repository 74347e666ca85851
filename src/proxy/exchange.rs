//! One request's way through the gate: what is known about it so far, and, once it is permitted, the permit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Uri};

use crate::engine::Decision;
use crate::hall::{Permit, Receipt};
use crate::proxy::arrival::{Arrival, MinimumRate};
use crate::proxy::destination::Destination;
use crate::proxy::traced;
use crate::telemetry::traces::Traced;
use crate::telemetry::{InFlight, Metrics};

/// One request's way through the gate.
#[derive(Debug)]
pub struct Exchange {
    /// When its header had arrived.
    pub began: Instant,
    /// How it arrives.
    pub arrival: Arc<Arrival>,
    /// Whether it is known who sent it.
    pub is_known: bool,
    /// Whether it was here before, and has waited for a human.
    pub returns: bool,
    /// How long it was kept until a human agreed, or did not.
    pub waited: Option<Duration>,
    /// Why it cannot be told for sure where its head ends.
    pub unframed: Option<&'static str>,
    /// Interim answers so far.
    pub interim: u32,
    /// Whether the answer has no body.
    pub bodiless: bool,
    /// Why the upstream's answer cannot be passed on.
    pub unsound_answer: Option<&'static str>,
    /// The forward under way, once permitted. Boxed: pingora moves an exchange about from call to call.
    pub forward: Option<Box<Forward>>,
    /// The decision, whatever it says.
    pub decision: Option<Arc<Decision>>,
    /// The receipt of the decision or refusal.
    pub receipt: Option<Receipt>,
    /// The code of a refusal that is no decision.
    pub refused: &'static str,
    /// What else is known of it.
    pub turned_away: Option<Box<TurnedAway>>,
    /// Whether it only asked whether requests should be sent here.
    pub is_probe: bool,
    /// What ties it to others, when it is known without a decision.
    pub correlation: Option<Arc<str>>,
    /// How a gRPC call ended, where the answer's end says it.
    pub grpc_status: Option<HeaderValue>,
    /// Its span, where requests are traced.
    pub traced: Option<Box<Traced>>,
    metrics: Arc<Metrics>,
}

/// A request that was refused without a decision, for the log.
#[derive(Debug, Default)]
pub struct TurnedAway {
    /// Why.
    pub reason: String,
    /// Who asks, where that is known.
    pub worker: Option<Arc<str>>,
    /// For whom.
    pub tenant: Option<Arc<str>>,
    /// What no route is for.
    pub path: Option<Box<str>>,
}

/// A permitted request on its way.
#[derive(Debug)]
pub struct Forward {
    /// The right to forward.
    pub permit: Permit,
    /// The decision's id as a header.
    pub decision_id: HeaderValue,
    /// Where to.
    pub destination: Arc<Destination>,
    /// The target to forward, when it is not the one that came.
    pub target: Option<Uri>,
    /// Addresses that could not be connected to.
    pub tried: Vec<SocketAddr>,
    /// Whether the upstream answered with a status.
    pub answered: bool,
    /// How fast its body arrives.
    pub pace: MinimumRate,
    /// Counts it as in flight, until it is dropped.
    pub _in_flight: InFlight,
}

impl Exchange {
    /// A request whose header has just arrived.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            began: Instant::now(),
            arrival: Arrival::here(),
            is_known: false,
            returns: false,
            waited: None,
            unframed: None,
            interim: 0,
            bodiless: false,
            unsound_answer: None,
            forward: None,
            decision: None,
            receipt: None,
            refused: "",
            turned_away: None,
            is_probe: false,
            correlation: None,
            grpc_status: None,
            traced: None,
            metrics,
        }
    }

    /// What ties this request to others.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.decision.as_ref().map(|decision| &*decision.input.correlation_id).or(self.correlation.as_deref())
    }

    /// What there is to be said of its refusal.
    pub fn turned_away(&mut self) -> &mut TurnedAway {
        self.turned_away.get_or_insert_default()
    }

    /// What is wrong with its body, if anything is.
    #[must_use]
    pub fn body_fault(&self) -> Option<&'static str> {
        self.arrival.framing.as_ref()?.lock().fault()
    }

    /// Why what was permitted could not be delivered, where that is known in words: the body's fault, or the answer's.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        self.body_fault().or(self.unsound_answer)
    }

    /// Why it is refused, if it is.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        let denial = self.decision.as_ref().and_then(|decision| decision.verdict.refusal());
        let reason = denial.map(|denial| &*denial.message);
        reason.or_else(|| self.turned_away.as_ref().map(|noted| &*noted.reason)).filter(|reason| !reason.is_empty())
    }

    /// The code with which the policy would have refused it, where that is only observed.
    #[must_use]
    pub fn would_be(&self) -> Option<&'static str> {
        let would_be = self.decision.as_ref()?.verdict.would_be.as_ref()?;
        Some(would_be.denial.code.as_str())
    }

    /// The verdict's code, or the refusal's; empty for a dispatch.
    #[must_use]
    pub fn code(&self) -> &'static str {
        let denial = self.decision.as_ref().and_then(|decision| decision.verdict.denial.as_ref());
        denial.map_or(self.refused, |denial| denial.code.as_str())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.metrics.panics.inc();
        }
        if let Some(span) = self.traced.take() {
            traced::cut_off(*span, self);
        }
    }
}
