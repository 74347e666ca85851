//! Where the policy wants a name, a request names its worker (strict rule S8). WCP_SPEC 5.7: a receipt names a worker.

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::question::{NamedWorker, Question};
use crate::engine::snapshot::Snapshot;

pub(super) fn gate(question: &Question, _: &Snapshot) -> Result<(), Denial> {
    if question.worker == NamedWorker::Missing {
        let message = format!("worker_id is missing, and {} requests must name their worker", question.env);
        return Err(Denial::new(DenyCode::MissingWorkerId, message));
    }
    Ok(())
}
