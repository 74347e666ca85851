//! Observing: what the policy denies passes, and is said. Everything else is enforced, also where the policy had refused before it.
//!
//! The first gate that refuses decides, so behind a denial that yields there may be one that does not: a worker that is banned may ask
//! what no rule matches. So the gates are asked once more, as if the policy had let the request and its worker pass.

use std::sync::LazyLock;

use crate::engine::decision::{Event, Outcome, Verdict, WouldBe};
use crate::engine::question::Question;
use crate::engine::rules::Rule;
use crate::engine::snapshot::{Prepared, Snapshot};

use super::{AFTER, Case, GateObserver, GateWord, NO_MATCH, attestation, worker};

/// What stands in the place of a rule where none matches.
static NO_RULE: LazyLock<(Rule, Prepared)> = LazyLock::new(|| (Rule::none(NO_MATCH), Prepared::of_no_rule()));

/// The case as it is where the policy is only observed: with whoever would act if it let it.
pub(super) fn case<'a>(question: &'a Question, snapshot: &'a Snapshot, by_policy: Option<Case<'a>>) -> Case<'a> {
    let (rule, prepared, choice) = match by_policy {
        Some(Case { rule, prepared, choice, .. }) => (rule, prepared, Some(choice)),
        None => {
            let (rule, prepared) = &*NO_RULE;
            (rule, prepared, None)
        }
    };
    Case::with(question, snapshot, rule, prepared, worker::observed(question, snapshot, choice))
}

/// The verdict where a gate refuses: that, or a dispatch that says it, where the policy is only observed and nothing else refuses. The
/// listener has heard of the first gates behind the rule.
pub(super) fn verdict(
    question: &Question,
    snapshot: &Snapshot,
    by_policy: Option<Case<'_>>,
    heard: usize,
    mut denied: Verdict,
    listener: &mut impl GateObserver,
) -> Verdict {
    let yields = |verdict: &Verdict| verdict.denial.as_ref().is_some_and(|denial| denial.code.yields_to_observing());
    if !question.observed || !yields(&denied) {
        return denied;
    }
    let case = case(question, snapshot, by_policy);
    for (at, (name, gate, shows)) in AFTER.iter().enumerate() {
        let said = gate(&case);
        if at >= heard {
            listener.gate(name, GateWord::of(&said));
        }
        if let Err(denial) = said
            && !denial.code.yields_to_observing()
        {
            return case.denied(denial, *shows);
        }
    }
    // The worker gate has refused whoever may not act; should that ever change, this stays a no.
    let Ok(chosen) = &case.choice.chosen else { return denied };
    let Some(denial) = denied.denial.take() else { return denied };
    let attested = attestation::is_required(&case);
    Verdict {
        outcome: Outcome::Dispatch,
        would_be: Some(Box::new(WouldBe { outcome: denied.outcome, denial })),
        selected_species: chosen.species.clone(),
        worker_id: chosen.worker.clone(),
        attestation_checked: attested,
        attestation_valid: attested.then_some(true),
        attested: attestation::seen(&case),
        events: vec![Event::TaskRouted],
        ..denied
    }
}
