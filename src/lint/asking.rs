//! Asking as callers of the gate would: which requests of a route could be dispatched, if the policies permit them?
//!
//! The engine itself answers, so that what is said here of a request is what becomes of it. Policies may read what only a request
//! knows: they are taken to permit everything.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::engine::json::Json;
use crate::engine::policy_gate::{Asked, Claim, GateAnswer, GateReads, Policies, PolicyGate, Ruling};
use crate::engine::snapshot::Code;
use crate::engine::{Binding, Denial, Facts, Outcome, Question, RouteInput, Snapshot, decide, whose_code};
use crate::hall::Scope;
use crate::ids::{CapabilityId, DataLabel, Digest, QosClass, TenantRisk, WorkerId};
use crate::proxy::Settings;
use crate::proxy::settings::{Identity, Route};

use super::Loaded;

/// The most questions that are asked: a question takes microseconds, and a start does not wait for seconds.
const MOST_ASKED: usize = 100_000;

/// Policies that permit everything.
#[derive(Debug)]
struct Permissive;

impl PolicyGate for Permissive {
    fn digest(&self) -> Digest {
        Digest::of(b"hallgate permissive policies")
    }

    fn policies(&self) -> usize {
        0
    }

    fn forbids(&self) -> bool {
        false
    }

    fn reads(&self, _: Policies) -> GateReads {
        GateReads::default()
    }

    fn claims(&self, _: &Json) -> Box<[Claim]> {
        Box::default()
    }

    fn answer(&self, _: Policies, _: &Asked<'_>) -> GateAnswer {
        GateAnswer { ruling: Ruling::Allow, reason: Arc::from(""), policies: Arc::from([]) }
    }
}

/// Somebody who may come to the gate.
struct Caller {
    worker: Option<Arc<str>>,
    tenants: Vec<Arc<str>>,
    facts: Facts,
}

/// A policy that permits what rules let through, and who asks.
pub(super) struct Asking<'a> {
    loaded: &'a Loaded<'a>,
    gate: &'a Settings,
    snapshot: Snapshot,
    /// Every tenant that is known, and one that is not where such may ask.
    tenants: Vec<Arc<str>>,
    /// Who declares which capability.
    declaring: HashMap<&'a str, Vec<&'a WorkerId>>,
    /// How many questions may still be asked.
    left: Cell<usize>,
}

/// What becomes of a route's requests.
pub(super) struct Outlook {
    /// Why a request that says nothing of itself is denied: of who comes nearest.
    pub(super) denial: Denial,
    /// As whom it asked.
    pub(super) worker: Option<Arc<str>>,
}

impl<'a> Asking<'a> {
    /// `None` where there is no gate.
    pub(super) fn at_gate(loaded: &'a Loaded<'a>) -> Option<Self> {
        let snapshot = loaded.snapshot.heeding(Arc::clone(&loaded.snapshot.overlay));
        let snapshot = if snapshot.gate.is_some() { snapshot.gated_by(Arc::new(Permissive)) } else { snapshot };
        let settings = &snapshot.settings;
        let mut tenants: BTreeSet<Arc<str>> = settings.allowed_tenants.iter().map(Arc::clone).collect();
        tenants.extend(settings.tenants.keys().map(|tenant| tenant.shared()));
        if !settings.require_signatory || tenants.is_empty() {
            tenants.insert(Arc::from("any-tenant"));
        }
        let mut declaring: HashMap<&str, Vec<&WorkerId>> = HashMap::new();
        for worker in loaded.snapshot.workers.values() {
            for capability in &worker.capabilities {
                declaring.entry(capability.as_str()).or_default().push(&worker.worker_id);
            }
        }
        let tenants = tenants.into_iter().collect();
        Some(Self { gate: loaded.gate?, loaded, snapshot, tenants, declaring, left: Cell::new(MOST_ASKED) })
    }

    pub(super) const fn gate(&self) -> &'a Settings {
        self.gate
    }

    /// What becomes of the requests of a route for one of its capabilities; `None` where they may be dispatched, where nobody can come,
    /// and where there are too many who can for all of them to be asked.
    pub(super) fn outlook(&self, route: &Route, capability: &CapabilityId) -> Option<Outlook> {
        let mut nearest: Option<(Denial, Option<Arc<str>>)> = None;
        for (caller, tenant) in
            self.callers(capability).iter().flat_map(|caller| caller.tenants.iter().map(move |tenant| (caller, tenant)))
        {
            let denial = self.ask(caller, &self.input(route, capability, caller, tenant))?;
            if nearest.as_ref().is_none_or(|(nearest, _)| nearest.code < denial.code) {
                nearest = Some((denial, caller.worker.clone()));
            }
        }
        let (denial, worker) = nearest?;
        Some(Outlook { denial, worker })
    }

    /// Whether some request may not be denied that raises its label, its risk or its class.
    pub(super) fn otherwise(&self, route: &Route, capability: &CapabilityId) -> bool {
        let labels = DataLabel::ALL.iter().filter(|label| **label >= route.data_label);
        labels.into_iter().any(|label| {
            QosClass::ALL.iter().any(|class| {
                TenantRisk::ALL.iter().any(|risk| {
                    self.callers(capability).iter().any(|caller| {
                        caller.tenants.iter().any(|tenant| {
                            let plain = self.input(route, capability, caller, tenant);
                            let (data_label, qos_class, tenant_risk) = (*label, *class, Some(*risk));
                            let input = RouteInput { data_label, qos_class, tenant_risk, ..plain };
                            self.ask(caller, &input).is_none()
                        })
                    })
                })
            })
        })
    }

    /// A request as the gate describes it: the mildest of its route.
    fn input(&self, route: &Route, capability: &CapabilityId, caller: &Caller, tenant: &Arc<str>) -> RouteInput {
        let safe = route.methods.is_empty() || route.methods.iter().any(http::Method::is_safe);
        let writes = [(Arc::from("writes"), Json::Bool(true))];
        RouteInput {
            worker_id: caller.worker.clone(),
            data_label: route.data_label,
            data_label_defaulted: false,
            correlation_id: Arc::from("lint"),
            request: Json::Object(if safe { [].into() } else { writes.into() }),
            ..RouteInput::new(capability.as_str(), self.gate.env, tenant)
        }
    }

    /// Why it is denied; `None` when it is not, or when only a request can tell.
    fn ask(&self, caller: &Caller, input: &RouteInput) -> Option<Denial> {
        use crate::engine::DenyCode::{AttestationUnconfigured, InternalError, WorkerTampered};
        // Of what is not asked nothing is said.
        self.left.set(self.left.get().checked_sub(1)?);
        let question = Question::ask(input, &caller.facts, &self.snapshot);
        // Every worker is taken to have the code that was attested, if any was.
        let code = whose_code(&question, &self.snapshot).map(|acting| {
            let attested = acting.iter().map(|acting| acting.attestation.registered);
            attested.map(|registered| registered.map_or(Code::Unavailable, Code::Is)).collect()
        });
        let question = question.knowing(code.unwrap_or_default());
        let verdict = decide(&question, &self.snapshot);
        let is_held = verdict.outcome == Outcome::Hold;
        let open = |denial: &Denial| {
            is_held || matches!(denial.code, AttestationUnconfigured | InternalError | WorkerTampered)
        };
        verdict.denial.filter(|denial| !open(denial))
    }

    /// Who may come for a capability: of workers that are not named one by one, those that declare it, else any one.
    fn callers(&self, capability: &CapabilityId) -> Vec<Caller> {
        let any = |facts: &Facts, tenants: &[Arc<str>]| {
            let mut ids = self.declaring.get(capability.as_str()).cloned().unwrap_or_default();
            if ids.is_empty() && !self.loaded.is_open {
                ids.extend(self.loaded.snapshot.workers.keys().next());
            }
            let caller =
                |id: &WorkerId| Caller { worker: Some(id.shared()), tenants: tenants.to_vec(), facts: facts.clone() };
            ids.into_iter().map(caller).collect::<Vec<_>>()
        };
        let one = |worker: &WorkerId, tenant: &crate::ids::TenantId| Caller {
            worker: Some(worker.shared()),
            tenants: vec![tenant.shared()],
            facts: Facts::default(),
        };
        match &self.gate.identity {
            Identity::Fixed { worker_id, tenant_id } => vec![one(worker_id, tenant_id)],
            Identity::Token => {
                let tokens = self.loaded.tokens.iter().filter(|token| token.may(Scope::Route));
                tokens.flat_map(|token| self.by_token(&token.binding, any)).collect()
            }
            Identity::Mtls(workloads) => {
                let listed = workloads.ids.values().map(|(worker, tenant)| one(worker, tenant));
                let others = workloads.pattern.is_some().then(|| any(&Facts::default(), &self.tenants));
                listed.chain(others.into_iter().flatten()).collect()
            }
            Identity::TrustedHeaders { .. } => any(&Facts::default(), &self.tenants),
        }
    }

    fn by_token(&self, binding: &Binding, any: impl Fn(&Facts, &[Arc<str>]) -> Vec<Caller>) -> Vec<Caller> {
        let facts = Facts { binding: binding.clone(), observed: false };
        let tenants = binding.tenant.as_ref().map_or_else(|| self.tenants.clone(), |tenant| vec![tenant.shared()]);
        let mut callers = match &binding.workers {
            Some(workers) => {
                let caller = |worker: &WorkerId| Caller {
                    worker: Some(worker.shared()),
                    tenants: tenants.clone(),
                    facts: facts.clone(),
                };
                workers.iter().map(caller).collect()
            }
            None => any(&facts, &tenants),
        };
        // One that is bound to one worker asks as that one.
        if binding.workers.as_ref().is_none_or(|workers| workers.len() != 1) {
            callers.push(Caller { worker: None, tenants, facts });
        }
        callers
    }
}
