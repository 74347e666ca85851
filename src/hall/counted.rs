//! The counters of decisions that were counted before: looking one up by its labels hashes five texts, which takes longer than deciding.

use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{Decision, Verdict};
use crate::ledger::Door;
use crate::telemetry::Counter;

/// Decisions that are asked for one after the other on one thread are seldom more.
const KEPT: usize = 4;
/// The longest capability that is kept: callers choose how long theirs are.
const LONGEST: usize = 256;
/// Locks, so that threads seldom wait for each other's; a power of two.
const SHARDS: usize = 4;

/// Counters by what was decided.
#[derive(Debug, Default)]
pub(super) struct Counted {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    known: Vec<Known>,
    /// Which of them goes next.
    turn: usize,
}

/// A remembered verdict, which is there once, and the counter of those who get it.
#[derive(Debug)]
struct Known {
    verdict: Arc<Verdict>,
    capability: Arc<str>,
    door: Door,
    counter: Counter,
}

impl Known {
    fn counts(&self, decision: &Decision, door: Door) -> bool {
        Arc::ptr_eq(&self.verdict, &decision.verdict)
            && self.door == door
            && self.capability == decision.input.capability_id
    }
}

impl Counted {
    /// Counts a decision up; `counter` finds out where.
    pub(super) fn count(&self, decision: &Decision, door: Door, counter: impl FnOnce() -> Counter) {
        // Of a verdict that was not remembered there is no second decision.
        let seldom = !decision.cached || decision.input.capability_id.len() > LONGEST;
        let shard = self.shards.get(crate::hall::recent::shard() % SHARDS).filter(|_| !seldom);
        let Some(shard) = shard else {
            counter().inc();
            return;
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shard.known.iter().find(|known| known.counts(decision, door)) {
            known.counter.inc();
            return;
        }
        let counter = counter();
        counter.inc();
        let (verdict, capability) = (Arc::clone(&decision.verdict), Arc::clone(&decision.input.capability_id));
        let known = Known { verdict, capability, door, counter };
        if shard.known.len() < KEPT {
            shard.known.push(known);
        } else {
            let turn = shard.turn % KEPT;
            shard.turn = turn + 1;
            if let Some(old) = shard.known.get_mut(turn) {
                *old = known;
            }
        }
    }
}
