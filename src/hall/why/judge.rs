//! Decides by a snapshot alone: nothing is recorded, and nobody is asked.

use std::sync::Arc;

use crate::engine::policy_gate::{Policies, PolicyProbe, Taken};
use crate::engine::{
    self, Decision, Explanation, Facts, Question, ReadAttribute, RouteInput, Snapshot, explain, whose_code, with_asked,
};
use crate::ids::SupervisorLevel;
use crate::ledger::past::KnownRequest;
use crate::registry::code::SourceHashes;

/// Who decides by a snapshot alone. It reads workers' files where a verdict depends on their code, and blocks its thread while it does.
#[derive(Debug, Clone)]
pub struct Judge {
    /// What is decided by.
    pub snapshot: Arc<Snapshot>,
    source_hashes: Arc<SourceHashes>,
}

impl Judge {
    /// By this snapshot.
    #[must_use]
    pub fn new(snapshot: impl Into<Arc<Snapshot>>) -> Self {
        Self::knowing(snapshot, Arc::default())
    }

    /// The same with hashes of workers' files that are known.
    pub(super) fn knowing(snapshot: impl Into<Arc<Snapshot>>, source_hashes: Arc<SourceHashes>) -> Self {
        Self { snapshot: snapshot.into(), source_hashes }
    }

    /// The decision on a request, to which humans of this level had agreed, and, if that is asked for, why.
    #[must_use]
    pub fn decide(
        &self,
        input: RouteInput,
        facts: &Facts,
        granted: Option<SupervisorLevel>,
        wants_why: bool,
    ) -> (Decision, Option<Explanation>) {
        if wants_why {
            let (decision, explanation) = self.explain(input, facts, granted);
            return (decision, Some(explanation));
        }
        let Self { snapshot, source_hashes } = self;
        let question = source_hashes.know_now(Question::ask(&input, facts, snapshot), snapshot);
        let verdict = match granted {
            Some(level) => engine::decide_granted(&question, snapshot, level),
            None => engine::decide(&question, snapshot),
        };
        (Decision::new(input, Arc::new(verdict), snapshot, false), None)
    }

    /// The decision on a request, and why.
    #[must_use]
    pub fn explain(
        &self,
        input: RouteInput,
        facts: &Facts,
        granted: Option<SupervisorLevel>,
    ) -> (Decision, Explanation) {
        let Self { snapshot, source_hashes } = self;
        let question = source_hashes.know_now(Question::ask(&input, facts, snapshot), snapshot);
        let (verdict, explanation) = explain(&question, snapshot, granted);
        (Decision::new(input, Arc::new(verdict), snapshot, false), explanation)
    }

    /// Which ways a request takes through the policies that it is put to.
    #[must_use]
    pub fn taken(&self, probe: &dyn PolicyProbe, input: &RouteInput) -> Vec<Taken> {
        let Self { snapshot, source_hashes } = self;
        let question = source_hashes.know_now(Question::ask(input, &Facts::default(), snapshot), snapshot);
        with_asked(&question, snapshot, |policies, asked| probe.taken(policies, asked)).unwrap_or_default()
    }

    /// Why these policies cannot be asked of what is known of a caller's object; `None` where they can.
    #[must_use]
    pub fn lacks(&self, known: &KnownRequest, policies: Policies) -> Option<String> {
        let lacking = known.lacks(self.reads(policies))?;
        Some(format!("the policies read {lacking}, which the entry does not keep"))
    }

    /// What these policies read of a caller's object.
    #[must_use]
    pub fn reads(&self, policies: Policies) -> &[ReadAttribute] {
        self.snapshot.gate.as_ref().map_or(&[], |gate| gate.attributes(policies))
    }

    /// Whether the decision on a request depends on what the code of a worker is at the time.
    #[must_use]
    pub fn looks_at_code(&self, input: &RouteInput, facts: &Facts) -> bool {
        whose_code(&Question::ask(input, facts, &self.snapshot), &self.snapshot).is_some()
    }
}
