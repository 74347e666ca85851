//! The question: exactly what of a request this snapshot's verdict can depend on, and so the key under which it is remembered.

mod policy_inputs;

use std::sync::Arc;

use crate::engine::input::{Binding, Facts, RouteInput};
use crate::engine::snapshot::{Code, Fingerprint, Mode, Reads, Snapshot};
use crate::ids::{CapabilityId, DataLabel, Env, QosClass, TenantRisk};

pub(crate) use policy_inputs::PolicyInputs;

/// The most bytes of callers' texts in a question that is remembered.
const MOST_BYTES: usize = 1024;

/// What a shared text takes beside its bytes: two counters, and what the allocator rounds up.
const TEXT: usize = 24;

/// What is asked of one snapshot. Equal questions have equal verdicts, because [`decide`](crate::engine::decide) sees
/// nothing else. `None` stands for what no rule or setting of the snapshot reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    pub(crate) snapshot: Fingerprint,
    pub(crate) binding: Bound,
    /// Whether the policy is only observed.
    pub(crate) observed: bool,
    pub(crate) tenant: Tenant,
    pub(crate) blast: Blast,
    pub(crate) capability: Capability,
    pub(crate) worker: NamedWorker,
    pub(crate) env: Env,
    pub(crate) label: Option<DataLabel>,
    pub(crate) tenant_risk: Option<TenantRisk>,
    pub(crate) qos: Option<QosClass>,
    pub(crate) correlation_blank: bool,
    /// What only the policy gate reads.
    pub(crate) said: Option<Box<PolicyInputs>>,
    /// The code of whoever may act, in their order; empty where nobody looked at it.
    pub(crate) code: Vec<Code>,
}

/// Whether the caller's credential is bound to what it asks as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bound {
    Yes,
    OtherTenant,
    OtherWorker,
    OtherEnv,
}

/// What is known of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Tenant {
    Admitted,
    /// Not among the allowed tenants; the denial says which.
    Unlisted(Arc<str>),
    Blank,
}

/// The blast score before a worker is known: the heuristic's or the caller's, whichever is higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Blast {
    Unread,
    Score(u8),
    /// The caller's score is none; the denial says which.
    OutOfRange(i64),
}

/// The capability, as far as rules and the named worker know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Capability {
    /// A rule names it, the named worker declares it, or the policies read it.
    Known(Arc<str>),
    /// Only a rule for any capability can match it.
    Other,
    /// It is no capability at all (strict).
    Malformed,
    /// It is not in the catalogue, where the policy wants it to be.
    Unlisted,
}

/// The worker that the request names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum NamedWorker {
    Nobody,
    /// Nobody, where the policy wants somebody (strict, S8).
    Missing,
    NotEnrolled,
    Enrolled(Arc<str>),
}

impl Question {
    /// Projects a request and the facts about it onto what `snapshot` reads.
    #[must_use]
    pub fn ask(input: &RouteInput, facts: &Facts, snapshot: &Snapshot) -> Self {
        Self::project(input, facts, snapshot, snapshot.reads)
    }

    /// Whether it is small enough to be remembered. Callers choose how long their texts are, and a memory full of long ones
    /// would be their memory.
    #[must_use]
    pub fn is_small(&self) -> bool {
        let capability = match &self.capability {
            Capability::Known(capability) => capability.len(),
            Capability::Other | Capability::Malformed | Capability::Unlisted => 0,
        };
        capability + self.said.as_ref().map_or(0, |said| said.bytes()) <= MOST_BYTES
    }

    /// How many bytes of memory it takes, about; texts that it shares with others are counted, since it may outlive them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = |text: &Arc<str>| TEXT + text.len();
        let tenant = match &self.tenant {
            Tenant::Unlisted(tenant) => text(tenant),
            Tenant::Admitted | Tenant::Blank => 0,
        };
        let capability = match &self.capability {
            Capability::Known(capability) => text(capability),
            Capability::Other | Capability::Malformed | Capability::Unlisted => 0,
        };
        let worker = match &self.worker {
            NamedWorker::Enrolled(worker) => text(worker),
            NamedWorker::Nobody | NamedWorker::Missing | NamedWorker::NotEnrolled => 0,
        };
        let said = self.said.as_ref().map_or(0, |said| size_of::<PolicyInputs>() + said.texts() * TEXT + said.bytes());
        size_of::<Self>() + tenant + capability + worker + said + self.code.capacity() * size_of::<Code>()
    }

    /// What is known of the code of whoever may act.
    pub(crate) fn code(&self) -> &[Code] {
        &self.code
    }

    pub(crate) fn project(input: &RouteInput, facts: &Facts, snapshot: &Snapshot, reads: Reads) -> Self {
        let worker = NamedWorker::of(input, facts, snapshot);
        Self {
            snapshot: snapshot.fingerprint,
            binding: Bound::of(input, &facts.binding),
            observed: facts.observed,
            tenant: Tenant::of(input, snapshot),
            blast: Blast::of(input, reads),
            capability: Capability::of(input, &worker, snapshot, reads),
            worker,
            env: input.env,
            label: reads.label.then_some(input.data_label),
            tenant_risk: reads.tenant_risk.then(|| snapshot.tenant_risk(input)),
            qos: reads.qos.then_some(input.qos_class),
            correlation_blank: reads.correlation && is_blank(&input.correlation_id),
            said: PolicyInputs::of(input, snapshot, reads.gate),
            code: Vec::new(),
        }
    }

    /// The same question, now that the code of [`whose_code`](crate::engine::whose_code) is known: one for each, in order.
    #[must_use]
    pub fn knowing(self, code: Vec<Code>) -> Self {
        Self { code, ..self }
    }
}

impl Bound {
    /// A request that names no worker asks as none; a blank tenant is another gate's matter.
    fn of(input: &RouteInput, binding: &Binding) -> Self {
        let other_tenant = |tenant: &crate::ids::TenantId| tenant.as_str() != &*input.tenant_id;
        let Binding { tenant, workers, envs, worker_optional: _ } = binding;
        if tenant.as_ref().is_some_and(other_tenant) && !is_blank(&input.tenant_id) {
            Self::OtherTenant
        } else if workers.as_ref().is_some_and(|workers| named(input).is_some_and(|worker| !workers.contains(worker))) {
            Self::OtherWorker
        } else if envs.as_ref().is_some_and(|envs| !envs.contains(&input.env)) {
            Self::OtherEnv
        } else {
            Self::Yes
        }
    }
}

impl Tenant {
    fn of(input: &RouteInput, snapshot: &Snapshot) -> Self {
        let settings = &snapshot.settings;
        if settings.require_signatory && !settings.allowed_tenants.contains(&input.tenant_id) {
            Self::Unlisted(Arc::clone(&input.tenant_id))
        } else if is_blank(&input.tenant_id) {
            Self::Blank
        } else {
            Self::Admitted
        }
    }
}

impl Blast {
    fn of(input: &RouteInput, reads: Reads) -> Self {
        let claimed = match input.blast_score.map(|score| (score, u8::try_from(score))) {
            None => 0,
            Some((_, Ok(score @ 0..=100))) => score,
            Some((score, _)) => return Self::OutOfRange(score),
        };
        if reads.blast || (reads.blast_in_production && input.env.is_production()) {
            Self::Score(heuristic(input).max(claimed))
        } else {
            Self::Unread
        }
    }
}

/// The reference's blast score, 10 to 100 (router step 4).
fn heuristic(input: &RouteInput) -> u8 {
    let label = match input.data_label {
        DataLabel::Public => 0,
        DataLabel::Internal => 20,
        DataLabel::Confidential => 30,
        DataLabel::Restricted => 40,
    };
    let points = [
        (input.env.is_production(), 15),
        (input.qos_class == QosClass::P0, 10),
        (input.declares_egress(), 15),
        (input.declares_writes(), 15),
    ];
    let score = points.iter().filter(|(holds, _)| *holds).fold(10 + label, |score, (_, points)| score + points);
    score.min(100)
}

impl Capability {
    fn of(input: &RouteInput, worker: &NamedWorker, snapshot: &Snapshot, reads: Reads) -> Self {
        let capability = &*input.capability_id;
        let is_malformed = || snapshot.settings.mode == Mode::Strict && capability.parse::<CapabilityId>().is_err();
        if snapshot.settings.require_known_capability && snapshot.catalogue.capability(capability).is_none() {
            return if is_malformed() { Self::Malformed } else { Self::Unlisted };
        }
        if let Some(known) = snapshot.rules.known_capability(capability) {
            return Self::Known(known);
        }
        if is_malformed() {
            return Self::Malformed;
        }
        if reads.gate.capability {
            return Self::Known(Arc::clone(&input.capability_id));
        }
        let NamedWorker::Enrolled(id) = worker else { return Self::Other };
        let declared = snapshot.workers.get(&**id).and_then(|worker| worker.capabilities.get(capability));
        declared.map_or(Self::Other, |declared| Self::Known(declared.shared()))
    }
}

impl NamedWorker {
    fn of(input: &RouteInput, facts: &Facts, snapshot: &Snapshot) -> Self {
        let settings = &snapshot.settings;
        let required = settings.mode == Mode::Strict
            && settings.require_worker_id.contains(&input.env)
            && !facts.binding.worker_optional;
        match named(input) {
            None if required => Self::Missing,
            None => Self::Nobody,
            Some(id) => match snapshot.workers.get(id) {
                Some(worker) => Self::Enrolled(worker.worker_id.shared()),
                None => Self::NotEnrolled,
            },
        }
    }
}

/// The worker that the request names. Platforms send an empty text where nothing was filled in.
fn named(input: &RouteInput) -> Option<&str> {
    input.worker_id.as_deref().filter(|id| !id.is_empty())
}

/// Whether Python's `strip()` leaves nothing.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}'))
}

#[cfg(test)]
mod tests;
