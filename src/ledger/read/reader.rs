//! The log as anyone may read it, from its files, beside the writer or without one: checkpoint, tiles, entries, proofs.
//!
//! Everything here blocks on files. Whole tiles are files that never change; the right edge of the tree is made of them and of
//! the last entries when somebody asks. Nothing is given out that the newest checkpoint does not cover.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tlog_tiles::{HASH_SIZE, Tile, record_hash};

use crate::ledger::format::checkpoint::{self, Head};
use crate::ledger::format::index;
use crate::ledger::format::pruned::Pruned;
use crate::ledger::format::tree::{HEIGHT, WIDTH, tile_file};
use crate::ledger::layout;
use crate::ledger::read::cursor::Cursor;
use crate::ledger::read::resource::LogResource;

/// A reader of one ledger. Clones share what is remembered of the right edge.
#[derive(Debug, Clone)]
pub struct LogReader {
    pub(crate) folder: PathBuf,
    edge: Arc<Mutex<Edge>>,
}

/// For each level above the first, its unfinished tile as far as it was asked for: its number and hashes.
type Edge = HashMap<u8, (u64, Vec<u8>)>;

impl LogReader {
    /// Of the ledger in this folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), edge: Arc::default() }
    }

    /// The ledger's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The newest checkpoint, and what it says.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(crate) fn checkpoint(&self) -> io::Result<(Vec<u8>, Head)> {
        let path = layout::checkpoint_file(&self.folder);
        let note = fs::read(&path).map_err(|error| named(&path, &error))?;
        let head = checkpoint::unverified(&note).map_err(|problem| damaged(format!("the checkpoint {problem}")))?;
        Ok((note, head))
    }

    /// What is served under this name; `None` when there is nothing, not yet or no longer.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn fetch(&self, resource: LogResource) -> io::Result<Option<Vec<u8>>> {
        let (note, head) = self.checkpoint()?;
        match resource {
            LogResource::Checkpoint => Ok(Some(note)),
            LogResource::Tile { level, number, width } if covered(head.size, level, number, width) => {
                self.tile(level, number, width)
            }
            LogResource::Entries { number, width } if covered(head.size, 0, number, width) => {
                self.bundle(number, width)
            }
            LogResource::Tile { .. } | LogResource::Entries { .. } => Ok(None),
        }
    }

    /// The first hashes of a tile that the checkpoint covers.
    pub(crate) fn tile(&self, level: u8, number: u64, width: usize) -> io::Result<Option<Vec<u8>>> {
        let path = self.folder.join(tile_file(level, number));
        match fs::read(&path) {
            Ok(mut whole) if whole.len() == WIDTH * HASH_SIZE => {
                whole.truncate(width * HASH_SIZE);
                return Ok(Some(whole));
            }
            Ok(other) => return Err(damaged(format!("`{}` has {} bytes", path.display(), other.len()))),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(&path, &error)),
            Err(_) if width == WIDTH => return Ok(None),
            Err(_) => {}
        }
        if level == 0 { self.leaves(number, width) } else { self.roots(level, number, width) }
    }

    /// The leaf hashes of a tile's first entries.
    fn leaves(&self, number: u64, width: usize) -> io::Result<Option<Vec<u8>>> {
        let mut hashes = Vec::with_capacity(width * HASH_SIZE);
        let found = self.each(number, width, |entry| {
            hashes.extend_from_slice(&record_hash(entry).0);
            Ok(())
        })?;
        Ok(found.then_some(hashes))
    }

    /// The first hashes of an unfinished tile above the first level: the roots of whole tiles. Kept, because it only grows.
    fn roots(&self, level: u8, number: u64, width: usize) -> io::Result<Option<Vec<u8>>> {
        let mut edge = self.edge.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, hashes) = edge.entry(level).or_default();
        if *of != number {
            *of = number;
            hashes.clear();
        }
        for below in hashes.len() / HASH_SIZE..width {
            let path = self.folder.join(tile_file(level - 1, (number << HEIGHT) + below as u64));
            let tile = match fs::read(&path) {
                Ok(tile) => tile,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(named(&path, &error)),
            };
            if tile.len() != WIDTH * HASH_SIZE {
                return Err(damaged(format!("`{}` has {} bytes", path.display(), tile.len())));
            }
            hashes.extend_from_slice(&Tile::subtree_hash(&tile).0);
        }
        Ok(hashes.get(..width * HASH_SIZE).map(<[u8]>::to_vec))
    }

    /// Reads the right edge before anybody asks: in a log of millions it is made of hundreds of tiles.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub(crate) fn warm(&self) -> io::Result<()> {
        let (_, head) = self.checkpoint()?;
        let mut hashes = head.size >> HEIGHT;
        let mut level = 1;
        while hashes > 0 {
            let width = usize::try_from(hashes % WIDTH as u64).map_err(io::Error::other)?;
            self.roots(level, hashes >> HEIGHT, width)?;
            hashes >>= HEIGHT;
            level += 1;
        }
        Ok(())
    }

    /// An entry bundle: each entry behind its length, big-endian in 16 bits, which no entry exceeds.
    fn bundle(&self, number: u64, width: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bundle = Vec::new();
        let found = self.each(number, width, |entry| {
            let length = u16::try_from(entry.len()).map_err(|_| damaged("an entry is longer than 65535 bytes"))?;
            bundle.extend_from_slice(&length.to_be_bytes());
            bundle.extend_from_slice(entry);
            Ok(())
        })?;
        Ok(found.then_some(bundle))
    }

    /// Reads the first entries of a stretch of 256, where the index has a record. False when they are not there any more.
    fn each(&self, number: u64, width: usize, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<bool> {
        if number * index::EVERY < Pruned::edge_of(&self.folder)? {
            return Ok(false);
        }
        let Some(place) = index::read(&self.index()?, number) else {
            return Err(damaged(format!("the index has no sound record {number}")));
        };
        let Some(mut cursor) = Cursor::from(&self.folder, number * index::EVERY, place.segment, place.offset)? else {
            return Ok(false);
        };
        for _ in 0..width {
            match cursor.next()? {
                Some((_, entry)) => take(entry)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    pub(crate) fn index(&self) -> io::Result<File> {
        let path = layout::index_file(&self.folder);
        File::open(&path).map_err(|error| named(&path, &error))
    }
}

/// Whether a tree of this size has these hashes.
fn covered(size: u64, level: u8, number: u64, width: usize) -> bool {
    let hashes = size.checked_shr(u32::from(HEIGHT) * u32::from(level)).unwrap_or(0);
    number.checked_mul(WIDTH as u64).and_then(|start| start.checked_add(width as u64)).is_some_and(|end| end <= hashes)
}

pub(crate) fn damaged(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

/// The same error with the file's name.
pub(crate) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}` cannot be read: {error}", path.display()))
}
