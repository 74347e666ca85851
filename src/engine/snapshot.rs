//! Everything that a decision may depend on besides the question, as one immutable value, built and checked at load.

mod acting;
mod approvable;
mod derived;
pub(crate) mod fingerprint;
mod fleet;
mod registry_overlay;
mod selection;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::json::Step;
use crate::engine::policy_gate::{GateReads, Policies, PolicyGate};
use crate::engine::{Catalogue, Json, KeptRequest, ReadAttribute, RouteInput, RuleSet};
pub use acting::{Acting, Attestation, Code, Envelope, Source};
pub use approvable::Approvable;
pub(crate) use fleet::Fleet;
pub use registry_overlay::{RegistryOverlay, Required};
pub(crate) use selection::{Chosen, Prepared, Skip, controls_deny, missing_controls};

use crate::ids::{CapabilityId, ControlId, Digest, Env, RiskTier, SpeciesId, TenantId, TenantRisk, WorkerId};

/// The digest of everything in a snapshot: equal snapshots have equal fingerprints, also across processes.
pub type Fingerprint = Digest;

/// How the specification is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Verdict for verdict what the public reference implementation gives.
    Reference,
    /// What the specification asks for and the reference leaves out, too.
    Strict,
}

impl Mode {
    /// `reference` or `strict`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Strict => "strict",
        }
    }
}

/// The policy's switches: the `policy` section without its files.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How the specification is read.
    pub mode: Mode,
    /// The operator's name of this policy, on every decision.
    pub version: Arc<str>,
    /// Environments in which a request names its worker (strict, S8).
    pub require_worker_id: BTreeSet<Env>,
    /// Only listed tenants.
    pub require_signatory: bool,
    /// The listed tenants.
    pub allowed_tenants: BTreeSet<Arc<str>>,
    /// Attestation for every dispatch.
    pub require_worker_attestation: bool,
    /// A correlation id, whatever the rule says.
    pub enforce_correlation_id: bool,
    /// The rule's controls, whatever the rule's precondition says.
    pub enforce_required_controls: bool,
    /// The blast gate in prod and edge, whatever the rule says.
    pub enforce_blast_scoring_in_prod: bool,
    /// Privilege envelopes for every dispatch.
    pub enforce_privilege_envelopes: bool,
    /// Only capabilities of the catalogue.
    pub require_known_capability: bool,
    /// Destinations that an envelope may name, by environment.
    pub egress_allowlist: BTreeMap<Env, BTreeSet<String>>,
    /// Known tenants and their risk; others count as high (strict, S9).
    pub tenants: BTreeMap<TenantId, TenantRisk>,
    /// What humans may agree to, where somebody can be asked; `None`: what wants a human is denied.
    pub approvals: Option<Approvable>,
}

impl Settings {
    /// Whether somebody can be asked who may agree to what is held. In reference mode nothing waits for anybody.
    #[must_use]
    pub fn may_ask(&self) -> bool {
        self.mode == Mode::Strict && self.approvals.is_some()
    }
}

impl Default for Settings {
    /// A policy whose configuration says nothing.
    fn default() -> Self {
        Self {
            mode: Mode::Strict,
            version: "policy.v0".into(),
            require_worker_id: [Env::Prod, Env::Edge].into(),
            require_signatory: false,
            allowed_tenants: BTreeSet::new(),
            require_worker_attestation: false,
            enforce_correlation_id: true,
            enforce_required_controls: true,
            enforce_blast_scoring_in_prod: true,
            enforce_privilege_envelopes: false,
            require_known_capability: false,
            egress_allowlist: BTreeMap::new(),
            tenants: BTreeMap::new(),
            approvals: None,
        }
    }
}

/// A worker's status, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkerStatus {
    /// May be dispatched.
    Active,
    /// May be, but not in prod and edge: the registry that must vouch for it has not, or not lately.
    Unverified,
    /// May not: revoked, retired or unknown.
    Revoked,
    /// May not, ever.
    Banned,
}

impl WorkerStatus {
    /// Whether a worker of this status may be dispatched there.
    #[must_use]
    pub const fn may_act(self, env: Env) -> bool {
        match self {
            Self::Active => true,
            Self::Unverified => !env.is_production(),
            Self::Revoked | Self::Banned => false,
        }
    }

    /// The status in entries and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Unverified => "unverified",
            Self::Revoked => "revoked",
            Self::Banned => "banned",
        }
    }
}

/// An enrolled worker, as far as decisions look at it.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Its id.
    pub worker_id: WorkerId,
    /// Its species.
    pub species: SpeciesId,
    /// What it declares.
    pub capabilities: BTreeSet<CapabilityId>,
    /// The controls that it implements.
    pub implements: BTreeSet<ControlId>,
    /// The controls that it demands of its surroundings (strict, S2).
    pub required_controls: BTreeSet<ControlId>,
    /// Where it may act; `None`: the record does not say.
    pub allowed_environments: Option<BTreeSet<Env>>,
    /// Its 0–25 blast sum, where the record has one (strict, S6).
    pub blast_sum: Option<u8>,
    /// Its status. In a snapshot that heeds a remote registry, the worse of the record's and the registry's.
    pub status: WorkerStatus,
    /// What was attested of its code.
    pub attestation: Attestation,
    /// Its privilege envelope, where the record has one.
    pub envelope: Option<Envelope>,
    /// Its risk tier, where the record has one. Lists show it; no decision looks at it.
    pub risk_tier: Option<RiskTier>,
}

impl Worker {
    /// An active one whose record says nothing more.
    #[must_use]
    pub fn new(worker_id: WorkerId, species: SpeciesId, capabilities: BTreeSet<CapabilityId>) -> Self {
        Self {
            worker_id,
            species,
            capabilities,
            implements: BTreeSet::new(),
            required_controls: BTreeSet::new(),
            allowed_environments: None,
            blast_sum: None,
            status: WorkerStatus::Active,
            attestation: Attestation::default(),
            envelope: None,
            risk_tier: None,
        }
    }
}

/// Whether more workers may come while the snapshot's rules are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roll {
    /// All that there are are here: a species that none of them has is a mistake (strict, S7).
    Closed,
    /// Workers are enrolled over the API, too: a rule may wait for one, and denies until it is there.
    Open,
}

/// Everything that a decision may depend on besides the question.
#[derive(Debug)]
pub struct Snapshot {
    /// The switches.
    pub settings: Arc<Settings>,
    /// The rules, indexed by capability.
    pub rules: Arc<RuleSet>,
    /// The enrolled workers by id.
    pub workers: BTreeMap<WorkerId, Arc<Worker>>,
    /// Which capabilities there are.
    pub catalogue: Catalogue,
    /// The policies that rules may ask.
    pub gate: Option<Arc<dyn PolicyGate>>,
    /// The digest of all of it.
    pub fingerprint: Fingerprint,
    /// The digest of it without the word of a remote registry.
    pub local: Fingerprint,
    /// What a remote registry says, which is heeded in all of it.
    pub overlay: Arc<RegistryOverlay>,
    /// Another policy over the same workers, which is asked beside this one and never enforced. No part of the fingerprint: no verdict
    /// depends on it.
    pub shadow: Option<Arc<Self>>,
    /// The workers by their records, in the records' order.
    enrolled: Arc<[Arc<Worker>]>,
    pub(crate) reads: Reads,
    /// What the policies that are asked read of the caller's object.
    attributes: Arc<[ReadAttribute]>,
    pub(crate) prepared: Vec<Prepared>,
    /// The controls that workers which may act implement.
    pub(crate) fleet: Fleet,
    /// Everybody who may act, by worker id; in reference mode by species.
    pub(crate) acting: BTreeMap<Arc<str>, Arc<Acting>>,
}

/// What of a request any verdict of a snapshot can depend on; the rest is left out of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) label: bool,
    pub(crate) tenant_risk: bool,
    pub(crate) qos: bool,
    pub(crate) correlation: bool,
    /// The blast score, in every environment.
    pub(crate) blast: bool,
    /// The blast score, in production.
    pub(crate) blast_in_production: bool,
    /// What the policy gate reads, where it is asked.
    pub(crate) gate: GateReads,
    /// The hash of the code of whoever acts.
    pub(crate) code: bool,
}

impl Reads {
    /// Everything.
    #[cfg(test)]
    pub(crate) const ALL: Self = Self {
        label: true,
        tenant_risk: true,
        qos: true,
        correlation: true,
        blast: true,
        blast_in_production: true,
        gate: GateReads::ALL,
        code: true,
    };

    fn of(settings: &Settings, rules: &RuleSet) -> Self {
        let constrains = rules.rules.iter().map(|rule| rule.cells.constrains());
        let [_, label, tenant_risk, qos] =
            constrains.fold([false; 4], |[a, b, c, d], [e, f, g, h]| [a || e, b || f, c || g, d || h]);
        Self {
            // Envelopes look at it, too, if only in production.
            label: label || settings.enforce_privilege_envelopes || rules.rules.iter().any(|rule| rule.needs_envelope),
            tenant_risk,
            qos,
            correlation: settings.enforce_correlation_id
                || rules.rules.iter().any(|rule| rule.preconditions.must_have_correlation_id),
            blast: rules.rules.iter().any(|rule| rule.scores_blast),
            blast_in_production: settings.enforce_blast_scoring_in_prod,
            gate: GateReads::default(),
            code: settings.require_worker_attestation
                || (settings.mode == Mode::Strict
                    && rules.rules.iter().any(|rule| rule.preconditions.deny_if_no_attestation_in_prod)),
        }
    }

    /// These, and what the policy gate reads.
    fn and(self, gate: GateReads) -> Self {
        Self {
            label: self.label || gate.label,
            tenant_risk: self.tenant_risk || gate.tenant_risk,
            qos: self.qos || gate.qos,
            blast: self.blast || gate.blast,
            gate,
            ..self
        }
    }
}

/// Why settings, rules and workers do not make a snapshot together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotProblem {
    /// Which rule, worker or setting.
    pub path: String,
    /// The steps to it in the rules file; none when it is not there.
    pub in_rules: Vec<Step>,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

impl Snapshot {
    /// Puts settings, rules and workers together, checks them against each other, and works out all that needs no request.
    ///
    /// # Errors
    /// Every problem at once: what one part asks for and another lacks.
    pub fn build(settings: Settings, rules: RuleSet, workers: Vec<Worker>) -> Result<Self, Vec<SnapshotProblem>> {
        let workers = workers.into_iter().map(Arc::new).collect();
        Self::of(Arc::new(settings), Arc::new(rules), workers, Roll::Closed)
    }

    /// The same of parts that others have, too; on an open roll a rule may wait for a worker that does not exist yet.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn of(
        settings: Arc<Settings>,
        rules: Arc<RuleSet>,
        workers: Vec<Arc<Worker>>,
        roll: Roll,
    ) -> Result<Self, Vec<SnapshotProblem>> {
        let mut problems = Vec::new();
        if rules.mode != settings.mode {
            problems.push(SnapshotProblem {
                path: "mode".into(),
                in_rules: Vec::new(),
                message: format!(
                    "the rules were read in {:?} mode, the policy is in {:?} mode",
                    rules.mode, settings.mode
                ),
                help: "read the rules in the policy's mode".into(),
            });
        }
        let mut ids = BTreeSet::new();
        for worker in workers.iter().filter(|worker| !ids.insert(&worker.worker_id)) {
            let path = format!("workers.{}", worker.worker_id);
            let message = "is enrolled twice".into();
            let help = "give each worker an id of its own".into();
            problems.push(SnapshotProblem { path, in_rules: Vec::new(), message, help });
        }
        if settings.mode == Mode::Strict && roll == Roll::Closed {
            problems.extend(selection::dangling(&workers, &rules));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self::put_together(settings, rules, workers.into(), Arc::default()))
    }

    /// The same settings, rules and records, heeding what a remote registry says of the workers now. It can take a worker's
    /// standing away and never give it one.
    #[must_use]
    pub fn heeding(&self, overlay: Arc<RegistryOverlay>) -> Self {
        let (settings, rules) = (Arc::clone(&self.settings), Arc::clone(&self.rules));
        let snapshot = Self::put_together(settings, rules, Arc::clone(&self.enrolled), overlay);
        Self { local: self.local, ..snapshot.ruled_as(self) }
    }

    fn put_together(
        settings: Arc<Settings>,
        rules: Arc<RuleSet>,
        enrolled: Arc<[Arc<Worker>]>,
        overlay: Arc<RegistryOverlay>,
    ) -> Self {
        let workers: Vec<_> = enrolled.iter().map(|worker| overlay.heeded(worker)).collect();
        let acting = acting::all(&workers, settings.mode);
        let fleet = Fleet::of(&workers);
        let by_id: BTreeMap<_, _> = workers.into_iter().map(|worker| (worker.worker_id.clone(), worker)).collect();
        let species = selection::Species::of(&by_id, &acting);
        let prepared = rules.rules.iter().map(|rule| species.prepare(rule, &settings, &fleet)).collect();
        let fingerprint = fingerprint::of(&settings, &rules, &by_id, &acting);
        let reads = Reads::of(&settings, &rules);
        let (catalogue, gate, shadow, local, workers) = (Catalogue::built_in(), None, None, fingerprint, by_id);
        Self {
            reads,
            attributes: Arc::from([]),
            settings,
            rules,
            workers,
            catalogue,
            gate,
            fingerprint,
            local,
            overlay,
            shadow,
            enrolled,
            prepared,
            fleet,
            acting,
        }
    }

    /// The same with another catalogue than the built-in one. To be done before policies are put behind it.
    #[must_use]
    pub fn catalogued_by(self, catalogue: Catalogue) -> Self {
        let digest = catalogue.digest();
        let catalogued = |fingerprint| fingerprint::with_catalogue(&fingerprint, &digest);
        Self { fingerprint: catalogued(self.fingerprint), local: catalogued(self.local), catalogue, ..self }
    }

    /// The same with another policy beside it, which is asked and never enforced. To be done last.
    #[must_use]
    pub fn shadowed_by(self, shadow: Self) -> Self {
        Self { shadow: Some(Arc::new(shadow)), ..self }
    }

    /// The same with policies: rules that ask for the policy gate need a permit of them, and deny without any. In strict mode what
    /// they forbid is forbidden to every rule.
    #[must_use]
    pub fn gated_by(self, gate: Arc<dyn PolicyGate>) -> Self {
        let asked = if self.asking_rules() > 0 {
            Some(Policies::All)
        } else {
            (self.settings.mode == Mode::Strict && gate.forbids()).then_some(Policies::Forbids)
        };
        let reads = asked.map_or(self.reads, |policies| self.reads.and(gate.reads(policies)));
        let policies = gate.digest();
        let gated = |fingerprint| fingerprint::with_gate(&fingerprint, &policies);
        let attributes = asked.map_or_else(|| Arc::from([]), |policies| Arc::from(gate.attributes(policies)));
        let (fingerprint, local) = (gated(self.fingerprint), gated(self.local));
        Self { reads, attributes, fingerprint, local, gate: Some(gate), ..self }
    }

    /// What an entry keeps of the caller's object, so that the decision can be made again; `None` where nothing of it is read.
    #[must_use]
    pub fn kept(&self, request: &Json) -> Option<Box<KeptRequest>> {
        (!self.attributes.is_empty()).then(|| Box::new(KeptRequest::of(request, &self.attributes)))
    }

    /// How many rules need a permit of the policy gate.
    #[must_use]
    pub fn asking_rules(&self) -> usize {
        self.rules.rules.iter().filter(|rule| rule.escalation.policy_gate).count()
    }

    /// The source files of whoever may act.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.acting.values().filter_map(|acting| acting.attestation.source.as_ref())
    }

    /// The tenant's risk that counts for a request: the caller's word in reference mode. In strict mode the record's, or
    /// high for an unknown tenant, which the caller may raise but not lower (S9).
    #[must_use]
    pub fn tenant_risk(&self, input: &RouteInput) -> TenantRisk {
        let known = self.settings.tenants.get(&*input.tenant_id).copied().unwrap_or(TenantRisk::High);
        match (input.tenant_risk, self.settings.mode) {
            (None, _) => known,
            (Some(claimed), Mode::Reference) => claimed,
            (Some(claimed), Mode::Strict) => claimed.max(known),
        }
    }
}
