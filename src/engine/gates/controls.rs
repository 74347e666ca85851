//! The rule's controls are implemented somewhere in the fleet. WCP_SPEC 5.3; reference router step 3.
//!
//! That the worker itself implements them is the worker gate's matter (strict rule S1).

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::snapshot::controls_deny;

use super::Case;

pub(super) fn gate(case: &Case<'_>) -> Result<(), Denial> {
    let missing = case.prepared.missing(case.question.env);
    if missing.is_empty() || !controls_deny(case.rule, &case.snapshot.settings) {
        return Ok(());
    }
    // Where a worker may not act at all, its controls are missing because of that: what stands against it is the reason.
    if let Err(denial) = &case.choice.chosen
        && matches!(denial.code, DenyCode::WorkerBanned | DenyCode::WorkerRevoked | DenyCode::RegistryUnavailable)
    {
        return Err(denial.clone());
    }
    let missing: Vec<&str> = missing.iter().map(|control| &**control).collect();
    let message = format!("no worker implements {}, which the rule requires", missing.join(", "));
    Err(Denial::new(DenyCode::MissingRequiredControls, message).with("missing", missing))
}
