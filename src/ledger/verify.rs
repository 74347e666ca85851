//! The checker: recomputes everything from the segments, by a path that shares nothing with the writer but the canonical form (and the
//! crates for checksums, hashes, notes and checkpoints).
//!
//! It holds to account: every frame, every entry's canonical form, id, time and chain, each outcome's decision, the tree against
//! every tile and the checkpoint, the index, and the chain heads. It stops at the first break and names it. It may run while
//! the ledger is written: then what is newer than the checkpoint is checked as far as it goes.
//!
//! Where old entries were pruned it begins at the edge that was signed then: the hash tiles say what was before it, the note
//! `pruned` how each chain goes on.

mod approvals;
mod breaks;
pub mod bundle;
mod entries;
mod fault;
#[cfg(any(test, fuzzing))]
pub mod laws;
pub mod proof;
pub mod range;
mod recovered;
mod registry;
mod report;
mod signed;
mod stored;
mod tree;

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use self::breaks::{CHECKPOINT, in_file, read};
use self::entries::EntryCheck;
use self::recovered::newest;
use self::signed::{PRUNED, PrunedEdge, SignedHead};
use self::stored::{ChainHeads, StoredPlace};
use self::tree::{EMPTY, Tree};
use crate::ids::Digest;

pub use self::breaks::{Break, VerifyError};
pub use self::recovered::Loss;
pub use self::report::Report;

/// Verifies a whole ledger against a verifier key, `<name>+<id>+<key>`, which must come from elsewhere than the ledger.
///
/// # Errors
/// The first break, or a file that cannot be read.
pub fn verify(folder: &Path, vkey: &str) -> Result<Report, VerifyError> {
    verify_since(folder, vkey, None)
}

/// The same, and that the log goes on from an older checkpoint of it, when one is given.
///
/// # Errors
/// As [`verify`].
pub fn verify_since(folder: &Path, vkey: &str, older: Option<&[u8]>) -> Result<Report, VerifyError> {
    loop {
        let edge = fs::read(folder.join(PRUNED)).ok();
        let found = verify_once(folder, vkey, older);
        // What was missing may have been pruned meanwhile. Each turn saw the edge move, so this comes to an end.
        if found.is_ok() || fs::read(folder.join(PRUNED)).ok() == edge || !is_live(folder)? {
            return found;
        }
    }
}

/// That a text is a verifier key.
///
/// # Errors
/// Why it is none.
pub fn is_key(vkey: &str) -> Result<(), String> {
    signed::verifier(vkey).map(|_| ())
}

/// That a key signed a checkpoint.
///
/// # Errors
/// Why it did not.
pub(in crate::ledger) fn is_signed(note: &[u8], vkey: &str) -> Result<(), String> {
    signed::checkpoint(note, vkey).map(|_| ())
}

fn verify_once(folder: &Path, vkey: &str, older: Option<&[u8]>) -> Result<Report, VerifyError> {
    let live_before = is_live(folder)?;
    stored::check_version(folder)?;
    // In the reverse order of their writing, so that one is never newer than what it rests on.
    let heads = read(folder, "heads")?;
    let heads = ChainHeads::read(&heads).ok_or_else(|| in_file("heads", "is damaged"))?;
    let note = read(folder, CHECKPOINT)?;
    let key = signed::newest_key(folder, vkey)?;
    let head = signed::checkpoint(&note, &key).map_err(|problem| in_file(CHECKPOINT, problem))?;
    let older = older.map(|older| older_head(older, [vkey, &key], head)).transpose()?;
    if heads.size > head.size {
        let problem = format!("is signed for {} entries, but {} were sealed: it was set back", head.size, heads.size);
        return Err(in_file(CHECKPOINT, problem).into());
    }

    let pruned = PrunedEdge::load(folder, &key, EMPTY)
        .map_err(|source| VerifyError::Unreadable { path: folder.join(PRUNED), source })?;
    let pruned = pruned.map_err(|problem| in_file(PRUNED, problem))?;
    if heads.size < pruned.entry() {
        let problem = format!("is for {} entries, but {} were pruned: it was set back", heads.size, pruned.entry());
        return Err(in_file("heads", problem).into());
    }

    let (entries, tree) = (EntryCheck::after(folder, &pruned)?, Tree::new(folder, head.size));
    let mut check = Check { folder, head, older, heads, pruned, entries, tree };
    check.before_the_edge()?;
    let torn_bytes = check.segments()?;
    let size = check.tree.size();
    if size < head.size {
        let problem = format!("is missing: the checkpoint is signed for {} entries", head.size);
        return Err(Break { entry: Some(size), id: None, field: "segments".to_owned(), problem }.into());
    }
    let live = live_before || is_live(folder)?;
    check.index(live)?;
    if !live {
        check.tree.no_other_tiles()?;
    }
    let EntryCheck { decisions, outcomes, policies, registry, approvals, streams, recoveries, .. } = &check.entries;
    let root = Digest::from_bytes(head.root);
    let (decisions, outcomes, policies, registry) = (*decisions, *outcomes, *policies, *registry);
    let streams = streams.len();
    let (signed, since, pruned) = (head.size, older.map(|older| older.size), check.pruned.entry());
    Ok(Report {
        entries: size,
        pruned,
        decisions,
        outcomes,
        policies,
        registry,
        approvals: approvals.steps,
        approved_elsewhere: approvals.elsewhere,
        streams,
        signed,
        root,
        since,
        losses: recoveries.losses.clone(),
        recoveries: recoveries.newest.as_ref().map_or(0, |(_, _, count, _)| *count),
        torn_bytes,
        live,
    })
}

/// The head of an older checkpoint, which one of these keys must have signed.
fn older_head(note: &[u8], vkeys: [&str; 2], newest: SignedHead) -> Result<SignedHead, Break> {
    let [given, key] = vkeys.map(|vkey| signed::checkpoint(note, vkey));
    let older = given.or(key).map_err(|problem| in_file("the older checkpoint", problem))?;
    if older.size > newest.size {
        let problem = format!("is signed for {} entries, and the newest for {} only", older.size, newest.size);
        return Err(in_file("the older checkpoint", problem));
    }
    Ok(older)
}

/// Whether a process has the ledger open.
fn is_live(folder: &Path) -> Result<bool, VerifyError> {
    let path = folder.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(VerifyError::Unreadable { path, source }),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(VerifyError::Unreadable { path, source }),
    }
}

struct Check<'a> {
    folder: &'a Path,
    head: SignedHead,
    older: Option<SignedHead>,
    heads: ChainHeads,
    pruned: PrunedEdge,
    entries: EntryCheck,
    tree: Tree,
}

impl Check<'_> {
    /// The tree over what was pruned, from the hashes that are kept.
    fn before_the_edge(&mut self) -> Result<(), VerifyError> {
        let edge = self.pruned.entry();
        if let Some(older) = self.older.filter(|older| older.size < edge) {
            self.tree.push_pruned(older.size)?;
            self.at_size()?;
        }
        self.tree.push_pruned(edge)?;
        if self.tree.root() != self.pruned.head.root {
            let problem = format!("holds other hashes than those that were signed when {edge} entries were pruned");
            return Err(in_file("tile/0", problem).into());
        }
        Ok(self.at_size()?)
    }

    /// Walks all segments. Gives the bytes after the last entry.
    fn segments(&mut self) -> Result<u64, VerifyError> {
        let firsts = stored::segments(self.folder);
        let firsts = firsts.map_err(|source| VerifyError::Unreadable { path: self.folder.join("segments"), source })?;
        // Who was killed while it pruned may have left some, which the next start deletes. Nothing rests on them.
        let firsts: Vec<u64> = firsts.into_iter().filter(|first| *first >= self.pruned.entry()).collect();
        let mut torn = 0;
        for (n, first) in firsts.iter().enumerate() {
            let name = stored::segment_file(*first);
            let path = self.folder.join(&name);
            if *first != self.tree.size() {
                let problem = format!("is there, but the one that begins with entry {} is not", self.tree.size());
                return Err(in_file(name, problem).into());
            }
            let bytes = fs::read(&path).map_err(|source| VerifyError::Unreadable { path, source })?;
            if let Some(problem) = stored::header_problem(&bytes, *first) {
                return Err(in_file(name, problem).into());
            }
            let mut at = stored::HEADER;
            while let Some(frame) = stored::frame(&bytes, at) {
                let number = self.tree.size();
                self.entries.check(number, frame.entry, *first, at as u64)?;
                self.tree.push(frame.entry)?;
                self.at_size()?;
                at = frame.end;
            }
            if at < bytes.len() {
                let number = self.tree.size();
                let last = n + 1 == firsts.len();
                if !last || number < self.head.size || stored::later_batch(&bytes, at) {
                    let problem = format!("has a damaged frame at byte {at}");
                    return Err(Break { entry: Some(number), id: None, field: name, problem }.into());
                }
                torn = (bytes.len() - at) as u64;
            }
        }
        Ok(torn)
    }

    /// At the sizes of which something is stored, it must be what is recomputed.
    fn at_size(&self) -> Result<(), Break> {
        let size = self.tree.size();
        if size == self.head.size && self.tree.root() != self.head.root {
            let problem = format!("is signed for another root than the one of the first {size} entries");
            return Err(in_file(CHECKPOINT, problem));
        }
        if self.older.is_some_and(|older| size == older.size && self.tree.root() != older.root) {
            let problem = format!("is signed for another root than the one of the first {size} entries");
            return Err(in_file("the older checkpoint", problem));
        }
        if size == self.heads.size {
            let streams: HashMap<&str, String> =
                self.entries.streams.iter().map(|(stream, hash)| (stream.as_str(), hash.to_hex())).collect();
            let stored = self.heads.streams.iter().map(|(stream, hash)| (stream.as_str(), hash.clone())).collect();
            let same = self.heads.last == self.entries.last
                && self.heads.offline == self.entries.offline
                && newest(self.heads.recovered.as_ref()) == self.entries.recoveries.newest;
            if streams != stored || !same {
                return Err(in_file("heads", format!("is not the state of the chains after {size} entries")));
            }
        }
        Ok(())
    }

    /// Every record must be the recomputed one. Without a checkpoint over its entry, a record may be missing yet.
    fn index(&self, live: bool) -> Result<(), VerifyError> {
        let bytes = read(self.folder, "index")?;
        let Some(records) = bytes.strip_prefix(stored::INDEX) else {
            return Err(in_file("index", "has a damaged header").into());
        };
        let places: &[StoredPlace] = &self.entries.places;
        let (records, torn) = records.as_chunks::<{ stored::RECORD }>();
        let gone = usize::try_from(self.pruned.entry().div_ceil(stored::EVERY)).unwrap_or(usize::MAX);
        let total = gone.saturating_add(places.len());
        for (number, record) in (0_u64..).zip(records.iter().take(total)) {
            let place = usize::try_from(number).ok().and_then(|n| places.get(n.checked_sub(gone)?));
            let holds = match place {
                Some(place) => stored::record(record, number) == Some(*place),
                // Of an entry that was pruned: as it was, or blank, if the index was made again since.
                None => record.iter().all(|byte| *byte == 0) || stored::record(record, number).is_some(),
            };
            if !holds {
                let entry = Some(number * stored::EVERY);
                let problem = "has another record than this entry's".to_owned();
                return Err(Break { entry, id: place.map(|place| place.id), field: "index".to_owned(), problem }.into());
            }
        }
        let needed = self.head.size.div_ceil(stored::EVERY);
        let found = records.len() as u64;
        let clean = self.head.size == self.tree.size();
        let whole = records.len() <= total && (torn.is_empty() || !clean);
        if found < needed || (!live && !whole) {
            return Err(in_file("index", format!("has {found} records and {} bytes, not {total}", torn.len())).into());
        }
        Ok(())
    }
}
