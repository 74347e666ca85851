//! What happened lately, in memory: the newest decisions, today's counts, and the exchanges under way. Lists are answered from
//! here, so that nobody who looks costs those who ask anything.
//!
//! It is rebuilt from the ledger's tail at the start ([`Recent::recall`]). Noting a decision is a push under a lock that its thread
//! shares with few others, and copies no text.

pub mod counts;
mod recall;
pub mod row;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::engine::{Binding, Decision};
use crate::ledger::{Ending, Receipt};
pub use counts::{ByEnv, CountKey, Counts, Of};
use counts::{Day, Tally};
pub use row::Row;

/// Rows that are kept.
pub const ROWS: usize = 1000;
/// The most bytes of rows under one lock, however long callers' texts are; there are as many locks as [`SHARDS`], and one more.
const BYTES: usize = 512 << 10;
/// Locks for noting; a power of two.
const SHARDS: usize = 4;

/// What happened lately.
#[derive(Debug)]
pub struct Recent {
    /// Each thread notes in one of them.
    shards: [Mutex<Shard>; SHARDS],
    /// What the ledger remembered from before this process.
    past: Mutex<Shard>,
    /// From when on today's counts are whole, in microseconds since 1970 UTC.
    counted_since: AtomicI64,
    active: [Mutex<HashMap<Uuid, Active, ahash::RandomState>>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    rows: VecDeque<Row>,
    /// What the rows take.
    bytes: usize,
    tally: Tally,
}

/// An exchange that was forwarded and has not ended.
#[derive(Debug, Clone)]
pub struct Active {
    /// When it was recorded, in microseconds since 1970 UTC.
    pub started_at_micros: i64,
    /// What was decided.
    pub decision: Arc<Decision>,
}

impl Active {
    /// Whether a reader who is bound like this may see it.
    #[must_use]
    pub fn visible_to(&self, reader: &Binding) -> bool {
        let input = &self.decision.input;
        reader.sees(Some(&input.tenant_id), self.worker().map(|id| &**id), Some(input.env))
    }

    /// The worker that acts, if one is named.
    #[must_use]
    pub fn worker(&self) -> Option<&Arc<str>> {
        self.decision.verdict.worker_id.as_ref()
    }
}

impl Recent {
    /// Nothing yet; counting begins at this time.
    #[must_use]
    pub fn since(now_micros: i64) -> Self {
        Self {
            shards: Default::default(),
            past: Mutex::default(),
            counted_since: AtomicI64::new(now_micros),
            active: Default::default(),
        }
    }

    /// Notes a decision or a refusal.
    pub fn note(&self, row: Row) {
        let dropped = lock(self.mine()).note(row);
        // Freed when nobody waits for the lock any more.
        drop(dropped);
    }

    /// Notes that a forwarded exchange is under way.
    pub(super) fn begin(&self, receipt: &Receipt, decision: &Arc<Decision>) {
        let active = Active { started_at_micros: receipt.recorded_at_micros(), decision: Arc::clone(decision) };
        lock(self.of(receipt.id())).insert(receipt.id(), active);
    }

    /// Notes that it has ended.
    pub(super) fn end(&self, receipt: &Receipt, ending: Ending) {
        let Some(ended) = lock(self.of(receipt.id())).remove(&receipt.id()) else { return };
        if matches!(ending, Ending::UpstreamFailed | Ending::Aborted) {
            let (tenant, worker) = (row::short(&ended.decision.input.tenant_id), ended.worker().map(row::short));
            let of = Of { tenant: Some(&tenant), worker: worker.as_ref(), env: Some(ended.decision.input.env) };
            lock(self.mine()).tally.fail(of, Day::of(receipt.recorded_at_micros()));
        }
    }

    /// The newest rows that pass, the newest first; at most so many.
    pub fn rows(&self, most: usize, passes: impl Fn(&Row) -> bool) -> Vec<Row> {
        let mut found: Vec<Row> = Vec::new();
        for shard in self.shards.iter().chain([&self.past]) {
            found.extend(lock(shard).rows.iter().rev().filter(|row| passes(row)).take(most).cloned());
        }
        found.sort_by_key(|row| std::cmp::Reverse(row.id));
        found.truncate(most.min(ROWS));
        found
    }

    /// The exchanges under way that pass, the newest first.
    pub fn active(&self, passes: impl Fn(&Active) -> bool) -> Vec<(Uuid, Active)> {
        let mut found: Vec<(Uuid, Active)> = Vec::new();
        for shard in &self.active {
            found.extend(lock(shard).iter().filter(|(_, one)| passes(one)).map(|(id, one)| (*id, one.clone())));
        }
        found.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        found
    }

    /// Today's counts of each tenant and worker.
    #[must_use]
    pub fn today(&self, now_micros: i64) -> BTreeMap<CountKey, ByEnv> {
        let mut all = BTreeMap::new();
        for shard in self.shards.iter().chain([&self.past]) {
            lock(shard).tally.add_to(&mut all, Day::of(now_micros));
        }
        all
    }

    /// All that this process has counted, with what it was recalled of.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for shard in self.shards.iter().chain([&self.past]) {
            total.add(&lock(shard).tally.total());
        }
        total
    }

    /// From when on today's counts are whole: the beginning of the day, unless there was too much to recall.
    #[must_use]
    pub fn counted_since_micros(&self) -> i64 {
        self.counted_since.load(Ordering::Relaxed)
    }

    /// The shard in which this thread notes.
    fn mine(&self) -> &Mutex<Shard> {
        self.shards.get(shard() % SHARDS).unwrap_or(&self.past)
    }

    /// The shard of an exchange: by the last bits of its id, which are random.
    fn of(&self, id: Uuid) -> &Mutex<HashMap<Uuid, Active, ahash::RandomState>> {
        let [first, ..] = &self.active;
        self.active.get(usize::from(id.as_bytes()[15]) % SHARDS).unwrap_or(first)
    }
}

impl Shard {
    /// Notes a row and gives back one that is too old now.
    fn note(&mut self, row: Row) -> Option<Row> {
        self.tally.count(&row);
        self.bytes += row.bytes();
        let mut dropped = None;
        // Most often it is one, which the caller frees.
        while self.rows.len() >= ROWS || (self.bytes > BYTES && !self.rows.is_empty()) {
            dropped = self.rows.pop_front();
            self.bytes -= dropped.as_ref().map_or(0, Row::bytes);
        }
        self.rows.push_back(row);
        dropped
    }
}

/// This thread's number, by which threads have shards.
pub(super) fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<Option<usize>> = const { Cell::new(None) });
    MINE.get().unwrap_or_else(|| {
        let mine = NEXT.fetch_add(1, Ordering::Relaxed);
        MINE.set(Some(mine));
        mine
    })
}

/// Nothing panics while it holds one of these locks, so what they guard is whole even then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
