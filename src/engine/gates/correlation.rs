//! A correlation id, where the rule or the hall demands one. WCP_SPEC 5.4; reference router step 2.

use crate::engine::decision::{Denial, DenyCode};

use super::Case;

pub(super) fn gate(case: &Case<'_>) -> Result<(), Denial> {
    let demanded = case.rule.preconditions.must_have_correlation_id || case.snapshot.settings.enforce_correlation_id;
    if demanded && case.question.correlation_blank {
        return Err(Denial::new(DenyCode::MissingCorrelationId, "correlation_id is blank; send one, such as a UUID"));
    }
    Ok(())
}
