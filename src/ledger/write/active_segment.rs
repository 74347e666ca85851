//! The end of the log: where the next batch is written, in one write, and taken back whole when it fails.
//!
//! Nothing is written to a file that is not as long as it must be or has no name any more: what another hand has cut, extended
//! or deleted takes no entry. A write behind its end would fill up what was cut off, and hide it. And nothing is written after a sync
//! has failed until what is not under a checkpoint has been [renewed](crate::ledger::write::renew).

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::ledger::files;
use crate::ledger::format::tree::Edge;
use crate::ledger::format::{frame, segment};
use crate::ledger::write::renew::{self, RenewError};
use crate::ledger::write::storage::{Latch, Storage};

/// What a segment's file is written through; tests put faults in between.
pub(crate) type Through = Box<dyn Fn(File) -> Arc<dyn Storage> + Send>;

/// The segment that is written.
pub(crate) struct OpenSegment {
    pub(crate) file: Arc<dyn Storage>,
    /// The number of its first entry.
    pub(crate) first: u64,
    /// Its committed length in bytes.
    pub(crate) length: u64,
    /// When it began, in microseconds since 1970 UTC.
    pub(crate) since: i64,
}

/// The end of the log.
pub(crate) struct ActiveSegment {
    /// The ledger's folder.
    pub(crate) ledger: PathBuf,
    /// The folder of the segments.
    pub(crate) folder: PathBuf,
    /// Whether a batch is synced before it counts.
    pub(crate) power: bool,
    /// The length after which a new segment begins.
    pub(crate) segment_bytes: u64,
    /// The microseconds after which a new segment begins: what is pruned by age must not wait long for its segment to be full.
    pub(crate) segment_span: i64,
    pub(crate) through: Through,
    /// `None` before the first entry.
    pub(crate) segment: Option<OpenSegment>,
    /// True when bytes that do not count may follow the committed ones: they must go before the next write.
    pub(crate) untrimmed: bool,
    /// Segments before the present one that may not be on the disk.
    pub(crate) full: Vec<Arc<dyn Storage>>,
    /// True when a segment's name may not be on the disk.
    pub(crate) unnamed: bool,
    /// True when a sync has failed, or may have: what no checkpoint signs may not be on the disk.
    pub(crate) doubtful: bool,
}

impl ActiveSegment {
    /// Writes a batch whose first entry has this number, and syncs it and all before it if asked to. Gives the segment's first entry
    /// and the batch's offset in it.
    pub(crate) fn append(&mut self, batch: &[u8], entry: u64, now: i64, sync: bool) -> io::Result<(u64, u64)> {
        let segment = self.ready(entry, now)?;
        let (first, offset) = (segment.first, segment.length);
        let mut result = segment.file.write_all_at(batch, offset);
        if sync || self.power {
            result = result.and_then(|()| self.sync());
        }
        if let Err(error) = result {
            self.untrimmed = true;
            // When this fails, too, nothing is written until it succeeds.
            let _ = self.trim();
            return Err(error);
        }
        if let Some(segment) = &mut self.segment {
            if segment.first == entry {
                segment.since = now;
            }
            segment.length += batch.len() as u64;
        }
        Ok((first, offset))
    }

    /// Finds out whether a batch could be written now: really writes, and takes it back.
    pub(crate) fn probe(&mut self, entry: u64, now: i64) -> io::Result<()> {
        let segment = self.ready(entry, now)?;
        let mut result = segment.file.write_all_at(&[0; frame::HEADER], segment.length);
        if self.power {
            result = result.and_then(|()| self.sync());
        }
        self.untrimmed = true;
        self.trim().and(result)
    }

    /// Has all that was written on the disk, the names of the segments, too.
    fn sync(&mut self) -> io::Result<()> {
        let result = self.unsynced().iter().try_for_each(|file| file.sync_data()).and_then(|()| match self.unnamed {
            true => files::sync_folder(&self.folder),
            false => Ok(()),
        });
        if result.is_ok() {
            self.full.clear();
            self.unnamed = false;
        }
        self.doubtful |= result.is_err();
        result
    }

    /// Writes what no checkpoint signs into new files. `signed` is the tree under the checkpoint, `whole` the tree over all entries.
    pub(crate) fn renew(&mut self, signed: &Edge, whole: &Edge) -> Result<(), RenewError> {
        let Some(segment) = &mut self.segment else {
            self.doubtful = false;
            return Ok(());
        };
        renew::segments(&self.ledger, signed, whole, segment.length)?;
        let file = segment::open(&segment::path(&self.folder, segment.first))?;
        segment.file = Latch::over((self.through)(file));
        self.full.clear();
        (self.untrimmed, self.unnamed, self.doubtful) = (false, false, false);
        Ok(())
    }

    /// The files that may not be on the disk, the present one always among them.
    pub(crate) fn unsynced(&self) -> Vec<Arc<dyn Storage>> {
        self.full.iter().chain(self.segment.as_ref().map(|segment| &segment.file)).map(Arc::clone).collect()
    }

    /// These are on the disk.
    pub(crate) fn synced(&mut self, files: &[Arc<dyn Storage>]) {
        self.full.retain(|full| !files.iter().any(|file| Arc::ptr_eq(full, file)));
    }

    /// The segment to write into: trimmed, untouched by others, and a new one if the last is full.
    fn ready(&mut self, entry: u64, now: i64) -> io::Result<&mut OpenSegment> {
        if self.doubtful {
            return Err(io::Error::other("a sync has failed, and what it was to sync is not written anew yet"));
        }
        self.trim()?;
        if let Some(segment) = &self.segment
            && let Err(error) = untouched(&*segment.file, segment.length)
        {
            self.untrimmed = true;
            return Err(error);
        }
        let ends = |segment: &OpenSegment| {
            let spans = segment.first < entry && now.saturating_sub(segment.since) >= self.segment_span;
            segment.length >= self.segment_bytes || spans
        };
        if self.segment.as_ref().is_none_or(ends) {
            let file = Latch::over((self.through)(segment::create(&self.folder, entry)?));
            if self.power {
                files::sync_folder(&self.folder)?;
            }
            self.unnamed = !self.power;
            let next = OpenSegment { file, first: entry, length: segment::HEADER as u64, since: now };
            self.full.extend(self.segment.replace(next).map(|full| full.file));
        }
        self.segment.as_mut().ok_or_else(|| io::Error::other("no segment"))
    }

    fn trim(&mut self) -> io::Result<()> {
        if self.untrimmed
            && let Some(segment) = &self.segment
        {
            // Never longer: zeros where entries were would hide that somebody has cut them off.
            let found = segment.file.named_length()?;
            if found.is_none_or(|found| found < segment.length) {
                untouched(&*segment.file, segment.length)?;
            }
            segment.file.set_len(segment.length)?;
        }
        self.untrimmed = false;
        Ok(())
    }
}

/// Nobody else has changed or removed the file, if it is to have this length.
fn untouched(file: &dyn Storage, length: u64) -> io::Result<()> {
    match file.named_length()? {
        Some(found) if found == length => Ok(()),
        Some(found) => {
            Err(io::Error::other(format!("the segment has {found} bytes, not {length}: something else changes it")))
        }
        None => Err(io::Error::other("the segment was deleted while it was written")),
    }
}
