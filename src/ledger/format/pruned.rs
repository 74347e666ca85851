//! The edge behind which entries were pruned: a signed checkpoint of the tree up to there, with the chain heads at it.
//!
//! What is before the edge is still proved, by the hash tiles, which are never pruned: the tree over all entries, and every proof
//! that was given out. What is after it goes on from the chain heads that are signed here. The file `pruned` is a tlog-checkpoint
//! with one extension line, the heads as JSON.

use std::path::{Path, PathBuf};
use std::{fs, io};

use uuid::Uuid;

use crate::ledger::files;
use crate::ledger::format::chain::Heads;
use crate::ledger::format::checkpoint::{self, Head};
use crate::ledger::format::key::LogKey;
use crate::ledger::format::tree::{self, Edge, FullTile, WIDTH};

/// The file's name under the ledger's folder.
pub(crate) const PRUNED: &str = "pruned";

/// The state of the log at the edge.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pruned {
    /// Entries that may be gone, and the root over them.
    pub(crate) head: Head,
    /// The chains after them.
    pub(crate) heads: Heads,
}

impl Pruned {
    /// Nothing is pruned.
    pub(crate) const fn nothing() -> Self {
        Self { head: Head { size: 0, root: tlog_tiles::EMPTY_HASH }, heads: Heads::empty() }
    }

    /// The first entry that is kept.
    pub(crate) const fn edge(&self) -> u64 {
        self.head.size
    }

    /// The last id that was pruned.
    pub(crate) const fn last(&self) -> Uuid {
        self.heads.last
    }

    /// The signed note.
    pub(crate) fn sign(&self, key: &LogKey) -> Result<Vec<u8>, String> {
        self.sign_by(&[key])
    }

    /// The note signed by these keys: at a change of keys by both.
    pub(crate) fn sign_by(&self, keys: &[&LogKey]) -> Result<Vec<u8>, String> {
        let heads = serde_json::to_string(&self.heads).map_err(|error| error.to_string())?;
        checkpoint::sign_with(keys, self.head, &format!("{heads}\n"))
    }

    /// The first entry that is kept, whoever signed it: for a process that reads what it wrote itself.
    pub(crate) fn edge_of(folder: &Path) -> io::Result<u64> {
        match fs::read(folder.join(PRUNED)) {
            Ok(bytes) => Ok(checkpoint::unverified(&bytes).map_err(io::Error::other)?.size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Reads a note that must be signed by this key and be exactly as it is written.
    pub(crate) fn read(bytes: &[u8], vkey: &str) -> Result<Self, String> {
        let (head, lines) = checkpoint::read_with(bytes, vkey)?;
        let heads: Heads = serde_json::from_str(&lines).map_err(|error| format!("holds no chain heads: {error}"))?;
        if heads.size != head.size {
            return Err(format!("is signed for {} entries with the chain heads of {}", head.size, heads.size));
        }
        Ok(Self { head, heads })
    }

    /// The edge of this ledger, or the problem with its file.
    pub(crate) fn load(folder: &Path, vkey: &str) -> io::Result<Result<Self, String>> {
        match fs::read(folder.join(PRUNED)) {
            Ok(bytes) => Ok(Self::read(&bytes, vkey)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ok(Self::nothing())),
            Err(error) => Err(error),
        }
    }

    /// Moves the edge of this ledger here. Only after it may segments before the edge be deleted.
    pub(crate) fn put(&self, folder: &Path, key: &LogKey) -> io::Result<()> {
        let note = self.sign(key).map_err(io::Error::other)?;
        files::replace(&folder.join(PRUNED), &note, 0o644)?;
        files::sync_folder(folder)
    }
}

/// The tree's edge after so many entries, from the hash tiles of the lowest level alone, and all tiles that were whole by then.
pub(crate) fn tree(folder: &Path, size: u64, mut whole: impl FnMut(FullTile)) -> Result<Edge, (PathBuf, io::Error)> {
    let mut edge = Edge::empty();
    let mut full = Vec::new();
    while edge.size() < size {
        let hashes = tree::read_tile(folder, 0, edge.size() / WIDTH as u64)?;
        let left = usize::try_from(size - edge.size()).unwrap_or(WIDTH).min(WIDTH);
        for hash in hashes.into_iter().take(left) {
            edge.push(hash, &mut full);
        }
        full.drain(..).for_each(&mut whole);
    }
    Ok(edge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;

    #[test]
    fn an_edge_with_any_bit_flipped_or_without_heads_is_refused_and_is_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let key = LogKey::make(&folder.path().join("key"), "x.example/log").unwrap();
        assert_eq!(Pruned::load(folder.path(), key.vkey()).unwrap(), Ok(Pruned::nothing()));
        let mut heads = Heads { last: Uuid::from_u128(7 << 76), size: 300, ..Heads::empty() };
        heads.streams.insert("org.acme".to_owned(), Digest::of(b"1").to_hex());
        let pruned = Pruned { head: Head { size: 300, root: tlog_tiles::record_hash(b"x") }, heads };
        pruned.put(folder.path(), &key).unwrap();
        assert_eq!(Pruned::load(folder.path(), key.vkey()).unwrap(), Ok(pruned.clone()));
        let note = pruned.sign(&key).unwrap();
        for bit in 0..note.len() * 8 {
            let mut bad = note.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Pruned::read(&bad, key.vkey()).is_err(), "bit {bit}");
        }
        assert!(checkpoint::read(&note, key.vkey()).unwrap_err().contains("extension"));
        let plain = checkpoint::sign(&key, pruned.head).unwrap();
        assert!(Pruned::read(&plain, key.vkey()).unwrap_err().contains("no chain heads"));
        let other = Pruned { head: Head { size: 301, ..pruned.head }, ..pruned };
        assert!(Pruned::read(&other.sign(&key).unwrap(), key.vkey()).unwrap_err().contains("301"));
    }
}
