//! Where the policy wants it, only capabilities of the catalogue are looked at. WCP_SPEC 3: what nobody has described, nobody has judged.

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::question::{Capability, Question};
use crate::engine::snapshot::Snapshot;

pub(super) fn gate(question: &Question, _: &Snapshot) -> Result<(), Denial> {
    if question.capability == Capability::Unlisted {
        let message = "capability_id is not in the catalogue; send one that `GET /wcp/capabilities` lists";
        return Err(Denial::new(DenyCode::UnknownCapability, message));
    }
    Ok(())
}
