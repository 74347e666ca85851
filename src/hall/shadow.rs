//! The shadow: a second policy that is asked about every request beside the one in force. Nothing follows from what it says.
//!
//! It is asked after the verdict in force and before the entry, which has its word. It waits for nothing, remembers in a memory of its own,
//! and what goes wrong in it is counted and leaves the entry without its word.

use std::sync::Arc;

use super::Hall;
use crate::cache::Verdicts;
use crate::engine::{
    self, Code, Decision, DenyCode, Facts, Question, RouteInput, ShadowVerdict, Snapshot, Verdict, whose_code,
};
use crate::telemetry::ShadowLabels;
use crate::telemetry::threads::caught;

impl Hall {
    /// What the shadow says of a request, as if it were enforced; `None` where there is none, or it cannot say. `code` is what is known of
    /// the code of whoever may act by the policy in force.
    pub(super) fn ask_shadow(
        &self,
        input: &RouteInput,
        facts: &Facts,
        snapshot: &Snapshot,
        code: Vec<Code>,
    ) -> Option<ShadowVerdict> {
        let shadow = snapshot.shadow.as_ref()?;
        let verdicts = self.shadow_verdicts.get_or_init(|| self.verdicts.beside());
        // What was not caught here would be a request that ends without an answer.
        let verdict = caught(|| verdict(input, facts, snapshot, shadow, code, verdicts)).flatten();
        let internal =
            |verdict: &Verdict| verdict.denial.as_ref().is_some_and(|denial| denial.code == DenyCode::InternalError);
        if verdict.as_ref().is_none_or(|verdict| verdict.gated.erred || internal(verdict)) {
            self.metrics.shadow_errors.inc();
        }
        Some(ShadowVerdict { verdict: verdict?, snapshot: shadow.fingerprint })
    }

    /// Counts what the shadow says otherwise.
    pub(super) fn count_shadow(&self, decision: &Decision) {
        let Some(shadow) = &decision.shadow else { return };
        self.metrics.shadow_decisions.inc();
        let (in_force, other) = (decision.verdict.of_policy(), shadow.verdict.of_policy());
        if in_force.0 == other.0 {
            return;
        }
        let capability = self.snapshot.load().rules.known_capability(&decision.input.capability_id);
        let labels = ShadowLabels {
            verdict: in_force.0.as_str(),
            shadow: other.0.as_str(),
            code: other.1.or(in_force.1).map_or("", DenyCode::as_str),
            capability: capability.unwrap_or_else(|| Arc::from("other")),
        };
        self.metrics.shadow_flips.get_or_create(&labels).inc();
    }
}

/// What it says. Code that nobody has looked at for the policy in force is not looked at: no request waits for a shadow's file.
fn verdict(
    input: &RouteInput,
    facts: &Facts,
    in_force: &Snapshot,
    shadow: &Snapshot,
    code: Vec<Code>,
    verdicts: &Verdicts,
) -> Option<Arc<Verdict>> {
    let facts = Facts { observed: false, ..facts.clone() };
    let question = Question::ask(input, &facts, shadow);
    let question = match whose_code(&question, shadow) {
        None => question,
        Some(acting) => {
            let known = whose_code(&Question::ask(input, &facts, in_force), in_force)?;
            if known != acting || code.len() != acting.len() {
                return None;
            }
            question.knowing(code)
        }
    };
    Some(verdicts.verdict(question, |question| engine::decide(question, shadow)).0)
}

#[cfg(test)]
mod tests;
