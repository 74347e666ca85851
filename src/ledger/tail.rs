//! The end of the log: where the next batch is written, in one write, and taken back whole when it fails.
//!
//! Nothing is written to a file that is not as long as it must be or has no name any more: what another hand has cut, extended
//! or deleted takes no entry. A write behind its end would fill up what was cut off, and hide it.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::files;
use super::segment::{self, Storage};

/// What a segment's file is written through; tests put faults in between.
pub(super) type Through = Box<dyn Fn(File) -> Arc<dyn Storage> + Send>;

/// The segment that is written.
pub(super) struct Segment {
    pub(super) file: Arc<dyn Storage>,
    /// The number of its first entry.
    pub(super) first: u64,
    /// Its committed length in bytes.
    pub(super) length: u64,
    /// When it began, in microseconds since 1970 UTC.
    pub(super) since: i64,
}

/// The end of the log.
pub(super) struct Tail {
    /// The folder of the segments.
    pub(super) folder: PathBuf,
    /// Whether a batch is synced before it counts.
    pub(super) power: bool,
    /// The length after which a new segment begins.
    pub(super) segment_bytes: u64,
    /// The microseconds after which a new segment begins: what is pruned by age must not wait long for its segment to be full.
    pub(super) segment_span: i64,
    pub(super) through: Through,
    /// `None` before the first entry.
    pub(super) segment: Option<Segment>,
    /// True when bytes that do not count may follow the committed ones: they must go before the next write.
    pub(super) untrimmed: bool,
    /// Files that were written since they were last asked for.
    pub(super) unsynced: Vec<Arc<dyn Storage>>,
}

impl Tail {
    /// Writes a batch whose first entry has this number. Gives the segment's first entry and the batch's offset in it.
    pub(super) fn append(&mut self, batch: &[u8], entry: u64, now: i64) -> io::Result<(u64, u64)> {
        let power = self.power;
        let segment = self.ready(entry, now)?;
        let (first, offset) = (segment.first, segment.length);
        let mut result = segment.file.write_all_at(batch, offset);
        if power {
            result = result.and_then(|()| segment.file.sync_data());
        }
        match result {
            Ok(()) => {
                if segment.first == entry {
                    segment.since = now;
                }
                segment.length += batch.len() as u64;
            }
            Err(error) => {
                self.untrimmed = true;
                // When this fails, too, nothing is written until it succeeds.
                let _ = self.trim();
                return Err(error);
            }
        }
        Ok((first, offset))
    }

    /// Finds out whether a batch could be written now: really writes, and takes it back.
    pub(super) fn probe(&mut self, entry: u64, now: i64) -> io::Result<()> {
        let power = self.power;
        let segment = self.ready(entry, now)?;
        let mut result = segment.file.write_all_at(&[0; segment::FRAME], segment.length);
        if power {
            result = result.and_then(|()| segment.file.sync_data());
        }
        self.untrimmed = true;
        self.trim().and(result)
    }

    /// The files that were written since the last call, the present one always among them.
    pub(super) fn take_unsynced(&mut self) -> Vec<Arc<dyn Storage>> {
        self.keep_unsynced(self.segment.as_ref().map(|segment| Arc::clone(&segment.file)).into_iter().collect());
        std::mem::take(&mut self.unsynced)
    }

    /// These could not be synced: they are asked for again.
    pub(super) fn keep_unsynced(&mut self, files: Vec<Arc<dyn Storage>>) {
        for file in files {
            if !self.unsynced.iter().any(|known| Arc::ptr_eq(known, &file)) {
                self.unsynced.push(file);
            }
        }
    }

    /// The segment to write into: trimmed, untouched by others, and a new one if the last is full.
    fn ready(&mut self, entry: u64, now: i64) -> io::Result<&mut Segment> {
        self.trim()?;
        if let Some(segment) = &self.segment
            && let Err(error) = untouched(&*segment.file, segment.length)
        {
            self.untrimmed = true;
            return Err(error);
        }
        let ends = |segment: &Segment| {
            let spans = segment.first < entry && now.saturating_sub(segment.since) >= self.segment_span;
            segment.length >= self.segment_bytes || spans
        };
        if self.segment.as_ref().is_none_or(ends) {
            let file = segment::create(&self.folder, entry)?;
            if self.power {
                files::sync_folder(&self.folder)?;
            }
            let next = Segment { file: (self.through)(file), first: entry, length: segment::HEADER as u64, since: now };
            self.unsynced.extend(self.segment.replace(next).map(|full| full.file));
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
