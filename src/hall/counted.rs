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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Facts, Mode, Question, RouteInput, RuleSet, Snapshot, decide};
    use crate::hall::tests::settings;
    use crate::ids::Env;

    fn snapshot() -> Snapshot {
        Snapshot::build(settings(), RuleSet::parse(r#"{"rules": []}"#, Mode::Strict).unwrap(), Vec::new()).unwrap()
    }

    fn verdict(snapshot: &Snapshot) -> Arc<Verdict> {
        let input = RouteInput::new("cap.a", Env::Dev, "org.acme");
        Arc::new(decide(&Question::ask(&input, &Facts::default(), snapshot), snapshot))
    }

    /// A decision from a verdict that was remembered.
    fn remembered(snapshot: &Snapshot, verdict: &Arc<Verdict>, capability: &str) -> Decision {
        Decision::new(RouteInput::new(capability, Env::Dev, "org.acme"), Arc::clone(verdict), snapshot, true)
    }

    #[test]
    fn each_decision_counts_where_it_belongs_however_many_there_are() {
        let counted = Counted::default();
        let snapshot = snapshot();
        let (shared, other) = (verdict(&snapshot), verdict(&snapshot));
        let long = "x".repeat(LONGEST + 1);
        // One verdict for several capabilities, one capability with several verdicts and doors, more of them than are kept, and one that
        // is too long to be.
        let mut of: Vec<(Decision, Door, Counter)> = Vec::new();
        for capability in ["cap.a", "cap.b", "cap.c", "cap.d", "cap.e", &long] {
            for (verdict, door) in [(&shared, Door::Gate), (&shared, Door::Api), (&other, Door::Gate)] {
                of.push((remembered(&snapshot, verdict, capability), door, Counter::default()));
            }
        }
        for round in 1..4 {
            for (decision, door, counter) in &of {
                counted.count(decision, *door, || counter.clone());
            }
            assert!(of.iter().all(|(.., counter)| counter.get() == round));
        }
        let shards = counted.shards.map(|shard| shard.into_inner().unwrap().known);
        let kept: Vec<&Known> = shards.iter().flatten().collect();
        assert_eq!(kept.len(), KEPT);
        assert!(kept.iter().all(|known| known.capability.len() <= LONGEST));
    }

    #[test]
    fn a_counter_is_looked_up_once_for_a_verdict_that_is_remembered_and_always_for_another() {
        let counted = Counted::default();
        let snapshot = snapshot();
        let verdict = verdict(&snapshot);
        for (cached, expected) in [(true, 1), (false, 3)] {
            let mut looked_up = 0;
            for _ in 0..3 {
                let decision = Decision { cached, ..remembered(&snapshot, &verdict, "cap.a") };
                counted.count(&decision, Door::Gate, || {
                    looked_up += 1;
                    Counter::default()
                });
            }
            assert_eq!(looked_up, expected);
        }
    }
}
