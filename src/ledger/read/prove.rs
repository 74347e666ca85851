//! Proofs for others: that an entry is under a checkpoint, and that one checkpoint's log goes on from another's.
//!
//! A proof is a JSON document that stands for itself: [`crate::ledger::verify::proof`] checks it with nothing but a key.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use serde::Serialize;
use serde_json::value::RawValue;
use tlog_tiles::tlog::Error;
use tlog_tiles::{Hash, HashReader, Tile};

use crate::ids::Digest;
use crate::ledger::format::checkpoint::{self, Head};
use crate::ledger::format::tree::{HEIGHT, WIDTH};
use crate::ledger::read::reader::{LogReader, damaged};
use crate::ledger::read::search::FoundEntry;
use crate::ledger::verify::proof::{CONSISTENCY, RECEIPT};

/// A receipt, the proof that it is in the log, and the checkpoint under which it is.
#[derive(Debug, Clone, Serialize)]
pub struct ReceiptProof {
    format: &'static str,
    receipt: Box<RawValue>,
    receipt_hash: Digest,
    inclusion: Inclusion,
    checkpoint: String,
}

/// An inclusion proof (RFC 6962 2.1.1).
#[derive(Debug, Clone, Serialize)]
pub struct Inclusion {
    leaf_index: u64,
    tree_size: u64,
    hashes: Vec<Digest>,
}

/// Two checkpoints and the proof that the newer one's log begins with all of the older one's.
#[derive(Debug, Clone, Serialize)]
pub struct ConsistencyProof {
    format: &'static str,
    older_checkpoint: String,
    consistency: Consistency,
    checkpoint: String,
}

/// A consistency proof (RFC 6962 2.1.2).
#[derive(Debug, Clone, Serialize)]
pub struct Consistency {
    older_size: u64,
    tree_size: u64,
    hashes: Vec<Digest>,
}

impl LogReader {
    /// Entries under the newest checkpoint.
    ///
    /// # Errors
    /// The checkpoint cannot be read.
    pub fn signed(&self) -> io::Result<u64> {
        Ok(self.checkpoint()?.1.size)
    }

    /// Proves that an entry is in the log. `None` when the newest checkpoint does not cover it yet.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn prove(&self, found: &FoundEntry) -> io::Result<Option<ReceiptProof>> {
        let (note, head) = self.checkpoint()?;
        if found.number >= head.size {
            return Ok(None);
        }
        let hashes = Hashes::under(self, head).of_entry(found.number)?;
        let receipt = serde_json::from_slice(&found.json).map_err(io::Error::from)?;
        Ok(Some(ReceiptProof {
            format: RECEIPT,
            receipt,
            receipt_hash: Digest::of(&found.json),
            inclusion: Inclusion { leaf_index: found.number, tree_size: head.size, hashes },
            checkpoint: text(note)?,
        }))
    }

    /// Proves that the log of the newest checkpoint goes on from that of an older one.
    ///
    /// # Errors
    /// The older one is none, or is of a longer log; a file cannot be read or is damaged.
    pub fn prove_since(&self, older: &[u8]) -> io::Result<ConsistencyProof> {
        let before =
            checkpoint::unverified(older).map_err(|problem| damaged(format!("the older checkpoint {problem}")))?;
        let (note, head) = self.checkpoint()?;
        if before.size > head.size {
            let problem = format!("the older checkpoint is for {} entries, the newest for {}", before.size, head.size);
            return Err(damaged(problem));
        }
        let hashes = Hashes::under(self, head);
        let proof = match before.size {
            // RFC 6962 knows no proof from an empty tree: there is nothing to prove.
            0 => Ok(Vec::new()),
            size => tlog_tiles::prove_tree(head.size, size, &hashes),
        };
        Ok(ConsistencyProof {
            format: CONSISTENCY,
            older_checkpoint: text(older.to_vec())?,
            consistency: Consistency { older_size: before.size, tree_size: head.size, hashes: hashes.proved(proof)? },
            checkpoint: text(note)?,
        })
    }
}

pub(super) fn text(note: Vec<u8>) -> io::Result<String> {
    String::from_utf8(note).map_err(|_| damaged("the checkpoint is not UTF-8"))
}

/// The most tiles that are remembered, of 8 KiB each.
const MOST_TILES: usize = 256;

/// Tiles by level and number, with their hashes.
type Tiles = HashMap<(u8, u64), (Tile, Vec<u8>)>;

/// The hashes of the tree under a checkpoint, from tiles that are read once each.
pub(super) struct Hashes<'a> {
    reader: &'a LogReader,
    size: u64,
    tiles: RefCell<Tiles>,
    /// What stood in the way of reading.
    failure: RefCell<Option<io::Error>>,
}

impl<'a> Hashes<'a> {
    pub(super) fn under(reader: &'a LogReader, head: Head) -> Self {
        Self { reader, size: head.size, tiles: RefCell::default(), failure: RefCell::default() }
    }

    /// The hashes that lead from an entry to the root.
    pub(super) fn of_entry(&self, number: u64) -> io::Result<Vec<Digest>> {
        let mut tiles = self.tiles.borrow_mut();
        if tiles.len() > MOST_TILES {
            tiles.clear();
        }
        drop(tiles);
        self.proved(tlog_tiles::prove_record(self.size, number, self))
    }

    fn hash(&self, index: u64) -> io::Result<Hash> {
        let wanted = Tile::from_index(HEIGHT, index);
        let (level, number) = (wanted.level(), wanted.level_index());
        let mut tiles = self.tiles.borrow_mut();
        let (tile, bytes) = match tiles.entry((level, number)) {
            Entry::Occupied(tile) => tile.into_mut(),
            Entry::Vacant(place) => place.insert(self.tile(level, number)?),
        };
        tile.hash_at_index(bytes, index).map_err(io::Error::other)
    }

    /// A tile as far as the checkpoint covers it.
    fn tile(&self, level: u8, number: u64) -> io::Result<(Tile, Vec<u8>)> {
        let hashes = (self.size >> (HEIGHT * level)).saturating_sub(number << HEIGHT).min(WIDTH as u64);
        let width = u32::try_from(hashes).map_err(io::Error::other)?;
        if width == 0 {
            return Err(damaged("the tree has no such hash"));
        }
        let bytes = self.reader.tile(level, number, width as usize)?;
        let bytes = bytes.ok_or_else(|| damaged(format!("tile {number} of level {level} is not there")))?;
        Ok((Tile::new(HEIGHT, level, number, width, false), bytes))
    }

    /// The proof that was made of these hashes.
    fn proved(&self, proof: Result<Vec<Hash>, Error>) -> io::Result<Vec<Digest>> {
        match proof {
            Ok(hashes) => Ok(hashes.into_iter().map(|hash| Digest::from_bytes(hash.0)).collect()),
            Err(error) => Err(self.failure.take().unwrap_or_else(|| io::Error::other(error))),
        }
    }
}

impl HashReader for Hashes<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let hashes: io::Result<Vec<Hash>> = indexes.iter().map(|index| self.hash(*index)).collect();
        hashes.map_err(|error| {
            let text = error.to_string();
            self.failure.replace(Some(error));
            Error::InvalidInput(text)
        })
    }
}
