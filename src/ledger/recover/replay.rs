//! Reading what is after a start, entry by entry, up to where the log ends.

use std::io;
use std::os::unix::fs::FileExt as _;

use tlog_tiles::record_hash;

use crate::ledger::format::checkpoint::Head;
use crate::ledger::format::frame::Frames;
use crate::ledger::format::index::Place;
use crate::ledger::format::{frame, segment};
use crate::ledger::layout;
use crate::ledger::lock::{OpenError, broken, failed};
use crate::ledger::recover::boot::Boot;
use crate::ledger::recover::state::{By, End, Now, RecoveredState, Start, in_file};
use crate::ledger::settings::Durability;
use crate::ledger::write::active_segment::OpenSegment;
use crate::ledger::write::prune;
use crate::ledger::write::storage::Latch;

impl RecoveredState {
    /// Reads what is after the start and leaves the writer's state at its end; where that is, if something follows that is not to be.
    pub(crate) fn replay(&mut self, start: &Start, head: Head, now: &Now) -> Result<Option<End>, OpenError> {
        self.begin(start, head)?;
        let folder = self.active.folder.clone();
        let firsts = segment::list(&folder).map_err(failed(&folder))?;
        let from = start.segment;
        let mut offset = start.offset;
        if from == self.pruned && !firsts.is_empty() && firsts.first() != Some(&from) {
            return Err(broken(&segment::path(&folder, from), "is missing"));
        }
        self.keep_checkpointed(head);
        self.check_root(head)?;
        // The segment before, and its bytes.
        let mut before = None;
        let mut rest = firsts.get(firsts.partition_point(|first| *first < from)..).unwrap_or_default();
        while let Some((first, later)) = rest.split_first() {
            let (first, path) = (*first, segment::path(&folder, *first));
            let expected = if first == from { from } else { self.edge.size() };
            let (end, length) = if first == expected {
                self.replay_segment(first, offset, start, head, before).map_err(|error| match error {
                    Stop::File(error) => failed(&path)(error),
                    Stop::Broken(problem) => broken(&path, problem),
                    Stop::Other(error) => error,
                })?
            } else {
                let problem = format!("is there, but the one that begins with entry {expected} is not");
                let Some((segment, offset)) = before.filter(|_| self.edge.size() >= head.size) else {
                    return Err(broken(&path, problem));
                };
                let problem = format!("ends before entry {expected}, and `{}` {problem}", path.display());
                (Some(End { segment, offset, entry: expected, problem, torn: false }), offset)
            };
            if let Some(mut end) = end {
                end.torn &= later.is_empty();
                if !end.torn || self.may_have_lost(now)? {
                    return Ok(Some(end));
                }
            } else if !later.is_empty()
                && now.by != By::Nobody
                && self.finish_recovery(later).map_err(failed(&folder))?
            {
                rest = &[];
                before = Some((first, length));
                continue;
            }
            offset = segment::HEADER as u64;
            before = Some((first, length));
            rest = later;
        }
        if self.edge.size() < head.size {
            let problem = format!("is signed for {} entries, but only {} are there", head.size, self.edge.size());
            return Err(broken(&layout::checkpoint_file(&self.folder), problem));
        }
        if let Some((first, length)) = before {
            self.resume_segment(first, length, now)?;
        }
        Ok(None)
    }

    /// Goes on in the last segment after so many bytes.
    fn resume_segment(&mut self, first: u64, length: u64, now: &Now) -> Result<(), OpenError> {
        let path = segment::path(&self.active.folder, first);
        let file = segment::open(&path).map_err(failed(&path))?;
        if file.metadata().map_err(failed(&path))?.len() > length && now.by != By::Nobody {
            tracing::warn!(segment = %path.display(), length, "cut the torn end of a write that was never acknowledged");
            file.set_len(length).and_then(|()| file.sync_data()).map_err(failed(&path))?;
        }
        let since = prune::first_time(&path).map_err(failed(&path))?.unwrap_or(i64::MAX);
        let file = Latch::over((self.active.through)(file));
        self.active.segment = Some(OpenSegment { file, first, length, since });
        Ok(())
    }

    /// Whether pages of what was acknowledged may be gone: a torn end is then no mere end of a write.
    fn may_have_lost(&self, now: &Now) -> Result<bool, OpenError> {
        let previous = Boot::of(&self.folder).map_err(failed(&self.folder))?;
        Ok(previous.is_some_and(|boot| boot.durability == Durability::Process && Some(boot.id) != now.boot))
    }

    /// Reads a segment from this offset. Gives where the log ends in it, if what follows is past what is signed, and the length of what
    /// is sound. `before` is the segment before it, and its bytes.
    fn replay_segment(
        &mut self,
        first: u64,
        offset: u64,
        start: &Start,
        head: Head,
        before: Option<(u64, u64)>,
    ) -> Result<(Option<End>, u64), Stop> {
        let file = segment::open(&segment::path(&self.active.folder, first))?;
        let mut header = [0; segment::HEADER];
        match file.read_exact_at(&mut header, 0) {
            // What is too short for a header has a damaged one.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error.into()),
            _ => {}
        }
        if let Some(problem) = segment::header_problem(&header, first) {
            let Some((segment, offset)) = before.filter(|_| first >= head.size) else {
                return Err(Stop::Broken(problem));
            };
            let problem = format!("ends before entry {first}, and the next one {problem}");
            return Ok((Some(End { segment, offset, entry: first, problem, torn: false }), offset));
        }
        let bytes = segment::read_from(&file, offset)?;
        let mut frames = Frames::from(&bytes, 0);
        while let (at, Some(frame)) = (frames.at(), frames.next()) {
            let entry = self.edge.size();
            let place = self
                .follow(frame.entry, entry, start)
                .map_err(|problem| Stop::Broken(format!("has entry {entry}, {problem}")))?;
            self.index.note(entry, Place { id: place, segment: first, offset: offset + at as u64 });
            self.edge.push(record_hash(frame.entry), &mut self.tiles);
            self.keep_checkpointed(head);
            // Tiles under the checkpoint are in their files, or must be put there.
            while let Some(tile) = self.tiles.pop_if(|tile| tile.complete_at() <= head.size) {
                self.unsound.extend((!in_file(&self.folder, &tile)).then_some(tile));
            }
            self.check_root(head).map_err(Stop::Other)?;
        }
        let at = frames.at();
        let sound = offset + at as u64;
        if at == bytes.len() {
            return Ok((None, sound));
        }
        let entry = self.edge.size();
        let problem = format!("has a damaged frame at byte {sound}, entry {entry}");
        if entry < head.size {
            return Err(Stop::Broken(problem));
        }
        let torn = frame::later_batch(&bytes, at).is_none();
        Ok((Some(End { segment: first, offset: sound, entry, problem, torn }), sound))
    }
}

/// Why a segment was not read to its end.
enum Stop {
    File(io::Error),
    Broken(String),
    Other(OpenError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
