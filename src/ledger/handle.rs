//! The handle to an open ledger: its threads, what may be recorded in it, and what may be read from it.

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::clock::now_micros;
use crate::ids::TokenName;
use crate::ledger::decisions::follow::{FollowThread, Follower};
use crate::ledger::decisions::search::{DecisionQuery, FoundDecisions};
use crate::ledger::decisions::service::DecisionService;
use crate::ledger::format::key::LogKey;
use crate::ledger::format::record::{ExchangeEnd, OutcomeEntry, Receipt, Record, RecordError};
use crate::ledger::format::recovered::{self, Recovered, Recovery};
use crate::ledger::lock::OpenError;
use crate::ledger::read::prove::ReceiptProof;
use crate::ledger::read::reader::LogReader;
use crate::ledger::read::resource::LogResource;
use crate::ledger::read::search::FoundEntry;
use crate::ledger::read::service::{ReadError, ReadService};
use crate::ledger::recover::state::{By, Now};
use crate::ledger::recover::{boot, recovery};
use crate::ledger::settings::Settings;
use crate::ledger::write::active_segment::Through;
use crate::ledger::write::batch::Batch;
use crate::ledger::write::checkpointer::{Checkpointer, Checkpointing};
use crate::ledger::write::clock::Clock;
use crate::ledger::write::deadline::{self, Watchdog};
use crate::ledger::write::job::Delivery;
use crate::ledger::write::prune::{Pruner, Pruning};
use crate::ledger::write::shared::Shared;
use crate::ledger::write::wait::wait;
use crate::ledger::write::writer::Writer;
use crate::telemetry::threads::{self, Thread};

/// Whether the ledger takes entries now.
#[derive(Debug, Clone)]
pub struct LedgerHealth {
    /// True while writes succeed.
    pub writing: bool,
    /// The last write error while not writing.
    pub error: Option<Arc<str>>,
    /// Jobs that wait for the writer.
    pub queue_depth: usize,
    /// Committed entries.
    pub entries: u64,
    /// True when what is stored was found not to hold together: nothing is recorded, so nothing is allowed.
    pub broken: bool,
    /// The first entry that is kept; those before it were pruned.
    pub pruned: u64,
    /// Why pruning does not go on, when it does not. Decisions do.
    pub prune_error: Option<Arc<str>>,
    /// Entries were lost and the log goes on behind them, and nobody has said that they know.
    pub recovered: Option<Arc<Recovered>>,
}

/// How long a disk has for what is owed when the ledger is closed: after that it is as if the process had been killed.
pub(crate) const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How often it is looked whether something need not be kept, at least.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// The ledger. Clones are handles to the same one; it closes with the last.
#[derive(Debug, Clone)]
pub struct Ledger(pub(crate) Arc<Handle>);

pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    thread: Mutex<Option<Thread>>,
    pruner: Mutex<Option<Pruner>>,
    follow: Mutex<Option<FollowThread>>,
    /// Looks decisions up; not in what does not hold together.
    decisions: Option<DecisionService>,
    watchdog: Mutex<Option<Watchdog>>,
    /// What does not hold together; there are no threads then.
    broken: Option<Arc<str>>,
    /// The hall had been switched off when this was opened.
    found_offline: bool,
    vkey: String,
    reads: ReadService,
}

impl Ledger {
    /// Opens the ledger, or makes it: reads what is after the last checkpoint, cuts a torn end, starts the writer.
    ///
    /// # Errors
    /// It is in use by another process, of another version, without its key, cannot be read, or does not hold together.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        Self::open_with(settings, Arc::new(now_micros), Box::new(|file| Arc::new(file)), boot::this())
    }

    /// Opens the ledger with another clock, other storage, and at another boot.
    pub(crate) fn open_with(
        settings: &Settings,
        clock: Clock,
        through: Through,
        boot: Option<String>,
    ) -> Result<Self, OpenError> {
        let now = Now { boot, micros: clock(), by: By::Boot };
        let (restored, _) = recovery::open(settings, through, &now)?;
        let started = |source| OpenError::File { path: settings.path.clone(), source };
        let key = Arc::new(restored.key);
        let (vkey, lock) = (key.vkey().to_owned(), Arc::new(restored.lock));
        let found_offline = restored.streams.is_offline();
        let shared = Arc::new(Shared::new(settings.queue, restored.edge.size(), restored.pruned));
        shared.set_recovered(recovered::open(restored.streams.recovered()));
        shared.signed.send_replace(restored.checkpointed.size());
        let signed = shared.signed.clone();
        let taken = Arc::clone(&shared.taken);
        let checkpointing = Checkpointing { folder: settings.path.clone(), key: Arc::clone(&key), signed, taken };
        let checkpointer = Checkpointer::start(checkpointing).map_err(started)?;
        let pruning = Pruning {
            folder: settings.path.clone(),
            key,
            retention: settings.retention.clone(),
            shared: Arc::clone(&shared),
            clock: Arc::clone(&clock),
            _lock: Arc::clone(&lock),
        };
        let queue = Arc::clone(&shared.queue);
        let writer = Writer {
            shared: Arc::clone(&shared),
            requeue: Arc::new(move |ended| queue.outcome(ended)),
            clock,
            batch: Batch::after(restored.last, restored.streams),
            active: restored.active,
            index: restored.index,
            edge: restored.edge,
            tiles: restored.tiles,
            checkpointer,
            checkpointed: restored.checkpointed,
            heads_behind: restored.heads_behind,
            checkpoint_at: Instant::now(),
            checkpoint_begun: Instant::now(),
            checkpoint_every: settings.checkpoint_every,
            lost: None,
            owed: Vec::new(),
            retry_at: None,
            _lock: lock,
        };
        // Never begun again: what it had in hand may be half done. Who waits is told, and readiness drops.
        let thread = threads::start_once("ledger-write", || writer.run()).map_err(started)?;
        let follower = Arc::new(Follower::new(&settings.path, Arc::clone(&shared)));
        let mut handle = Handle::idle(shared, vkey, &settings.path);
        handle.thread = Mutex::new(Some(thread));
        handle.found_offline = found_offline;
        // From here on the handle ends the writer, also after an error.
        let watchdog =
            Watchdog::start(Arc::clone(&handle.shared.queue), Arc::clone(&handle.shared.in_hand)).map_err(started)?;
        handle.watchdog = Mutex::new(Some(watchdog));
        handle.reads.warm().map_err(started)?;
        let pruner = Pruner::start(pruning, settings.checkpoint_every.min(PRUNE_EVERY)).map_err(started)?;
        *handle.pruner.lock().unwrap_or_else(PoisonError::into_inner) = pruner;
        handle.decisions = Some(DecisionService::new(Arc::clone(&follower)));
        handle.follow = Mutex::new(Some(FollowThread::start(follower).map_err(started)?));
        Ok(Self(Arc::new(handle)))
    }

    /// Opens the ledger, or, when what is stored does not hold together, stands in for it and takes nothing: every request is
    /// answered 503, and whoever watches the process learns why.
    ///
    /// # Errors
    /// As [`Self::open`], but for [`OpenError::Broken`].
    pub fn open_or_stand_in(settings: &Settings) -> Result<Self, OpenError> {
        let error = match Self::open(settings) {
            Err(error @ OpenError::Broken { .. }) => error,
            opened => return opened,
        };
        tracing::error!(%error, "the ledger is broken: nothing is allowed or forwarded until somebody has looked at it");
        let vkey = LogKey::of(settings, false)?.vkey().to_owned();
        let why: Arc<str> = Arc::from(error.to_string());
        let shared = Shared::new(0, 0, 0);
        shared.queue.close();
        shared.set_failure(Some(Arc::clone(&why)));
        let mut handle = Handle::idle(Arc::new(shared), vkey, &settings.path);
        handle.broken = Some(why);
        Ok(Self(Arc::new(handle)))
    }

    /// Records a decision or refusal. Resolves when the entry is committed, and in time. Dropping the future loses the answer,
    /// never the entry; an outcome says that a dispatch came to nothing.
    ///
    /// # Errors
    /// The queue is full, the write failed or takes too long, or the ledger is broken or closed: nothing may be allowed or
    /// forwarded then.
    pub async fn record(&self, record: Record) -> Result<Receipt, RecordError> {
        self.recorded(record, false).await
    }

    /// Records a change that whoever waits then brings about. Once the disk has it, this resolves when that has said what became of
    /// it, however late: what is on record must be in force. Not to be cancelled, nor to be waited for by a request.
    ///
    /// # Errors
    /// There is no entry, and will be none.
    pub async fn record_change(&self, record: Record) -> Result<Receipt, RecordError> {
        self.recorded(record, true).await
    }

    async fn recorded(&self, record: Record, patient: bool) -> Result<Receipt, RecordError> {
        if let Some(why) = &self.0.broken {
            return Err(RecordError::Broken(Arc::clone(why)));
        }
        let (answer, rouse) = self.0.shared.queue.record(record, patient)?;
        if rouse.is_some() {
            // Everything else that this thread can do now comes first, and may join the batch.
            tokio::task::yield_now().await;
        }
        drop(rouse);
        answer.await.unwrap_or(Err(RecordError::Closed)).map(Delivery::take)
    }

    /// As [`Self::record`] for a caller that does not wait on a runtime: it blocks this thread.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn record_blocking(&self, record: Record) -> Result<Receipt, RecordError> {
        self.recorded_blocking(record, false)
    }

    /// As [`Self::record_change`], but it blocks this thread.
    ///
    /// # Errors
    /// As [`Self::record_change`].
    pub fn record_change_blocking(&self, record: Record) -> Result<Receipt, RecordError> {
        self.recorded_blocking(record, true)
    }

    fn recorded_blocking(&self, record: Record, patient: bool) -> Result<Receipt, RecordError> {
        let (answer, rouse) = self.0.shared.queue.record(record, patient)?;
        drop(rouse);
        wait(answer).unwrap_or(Err(RecordError::Closed)).map(Delivery::take)
    }

    /// Records changes that belong together, in this order: all of it is committed, or nothing.
    ///
    /// # Errors
    /// As [`Self::record_change`].
    pub async fn record_changes(&self, records: Vec<Record>) -> Result<Vec<Receipt>, RecordError> {
        if let Some(why) = &self.0.broken {
            return Err(RecordError::Broken(Arc::clone(why)));
        }
        let mut receipts = Vec::with_capacity(records.len());
        for answer in self.0.shared.queue.record_together(records)? {
            receipts.push(answer.await.unwrap_or(Err(RecordError::Closed)).map(Delivery::take)?);
        }
        Ok(receipts)
    }

    /// As [`Self::record_changes`], but it blocks this thread.
    ///
    /// # Errors
    /// As [`Self::record_change`].
    pub fn record_together(&self, records: Vec<Record>) -> Result<Vec<Receipt>, RecordError> {
        wait(self.record_changes(records))
    }

    /// Queues what became of a forwarded request. Never blocks and never refuses: it is bounded by the exchanges in flight,
    /// and is written when writes succeed again.
    pub fn outcome(&self, receipt: &Receipt, outcome: ExchangeEnd) {
        if !self.0.shared.queue.outcome(OutcomeEntry::of(receipt, outcome)) {
            tracing::error!(decision_id = %receipt.receipt_id, "the ledger is closed without the end of this exchange");
        }
    }

    /// How many percent of the records that may wait for the writer do.
    #[must_use]
    pub fn crowding(&self) -> usize {
        self.0.shared.queue.crowding()
    }

    /// Whether the disk does not answer: nothing is recorded before it does.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.0.shared.queue.is_stalled()
    }

    /// Waits until it is known that the disk does not answer.
    pub async fn stalled(&self) {
        while !self.is_stalled() {
            tokio::time::sleep(deadline::LOOK).await;
        }
    }

    /// Whether the ledger takes entries now.
    #[must_use]
    pub fn health(&self) -> LedgerHealth {
        let error = self.0.shared.failure();
        LedgerHealth {
            writing: error.is_none(),
            error,
            queue_depth: self.0.shared.queue.depth(),
            entries: self.0.shared.entries.load(Ordering::Relaxed),
            broken: self.0.broken.is_some(),
            pruned: self.0.shared.pruned.load(Ordering::Relaxed),
            prune_error: self.0.shared.prune_failure(),
            recovered: self.0.shared.recovered(),
        }
    }

    /// Records that somebody knows of the newest recovery. Nothing is recorded when there is none that nobody knows of.
    ///
    /// Not to be cancelled, as [`Self::record_change`].
    ///
    /// # Errors
    /// As [`Self::record_change`].
    pub async fn acknowledge_recovery(&self, token: TokenName) -> Result<(), RecordError> {
        let Some(recovered) = self.0.shared.recovered() else { return Ok(()) };
        let known = Recovery::Acknowledged { recovery: recovered.id, token };
        self.record_change(Record::Recovery(known)).await?;
        self.0.shared.set_recovered(None);
        Ok(())
    }

    /// What is served under this name; `None` when there is nothing, not yet or no longer.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub async fn fetch(&self, resource: LogResource) -> Result<Option<Vec<u8>>, ReadError> {
        self.0.reads.fetch(resource).await
    }

    /// The entry with this id, signed or not; `None` when there is none, or no longer.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub async fn find(&self, id: Uuid) -> Result<Option<FoundEntry>, ReadError> {
        self.0.reads.find(id).await
    }

    /// Looks decisions up, among all that are committed by now. `None`: what is stored does not hold together, and nobody looks.
    ///
    /// # Errors
    /// A file cannot be read or is damaged, or it takes too long.
    pub async fn decisions(&self, query: DecisionQuery) -> Result<Option<FoundDecisions>, ReadError> {
        match &self.0.decisions {
            Some(decisions) => decisions.search(query).await.map(Some),
            None => Ok(None),
        }
    }

    /// Committed entries.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.0.shared.entries.load(Ordering::Relaxed)
    }

    /// Proves that an entry is in the log. One that is newer than the newest checkpoint has the next one signed soon.
    ///
    /// # Errors
    /// A file cannot be read or is damaged, or no checkpoint could be signed in time.
    pub async fn prove(&self, found: FoundEntry) -> Result<ReceiptProof, ReadError> {
        self.0.reads.prove(found).await
    }

    /// What reads the log's files, as far as they are committed. It blocks the thread that reads.
    #[must_use]
    pub fn reader(&self) -> &LogReader {
        self.0.reads.reader()
    }

    /// The key with which anyone can verify this log's checkpoints: `<name>+<id>+<key>` (C2SP signed-note).
    #[must_use]
    pub fn vkey(&self) -> &str {
        &self.0.vkey
    }

    /// Whether, when this was opened, the last entry that switches the hall had switched it off.
    #[must_use]
    pub fn found_offline(&self) -> bool {
        self.0.found_offline
    }

    /// Writes all that waits, signs a last checkpoint and ends the writer. Later records are [`RecordError::Closed`]. Waits for
    /// the disk, but not for one that stalls, nor for any other task; a second call does nothing.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Handle {
    /// Without threads.
    fn idle(shared: Arc<Shared>, vkey: String, folder: &Path) -> Self {
        let reads = ReadService::new(folder, Arc::clone(&shared));
        Self {
            shared,
            thread: Mutex::default(),
            pruner: Mutex::default(),
            follow: Mutex::default(),
            decisions: None,
            watchdog: Mutex::default(),
            broken: None,
            found_offline: false,
            vkey,
            reads,
        }
    }

    fn close(&self) {
        self.shared.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let pruner = self.pruner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let follow = self.follow.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.join_while(CLOSE_TIME, || self.shared.taken.load(Ordering::Relaxed));
        }
        if let Some(pruner) = pruner {
            pruner.join(CLOSE_TIME);
        }
        if let Some(follow) = follow {
            follow.join(CLOSE_TIME);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("vkey", &self.vkey).finish_non_exhaustive()
    }
}
