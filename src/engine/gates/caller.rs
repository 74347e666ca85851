//! The credential's binding: a caller asks only as what its credential is bound to. Before every step of the specification.

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::question::{Bound, Question};
use crate::engine::snapshot::Snapshot;

pub(super) fn gate(question: &Question, _: &Snapshot) -> Result<(), Denial> {
    match question.binding {
        Bound::Yes => Ok(()),
        Bound::OtherTenant => {
            Err(Denial::new(DenyCode::UnknownTenant, "tenant_id is not the tenant that this credential is bound to"))
        }
        Bound::OtherWorker => Err(Denial::new(
            DenyCode::CredentialInvalid,
            "worker_id is none of the workers that this credential is bound to",
        )),
        Bound::OtherEnv => Err(Denial::new(
            DenyCode::EnvNotAllowed,
            "env is none of the environments that this credential is bound to",
        )),
    }
}
