//! Remembered verdicts (moka). The key is the question itself, so a remembered verdict is the one that would be given again.
//!
//! A verdict is kept, never a receipt: each request gets its own decision and its own ledger entry. Holds are not kept, and
//! neither is what was said to a question full of a caller's long texts.

use std::sync::Arc;

use crate::engine::{Outcome, Question, Verdict};

/// The `cache` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most bytes of memory that remembered verdicts take; 0 remembers none.
    pub max_bytes: u64,
}

/// What moka keeps of each beside question and verdict, and what the allocator adds, as it was measured (`tests/memory.rs`).
const ENTRY: usize = 400;

/// Remembered verdicts by question.
#[derive(Debug, Clone)]
pub struct Verdicts {
    kept: moka::sync::Cache<Question, Arc<Verdict>, ahash::RandomState>,
}

impl Verdicts {
    /// An empty cache.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let weigh = |question: &Question, verdict: &Arc<Verdict>| {
            u32::try_from(ENTRY + question.bytes() + verdict.bytes()).unwrap_or(u32::MAX)
        };
        let kept = moka::sync::Cache::builder().weigher(weigh).max_capacity(settings.max_bytes);
        // Its keys are drawn by this process, as the standard one's are, and a look-up takes 1,200 instructions instead of 2,700.
        Self { kept: kept.build_with_hasher(ahash::RandomState::new()) }
    }

    /// Another one, empty, that takes as many bytes at most.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::new(Settings { max_bytes: self.kept.policy().max_capacity().unwrap_or_default() })
    }

    /// The verdict on a question, remembered or decided now, and whether it was remembered.
    ///
    /// Concurrent misses on one question decide once: the others wait the microseconds that a pure decision takes.
    pub fn verdict(&self, question: Question, decide: impl FnOnce(&Question) -> Verdict) -> (Arc<Verdict>, bool) {
        if !question.is_small() {
            return (Arc::new(decide(&question)), false);
        }
        if let Some(verdict) = self.kept.get(&question) {
            return (verdict, true);
        }
        let entry = self.kept.entry_by_ref(&question).or_insert_with(|| Arc::new(decide(&question)));
        let cached = !entry.is_fresh();
        let verdict = entry.into_value();
        if verdict.outcome == Outcome::Hold {
            self.kept.invalidate(&question);
        }
        (verdict, cached)
    }

    /// Forgets every verdict: under another snapshot none of them is asked for again.
    pub fn forget(&self) {
        self.kept.invalidate_all();
    }

    /// How many bytes they take, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.kept.run_pending_tasks();
        self.kept.weighted_size()
    }

    /// How many verdicts are remembered, about.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.kept.entry_count()
    }

    /// Whether no verdict is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
