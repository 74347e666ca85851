//! Attestation: the code of whoever acts is what was attested. WCP_SPEC 5.10; reference router step 6.5.
//!
//! Strict also enforces the rule's precondition (S5). Hashes are evidence: they go into the verdict for the ledger, and never
//! into a denial, since the registered one would tell an attacker what to aim at.

use std::sync::Arc;

use crate::engine::decision::{Attested, Denial, DenyCode};
use crate::engine::question::Question;
use crate::engine::snapshot::{Acting, Code, Mode, Snapshot};

use super::{BEFORE, Case, observe};

/// Whose code this question's verdict depends on, in the order in which [`Question::knowing`] wants to know it.
///
/// `None`: no code is looked at, or an earlier gate refuses anyhow.
#[must_use]
pub fn whose_code(question: &Question, snapshot: &Snapshot) -> Option<Arc<[Arc<Acting>]>> {
    if !snapshot.reads.code || BEFORE.iter().any(|(_, gate, _)| gate(question, snapshot).is_err()) {
        return None;
    }
    let case = Case::of(question, snapshot).ok();
    let case = if question.observed { observe::case(question, snapshot, case) } else { case? };
    let chosen = case.choice.chosen.as_ref().ok().filter(|_| is_required(&case))?;
    Some(Arc::clone(&chosen.acting))
}

pub(super) fn is_required(case: &Case<'_>) -> bool {
    let settings = &case.snapshot.settings;
    let by_rule = settings.mode == Mode::Strict
        && case.question.env.is_production()
        && case.rule.preconditions.deny_if_no_attestation_in_prod;
    settings.require_worker_attestation || by_rule
}

pub(super) fn gate(case: &Case<'_>) -> Result<(), Denial> {
    let Ok(chosen) = &case.choice.chosen else { return Ok(()) };
    if !is_required(case) {
        return Ok(());
    }
    if chosen.acting.len() != case.question.code.len() || chosen.acting.is_empty() {
        let message = "the worker's attestation is required, and nothing looked at its code";
        return Err(Denial::new(DenyCode::AttestationUnconfigured, message));
    }
    chosen.acting.iter().zip(&case.question.code).try_for_each(|(acting, code)| check(acting, *code)).map_err(
        |denial| {
            let tampered = denial.code == DenyCode::WorkerTampered;
            if tampered { denial.with("worker_species_id", chosen.species.as_deref()) } else { denial }
        },
    )
}

fn check(acting: &Acting, code: Code) -> Result<(), Denial> {
    let refuse = |code, message: &str| Err(Denial::new(code, format!("`{}` {message}", acting.who)));
    match (acting.attestation.registered, code) {
        (None, _) => refuse(DenyCode::WorkerAttestationMissing, "has no registered hash of its code"),
        (Some(_), Code::Unavailable) => refuse(
            DenyCode::WorkerHashUnavailable,
            "has no source file here that could be read whole and unchanged, so its code is not known",
        ),
        (Some(registered), Code::Is(current)) if registered != current => {
            refuse(DenyCode::WorkerTampered, "does not have the code that was attested")
        }
        (Some(_), Code::Is(_)) => Ok(()),
    }
}

/// The hashes that were compared: of the one who acts, or of the first who did not pass. `None` where several passed: their
/// registered hashes are the snapshot's, and the current ones are equal to them.
pub(super) fn seen(case: &Case<'_>) -> Option<Attested> {
    let chosen = case.choice.chosen.as_ref().ok().filter(|_| is_required(case))?;
    let mut pairs = chosen.acting.iter().zip(&case.question.code);
    let (acting, code) = match &case.question.code[..] {
        [_] => pairs.next()?,
        _ => pairs.find(|(acting, code)| check(acting, **code).is_err())?,
    };
    let current = match code {
        Code::Is(hash) => Some(*hash),
        Code::Unavailable => None,
    };
    Some(Attested { registered: acting.attestation.registered, current })
}

/// Whether production goes without attestation, which is told as an event.
pub(super) fn is_skipped(case: &Case<'_>) -> bool {
    case.question.env.is_production() && !is_required(case)
}
