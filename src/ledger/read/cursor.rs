//! Reading entries in order from some place, in pieces, also while they are written.
//!
//! What is not whole yet is not there: [`Cursor::next`] gives `None` and may be asked again later. Memory is bounded by a piece
//! and one entry, whatever a segment's size.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::ledger::format::{frame, segment, stamp};
use crate::ledger::layout;

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;
/// The longest frame.
const LONGEST: usize = frame::HEADER + stamp::LONGEST;

/// A place in the log, from which entries are read one after the other.
#[derive(Debug)]
pub struct Cursor {
    /// The folder of the segments.
    folder: PathBuf,
    /// `None` until the segment is there.
    file: Option<File>,
    /// The segment's first entry.
    first: u64,
    /// Where in the segment `bytes` begin.
    offset: u64,
    bytes: Vec<u8>,
    /// How many of the bytes are done with.
    done: usize,
    /// The number of the next entry.
    number: u64,
}

impl Cursor {
    /// From this entry at this place. `None` when its segment is not there: it was pruned.
    pub(crate) fn from(ledger: &Path, number: u64, segment: u64, offset: u64) -> io::Result<Option<Self>> {
        let folder = layout::segments(ledger);
        match open(&folder, segment) {
            Ok(file) => {
                Ok(Some(Self { folder, file: Some(file), first: segment, offset, bytes: Vec::new(), done: 0, number }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// From the first entry that is there.
    pub(crate) fn begin(ledger: &Path) -> io::Result<Self> {
        let folder = layout::segments(ledger);
        let first = segment::list(&folder)?.first().copied().unwrap_or(0);
        let offset = segment::HEADER as u64;
        Ok(Self { folder, file: None, first, offset, bytes: Vec::new(), done: 0, number: first })
    }

    /// The number of the entry that comes next.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The next entry and its number. `None`: none is whole yet.
    ///
    /// # Errors
    /// A file cannot be read, or is damaged where an entry should be.
    #[expect(clippy::should_implement_trait, reason = "an entry is lent, and there may be more after a `None`")]
    pub fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let length = loop {
            match self.whole()? {
                Some(length) => break length,
                None if !self.next_segment()? => return Ok(None),
                None => {}
            }
        };
        let entry = self.take(length);
        Ok(Some(entry))
    }

    /// The next entry of this segment, and where its frame begins. `None`: none is whole yet, or the segment is over.
    ///
    /// # Errors
    /// As of [`Self::next`].
    pub(crate) fn next_here(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let Some(length) = self.whole()? else { return Ok(None) };
        let offset = self.offset();
        Ok(Some((offset, self.take(length).1)))
    }

    /// Where in its segment the next frame begins.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset + self.done as u64
    }

    /// How long the next entry of this segment is, if it is there whole.
    fn whole(&mut self) -> io::Result<Option<usize>> {
        loop {
            if let Some(length) = frame::at(&self.bytes, self.done).map(|frame| frame.entry.len()) {
                return Ok(Some(length));
            }
            if self.bytes.len() - self.done >= LONGEST {
                let path = segment::path(&self.folder, self.first);
                let problem = format!("`{}` is damaged where entry {} should be", path.display(), self.number);
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            if !self.read_on()? {
                return Ok(None);
            }
        }
    }

    /// The next entry, which is there and so long, and its number.
    fn take(&mut self, length: usize) -> (u64, &[u8]) {
        let start = self.done + frame::HEADER;
        self.done = start + length;
        self.number += 1;
        (self.number - 1, self.bytes.get(start..start + length).unwrap_or_default())
    }

    /// Reads another piece. False when there is none; then half an entry is forgotten, since it may be taken back.
    fn read_on(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.done);
        self.offset += self.done as u64;
        self.done = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        let had = bytes.len();
        let at = self.offset + had as u64;
        let Some(file) = self.opened()? else { return Ok(false) };
        bytes.resize(had + PIECE, 0);
        let read = file.read_at(bytes.get_mut(had..).unwrap_or_default(), at)?;
        bytes.truncate(if read == 0 { 0 } else { had + read });
        self.bytes = bytes;
        Ok(read > 0)
    }

    fn opened(&mut self) -> io::Result<Option<&File>> {
        if self.file.is_none() {
            match open(&self.folder, self.first) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(self.file.as_ref())
    }

    /// Goes on to the segment that begins with the next entry, if it is there.
    fn next_segment(&mut self) -> io::Result<bool> {
        if self.number == self.first {
            return Ok(false);
        }
        match open(&self.folder, self.number) {
            Ok(file) => {
                self.file = Some(file);
                self.first = self.number;
                self.offset = segment::HEADER as u64;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the log ends where [`Self::next`] gave `None`: nothing follows there but, at most, the torn end of a write.
    ///
    /// # Errors
    /// A file cannot be read, is missing, or is damaged where an entry should be.
    pub fn ends(&self) -> io::Result<()> {
        let later = segment::list(&self.folder)?.into_iter().find(|first| *first > self.first);
        let path = segment::path(&self.folder, self.first);
        let at = self.offset();
        let rest = match File::open(&path) {
            Ok(file) => segment::read_from(&file, at)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && later.is_none() => return Ok(()),
            Err(error) => return Err(error),
        };
        // What was written meanwhile is no matter of this reading.
        if frame::at(&rest, 0).is_some() || (rest.is_empty() && later.is_none_or(|first| first == self.number)) {
            return Ok(());
        }
        if later.is_none() && frame::later_batch(&rest, 0).is_none() {
            return Ok(());
        }
        if rest.is_empty() {
            let missing = segment::path(&self.folder, self.number);
            return Err(damaged(format!("`{}` is missing: verify the ledger", missing.display())));
        }
        Err(damaged(format!("`{}` has a damaged frame at byte {at}: verify the ledger", path.display())))
    }
}

/// Opens a segment whose header is the one of this segment.
fn open(folder: &Path, first: u64) -> io::Result<File> {
    let path = segment::path(folder, first);
    let file = File::open(&path)?;
    let mut header = [0; segment::HEADER];
    match file.read_exact_at(&mut header, 0) {
        // What is too short for a header has a damaged one.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    match segment::header_problem(&header, first) {
        Some(problem) => Err(damaged(format!("`{}` {problem}", path.display()))),
        None => Ok(file),
    }
}

fn damaged(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
