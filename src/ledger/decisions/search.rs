//! Looking decisions up: from the newest mark to the oldest, and each that may be wanted in its entry.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::file::{IndexFile, MarkPage};
use super::filter::{DecisionFilter, DecisionRange, MarkFilter, MarkTimes};
use super::mark::DecisionMark;
use crate::ledger::format::{frame, segment, stamp};
use crate::ledger::layout;
use crate::ledger::read::history::EntrySummary;
use crate::ledger::read::reader::damaged;

/// Bytes that are read of an entry at once; most have no more.
const PIECE: usize = 2048;

/// What was found.
#[derive(Debug, Default)]
pub struct FoundDecisions {
    /// The newest that are wanted, the newest first.
    pub entries: Vec<EntrySummary>,
    /// How many more are, where they were to be counted.
    pub more: u64,
    /// The newest entry among which was looked.
    pub up_to: Option<Uuid>,
    /// From when on all that the ledger has was looked at, in microseconds since 1970 UTC; `None`: from its beginning on.
    pub complete_since: Option<i64>,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFound {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The index of this segment is not as it was written.
    #[error("the index of the segment that begins with entry {0} is damaged")]
    Damaged(u64),
    /// It takes too long.
    #[error("it takes too long")]
    Late,
}

/// The index as it is at one moment.
pub(super) struct View {
    /// The segment that grows: its file, how many of its pages count, and marks behind them.
    pub(super) live: Option<(u64, Arc<IndexFile>, u64, Vec<DecisionMark>)>,
    /// Segments before it, the newest first.
    pub(super) whole: Vec<u64>,
    /// The newest entry in it.
    pub(super) up_to: Option<Uuid>,
}

/// What is looked for.
#[derive(Debug, Clone)]
pub struct DecisionQuery {
    /// Which.
    pub filter: DecisionFilter,
    /// Among which.
    pub range: DecisionRange,
    /// At most so many.
    pub most: usize,
    /// Whether it is counted how many more there are.
    pub counts: bool,
}

/// A search under way.
pub(super) struct Search<'a> {
    ledger: &'a Path,
    query: &'a DecisionQuery,
    times: MarkTimes,
    until: Instant,
    found: FoundDecisions,
}

/// Whether it goes on.
type GoesOn = bool;

impl View {
    /// Looks up what is wanted, in time.
    pub(super) fn search(
        self,
        ledger: &Path,
        query: &DecisionQuery,
        until: Instant,
    ) -> Result<FoundDecisions, NotFound> {
        let times = MarkTimes::of(&query.filter, &query.range);
        let found = FoundDecisions { up_to: self.up_to, ..FoundDecisions::default() };
        let mut search = Search { ledger, query, times, until, found };
        // Who wants none asks only up to where it was looked.
        let mut goes_on = query.most > 0 || query.counts;
        if let Some((first, file, pages, tail)) = self.live.filter(|_| goes_on) {
            goes_on = search.segment(first, &file, pages, &tail)?;
        }
        for first in self.whole {
            if !goes_on {
                break;
            }
            // What was pruned meanwhile is gone, and so is all before it.
            let Some(file) = IndexFile::open(ledger, first)? else { break };
            let pages = file.pages()?;
            goes_on = search.segment(first, &file, pages, &[])?;
        }
        Ok(search.found)
    }
}

impl Search<'_> {
    fn segment(&mut self, first: u64, file: &IndexFile, pages: u64, tail: &[DecisionMark]) -> Result<GoesOn, NotFound> {
        let filter = MarkFilter::of(&self.query.filter, file.names());
        let mut entries = Entries { path: segment::path(&layout::segments(self.ledger), first), file: None };
        if !self.marks(tail.iter().rev().copied(), &filter, &mut entries)? {
            return Ok(false);
        }
        for page in (0..pages).rev() {
            if Instant::now() >= self.until {
                return Err(NotFound::Late);
            }
            let page: MarkPage = file.page(page)?.ok_or(NotFound::Damaged(first))?;
            if !self.marks(page.marks().rev(), &filter, &mut entries)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks at marks, the newest first.
    fn marks(
        &mut self,
        marks: impl Iterator<Item = DecisionMark>,
        filter: &MarkFilter,
        entries: &mut Entries,
    ) -> Result<GoesOn, NotFound> {
        for mark in marks {
            if mark.time < self.times.first {
                // Ids rise with the entries, and so do the times in them, whatever the clock did.
                return Ok(false);
            }
            if mark.time > self.times.last || !filter.passes(&mark) {
                continue;
            }
            let is_enough = self.found.entries.len() >= self.query.most;
            // At the very times of the ends only the entries say on which side they are.
            if is_enough && mark.time > self.times.first && mark.time < self.times.last {
                self.found.more += 1;
                continue;
            }
            if Instant::now() >= self.until {
                return Err(NotFound::Late);
            }
            let Some(entry) = entries.read(mark.offset)? else { return Ok(false) };
            if !self.query.range.has(entry.receipt_id) || !self.query.filter.passes(&entry.facts()) {
                continue;
            }
            if is_enough {
                self.found.more += 1;
                continue;
            }
            self.found.entries.push(entry);
            if self.found.entries.len() >= self.query.most && !self.query.counts {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The entries of a segment, one by one.
struct Entries {
    path: std::path::PathBuf,
    file: Option<File>,
}

impl Entries {
    /// The entry whose frame begins here; `None` when its segment is gone.
    fn read(&mut self, offset: u64) -> io::Result<Option<EntrySummary>> {
        let file = match &self.file {
            Some(file) => file,
            None => match File::open(&self.path) {
                Ok(file) => self.file.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let mut bytes = vec![0; PIECE];
        let read = file.read_at(&mut bytes, offset)?;
        bytes.truncate(read);
        if frame::at(&bytes, 0).is_none() && read == PIECE {
            bytes.resize(frame::HEADER + stamp::LONGEST, 0);
            let read = file.read_at(&mut bytes, offset)?;
            bytes.truncate(read);
        }
        let entry = frame::at(&bytes, 0).ok_or_else(|| {
            damaged(format!("`{}` is damaged at byte {offset}, where an entry should be", self.path.display()))
        })?;
        serde_json::from_slice(entry.entry).map(Some).map_err(io::Error::from)
    }
}
