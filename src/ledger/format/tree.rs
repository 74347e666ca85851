//! The hash tree over all entries (RFC 6962), kept as its right edge; whole tiles of 256 hashes leave it for ever.

use std::io;
use std::path::{Path, PathBuf};

use tlog_tiles::{HASH_SIZE, Hash, HashReader, Tile};

/// Levels of the tree in a tile: 2^8 hashes (C2SP tlog-tiles).
pub(crate) const HEIGHT: u8 = 8;
/// Hashes in a whole tile.
pub(crate) const WIDTH: usize = 1 << HEIGHT;

/// A whole tile; it never changes.
pub(crate) struct FullTile {
    tile: Tile,
    bytes: Vec<u8>,
}

impl FullTile {
    /// Its file under the ledger's folder, which is also its path over HTTP.
    pub(crate) fn path(&self) -> String {
        path(&self.tile)
    }

    /// Its hashes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Entries after which it is whole.
    pub(crate) fn complete_at(&self) -> u64 {
        (self.tile.level_index() + 1) << (HEIGHT * (self.tile.level() + 1))
    }
}

/// A tile's path as tlog-tiles writes it; the crate's has the height in it, as its Go forebear.
fn path(tile: &Tile) -> String {
    tile.path().replacen("tile/8/", "tile/", 1)
}

/// The file of a whole tile.
pub(crate) fn tile_file(level: u8, number: u64) -> String {
    path(&Tile::new(HEIGHT, level, number, WIDTH as u32, false))
}

/// The right edge: the hashes of each level's unfinished tile.
#[derive(Clone)]
pub(crate) struct Edge {
    size: u64,
    levels: Vec<Vec<u8>>,
}

/// The bytes of a whole tile's file.
fn read_bytes(folder: &Path, level: u8, n: u64) -> Result<Vec<u8>, (PathBuf, io::Error)> {
    let file = folder.join(path(&Tile::new(HEIGHT, level, n, WIDTH as u32, false)));
    let bytes = std::fs::read(&file).map_err(|error| (file.clone(), error))?;
    if bytes.len() == WIDTH * HASH_SIZE {
        return Ok(bytes);
    }
    let problem = format!("is {} bytes long, not {}", bytes.len(), WIDTH * HASH_SIZE);
    Err((file, io::Error::new(io::ErrorKind::InvalidData, problem)))
}

/// The hashes in a whole tile's file.
pub(crate) fn read_tile(folder: &Path, level: u8, n: u64) -> Result<Vec<Hash>, (PathBuf, io::Error)> {
    let bytes = read_bytes(folder, level, n)?;
    Ok(bytes.as_chunks().0.iter().copied().map(Hash).collect())
}

impl Edge {
    /// The edge of an empty tree.
    pub(crate) fn empty() -> Self {
        Self { size: 0, levels: vec![Vec::new()] }
    }

    /// The edge after so many entries, a multiple of 256, from the whole tiles left of it.
    pub(crate) fn load(folder: &Path, size: u64) -> Result<Self, (PathBuf, io::Error)> {
        let mut edge = Self { size, levels: vec![Vec::new()] };
        let mut level = 0;
        while size >> (HEIGHT * (level + 1)) > 0 {
            // Level + 1 holds the roots of this level's whole tiles.
            let whole = size >> (HEIGHT * (level + 1));
            let first = whole / WIDTH as u64 * WIDTH as u64;
            let mut roots = Vec::new();
            for n in first..whole {
                let bytes = read_bytes(folder, level, n)?;
                roots.extend_from_slice(&Tile::subtree_hash(&bytes).0);
            }
            edge.levels.push(roots);
            level += 1;
        }
        Ok(edge)
    }

    /// Entries in the tree.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; tiles that it completes are appended to `full`.
    pub(crate) fn push(&mut self, leaf: Hash, full: &mut Vec<FullTile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == usize::from(level) {
                self.levels.push(Vec::with_capacity(WIDTH * HASH_SIZE));
            }
            let Some(hashes) = self.levels.get_mut(usize::from(level)) else { return };
            hashes.extend_from_slice(&hash.0);
            if hashes.len() < WIDTH * HASH_SIZE {
                return;
            }
            let bytes = std::mem::replace(hashes, Vec::with_capacity(WIDTH * HASH_SIZE));
            hash = Tile::subtree_hash(&bytes);
            let n = (self.size >> (HEIGHT * (level + 1))) - 1;
            full.push(FullTile { tile: Tile::new(HEIGHT, level, n, WIDTH as u32, false), bytes });
        }
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> Result<Hash, tlog_tiles::tlog::Error> {
        tlog_tiles::tree_hash(self.size, self)
    }
}

impl HashReader for Edge {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::tlog::Error> {
        let hash = |index: &u64| {
            let tile = Tile::from_index(HEIGHT, *index);
            let hashes = self.levels.get(usize::from(tile.level()));
            let in_edge = tile.level_index() == self.size >> (HEIGHT * (tile.level() + 1));
            let hashes = hashes.filter(|_| in_edge).ok_or(tlog_tiles::tlog::Error::IndexesNotInTree)?;
            tile.hash_at_index(hashes, *index)
        };
        indexes.iter().map(hash).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tlog_tiles::{record_hash, stored_hashes, tree_hash};

    /// All hashes of a tree in memory, in the crate's own storage order.
    pub(crate) struct All(pub(crate) Vec<Hash>);
    impl HashReader for All {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::tlog::Error> {
            Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
        }
    }

    #[test]
    fn the_edge_has_the_root_of_the_whole_tree_and_is_loaded_from_tiles() {
        let folder = tempfile::tempdir().unwrap();
        let (mut edge, mut all, mut full) = (Edge::load(folder.path(), 0).unwrap(), All(Vec::new()), Vec::new());
        for n in 0..66_000_u64 {
            let data = n.to_le_bytes();
            let hashes = stored_hashes(n, &data, &all).unwrap();
            all.0.extend(hashes);
            edge.push(record_hash(&data), &mut full);
            let size = n + 1;
            if size < 600 || size.is_multiple_of(997) || (65_530..65_800).contains(&size) {
                assert_eq!(edge.root().unwrap(), tree_hash(size, &all).unwrap(), "{size}");
            }
            for tile in full.drain(..) {
                assert_eq!(tile.complete_at(), size);
                let file = folder.path().join(tile.path());
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, tile.bytes()).unwrap();
            }
            if size.is_multiple_of(4096) || size == 65_536 + 256 {
                assert_eq!(Edge::load(folder.path(), size).unwrap().root().unwrap(), edge.root().unwrap(), "{size}");
            }
        }
        assert!(folder.path().join("tile/0/255").is_file() && folder.path().join("tile/1/000").is_file());
        std::fs::remove_file(folder.path().join("tile/1/000")).unwrap();
        assert!(Edge::load(folder.path(), 65_536).is_err());
    }
}
