//! The registry overlay: what a remote registry says of workers, as one value: facts that were looked up, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{Digest, WorkerId};

use super::{Worker, WorkerStatus};

/// For which workers a remote registry must vouch: without its word they do not act in prod and edge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Required {
    /// For none: its word can only take away.
    #[default]
    None,
    /// For those whose id is in a namespace of the public registry: `org.…` and `x.…`.
    Namespaced,
    /// For all.
    All,
}

impl Required {
    /// Whether it must vouch for this worker.
    #[must_use]
    pub fn of(self, worker: &WorkerId) -> bool {
        match self {
            Self::None => false,
            Self::Namespaced => ["org.", "x."].iter().any(|namespace| worker.as_str().starts_with(namespace)),
            Self::All => true,
        }
    }
}

/// What a remote registry says of workers. The default says nothing and is needed for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryOverlay {
    /// For whom it must vouch.
    pub required: Required,
    /// What it says of each worker, lately enough to count. Without its word a worker for which it must vouch is unverified.
    pub said: BTreeMap<WorkerId, WorkerStatus>,
    /// Hashes of code that nobody may run.
    pub banned: BTreeSet<Digest>,
}

impl RegistryOverlay {
    /// The status that a worker has by this alone.
    #[must_use]
    pub fn status(&self, worker: &Worker) -> WorkerStatus {
        if worker.attestation.registered.is_some_and(|hash| self.banned.contains(&hash)) {
            return WorkerStatus::Banned;
        }
        match self.said.get(&worker.worker_id) {
            Some(status) => *status,
            None if self.required.of(&worker.worker_id) => WorkerStatus::Unverified,
            None => WorkerStatus::Active,
        }
    }

    /// The worker with the worse of its record's status and this one.
    pub(super) fn heeded(&self, worker: &Arc<Worker>) -> Arc<Worker> {
        let status = worker.status.max(self.status(worker));
        if status == worker.status {
            return Arc::clone(worker);
        }
        Arc::new(Worker { status, ..Worker::clone(worker) })
    }
}
