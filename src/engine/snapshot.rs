//! Everything that a decision may depend on besides the question, as one immutable value, built and checked at load.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::{RouteInput, RuleSet};
use crate::ids::{CapabilityId, ControlId, Digest, Env, SpeciesId, TenantId, TenantRisk, WorkerId};

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
    /// Destinations that an envelope may name, by environment.
    pub egress_allowlist: BTreeMap<Env, BTreeSet<String>>,
    /// Known tenants and their risk; others count as high (strict, S9).
    pub tenants: BTreeMap<TenantId, TenantRisk>,
}

/// A worker's standing. Only an active one dispatches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// May be dispatched.
    Active,
    /// May not: revoked, retired or unknown.
    Revoked,
    /// May not, ever.
    Banned,
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
    /// Its standing.
    pub standing: Standing,
}

/// Everything that a decision may depend on besides the question.
#[derive(Debug)]
pub struct Snapshot {
    /// The switches.
    pub settings: Settings,
    /// The rules, indexed by capability.
    pub rules: RuleSet,
    /// The enrolled workers by id.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// The digest of all of it.
    pub fingerprint: Fingerprint,
}

/// Why settings, rules and workers do not make a snapshot together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which rule, worker or setting.
    pub path: String,
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
    pub fn build(settings: Settings, rules: RuleSet, workers: Vec<Worker>) -> Result<Self, Vec<Problem>> {
        let _ = (settings, rules, workers);
        todo!()
    }

    /// The tenant's risk that counts for a request.
    #[must_use]
    pub fn tenant_risk(&self, input: &RouteInput) -> TenantRisk {
        let _ = input;
        todo!()
    }
}
