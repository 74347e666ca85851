//! Privilege envelopes: the worker may do no more than its envelope says. WCP_SPEC 5.6; reference router step 6.7.
//!
//! Nothing can check an envelope yet, so where one is required this denies.

use crate::engine::decision::{Denial, DenyCode};

use super::Case;

pub(super) fn gate(case: &Case<'_>) -> Result<(), Denial> {
    if case.rule.needs_envelope || case.snapshot.settings.enforce_privilege_envelopes {
        let message = "a privilege envelope is required, and this hall cannot check any";
        return Err(Denial::new(DenyCode::PrivilegeEnvelopeUnconfigured, message));
    }
    Ok(())
}
