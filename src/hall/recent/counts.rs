//! Counts: of all time that is remembered, and of today (UTC) by tenant and worker. Probes are not counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::row::Row;
use crate::engine::Outcome;
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

/// Whose count it is, by names that are cut where they are long.
#[derive(Debug, Clone, Copy)]
pub struct Of<'a> {
    /// The tenant, where it is known.
    pub tenant: Option<&'a Arc<str>>,
    /// The worker, where it is known.
    pub worker: Option<&'a Arc<str>>,
    /// The environment, where it is known.
    pub env: Option<Env>,
}

impl<'a> Of<'a> {
    /// Those of a row.
    #[must_use]
    pub fn row(row: &'a Row) -> Self {
        Self { tenant: row.owner(), worker: row.worker.as_ref(), env: row.env }
    }
}

/// The names that were counted last, and where: whoever asks, asks again, with the same texts. Looking them up takes longer.
#[derive(Debug)]
struct Last {
    tenant: Option<Arc<str>>,
    worker: Option<Arc<str>>,
    at: usize,
}

impl Last {
    fn is(&self, of: Of<'_>) -> bool {
        let same = |one: &Option<Arc<str>>, other: Option<&Arc<str>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        same(&self.tenant, of.tenant) && same(&self.worker, of.worker)
    }
}

/// Counts of all that was seen, and of the newest day by name.
#[derive(Debug, Default)]
pub(super) struct Tally {
    total: Counts,
    day: Day,
    /// By tenant, then by worker: where its counts are.
    today: HashMap<Arc<str>, HashMap<Arc<str>, usize>>,
    counts: Vec<ByEnv>,
    last: Option<Last>,
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
        if let Some(counts) = self.of(Of::row(row), Day::of(row.at_micros)) {
            counts.count(denied);
        }
    }

    /// Counts a forwarded exchange that failed.
    pub(super) fn fail(&mut self, of: Of<'_>, day: Day) {
        self.total.failures += 1;
        if let Some(counts) = self.of(of, day) {
            counts.failures += 1;
        }
    }

    /// The counts of this name; `None` when the day is over.
    fn of(&mut self, of: Of<'_>, day: Day) -> Option<&mut Counts> {
        if day < self.day {
            return None;
        }
        if day > self.day {
            *self = Self { total: self.total, day, ..Self::default() };
        }
        let at = match &self.last {
            Some(last) if last.is(of) => last.at,
            _ => {
                let Some(at) = self.place(of) else { return Some(self.others.of(of.env)) };
                self.last = Some(Last { tenant: of.tenant.cloned(), worker: of.worker.cloned(), at });
                at
            }
        };
        Some(self.counts.get_mut(at)?.of(of.env))
    }

    /// Where the counts of these names are; `None` when there is no place for more.
    fn place(&mut self, of: Of<'_>) -> Option<usize> {
        let (tenant, worker) = (of.tenant.map_or("", |tenant| tenant), of.worker.map_or("", |worker| worker));
        if let Some(at) = self.today.get(tenant).and_then(|workers| workers.get(worker)) {
            return Some(*at);
        }
        let names = tenant.len() + worker.len();
        if self.counts.len() >= PAIRS || self.names + names > NAMES {
            return None;
        }
        self.names += names;
        let at = self.counts.len();
        self.counts.push(ByEnv::default());
        let workers = self.today.entry(of.tenant.cloned().unwrap_or_default()).or_default();
        workers.insert(of.worker.cloned().unwrap_or_default(), at);
        Some(at)
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
            for (worker, counts) in workers.iter().filter_map(|(worker, at)| Some((worker, self.counts.get(*at)?))) {
                all.entry((Arc::clone(tenant), Arc::clone(worker))).or_default().add(counts);
            }
        }
        if self.others != ByEnv::default() {
            all.entry(Default::default()).or_default().add(&self.others);
        }
    }
}
