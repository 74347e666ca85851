//! Counts: of all time that is remembered, and of today (UTC) by tenant and worker. Probes are not counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::row::{Row, short};
use crate::engine::{Decision, Outcome};
use crate::ids::Env;

/// The most pairs of tenant and worker that have counts of their own; callers choose names, and memory is not theirs.
const PAIRS: usize = 4096;
/// The most bytes of their names.
const NAMES: usize = 256 << 10;

const DAY: i64 = 86_400_000_000;

/// A day, in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    /// That of a time in microseconds since 1970 UTC.
    #[must_use]
    pub const fn of(micros: i64) -> Self {
        Self(micros.div_euclid(DAY))
    }

    /// When it begins, in microseconds since 1970 UTC.
    #[must_use]
    pub const fn begins(self) -> i64 {
        self.0.saturating_mul(DAY)
    }
}

/// How often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Decisions and refusals.
    pub decisions: u64,
    /// Of those, the ones that dispatched.
    pub dispatches: u64,
    /// Of those, the ones that did not.
    pub denials: u64,
    /// Forwarded exchanges that failed.
    pub failures: u64,
}

impl Counts {
    /// Adds others to these.
    pub const fn add(&mut self, other: &Self) {
        self.decisions += other.decisions;
        self.dispatches += other.dispatches;
        self.denials += other.denials;
        self.failures += other.failures;
    }

    const fn count(&mut self, denied: bool) {
        self.decisions += 1;
        self.dispatches += !denied as u64;
        self.denials += denied as u64;
    }
}

/// How often, in each environment and in none that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByEnv {
    envs: [Counts; Env::ALL.len()],
    unknown: Counts,
}

impl ByEnv {
    /// In these environments; `None`: everywhere, known or not.
    #[must_use]
    pub fn within(&self, envs: Option<&BTreeSet<Env>>) -> Counts {
        let mut sum = Counts::default();
        for (env, counts) in Env::ALL.iter().zip(&self.envs) {
            if envs.is_none_or(|envs| envs.contains(env)) {
                sum.add(counts);
            }
        }
        if envs.is_none() {
            sum.add(&self.unknown);
        }
        sum
    }

    fn add(&mut self, other: &Self) {
        for (mine, others) in self.envs.iter_mut().zip(&other.envs) {
            mine.add(others);
        }
        self.unknown.add(&other.unknown);
    }

    fn of(&mut self, env: Option<Env>) -> &mut Counts {
        let at = env.and_then(|env| Env::ALL.iter().position(|one| *one == env));
        at.and_then(|at| self.envs.get_mut(at)).unwrap_or(&mut self.unknown)
    }
}

/// A tenant and a worker; the empty name stands for none that is known.
pub type CountKey = (Arc<str>, Arc<str>);

/// Whose count it is.
#[derive(Debug, Clone)]
pub struct Of {
    tenant: Arc<str>,
    worker: Arc<str>,
    env: Option<Env>,
}

impl Of {
    /// Those of a row.
    #[must_use]
    pub fn row(row: &Row) -> Self {
        let name = |name: Option<&Arc<str>>| name.cloned().unwrap_or_default();
        Self { tenant: name(row.owner()), worker: name(row.worker.as_ref()), env: row.env }
    }

    /// Those of a dispatched decision.
    #[must_use]
    pub fn decision(decision: &Decision) -> Self {
        let worker = decision.verdict.worker_id.as_ref().map(short).unwrap_or_default();
        Self { tenant: short(&decision.input.tenant_id), worker, env: Some(decision.input.env) }
    }
}

/// Counts of all that was seen, and of the newest day by name.
#[derive(Debug, Default)]
pub(super) struct Tally {
    total: Counts,
    day: Day,
    /// By tenant, then by worker.
    today: HashMap<Arc<str>, HashMap<Arc<str>, ByEnv>>,
    pairs: usize,
    /// Bytes of their names.
    names: usize,
    /// Of those that have no counts of their own.
    others: ByEnv,
}

impl Tally {
    /// Counts a row.
    pub(super) fn count(&mut self, row: &Row) {
        if row.dry_run {
            return;
        }
        let denied = row.outcome != Outcome::Dispatch;
        self.total.count(denied);
        if let Some(counts) = self.of(&Of::row(row), Day::of(row.at_micros)) {
            counts.count(denied);
        }
    }

    /// Counts a forwarded exchange that failed.
    pub(super) fn fail(&mut self, of: &Of, day: Day) {
        self.total.failures += 1;
        if let Some(counts) = self.of(of, day) {
            counts.failures += 1;
        }
    }

    /// The counts of this name; `None` when the day is over.
    fn of(&mut self, of: &Of, day: Day) -> Option<&mut Counts> {
        if day < self.day {
            return None;
        }
        if day > self.day {
            *self = Self { total: self.total, day, ..Self::default() };
        }
        let there = self.today.get(&of.tenant).is_some_and(|workers| workers.contains_key(&of.worker));
        if !there {
            let names = of.tenant.len() + of.worker.len();
            if self.pairs >= PAIRS || self.names + names > NAMES {
                return Some(self.others.of(of.env));
            }
            self.pairs += 1;
            self.names += names;
            self.today.entry(Arc::clone(&of.tenant)).or_default().insert(Arc::clone(&of.worker), ByEnv::default());
        }
        Some(self.today.get_mut(&of.tenant)?.get_mut(&of.worker)?.of(of.env))
    }

    /// Of all that was seen.
    pub(super) const fn total(&self) -> Counts {
        self.total
    }

    /// Adds the counts of this day.
    pub(super) fn add_to(&self, all: &mut BTreeMap<CountKey, ByEnv>, day: Day) {
        if day != self.day {
            return;
        }
        for (tenant, workers) in &self.today {
            for (worker, counts) in workers {
                all.entry((Arc::clone(tenant), Arc::clone(worker))).or_default().add(counts);
            }
        }
        if self.others != ByEnv::default() {
            all.entry(Default::default()).or_default().add(&self.others);
        }
    }
}
