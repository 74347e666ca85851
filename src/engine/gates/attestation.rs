//! Attestation: the worker's code is what was attested. WCP_SPEC 5.10; reference router step 6.5.
//!
//! Nothing can attest yet, so where attestation is required this denies. Strict enforces the rule's precondition, too (S5).

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::snapshot::Mode;

use super::Case;

fn is_required(case: &Case<'_>) -> bool {
    let settings = &case.snapshot.settings;
    let by_rule = settings.mode == Mode::Strict
        && case.question.env.is_production()
        && case.rule.preconditions.deny_if_no_attestation_in_prod;
    settings.require_worker_attestation || by_rule
}

pub(super) fn gate(case: &Case<'_>) -> Result<(), Denial> {
    if is_required(case) {
        let message = "the worker's attestation is required, and this hall cannot check any";
        return Err(Denial::new(DenyCode::AttestationUnconfigured, message));
    }
    Ok(())
}

/// Whether production goes without attestation, which is told as an event.
pub(super) fn is_skipped(case: &Case<'_>) -> bool {
    case.question.env.is_production() && !is_required(case)
}
