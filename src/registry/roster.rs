//! The roster: everybody who is enrolled, from the folder (or the configuration itself) and from the store, with revocations and bans.
//!
//! Decisions never see it: they see the workers that it comes to ([`Roster::workers`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::change::{Change, EntryStamp, Mark};
use super::records::{self, Enrolled, RecordFormat};
use super::store::Kept;
use crate::engine::Json;
use crate::engine::json::path_text;
use crate::engine::snapshot::{Worker, WorkerStatus};
use crate::ids::{Digest, WorkerId};

/// Where a worker's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In the folder or written in the configuration, which the API does not change.
    Folder,
    /// In the store.
    Store,
}

impl Origin {
    /// `folder` or `store`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Store => "store",
        }
    }
}

/// A worker that was enrolled over the API.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Worker and record.
    pub enrolled: Enrolled,
    /// The ledger's entry that enrolled it first.
    pub enrollment_id: Uuid,
    /// When it was enrolled first, in microseconds since 1970 UTC.
    pub enrolled_at_micros: i64,
    /// When its record changed last.
    pub updated_at_micros: i64,
}

/// A worker in a list.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// Worker and record.
    pub enrolled: &'a Enrolled,
    /// Where the record is.
    pub origin: Origin,
    /// What counts: the record's own status, revocations and bans together.
    pub status: WorkerStatus,
    /// When it was enrolled over the API; `None` in the folder.
    pub enrolled_at_micros: Option<i64>,
    /// The ledger's entry that enrolled it; `None` in the folder.
    pub enrollment_id: Option<Uuid>,
    /// The revocation, where there is one.
    pub revoked: Option<&'a Mark>,
    /// The ban of its record or code, where there is one.
    pub banned: Option<&'a Mark>,
}

/// Everybody who is enrolled.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    reading: RecordFormat,
    folder: Arc<Folder>,
    stored: BTreeMap<WorkerId, Arc<Stored>>,
    revoked: BTreeMap<WorkerId, Mark>,
    banned: BTreeMap<Digest, Mark>,
}

/// The folder, in the order of its files.
#[derive(Debug, Default)]
struct Folder {
    workers: Vec<Enrolled>,
    places: BTreeMap<WorkerId, usize>,
}

/// Why folder and store do not make a roster together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worker `{worker_id}` {message}; {help}")]
pub struct RosterProblem {
    /// Which worker.
    pub worker_id: String,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

impl Roster {
    /// Of a folder and what a store keeps.
    ///
    /// # Errors
    /// A worker is in both, or a record of the store is not one under this reading. Every problem at once.
    pub fn of(folder: Vec<Enrolled>, reading: RecordFormat, kept: Kept) -> Result<Self, Vec<RosterProblem>> {
        let places = folder.iter().enumerate().map(|(at, one)| (one.worker.worker_id.clone(), at)).collect();
        let folder = Arc::new(Folder { workers: folder, places });
        let mut roster = Self { reading, folder, ..Self::default() };
        let mut problems = Vec::new();
        for row in kept.workers {
            match roster.read(&row.record) {
                Ok(enrolled) => {
                    let id = enrolled.worker.worker_id.clone();
                    let stored = Stored {
                        enrolled,
                        enrollment_id: row.enrollment_id,
                        enrolled_at_micros: row.enrolled_at_micros,
                        updated_at_micros: row.updated_at_micros,
                    };
                    roster.stored.insert(id, Arc::new(stored));
                }
                Err(message) => problems.push(RosterProblem {
                    worker_id: row.worker_id,
                    message: format!("was enrolled over the API with a record that does not load now: {message}"),
                    help: "take back what changed in the policy, or enroll the worker again before it changes".into(),
                }),
            }
        }
        roster.revoked = kept.revoked.into_iter().collect();
        roster.banned = kept.banned.into_iter().collect();
        problems.extend(roster.twice());
        if problems.is_empty() { Ok(roster) } else { Err(problems) }
    }

    /// The folder and reading of `other` with what this one has from the store.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn on_folder_of(&self, other: &Self) -> Result<Self, Vec<RosterProblem>> {
        let mut roster = Self { reading: other.reading.clone(), folder: Arc::clone(&other.folder), ..self.clone() };
        let mut problems = Vec::new();
        if self.reading != other.reading {
            for (id, stored) in &self.stored {
                match records::enrolled(Json::clone(&stored.enrolled.record), &roster.reading.of_others()) {
                    Ok(enrolled) => {
                        let stored = Stored { enrolled, ..Stored::clone(stored) };
                        roster.stored.insert(id.clone(), Arc::new(stored));
                    }
                    Err(findings) => problems.push(RosterProblem {
                        worker_id: id.to_string(),
                        message: format!("was enrolled over the API, and does not load any more: {}", told(&findings)),
                        help: "take the change back, or enroll the worker again before it".into(),
                    }),
                }
            }
        }
        problems.extend(roster.twice());
        if problems.is_empty() { Ok(roster) } else { Err(problems) }
    }

    /// Whether the folder holds the same records, read alike.
    #[must_use]
    pub fn has_folder_of(&self, other: &Self) -> bool {
        let hashes = |roster: &Self| roster.folder.workers.iter().map(|enrolled| enrolled.hash).collect::<Vec<_>>();
        self.reading == other.reading && hashes(self) == hashes(other)
    }

    fn twice(&self) -> impl Iterator<Item = RosterProblem> {
        self.stored.keys().filter(|id| self.folder.places.contains_key(*id)).map(|id| RosterProblem {
            worker_id: id.to_string(),
            message: "is in `policy.workers` and was enrolled over the API, too".into(),
            help: "remove its record there: what was enrolled over the API stays on record".into(),
        })
    }

    /// Reads a record that was kept as text.
    fn read(&self, record: &str) -> Result<Enrolled, String> {
        let json = Json::parse(record.as_bytes()).map_err(|error| error.to_string())?;
        records::enrolled(json, &self.reading.of_others()).map_err(|findings| told(&findings))
    }

    /// How records are read.
    #[must_use]
    pub const fn reading(&self) -> &RecordFormat {
        &self.reading
    }

    /// The workers as decisions see them: those of the folder in the order of its files, then those of the store by id.
    #[must_use]
    pub fn workers(&self) -> Vec<Arc<Worker>> {
        self.all().map(|(enrolled, _)| self.acting(enrolled)).collect()
    }

    fn all(&self) -> impl Iterator<Item = (&Enrolled, Option<&Stored>)> {
        let folder = self.folder.workers.iter().map(|enrolled| (enrolled, None));
        folder.chain(self.stored.values().map(|stored| (&stored.enrolled, Some(&**stored))))
    }

    /// The worker with the status that counts.
    fn acting(&self, enrolled: &Enrolled) -> Arc<Worker> {
        let status = self.status(enrolled);
        if status == enrolled.worker.status {
            return Arc::clone(&enrolled.worker);
        }
        Arc::new(Worker { status, ..Worker::clone(&enrolled.worker) })
    }

    fn status(&self, enrolled: &Enrolled) -> WorkerStatus {
        if self.ban_of(enrolled).is_some() || enrolled.worker.status == WorkerStatus::Banned {
            WorkerStatus::Banned
        } else if self.revoked.contains_key(&enrolled.worker.worker_id) {
            WorkerStatus::Revoked
        } else {
            enrolled.worker.status
        }
    }

    /// The ban of a record or its code.
    #[must_use]
    pub fn ban_of(&self, enrolled: &Enrolled) -> Option<&Mark> {
        if self.banned.is_empty() {
            return None;
        }
        let code = enrolled.worker.attestation.registered;
        self.banned.get(&enrolled.hash).or_else(|| self.banned.get(&code?))
    }

    /// Everybody, those of the folder first.
    pub fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        self.all().map(|(enrolled, stored)| self.list(enrolled, stored))
    }

    /// One worker.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Listed<'_>> {
        if let Some(stored) = self.stored.get(id) {
            return Some(self.list(&stored.enrolled, Some(stored)));
        }
        let enrolled = self.folder.workers.get(*self.folder.places.get(id)?)?;
        Some(self.list(enrolled, None))
    }

    fn list<'a>(&'a self, enrolled: &'a Enrolled, stored: Option<&'a Stored>) -> Listed<'a> {
        Listed {
            enrolled,
            origin: if stored.is_some() { Origin::Store } else { Origin::Folder },
            status: self.status(enrolled),
            enrolled_at_micros: stored.map(|stored| stored.enrolled_at_micros),
            enrollment_id: stored.map(|stored| stored.enrollment_id),
            revoked: self.revoked.get(&enrolled.worker.worker_id),
            banned: self.ban_of(enrolled),
        }
    }

    /// How many were enrolled over the API.
    #[must_use]
    pub fn stored(&self) -> usize {
        self.stored.len()
    }

    /// The banned hashes, in their order.
    pub fn bans(&self) -> impl Iterator<Item = (&Digest, &Mark)> {
        self.banned.iter()
    }

    /// Whether a hash is banned.
    #[must_use]
    pub fn is_banned(&self, hash: &Digest) -> bool {
        self.banned.contains_key(hash)
    }

    /// Enrolls a worker, or gives it another record.
    pub fn enroll(&mut self, enrolled: Enrolled, stamp: &EntryStamp) {
        let id = enrolled.worker.worker_id.clone();
        let before = self.stored.get(&id);
        let stored = Stored {
            enrolled,
            enrollment_id: before.map_or(stamp.id, |before| before.enrollment_id),
            enrolled_at_micros: before.map_or(stamp.at_micros, |before| before.enrolled_at_micros),
            updated_at_micros: stamp.at_micros,
        };
        self.stored.insert(id, Arc::new(stored));
    }

    /// The roster after a change.
    ///
    /// # Errors
    /// A record is not one under this reading: nothing has changed.
    pub fn apply(&mut self, change: &Change, stamp: &EntryStamp) -> Result<(), String> {
        match change {
            Change::Enroll { record, .. } => self.enroll(self.read(record)?, stamp),
            Change::Revoke { worker_id, reason } => {
                self.revoked.insert(worker_id.clone(), stamp.mark(reason));
            }
            Change::Restore { worker_id } => drop(self.revoked.remove(worker_id)),
            Change::Ban { hash, reason } => drop(self.banned.insert(*hash, stamp.mark(reason))),
            Change::Unban { hash } => drop(self.banned.remove(hash)),
        }
        Ok(())
    }
}

impl EntryStamp {
    fn mark(&self, reason: &Option<Arc<str>>) -> Mark {
        Mark { since_micros: self.at_micros, reason: reason.clone() }
    }
}

/// What is wrong with a record, in one line.
#[must_use]
pub fn told(findings: &[crate::engine::json::Finding]) -> String {
    let one = |finding: &crate::engine::json::Finding| {
        let place = path_text(&finding.steps);
        let place = if place.is_empty() { place } else { format!("`{place}` ") };
        format!("{place}{}: {}", finding.message, finding.help)
    };
    findings.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
