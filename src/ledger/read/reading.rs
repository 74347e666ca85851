//! A ledger's entries, one after the other, from its files alone. It may be written meanwhile.
//!
//! This reads; it does not hold the ledger to account: [`verify`](crate::ledger::verify) does.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::ledger::format::{frame, segment};
use crate::ledger::layout::{self, segments, version_file};

/// Why a ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it has to be.
    #[error("`{}` {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// The entries of a ledger, in order: the canonical JSON of each. Holds one segment in memory.
#[derive(Debug)]
pub struct Entries {
    folder: PathBuf,
    /// The first entries of the segments that are left.
    left: std::vec::IntoIter<u64>,
    path: PathBuf,
    bytes: Vec<u8>,
    at: usize,
}

/// The entries of the ledger in this folder.
///
/// # Errors
/// There is none, or one of another version.
pub fn entries(folder: &Path) -> Result<Entries, ReadError> {
    let unreadable = |path: PathBuf| move |source| ReadError::File { path, source };
    let version = version_file(folder);
    let found = fs::read(&version).map_err(unreadable(version.clone()))?;
    if found != layout::VERSION.as_bytes() {
        return Err(ReadError::Damaged { path: version, problem: format!("is not `{}`", layout::VERSION.trim()) });
    }
    let folder = segments(folder);
    let firsts = segment::list(&folder).map_err(unreadable(folder.clone()))?;
    Ok(Entries { folder, left: firsts.into_iter(), path: PathBuf::new(), bytes: Vec::new(), at: 0 })
}

impl Entries {
    /// The next entry of the segment in memory. A torn end is the end.
    fn in_segment(&mut self) -> Option<Result<Vec<u8>, ReadError>> {
        if let Some(frame) = frame::at(&self.bytes, self.at) {
            self.at += frame::HEADER + frame.entry.len();
            return Some(Ok(frame.entry.to_vec()));
        }
        let torn = self.left.len() == 0 && frame::later_batch(&self.bytes, self.at).is_none();
        if self.at >= self.bytes.len() || torn {
            return None;
        }
        let problem = format!("has a damaged frame at byte {}: verify the ledger", self.at);
        Some(Err(self.broken(problem)))
    }

    /// Reads the next segment.
    fn next_segment(&mut self, first: u64) -> Result<(), ReadError> {
        self.path = segment::path(&self.folder, first);
        self.bytes = fs::read(&self.path).map_err(|source| ReadError::File { path: self.path.clone(), source })?;
        self.at = segment::HEADER;
        match segment::header_problem(&self.bytes, first) {
            Some(problem) => Err(self.broken(problem)),
            None => Ok(()),
        }
    }

    /// An error, after which there is nothing more.
    fn broken(&mut self, problem: String) -> ReadError {
        self.bytes.clear();
        self.left = Vec::new().into_iter();
        ReadError::Damaged { path: self.path.clone(), problem }
    }
}

impl Iterator for Entries {
    type Item = Result<Vec<u8>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.in_segment() {
                return Some(entry);
            }
            let first = self.left.next()?;
            if let Err(error) = self.next_segment(first) {
                self.bytes.clear();
                self.left = Vec::new().into_iter();
                return Some(Err(error));
            }
        }
    }
}
