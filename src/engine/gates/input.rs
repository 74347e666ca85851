//! Values that no request may hold: a blast score outside of 0 to 100 and, in strict mode, a capability of another form.
//! WCP_SPEC 3.2 and 4.1; reference router step 0.25.

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::question::{Blast, Capability, Question};
use crate::engine::snapshot::Snapshot;

pub(super) fn gate(question: &Question, _: &Snapshot) -> Result<(), Denial> {
    if let Blast::OutOfRange(score) = question.blast {
        let message = format!("blast_score is {score}; send an integer from 0 to 100, or none");
        return Err(Denial::new(DenyCode::InvalidInput, message).with("blast_score", score));
    }
    if question.capability == Capability::Malformed {
        let message = "capability_id is no capability; send one such as cap.data.write.v1";
        return Err(Denial::new(DenyCode::InvalidInput, message).with("field", "capability_id"));
    }
    Ok(())
}
