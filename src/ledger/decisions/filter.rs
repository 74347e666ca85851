//! Which decisions are wanted, held against marks to find them, and against entries to be sure.

use uuid::Uuid;

use super::mark::{DecisionMark, Names, place, time_from, time_of, words};
use crate::engine::{Binding, DenyCode, Outcome};
use crate::ids::{DataLabel, Env};
use crate::ledger::format::canonical;

/// Which decisions: those that are all of what is said.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter {
    /// The worker that acts or was named.
    pub worker: Option<String>,
    /// The verdict.
    pub verdict: Option<Outcome>,
    /// The deny code.
    pub code: Option<DenyCode>,
    /// The capability.
    pub capability: Option<String>,
    /// How sensitive the data is.
    pub label: Option<DataLabel>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The environment.
    pub env: Option<Env>,
    /// From this time, in microseconds since 1970 UTC.
    pub since: Option<i64>,
    /// Before this time.
    pub before: Option<i64>,
    /// What whoever asks may see.
    pub reader: Binding,
}

/// What of a decision is looked at.
#[derive(Debug, Clone, Copy)]
pub struct DecisionFacts<'a> {
    /// When it was recorded, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// For whom.
    pub tenant: Option<&'a str>,
    /// As whom.
    pub worker: Option<&'a str>,
    /// For what.
    pub capability: Option<&'a str>,
    /// The verdict.
    pub outcome: Option<Outcome>,
    /// Why not.
    pub code: Option<DenyCode>,
    /// How sensitive the data is.
    pub label: Option<DataLabel>,
    /// Where.
    pub env: Option<Env>,
}

/// The decisions among which is looked, by the order of the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecisionRange {
    /// Only those that came after this one.
    pub after: Option<Uuid>,
    /// Only those that came before this one.
    pub before: Option<Uuid>,
}

impl DecisionFacts<'_> {
    /// The tenant whose decision it is. Who claims to be a tenant without being it leaves nothing among that tenant's.
    fn owner(&self) -> Option<&str> {
        self.tenant.filter(|_| self.code != Some(DenyCode::UnknownTenant))
    }
}

impl DecisionFilter {
    /// Whether a decision is wanted, and may be seen.
    #[must_use]
    pub fn passes(&self, of: &DecisionFacts<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        is(&self.worker, of.worker)
            && is(&self.capability, of.capability)
            && is(&self.tenant, of.tenant)
            && (self.verdict.is_none() || self.verdict == of.outcome)
            && (self.code.is_none() || self.code == of.code)
            && (self.label.is_none() || self.label == of.label)
            && (self.env.is_none() || self.env == of.env)
            && self.since.is_none_or(|since| of.at_micros >= since)
            && self.before.is_none_or(|before| of.at_micros < before)
            && self.reader.sees(of.owner(), of.worker, of.env)
    }
}

impl DecisionRange {
    /// Whether a decision is among them.
    #[must_use]
    pub fn has(&self, id: Uuid) -> bool {
        self.after.is_none_or(|after| id > after) && self.before.is_none_or(|before| id < before)
    }
}

/// A name as a mark has it.
fn hash(names: &Names, name: &str) -> u32 {
    let mut written = Vec::new();
    canonical::push_string(&mut written, name);
    names.hash(written.get(1..written.len().saturating_sub(1)))
}

/// A filter in the words of one file's marks.
pub(super) struct MarkFilter {
    worker: Option<u32>,
    capability: Option<u32>,
    tenant: Option<u32>,
    code: Option<u8>,
    /// Which bits of [`words`] are looked at, and what they have to be.
    words: (u8, u8),
    owner: Option<u32>,
    workers: Option<Vec<u32>>,
    envs: Option<Vec<u8>>,
    unknown_tenant: u8,
}

impl MarkFilter {
    pub(super) fn of(filter: &DecisionFilter, names: &Names) -> Self {
        let name = |name: &Option<String>| name.as_deref().map(|name| hash(names, name));
        let code = |code: DenyCode| place(DenyCode::ALL, DenyCode::as_str, code.as_str().as_bytes());
        let outcome = |one: Outcome| place(Outcome::ALL, Outcome::as_str, one.as_str().as_bytes()) - 1;
        let env = |env: Env| place(Env::ALL, Env::as_str, env.as_str().as_bytes());
        let label = |label: DataLabel| place(DataLabel::ALL, DataLabel::as_str, label.as_str().as_bytes());
        let mask = words(filter.verdict.map_or(0, |_| 3), filter.env.map_or(0, |_| 7), filter.label.map_or(0, |_| 7));
        let wanted = words(filter.verdict.map_or(0, outcome), filter.env.map_or(0, env), filter.label.map_or(0, label));
        let Binding { tenant, workers, envs, worker_optional: _ } = &filter.reader;
        Self {
            worker: name(&filter.worker),
            capability: name(&filter.capability),
            tenant: name(&filter.tenant),
            code: filter.code.map(code),
            words: (mask, wanted),
            owner: tenant.as_ref().map(|tenant| hash(names, tenant.as_str())),
            workers: workers.as_ref().map(|among| among.iter().map(|one| hash(names, one.as_str())).collect()),
            envs: envs.as_ref().map(|among| among.iter().map(|one| words(0, env(*one), 0)).collect()),
            unknown_tenant: code(DenyCode::UnknownTenant),
        }
    }

    /// Whether a decision may be wanted. What is, passes.
    pub(super) fn passes(&self, mark: &DecisionMark) -> bool {
        let (mask, wanted) = self.words;
        mark.words & mask == wanted
            && self.code.is_none_or(|code| code == mark.code)
            && self.worker.is_none_or(|worker| worker == mark.worker)
            && self.capability.is_none_or(|capability| capability == mark.capability)
            && self.tenant.is_none_or(|tenant| tenant == mark.tenant)
            && self.owner.is_none_or(|owner| owner == mark.tenant && mark.code != self.unknown_tenant)
            && self.workers.as_ref().is_none_or(|among| among.contains(&mark.worker))
            && self.envs.as_ref().is_none_or(|among| among.contains(&(mark.words & words(0, 7, 0))))
    }
}

/// Between which times marks may be wanted, both among them.
pub(super) struct MarkTimes {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl MarkTimes {
    pub(super) fn of(filter: &DecisionFilter, range: &DecisionRange) -> Self {
        let since = filter.since.map_or(0, time_from).max(range.after.map_or(0, time_of));
        let before = filter.before.map_or(u64::MAX, |before| time_from(before).saturating_sub(1));
        Self { first: since, last: before.min(range.before.map_or(u64::MAX, time_of)) }
    }
}
