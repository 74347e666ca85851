//! Enrolment: workers are enrolled, revoked and banned while the hall decides. Each change is in the ledger first.
//!
//! A change is judged, recorded and put in force by one thread (`worker`), many at a time: one write to the ledger, one
//! snapshot, one commit to the store. The ledger's entry is the commit: the store is its index, and is brought up to it.

mod authorize;
mod codec;
mod job;
mod preview;
pub mod validate;
mod worker;

use std::sync::Arc;

use crate::engine::Json;
use crate::engine::snapshot::WorkerStatus;
use crate::hall::Hall;
use crate::hall::Token;
use crate::ids::{Digest, WorkerId};
use crate::ledger::{Receipt, RecordError};
use crate::registry::change::Change;
use crate::registry::roster::{Roster, RosterProblem};
use crate::registry::store::{Store, StoreError};

use job::EnrolmentJob;
pub use preview::{EnrolmentPreview, RecordDifference};
pub(super) use worker::EnrolmentWorker;

/// A change that is recorded and in force.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Its receipt; `None`: all was so before, and nothing has changed.
    pub receipt: Option<Receipt>,
    /// Whether the worker was enrolled before.
    pub known: bool,
    /// What the worker's status is now; of a ban, `Active` when there is none now.
    pub status: WorkerStatus,
    /// The workers that a ban is about, by id.
    pub workers: Vec<WorkerId>,
}

/// Why the registry was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotChanged {
    /// Nothing is enrolled over the API here.
    #[error("this Hall enrolls no workers over the API: name a file in `policy.store` and start it again")]
    NoStore,
    /// A field is missing or of another form.
    #[error("{reason}")]
    Field {
        /// Which, and what of it: `missing field: worker_id`.
        error: String,
        /// What is wrong, and what to change.
        reason: String,
    },
    /// The record is not the one that was hashed.
    #[error(
        "`artifact_hash` is not the hash of this record: correct the record, or write the hash that `hallgate worker hash` prints"
    )]
    Tampered,
    /// The token may not do this.
    #[error("{0}")]
    NotAllowed(String),
    /// It contradicts who is enrolled.
    #[error("{0}")]
    Conflict(String),
    /// The record, or its code, is banned.
    #[error("the hash of this record or of its code is banned: enroll a worker with other code")]
    Banned,
    /// There is no such worker that this token may see.
    #[error("no such worker is enrolled: correct the worker_id in the path")]
    Unknown,
    /// More wait than can be done.
    #[error("too many changes of the registry wait: try again")]
    Busy,
    /// The ledger did not commit the entry.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A mistake of ours.
    #[error("the change could not be put in force: {0}")]
    Inside(String),
}

/// Why the registry cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store cannot be used.
    #[error("`policy.store`: {0}")]
    Store(#[from] StoreError),
    /// The ledger's entries cannot be read.
    #[error("`policy.store` cannot be brought up to the ledger: {0}")]
    Ledger(std::io::Error),
    /// Folder and store do not go together.
    #[error("`policy.store`: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Roster(Vec<RosterProblem>),
    /// The workers make no snapshot.
    #[error("`policy.store`: {0}")]
    Snapshot(String),
    /// There is no thread for it.
    #[error("no thread can be started: {0}")]
    Thread(std::io::Error),
}

impl Hall {
    /// Opens the registry: brings the store up to the ledger, and puts the workers that it keeps in force. To be done before
    /// [`Hall::begin`]. It blocks this thread.
    ///
    /// # Errors
    /// The store or the ledger cannot be read, or folder and store do not go together.
    pub fn open_registry(self: &Arc<Self>, mut store: Store) -> Result<(), RegistryError> {
        codec::bring_up(&mut store, &self.ledger)?;
        self.activate_stored(&store)?;
        let enrolment_worker = EnrolmentWorker::start(self, store).map_err(RegistryError::Thread)?;
        let _one_registry_only = self.enrolment_worker.set(enrolment_worker);
        Ok(())
    }

    /// Puts in force what a store keeps, which is on record.
    fn activate_stored(&self, store: &Store) -> Result<(), RegistryError> {
        let kept = store.kept()?;
        let stored =
            Roster::of(Vec::new(), self.roster.load().reading().clone(), kept).map_err(RegistryError::Roster)?;
        let roster = stored.on_folder_of(&self.roster.load()).map_err(RegistryError::Roster)?;
        let snapshot = self.snapshot.load().with_workers(roster.workers()).map_err(|problems| {
            RegistryError::Snapshot(problems.iter().map(|p| format!("{} {}", p.path, p.message)).collect())
        })?;
        self.roster.store(Arc::new(roster));
        self.succeed(snapshot);
        Ok(())
    }

    /// Ends what changes the registry; later changes are refused. To be done before the ledger is closed.
    pub fn close_registry(&self) {
        if let Some(enrolment_worker) = self.enrolment_worker.get() {
            enrolment_worker.close();
        }
    }

    /// Everybody who is enrolled: records, status, and where each comes from ([`Roster::listed`], [`Roster::find`],
    /// [`Roster::bans`]). Whether a tenant may see one is [`validate::is_of`]'s to say.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        self.roster.load_full()
    }

    /// Enrolls a worker, or gives it another record. When this returns it is recorded and in force.
    ///
    /// # Errors
    /// The record is none, or not the caller's to enroll; or it could not be recorded.
    pub async fn enroll(&self, token: &Arc<Token>, record: Json) -> Result<Registered, NotChanged> {
        let enrolment_worker = self.enrolment_worker.get().ok_or(NotChanged::NoStore)?;
        let (enrolled, record) = validate::read(record, &self.roster.load().reading().of_others())?;
        validate::may_enroll(token, &enrolled).map_err(NotChanged::NotAllowed)?;
        let change = Change::Enroll { worker_id: enrolled.worker.worker_id.clone(), record };
        enrolment_worker.change(EnrolmentJob::new(token, change, Some(enrolled))).await
    }

    /// Takes from a worker the right to act. It is in force for every request that begins after this returns.
    ///
    /// # Errors
    /// There is no such worker, it is not the caller's, or it could not be recorded.
    pub async fn revoke(
        &self,
        token: &Arc<Token>,
        id: &str,
        reason: Option<Arc<str>>,
    ) -> Result<Registered, NotChanged> {
        let enrolment_worker = self.enrolment_worker.get().ok_or(NotChanged::NoStore)?;
        let worker_id = id.parse().map_err(|_| NotChanged::Unknown)?;
        enrolment_worker.change(EnrolmentJob::new(token, Change::Revoke { worker_id, reason }, None)).await
    }

    /// Takes a revocation back.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    pub async fn restore(&self, token: &Arc<Token>, id: &str) -> Result<Registered, NotChanged> {
        let enrolment_worker = self.enrolment_worker.get().ok_or(NotChanged::NoStore)?;
        let worker_id = id.parse().map_err(|_| NotChanged::Unknown)?;
        enrolment_worker.change(EnrolmentJob::new(token, Change::Restore { worker_id }, None)).await
    }

    /// Bans a hash: no worker whose record or code has it may act, whoever enrolls it.
    ///
    /// # Errors
    /// The token is bound to a tenant, or it could not be recorded.
    pub async fn ban(
        &self,
        token: &Arc<Token>,
        hash: Digest,
        reason: Option<Arc<str>>,
    ) -> Result<Registered, NotChanged> {
        let enrolment_worker = self.enrolment_worker.get().ok_or(NotChanged::NoStore)?;
        enrolment_worker.change(EnrolmentJob::new(token, Change::Ban { hash, reason }, None)).await
    }

    /// Takes a ban back.
    ///
    /// # Errors
    /// As [`Self::ban`].
    pub async fn unban(&self, token: &Arc<Token>, hash: Digest) -> Result<Registered, NotChanged> {
        let enrolment_worker = self.enrolment_worker.get().ok_or(NotChanged::NoStore)?;
        enrolment_worker.change(EnrolmentJob::new(token, Change::Unban { hash }, None)).await
    }
}

#[cfg(test)]
mod tests;
