//! The policy gate, and what needs a human. WCP_SPEC 5.8; reference router step 5.
//!
//! No gate can be configured yet, so a rule that asks for one is denied. Strict also denies, rather than ignores, a rule that
//! asks for a human or for a step-up (S4): nobody can approve yet.

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::snapshot::Mode;

use super::Case;

pub(super) fn gate(case: &Case<'_>) -> Result<(), Denial> {
    let escalation = &case.rule.escalation;
    if escalation.policy_gate {
        return Err(Denial::new(
            DenyCode::PolicyGateUnconfigured,
            "the rule asks for the policy gate, and none is configured",
        ));
    }
    let wants_human =
        escalation.human_required_default || !escalation.human_required_if.is_empty() || escalation.msavx_step_up;
    if case.snapshot.settings.mode == Mode::Strict && wants_human {
        return Err(Denial::new(
            DenyCode::RequiresHumanApproval,
            "the rule asks for a human's approval, and this hall takes none",
        ));
    }
    Ok(())
}
