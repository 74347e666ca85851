//! Some of the entries: each by itself, one after the other, and in the tree that the checkpoint signs. Reads little else.
//!
//! The tiles on the way up are held to the signed root: a whole tile's root is a hash in the tile above it, and the hashes of
//! the unfinished tiles make up the root.

use std::collections::HashMap;
use std::path::Path;
use std::{fmt, fs, io};

use sha2::{Digest as _, Sha256};

use super::breaks::{Break, CHECKPOINT, VerifyError, in_file, read};
use super::entries::EntryCheck;
use super::signed::{self, PRUNED, PrunedEdge, SignedHead};
use super::stored::{FrameReader, check_version};
use super::tree::{EMPTY, Hash, node, tile_name};
use crate::ids::Digest;

/// Hashes of a whole tile.
const WIDTH: u64 = 256;

/// What was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeReport {
    /// The first entry.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// Entries under the signed checkpoint.
    pub signed: u64,
    /// The checkpoint's root.
    pub root: Digest,
}

impl fmt::Display for RangeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, signed, root } = self;
        write!(
            f,
            "entries {from} to {to} hold: each is in the tree that the checkpoint signs over {signed} entries with root {root}, \
             and follows from those before it in the range; no other entry was looked at"
        )
    }
}

/// Verifies the entries of a range, first and last included; `to` is the last that is signed when none is given.
///
/// # Errors
/// The first break, a file that cannot be read, or a range that is not under the checkpoint.
pub fn verify_range(folder: &Path, vkey: &str, from: u64, to: Option<u64>) -> Result<RangeReport, VerifyError> {
    check_version(folder)?;
    let note = read(folder, CHECKPOINT)?;
    let key = signed::newest_key(folder, vkey)?;
    let head = signed::checkpoint(&note, &key).map_err(|problem| in_file(CHECKPOINT, problem))?;
    let to = to.unwrap_or(head.size.saturating_sub(1));
    if from > to || to >= head.size {
        let path = folder.join(CHECKPOINT);
        let problem = format!("it signs the entries before {}, and {from} to {to} was asked for", head.size);
        return Err(VerifyError::Unreadable { path, source: io::Error::new(io::ErrorKind::InvalidInput, problem) });
    }

    let edge_file = folder.join(PRUNED);
    let pruned = PrunedEdge::load(folder, &key, EMPTY)
        .map_err(|source| VerifyError::Unreadable { path: edge_file.clone(), source })?;
    let pruned = pruned.map_err(|problem| in_file(PRUNED, problem))?;
    if from < pruned.entry() {
        let problem = format!("the entries before {} were pruned, and {from} was asked for", pruned.entry());
        return Err(VerifyError::Unreadable {
            path: edge_file,
            source: io::Error::new(io::ErrorKind::NotFound, problem),
        });
    }

    let reader = Reader { folder, head };
    let mut above = Above::build(&reader)?;
    let mut entries = EntryCheck::within(folder, &pruned)?;
    // Whole tiles, so that each can be compared with the hash above it.
    let mut tile = from / WIDTH;
    let mut scan = reader.scan((tile * WIDTH).max(pruned.entry()))?;
    while tile * WIDTH <= to {
        let start = tile * WIDTH;
        let end = head.size.min(start + WIDTH);
        let mut leaves = Vec::new();
        let mut wanted = Vec::new();
        if start < pruned.entry() {
            // Of those only the hashes are kept.
            let gone = usize::try_from(pruned.entry() - start).unwrap_or(usize::MAX);
            leaves.extend(reader.tile(0, tile)?.into_iter().take(gone));
        }
        for number in start.max(pruned.entry())..end {
            let json = reader.entry(&mut scan, number)?;
            leaves.push(leaf(&json));
            if (from..=to).contains(&number) {
                wanted.push((number, json));
            }
        }
        // First what was signed, so that a changed entry is named and not one that follows from it.
        above.hold(tile, &leaves)?;
        for (number, json) in wanted {
            entries.check(number, &json, 0, 0)?;
        }
        tile += 1;
    }
    Ok(RangeReport { from, to, signed: head.size, root: Digest::from_bytes(head.root) })
}

struct Reader<'a> {
    folder: &'a Path,
    head: SignedHead,
}

impl Reader<'_> {
    fn unreadable(&self, source: io::Error) -> VerifyError {
        VerifyError::Unreadable { path: self.folder.join("segments"), source }
    }

    fn scan(&self, number: u64) -> Result<FrameReader<'_>, VerifyError> {
        FrameReader::at(self.folder, number).map_err(|source| self.unreadable(source))
    }

    /// The entry with this number, which the walk has not passed.
    fn entry(&self, scan: &mut FrameReader<'_>, number: u64) -> Result<Vec<u8>, VerifyError> {
        while scan.number() < number {
            if scan.next().map_err(|source| self.unreadable(source))?.is_none() {
                break;
            }
        }
        match scan.next() {
            Ok(Some(json)) if scan.number() == number + 1 => Ok(json),
            Ok(_) => {
                let problem = format!("is not there, and the checkpoint is signed for {} entries", self.head.size);
                Err(Break { entry: Some(number), id: None, field: "segments".to_owned(), problem }.into())
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let problem = format!("has a damaged frame: {error}");
                Err(Break { entry: Some(number), id: None, field: "segments".to_owned(), problem }.into())
            }
            Err(source) => Err(self.unreadable(source)),
        }
    }

    /// A whole tile's hashes.
    fn tile(&self, level: usize, number: u64) -> Result<Vec<Hash>, VerifyError> {
        let name = tile_name(level, number);
        let path = self.folder.join(&name);
        match fs::read(&path) {
            Ok(bytes) => match bytes.as_chunks::<32>() {
                (hashes, []) if hashes.len() as u64 == WIDTH => Ok(hashes.to_vec()),
                _ => Err(in_file(name, format!("is {} bytes long, not 8192", bytes.len())).into()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(in_file(name, "is missing").into()),
            Err(source) => Err(VerifyError::Unreadable { path, source }),
        }
    }
}

/// The tree above the entries, held to the signed root as far as it is asked for.
struct Above<'a> {
    reader: &'a Reader<'a>,
    /// The hashes of each level's unfinished tile.
    edge: Vec<Vec<Hash>>,
    /// Whole tiles that were held to the one above.
    whole: HashMap<(usize, u64), Vec<Hash>>,
}

impl<'a> Above<'a> {
    /// Reads the right edge, which must make up the signed root.
    fn build(reader: &'a Reader<'_>) -> Result<Self, VerifyError> {
        let size = reader.head.size;
        let mut leaves = Vec::new();
        let last = size / WIDTH * WIDTH;
        if last < size {
            let mut scan = reader.scan(last)?;
            for number in last..size {
                leaves.push(leaf(&reader.entry(&mut scan, number)?));
            }
        }
        let mut edge = vec![leaves];
        let mut below = size / WIDTH;
        let mut level = 1;
        while below > 0 {
            let mut hashes = Vec::new();
            for number in below / WIDTH * WIDTH..below {
                hashes.push(root(&reader.tile(level - 1, number)?));
            }
            edge.push(hashes);
            below /= WIDTH;
            level += 1;
        }
        // Left to right: the highest level first, and in each the subtrees of its set bits from the largest.
        let mut subtrees = Vec::new();
        for hashes in edge.iter().rev() {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let (subtree, right) = rest.split_at(1 << rest.len().ilog2());
                subtrees.push(root(subtree));
                rest = right;
            }
        }
        let joined = subtrees.into_iter().rev().reduce(|right, left| node(&left, &right));
        if joined.unwrap_or_else(|| Sha256::digest([]).into()) != reader.head.root {
            let problem = "and the entries after the last whole tile do not make up the root that the checkpoint signs";
            return Err(in_file("tile", problem).into());
        }
        Ok(Self { reader, edge, whole: HashMap::new() })
    }

    /// The leaves of a tile must be those that are signed.
    fn hold(&mut self, tile: u64, leaves: &[Hash]) -> Result<(), VerifyError> {
        let signed = if leaves.len() as u64 == WIDTH {
            root(leaves) == self.hash(1, tile)?
        } else {
            // The unfinished tile's leaves made up the root.
            self.edge.first().is_some_and(|edge| edge == leaves)
        };
        if signed {
            return Ok(());
        }
        let name = tile_name(0, tile);
        let stored = self.reader.tile(0, tile).unwrap_or_default();
        let same = stored.iter().zip(leaves).take_while(|(a, b)| a == b).count() as u64;
        let entry = Some(tile * WIDTH + same).filter(|_| same < leaves.len() as u64);
        let problem = "does not hold the hashes of the entries that the checkpoint signs".to_owned();
        Err(Break { entry, id: None, field: name, problem }.into())
    }

    /// The signed hash with this number in a level.
    fn hash(&mut self, level: usize, number: u64) -> Result<Hash, VerifyError> {
        let tile = number / WIDTH;
        let at = usize::try_from(number % WIDTH).unwrap_or(usize::MAX);
        let missing = || VerifyError::from(in_file(tile_name(level, tile), "has no such hash"));
        let whole = self.reader.head.size.checked_shr(8 * (u32::try_from(level).unwrap_or(64) + 1)).unwrap_or(0);
        if tile >= whole {
            return self.edge.get(level).and_then(|edge| edge.get(at)).copied().ok_or_else(missing);
        }
        if !self.whole.contains_key(&(level, tile)) {
            let hashes = self.reader.tile(level, tile)?;
            if root(&hashes) != self.hash(level + 1, tile)? {
                let problem = "does not have the root that is signed for it";
                return Err(in_file(tile_name(level, tile), problem).into());
            }
            self.whole.insert((level, tile), hashes);
        }
        self.whole.get(&(level, tile)).and_then(|hashes| hashes.get(at)).copied().ok_or_else(missing)
    }
}

fn leaf(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The root over some hashes of one height, whose number is a power of two.
fn root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks(2).filter_map(|pair| pair.first().zip(pair.last())).map(|(a, b)| node(a, b)).collect();
    }
    row.first().copied().unwrap_or_else(|| Sha256::digest([]).into())
}
