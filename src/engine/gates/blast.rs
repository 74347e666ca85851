//! The blast gate: in production a request with too high a score needs a human. WCP_SPEC 5.5 and 7; reference router step 4.
//!
//! Strict adds the worker's own blast sum, scaled to 100, and a rule's own limit (S6).

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::question::{Blast, Question};
use crate::engine::rules::Rule;
use crate::engine::snapshot::{Mode, Snapshot};

use super::Case;
use super::worker::Choice;

/// From this score on a human is needed in production.
const TOO_HIGH: u8 = 85;

/// The score that counts, where the rule or the hall wants one computed.
pub(super) fn score(question: &Question, snapshot: &Snapshot, rule: &Rule, choice: &Choice) -> Option<u8> {
    let floor = snapshot.settings.enforce_blast_scoring_in_prod && question.env.is_production();
    if !rule.scores_blast && !floor {
        return None;
    }
    known(question, snapshot, choice)
}

/// The score, whoever wants to know; `None` when nobody does.
pub(super) fn known(question: &Question, snapshot: &Snapshot, choice: &Choice) -> Option<u8> {
    let Blast::Score(score) = question.blast else { return None };
    let sum = choice.chosen.as_ref().map_or(0, |chosen| chosen.blast_sum);
    let of_worker = if snapshot.settings.mode == Mode::Strict { sum.saturating_mul(4).min(100) } else { 0 };
    Some(score.max(of_worker))
}

pub(super) fn gate(case: &Case<'_>) -> Result<(), Denial> {
    let Some(score) = case.score else { return Ok(()) };
    let env = case.question.env;
    let message = if env.is_production() && score >= TOO_HIGH {
        format!("the blast score is {score}, and in {env} a human must act from {TOO_HIGH} on")
    } else if let Some(most) = case.rule.max_blast.filter(|most| score > *most) {
        format!("the blast score is {score}, and the rule lets at most {most} pass")
    } else {
        return Ok(());
    };
    Err(Denial::new(DenyCode::RequiresHuman, message)
        .with("blast_score", score)
        .with("reason", "REQUIRE_HUMAN_HIGH_BLAST"))
}
