//! The tree once more: its root from a stack of subtrees, and every whole tile against its file (RFC 6962, C2SP tlog-tiles).

use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest as _, Sha256};

use super::breaks::{self, Break, UNFINISHED, VerifyError, in_file};

/// A hash in the tree.
pub(super) type Hash = [u8; 32];

/// The root of a tree without entries: SHA-256 of nothing.
pub(super) const EMPTY: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];
/// Levels of the tree in a tile.
const HEIGHT: usize = 8;
/// Bytes of a whole tile.
const TILE: usize = 256 * 32;

/// The tree over the entries so far.
pub(super) struct Tree {
    folder: PathBuf,
    /// Entries under the checkpoint: tiles that are whole by then must be there.
    signed: u64,
    size: u64,
    /// The subtree of each height that waits for its right sibling; those there are make up the tree.
    subtrees: Vec<Option<Hash>>,
    /// The unfinished tile of each level.
    tiles: Vec<Vec<u8>>,
    found: u64,
}

impl Tree {
    pub(super) fn new(folder: &Path, signed: u64) -> Self {
        Self { folder: folder.to_owned(), signed, size: 0, subtrees: Vec::new(), tiles: Vec::new(), found: 0 }
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Adds an entry, and compares the tiles that it completes with their files.
    pub(super) fn push(&mut self, entry: &[u8]) -> Result<(), VerifyError> {
        self.push_leaf(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
    }

    /// Adds so many entries that are known only by their hashes, in the tiles of the lowest level.
    pub(super) fn push_pruned(&mut self, entries: u64) -> Result<(), VerifyError> {
        let mut tile = Vec::new();
        while self.size < entries {
            let within = usize::try_from(self.size % 256).unwrap_or(usize::MAX);
            if within == 0 || tile.is_empty() {
                let name = tile_name(0, self.size >> HEIGHT);
                tile = breaks::read(&self.folder, &name)?;
                if tile.len() != TILE {
                    return Err(in_file(name, format!("is {} bytes long, not {TILE}", tile.len())).into());
                }
            }
            let hash = tile.as_chunks().0.get(within).copied().unwrap_or_default();
            self.push_leaf(hash)?;
        }
        Ok(())
    }

    fn push_leaf(&mut self, leaf: Hash) -> Result<(), VerifyError> {
        self.size += 1;
        let mut hash = leaf;
        for height in 0.. {
            if height % HEIGHT == 0 {
                self.in_tile(height / HEIGHT, &hash)?;
            }
            match self.subtrees.get_mut(height) {
                None => {
                    self.subtrees.push(Some(hash));
                    break;
                }
                Some(place) => match place.take() {
                    Some(left) => hash = node(&left, &hash),
                    None => {
                        *place = Some(hash);
                        break;
                    }
                },
            }
        }
        Ok(())
    }

    /// The root: the subtrees joined from the smallest, at the right, to the largest.
    pub(super) fn root(&self) -> Hash {
        let joined = self.subtrees.iter().flatten().copied().reduce(|right, left| node(&left, &right));
        joined.unwrap_or(EMPTY)
    }

    fn in_tile(&mut self, level: usize, hash: &Hash) -> Result<(), VerifyError> {
        if self.tiles.len() == level {
            self.tiles.push(Vec::with_capacity(TILE));
        }
        let Some(tile) = self.tiles.get_mut(level) else { return Ok(()) };
        tile.extend_from_slice(hash);
        if tile.len() < TILE {
            return Ok(());
        }
        let number = (self.size >> (HEIGHT * (level + 1))) - 1;
        let name = tile_name(level, number);
        let path = self.folder.join(&name);
        match fs::read(&path) {
            Ok(stored) if stored == *tile => self.found += 1,
            Ok(stored) => {
                let same = stored.chunks(32).zip(tile.chunks(32)).take_while(|(a, b)| a == b).count() as u64;
                let entry = Some(((number << HEIGHT) + same) << (HEIGHT * level));
                let problem = "does not hold the hashes of the entries".to_owned();
                return Err(Break { entry, id: None, field: name, problem }.into());
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(VerifyError::Unreadable { path, source: error });
            }
            Err(_) if self.size <= self.signed => return Err(in_file(name, "is missing").into()),
            Err(_) => {}
        }
        tile.clear();
        Ok(())
    }

    /// Nothing else may be where tiles are.
    pub(super) fn no_other_tiles(&self) -> Result<(), VerifyError> {
        let mut folders = vec![self.folder.join("tile")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            let unreadable = |source| VerifyError::Unreadable { path: folder.clone(), source };
            let inside = match fs::read_dir(&folder) {
                Ok(inside) => inside,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(unreadable(error)),
            };
            for file in inside {
                let path = file.map_err(unreadable)?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_none_or(|ending| ending != UNFINISHED) {
                    files += 1;
                }
            }
        }
        if files == self.found {
            return Ok(());
        }
        Err(in_file("tile", format!("has {files} files, and the entries make {} of them", self.found)).into())
    }
}

/// The hash of a node over its two children.
pub(super) fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// `tile/<level>/<number>`, the number in groups of three digits (C2SP tlog-tiles).
pub(super) fn tile_name(level: usize, number: u64) -> String {
    let mut path = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    format!("tile/{level}/{path}")
}
