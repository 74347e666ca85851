//! A batch: jobs become framed, chained entries in one buffer, and stay undone until it is committed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use crate::clock::TimestampText;
use crate::ids::Digest;
use crate::ledger::format::chain::Streams;
use crate::ledger::format::record::{Receipt, Record, RecordError};
use crate::ledger::format::stamp::{LONGEST, Stamp};
use crate::ledger::format::status::StatusChange;
use crate::ledger::format::{entry, frame};
use crate::ledger::write::id_generator::IdGenerator;
use crate::ledger::write::job::Job;

/// What an entry has come to.
type Answer = Result<Receipt, RecordError>;

/// Bytes of memory that are kept from one batch to the next.
const KEPT: usize = 1 << 20;

/// The batch that is being made, and the state that it moves on: ids and chains.
pub(crate) struct Batch {
    ids: IdGenerator,
    streams: Streams,
    time: TimestampText,
    committed: Uuid,
    bytes: Vec<u8>,
    entries: Vec<BatchEntry>,
    answers: Vec<Answer>,
}

/// Where an entry is in the batch.
#[derive(Clone, Copy)]
pub(crate) struct BatchEntry {
    pub(crate) id: Uuid,
    /// Where its frame begins.
    pub(crate) frame: usize,
    /// Where its frame ends.
    end: usize,
}

impl Batch {
    /// Goes on from this state.
    pub(crate) const fn after(last: Uuid, streams: Streams) -> Self {
        Self {
            ids: IdGenerator::after(last),
            streams,
            time: TimestampText::new(),
            committed: last,
            bytes: Vec::new(),
            entries: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Makes entries of jobs, and an answer for each job. Counts each in `done`.
    pub(crate) fn fill(&mut self, jobs: &[Job], now: i64, done: &AtomicU64) -> io::Result<()> {
        self.clear();
        for job in jobs {
            let answer = self.add(job, now)?;
            self.answers.push(answer);
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Appends a job's entry. What cannot be an entry is refused by itself and leaves no trace.
    fn add(&mut self, job: &Job, now: i64) -> io::Result<Answer> {
        let (id, micros) = self.ids.next(now)?;
        let stream = match job {
            Job::Record { record, .. } => self.streams.choose(entry::tenant(record)),
            Job::Outcome(ended) => Arc::clone(&ended.stream),
        };
        let stamp =
            Stamp { id, recorded_at: self.time.of(micros), stream: &stream, previous: self.streams.head(&stream) };
        let frame = frame::begin(&mut self.bytes);
        match job {
            Job::Record { record, .. } => entry::push_record(&mut self.bytes, record, &stamp),
            Job::Outcome(ended) => entry::push_outcome(&mut self.bytes, ended, &stamp),
        }
        let end = self.bytes.len();
        let json = self.bytes.get(frame + frame::HEADER..).unwrap_or_default();
        if json.len() > LONGEST {
            let problem = format!("the entry has {} bytes, {} are the most", json.len(), LONGEST);
            self.bytes.truncate(frame);
            return Ok(Err(RecordError::Write(problem.into())));
        }
        let hash = Digest::of(json);
        frame::end(&mut self.bytes, frame);
        self.streams.advance(&stream, hash);
        if let Job::Record { record, .. } = job {
            match record {
                Record::Status(StatusChange::Hall { online, .. }) => self.streams.switch(*online),
                Record::Recovery(recovery) => self.streams.recover(id, Some(recovery.cause()), recovery.file()),
                _ => {}
            }
        }
        self.entries.push(BatchEntry { id, frame, end });
        Ok(Ok(Receipt { receipt_id: id, receipt_hash: hash, recorded_at_micros: micros, stream }))
    }

    /// The batch as it is written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The batch's entries.
    pub(crate) fn entries(&self) -> &[BatchEntry] {
        &self.entries
    }

    /// An entry's canonical JSON.
    pub(crate) fn json(&self, entry: &BatchEntry) -> &[u8] {
        self.bytes.get(entry.frame + frame::HEADER..entry.end).unwrap_or_default()
    }

    /// The batch is committed: an answer for each job.
    pub(crate) fn commit(&mut self) -> std::vec::Drain<'_, Answer> {
        self.streams.keep();
        self.committed = self.ids.last();
        self.answers.drain(..)
    }

    /// The batch never was: ids and chains go back to the last commit.
    pub(crate) fn roll_back(&mut self) {
        self.streams.roll_back();
        self.ids.roll_back(self.committed);
        self.clear();
    }

    /// The state of the chains after so many committed entries.
    pub(crate) fn heads(&self, size: u64) -> crate::ledger::format::chain::Heads {
        self.streams.heads(size, self.committed)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.entries.clear();
        self.answers.clear();
    }
}
