//! The writer: one thread that takes what waits, writes it as one batch, and only then answers.
//!
//! What must never happen: an answer before its entry is committed, and an entry that is committed but not chained. A batch that
//! fails leaves no trace: file, chains and ids go back to the last commit, decisions are told, and outcomes wait for the next try.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::ledger::format::checkpoint::Head;
use crate::ledger::format::index::{self, EVERY, Place};
use crate::ledger::format::record::RecordError;
use crate::ledger::format::tree::{Edge, FullTile};
use crate::ledger::layout;
use crate::ledger::write::active_segment::ActiveSegment;
use crate::ledger::write::batch::Batch;
use crate::ledger::write::checkpointer::{CheckpointError, Checkpointer, PendingCheckpoint};
use crate::ledger::write::clock::Clock;
use crate::ledger::write::index::Index;
use crate::ledger::write::job::{Delivery, Job, Requeue};
use crate::ledger::write::renew::{self, RenewError};
use crate::ledger::write::shared::Shared;
use crate::ledger::write::storage::Latch;

/// How long the writer waits before it tries again by itself.
const RETRY: Duration = Duration::from_millis(500);
/// However many wait for a checkpoint, they are not signed more often than this.
const SOONEST: Duration = Duration::from_millis(200);
/// Whole tiles that may wait for a disk that takes entries but no tiles: about a million entries.
const MOST_TILES: usize = 4096;
/// Whole tiles for which a checkpoint is made before the time is up, so that a busy log keeps little in memory.
const MANY_TILES: usize = 256;

/// Everything that the writing thread owns.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    /// Where the end of a dispatch goes of which nobody was told.
    pub(crate) requeue: Requeue,
    pub(crate) clock: Clock,
    pub(crate) batch: Batch,
    pub(crate) active: ActiveSegment,
    pub(crate) index: Index,
    pub(crate) edge: Edge,
    /// Whole tiles that no checkpoint has written.
    pub(crate) tiles: Vec<FullTile>,
    pub(crate) checkpointer: Checkpointer,
    /// The tree under the last checkpoint.
    pub(crate) checkpointed: Edge,
    /// Whether the stored chain heads are older than the checkpoint.
    pub(crate) heads_behind: bool,
    /// Why nothing is recorded any more: what was recorded is not to be read back.
    pub(crate) lost: Option<Arc<str>>,
    pub(crate) checkpoint_at: Instant,
    pub(crate) checkpoint_begun: Instant,
    pub(crate) checkpoint_every: Duration,
    /// Outcomes of batches that failed.
    pub(crate) owed: Vec<Job>,
    /// While writes fail: when to try again.
    pub(crate) retry_at: Option<Instant>,
    /// No other process writes here while this is open.
    pub(crate) _lock: Arc<File>,
}

/// Tells everyone who waits that the thread is gone, also when it panics.
struct Farewell(Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.queue.abandon();
        self.0.set_failure(Some(Arc::from("the ledger is closed")));
    }
}

impl Writer {
    /// Writes until the queue is closed and empty, and signs the last checkpoint.
    pub(crate) fn run(mut self) {
        let farewell = Farewell(Arc::clone(&self.shared));
        let mut jobs = Vec::new();
        if let Err(error) = self.renew() {
            self.fail(&error, &mut jobs);
        }
        loop {
            let (closed, since) = self.shared.queue.take(&mut jobs, self.wake_at());
            if !jobs.is_empty() || self.retry_at.is_some_and(|at| at <= Instant::now()) {
                self.commit(&mut jobs, since);
            }
            if self.shared.queue.go_on() {
                tracing::info!("the disk answers again");
            }
            if closed {
                break;
            }
            if let Some(error) = self.note_checkpoint(false) {
                self.fail(&error, &mut jobs);
            }
            if self.shared.wanted.swap(false, Ordering::Relaxed) {
                self.checkpoint_at = self.checkpoint_at.min(self.checkpoint_begun + SOONEST);
            }
            if self.behind() && (self.checkpoint_at <= Instant::now() || self.tiles.len() >= MANY_TILES) {
                self.begin_checkpoint();
            }
        }
        self.finish();
        // Whoever sees the ledger closed may open it.
        drop(self);
        drop(farewell);
    }

    /// When there is something to do even if nothing comes.
    fn wake_at(&self) -> Option<Instant> {
        let checkpoint_at = self.behind().then_some(self.checkpoint_at);
        [self.retry_at, checkpoint_at].into_iter().flatten().min()
    }

    const fn behind(&self) -> bool {
        self.heads_behind || self.edge.size() > self.checkpointed.size()
    }

    /// Writes a batch, answers, and then does what nobody waits for. Some of it may wait since then.
    fn commit(&mut self, jobs: &mut Vec<Job>, since: Option<Instant>) {
        if !self.owed.is_empty() {
            self.owed.append(jobs);
            std::mem::swap(&mut self.owed, jobs);
        }
        self.shared.in_hand.begin(jobs, since);
        match self.write(jobs) {
            Ok((segment, offset)) => {
                self.shared.entries.fetch_add(self.batch.entries().len() as u64, Ordering::Relaxed);
                if self.retry_at.take().is_some() {
                    self.shared.set_failure(None);
                    tracing::info!("the ledger is written again");
                }
                let undelivered = self.answer(jobs);
                self.grow(segment, offset);
                if !undelivered.is_empty() {
                    self.owed = undelivered;
                    self.commit(&mut Vec::new(), None);
                }
            }
            Err(error) => self.fail(&error, jobs),
        }
    }

    /// Tells who waits for the batch that is committed. Gives the outcomes of dispatches that nobody waits for any more: their
    /// entries are there all the same.
    fn answer(&mut self, jobs: &mut Vec<Job>) -> Vec<Job> {
        let mut undelivered = Vec::new();
        let records = jobs.drain(..).zip(self.batch.commit()).filter_map(|(job, answer)| match job {
            Job::Record { record, .. } => Some((record, answer)),
            Job::Outcome(_) => None,
        });
        let mut answers = records.map(|(record, answer)| answer.map(|of| Delivery::of(of, &record, &self.requeue)));
        self.shared.in_hand.end(|waiter| {
            let Some(answer) = answers.next() else { return };
            let refused = match waiter {
                Some(waiter) => waiter.answer.send(answer).err(),
                None => Some(answer),
            };
            undelivered.extend(refused.and_then(Result::ok).and_then(Delivery::undelivered));
        });
        undelivered
    }

    /// Writes the jobs as one batch, or only tries the disk when there are none.
    fn write(&mut self, jobs: &[Job]) -> io::Result<(u64, u64)> {
        if self.tiles.len() > MOST_TILES {
            return Err(io::Error::other("the tree's tiles cannot be written"));
        }
        self.renew()?;
        let now = (self.clock)();
        self.batch.fill(jobs, now, &self.shared.taken)?;
        if self.batch.bytes().is_empty() {
            return self.active.probe(self.edge.size(), now).map(|()| (0, 0));
        }
        // What takes a right away, and what a human has done, is not in force before it is sure to stay.
        let sync = jobs.iter().any(Job::must_last);
        self.active.append(self.batch.bytes(), self.edge.size(), now, sync)
    }

    /// After a sync that failed, or may have: what no checkpoint signs is read back and written into new files, before anything more
    /// rests on it.
    fn renew(&mut self) -> io::Result<()> {
        if let Some(lost) = &self.lost {
            return Err(io::Error::other(lost.to_string()));
        }
        if !self.active.doubtful {
            return Ok(());
        }
        // A checkpoint that is being made was begun before, and its files are about to be others. How it ends is no news.
        self.note_checkpoint(true);
        let gone = self.shared.pruned.load(Ordering::Relaxed).div_ceil(EVERY);
        let records = self.index.written();
        let folder = &self.active.ledger;
        let renewed = renew::index(folder, gone, records)
            .and_then(|()| Ok(index::open(&layout::index_file(folder))?))
            .and_then(|file| self.active.renew(&self.checkpointed, &self.edge).map(|()| file));
        match renewed {
            Ok(file) => {
                self.index.move_to(Latch::over(Arc::new(file)));
                let entries = self.edge.size() - self.checkpointed.size();
                tracing::info!(entries, "what no checkpoint signs was read back and is in new files");
                Ok(())
            }
            Err(RenewError::File(error)) => Err(error),
            Err(error @ RenewError::Lost(_)) => {
                self.lost = Some(Arc::from(error.to_string()));
                Err(io::Error::other(error))
            }
        }
    }

    /// Puts everything back to the last commit and tells the decisions that wait.
    fn fail(&mut self, error: &io::Error, jobs: &mut Vec<Job>) {
        self.batch.roll_back();
        let text: Arc<str> = Arc::from(error.to_string());
        if self.retry_at.is_none() {
            tracing::error!(error = %text, "the ledger cannot be written: nothing is allowed or forwarded until it can");
        }
        self.retry_at = Some(Instant::now() + RETRY);
        self.shared.set_failure(Some(Arc::clone(&text)));
        self.shared.in_hand.end(|waiter| {
            waiter.into_iter().for_each(|waiter| waiter.refuse(RecordError::Write(Arc::clone(&text))));
        });
        self.owed.extend(jobs.drain(..).filter(|job| matches!(job, Job::Outcome(_))));
    }

    /// Adds the committed batch to the tree and the index.
    fn grow(&mut self, segment: u64, offset: u64) {
        for entry in self.batch.entries() {
            let place = Place { id: entry.id, segment, offset: offset + entry.frame as u64 };
            self.index.note(self.edge.size(), place);
            self.edge.push(tlog_tiles::record_hash(self.batch.json(entry)), &mut self.tiles);
            self.shared.taken.fetch_add(1, Ordering::Relaxed);
        }
        self.flush_index();
    }

    /// The index is derived: when it cannot be written, it waits, and only the next checkpoint waits with it.
    fn flush_index(&mut self) -> bool {
        let flushed = self.index.flush();
        if let Err(error) = &flushed {
            tracing::warn!(%error, "the ledger's index cannot be written");
        }
        flushed.is_ok()
    }

    /// Hands what is new to the checkpointer.
    fn begin_checkpoint(&mut self) {
        self.checkpoint_begun = Instant::now();
        self.checkpoint_at = self.checkpoint_begun + self.checkpoint_every;
        if self.active.doubtful {
            return;
        }
        if self.checkpointer.busy() {
            // Whoever waits for what came meanwhile does not wait for a whole interval more.
            self.checkpoint_at = self.checkpoint_begun + SOONEST.min(self.checkpoint_every);
            return;
        }
        if !self.flush_index() {
            return;
        }
        let size = self.edge.size();
        let (root, heads) = match (self.edge.root(), self.batch.heads(size).to_bytes()) {
            (Ok(root), Ok(heads)) => (root, heads),
            (Err(error), _) => return tracing::error!(%error, "the ledger's tree has no root"),
            (_, Err(error)) => return tracing::error!(%error, "the ledger's chain heads cannot be written"),
        };
        let mut written = self.active.unsynced();
        written.push(self.index.file());
        let (tiles, edge) = (std::mem::take(&mut self.tiles), self.edge.clone());
        let checkpoint = PendingCheckpoint { head: Head { size, root }, heads, tiles, written, edge };
        if let Err(refused) = self.checkpointer.begin(checkpoint) {
            tracing::error!("the ledger's sealing thread is gone: no checkpoint can be signed");
            self.tiles = refused.tiles;
        }
    }

    /// Takes back what the checkpointer has done, or could not do. Gives why nothing can be recorded now, if it cannot.
    fn note_checkpoint(&mut self, wait: bool) -> Option<io::Error> {
        let (checkpoint, result) = self.checkpointer.finished(wait)?;
        match result {
            Ok(()) => {
                self.active.synced(&checkpoint.written);
                (self.checkpointed, self.heads_behind) = (checkpoint.edge, false);
            }
            Err(error) => {
                tracing::error!(%error, "the ledger's checkpoint cannot be written");
                let newer = std::mem::replace(&mut self.tiles, checkpoint.tiles);
                self.tiles.extend(newer);
                if let CheckpointError::Unsynced(error) = error {
                    self.active.doubtful = true;
                    return Some(error);
                }
            }
        }
        None
    }

    /// A last try for what is owed, and the last checkpoint.
    fn finish(&mut self) {
        self.note_checkpoint(true);
        if !self.owed.is_empty() || self.active.doubtful {
            self.commit(&mut Vec::new(), None);
        }
        if !self.owed.is_empty() {
            tracing::error!(outcomes = self.owed.len(), "the ledger is closed without the ends of these exchanges");
        }
        self.note_checkpoint(true);
        if self.behind() {
            self.begin_checkpoint();
            self.note_checkpoint(true);
        }
    }
}
