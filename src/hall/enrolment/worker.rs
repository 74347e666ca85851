//! The enrolment worker: one thread that changes the registry, as many changes at a time as wait.
//!
//! A batch is judged in order, recorded in one write to the ledger with the policy that it makes, put in force with one new
//! snapshot, and kept in the store; only then is anybody answered. When the store cannot be written it is behind: what was recorded
//! is in force all the same, and the store is brought up to the ledger later, at the latest at the next start.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::authorize::authorize;
use super::job::EnrolmentJob;
use super::{NotChanged, Registered, codec};
use crate::engine::Snapshot;
use crate::engine::snapshot::WorkerStatus;
use crate::hall::Hall;
use crate::hall::active_policy::policy_activation;
use crate::ledger::{ActivationCause, Ledger, Receipt, Record, RecordError, RegistryAction};
use crate::registry::change::{Change, EntryStamp};
use crate::registry::records::Enrolled;
use crate::registry::roster::Roster;
use crate::registry::store::Store;
use crate::telemetry::threads::{self, Thread};

/// Changes that may wait; more are refused.
const WAITING: usize = 1024;
/// The most changes of one batch.
const MOST: usize = 1024;
/// How often the enrolment worker looks up when nothing comes.
const LOOK: Duration = Duration::from_secs(1);
/// The longest that whoever asks for a change waits for it: it is made in turn, behind all that wait. For a disk that stalls nobody
/// waits longer than anybody else.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the end of the thread is waited for.
const END: Duration = Duration::from_secs(5);
/// Of its time the enrolment worker leaves as much to deciding as it takes, up to this a batch: a revocation must not wait long.
const REST: Duration = Duration::from_millis(50);
/// Entries after which an idle worker notes that none of them is the registry's, so that a start need not read them all.
const MANY: u64 = 100_000;

/// The handle to the thread.
#[derive(Debug)]
pub struct EnrolmentWorker {
    ledger: Ledger,
    jobs: Mutex<Option<SyncSender<EnrolmentJob>>>,
    thread: Mutex<Option<Thread>>,
}

impl EnrolmentWorker {
    /// Starts the thread. It ends with the hall.
    pub(super) fn start(hall: &Arc<Hall>, store: Store) -> io::Result<Self> {
        let (jobs, come) = sync_channel(WAITING);
        let noted = hall.ledger.health().entries;
        let mut desk = Desk { hall: Arc::downgrade(hall), store, behind: false, noted, working: false };
        let thread = threads::start("enrolment", move || desk.run(&come))?;
        let ledger = hall.ledger.clone();
        Ok(Self { ledger, jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    /// Has a change made, and waits until it is in force. Dropping the future loses the answer, never the change.
    pub(super) async fn change(&self, mut job: EnrolmentJob) -> Result<Registered, NotChanged> {
        if self.ledger.is_stalled() {
            return Err(NotChanged::Record(RecordError::Stalled));
        }
        let (answer, answered) = oneshot::channel();
        job.answer = Some(answer);
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match jobs.ok_or(NotChanged::Busy)?.try_send(job) {
            Ok(()) => tokio::select! {
                biased;
                answered = answered => {
                    answered.unwrap_or_else(|_| Err(NotChanged::Inside("the registry's thread has panicked".into())))
                }
                // What becomes of it is in the ledger.
                () = self.ledger.stalled() => Err(NotChanged::Record(RecordError::Stalled)),
                () = tokio::time::sleep(ANSWER) => Err(NotChanged::Record(RecordError::Stalled)),
            },
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(NotChanged::Busy),
        }
    }

    /// Makes the changes that wait, and ends the thread.
    pub(super) fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            thread.join(END);
        }
    }
}

/// Where the enrolment worker works.
struct Desk {
    hall: Weak<Hall>,
    store: Store,
    /// The store lacks changes that the ledger has.
    behind: bool,
    /// How many of the ledger's entries the store has taken.
    noted: u64,
    /// A batch is being made; also when that has panicked.
    working: bool,
}

/// A change that will be made.
struct Accepted {
    job: EnrolmentJob,
    action: RegistryAction,
    known: bool,
}

impl Desk {
    fn run(&mut self, come: &Receiver<EnrolmentJob>) {
        loop {
            match come.recv_timeout(LOOK) {
                Ok(first) => {
                    let Some(hall) = self.hall.upgrade() else { return };
                    let mut jobs = vec![first];
                    jobs.extend(come.try_iter().take(MOST - 1));
                    let began = Instant::now();
                    if !self.working || self.resume(&hall) {
                        self.working = true;
                        self.work(&hall, jobs);
                        self.working = false;
                    }
                    drop(hall);
                    thread::sleep(began.elapsed().min(REST));
                }
                Err(RecvTimeoutError::Timeout) if self.working => {
                    let Some(hall) = self.hall.upgrade() else { return };
                    self.resume(&hall);
                }
                Err(RecvTimeoutError::Timeout) => self.tidy(MANY),
                Err(RecvTimeoutError::Disconnected) => return self.tidy(1),
            }
        }
    }

    /// Puts in force what is on record, after a batch that has panicked: the ledger says how far that got. Whether it could.
    fn resume(&mut self, hall: &Hall) -> bool {
        self.behind = true;
        self.catch_up(hall);
        if self.behind {
            return false;
        }
        let _turn = hall.activation.turn_blocking();
        let resumed = hall.activate_stored(&self.store);
        if let Err(error) = &resumed {
            tracing::error!(%error, "what the registry has on record cannot be put in force");
        }
        self.working = resumed.is_err();
        !self.working
    }

    /// Catches up when the store is behind; else notes how far the ledger is, if that is so many entries further.
    fn tidy(&mut self, many: u64) {
        let Some(hall) = self.hall.upgrade() else { return };
        if self.behind {
            self.catch_up(&hall);
            return;
        }
        // All changes come from here, so none is among the entries since the last.
        let entries = hall.ledger.health().entries;
        if entries >= self.noted.saturating_add(many) && self.store.keep(&[], entries).is_ok() {
            self.noted = entries;
        }
    }

    fn catch_up(&mut self, hall: &Hall) {
        match codec::bring_up(&mut self.store, &hall.ledger) {
            Ok(()) => {
                self.behind = false;
                self.noted = hall.ledger.health().entries;
            }
            Err(error) => {
                tracing::error!(%error, "the registry's store is behind the ledger, and is brought up to it later")
            }
        }
    }

    /// Makes a batch of changes.
    fn work(&mut self, hall: &Hall, jobs: Vec<EnrolmentJob>) {
        if self.behind {
            self.catch_up(hall);
        }
        let turn = hall.activation.turn_blocking();
        let before = hall.roster.load_full();
        let mut roster = Roster::clone(&before);
        let (mut accepted, mut settled) = (Vec::new(), Vec::new());
        for job in jobs {
            let known = worker(&job.change).is_some_and(|id| roster.find(id).is_some());
            match authorize(&job, &roster) {
                Ok(Some(action)) => {
                    match enter(&mut roster, &job, &EntryStamp { id: Uuid::nil(), at_micros: 0, by: None }) {
                        Ok(()) => accepted.push(Accepted { job, action, known }),
                        Err(problem) => job.answer(Err(NotChanged::Inside(problem))),
                    }
                }
                Ok(None) => settled.push(job),
                Err(refused) => job.answer(Err(refused)),
            }
        }
        let changes = if accepted.is_empty() { Vec::new() } else { self.activate(hall, &before, &roster, accepted) };
        drop(turn);
        if !changes.is_empty() {
            self.keep(hall, &changes);
        }
        let now = (hall.roster.load_full(), hall.snapshot.load_full());
        for job in settled {
            let known = worker(&job.change).is_some();
            let registered = registered(&now, &job.change, None, known);
            job.answer(Ok(registered));
        }
        for (Accepted { job, known, .. }, _, receipt) in changes {
            let registered = registered(&now, &job.change, Some(receipt), known);
            job.answer(Ok(registered));
        }
    }

    /// Records the changes and puts them in force; whoever's could not be recorded is answered.
    fn activate(
        &self,
        hall: &Hall,
        before: &Roster,
        planned: &Roster,
        accepted: Vec<Accepted>,
    ) -> Vec<(Accepted, EntryStamp, Receipt)> {
        let refuse = |accepted: Vec<Accepted>, why: &NotChanged| {
            accepted.into_iter().for_each(|one| one.job.answer(Err(why.clone())));
            Vec::new()
        };
        let active = hall.snapshot.load_full();
        let snapshot = match active.with_workers(planned.workers()) {
            Ok(snapshot) => snapshot,
            Err(problems) => {
                let told: Vec<_> = problems.iter().map(|p| format!("{} {}", p.path, p.message)).collect();
                return refuse(accepted, &NotChanged::Inside(told.join("; ")));
            }
        };
        let replaced = active.fingerprint;
        let mut records: Vec<Record> = accepted.iter().map(|one| codec::record(one.action, &one.job)).collect();
        let changed = snapshot.fingerprint != replaced;
        if changed {
            records.extend(hall.owed_policy());
            records.push(Record::Policy(policy_activation(&snapshot, ActivationCause::Registry, Some(replaced))));
        }
        let receipts = match hall.ledger.record_together(records) {
            Ok(receipts) => receipts,
            Err(error) => {
                hall.metrics.cannot_decide.inc();
                return refuse(accepted, &NotChanged::Record(error));
            }
        };
        // The same once more, with what the ledger has made of it.
        let mut roster = Roster::clone(before);
        let mut changes = Vec::with_capacity(accepted.len());
        for (one, receipt) in accepted.into_iter().zip(receipts) {
            let by = Some(one.job.token.name.clone());
            let stamp = EntryStamp { id: receipt.id(), at_micros: receipt.recorded_at_micros(), by };
            match enter(&mut roster, &one.job, &stamp) {
                Ok(()) => changes.push((one, stamp, receipt)),
                Err(problem) => one.job.answer(Err(NotChanged::Inside(problem))),
            }
        }
        hall.roster.store(Arc::new(roster));
        if changed {
            hall.announced();
        }
        hall.succeed(snapshot);
        changes
    }

    /// Has the store keep what is recorded and in force.
    fn keep(&mut self, hall: &Hall, changes: &[(Accepted, EntryStamp, Receipt)]) {
        if self.behind {
            return;
        }
        let kept: Vec<(Change, EntryStamp)> =
            changes.iter().map(|(one, stamp, _)| (one.job.change.clone(), stamp.clone())).collect();
        let entries = hall.ledger.health().entries;
        match self.store.keep(&kept, entries) {
            Ok(()) => self.noted = entries,
            Err(error) => {
                self.behind = true;
                tracing::error!(%error, "the registry's store is behind the ledger: what was recorded is in force");
            }
        }
    }
}

/// Enters a change on a roster.
fn enter(roster: &mut Roster, job: &EnrolmentJob, stamp: &EntryStamp) -> Result<(), String> {
    match &job.enrolled {
        Some(enrolled) => {
            roster.enroll(enrolled.clone(), stamp);
            Ok(())
        }
        None => roster.apply(&job.change, stamp),
    }
}

/// The worker that a change is about.
fn worker(change: &Change) -> Option<&str> {
    match change {
        Change::Enroll { worker_id, .. } | Change::Revoke { worker_id, .. } | Change::Restore { worker_id } => {
            Some(worker_id.as_str())
        }
        Change::Ban { .. } | Change::Unban { .. } => None,
    }
}

/// What a change has come to.
fn registered(
    (roster, snapshot): &(Arc<Roster>, Arc<Snapshot>),
    change: &Change,
    receipt: Option<Receipt>,
    known: bool,
) -> Registered {
    let (status, workers) = match change {
        Change::Ban { hash, .. } | Change::Unban { hash } => {
            let of =
                |enrolled: &Enrolled| enrolled.hash == *hash || enrolled.worker.attestation.registered == Some(*hash);
            let about = roster.listed().filter(|listed| of(listed.enrolled));
            let banned = if roster.is_banned(hash) { WorkerStatus::Banned } else { WorkerStatus::Active };
            (banned, about.map(|listed| listed.enrolled.worker.worker_id.clone()).collect())
        }
        of_worker => {
            // The snapshot knows what a remote registry says of it, too.
            let in_force = worker(of_worker).and_then(|id| snapshot.workers.get(id));
            (in_force.map_or(WorkerStatus::Revoked, |worker| worker.status), Vec::new())
        }
    };
    Registered { receipt, known, status, workers }
}
