//! The state in which the writer goes on, while it is read from the files: where that begins, where it ends, and what follows what.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::ledger::format::chain::{Heads, Link, Streams};
use crate::ledger::format::checkpoint::Head;
use crate::ledger::format::key::LogKey;
use crate::ledger::format::pruned;
use crate::ledger::format::tree::{Edge, FullTile};
use crate::ledger::layout;
use crate::ledger::lock::{OpenError, broken, failed};
use crate::ledger::write::active_segment::ActiveSegment;
use crate::ledger::write::index::Index;

/// Whether a gap is recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// By itself, after another boot.
    Boot,
    /// By hand.
    Hand,
    /// By nobody: it is only looked at, and nothing is written.
    Nobody,
}

/// What is known when a ledger is opened.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    /// This boot, where it is known.
    pub(crate) boot: Option<String>,
    /// Microseconds since 1970 UTC.
    pub(crate) micros: i64,
    /// Who has gaps recovered.
    pub(crate) by: By,
}

/// Where the log ends though something follows, past what is signed.
#[derive(Debug)]
pub(crate) struct End {
    /// The first entry of the segment in which it ends.
    pub(crate) segment: u64,
    /// The bytes of it that are sound.
    pub(crate) offset: u64,
    /// The first entry that is lost.
    pub(crate) entry: u64,
    /// What is there instead.
    pub(crate) problem: String,
    /// Whether it may be nothing but the end of a write that was never acknowledged, if pages cannot be lost.
    pub(crate) torn: bool,
}

/// The state in which the writer goes on.
pub(crate) struct RecoveredState {
    pub(crate) lock: File,
    pub(crate) key: LogKey,
    pub(crate) last: Uuid,
    pub(crate) streams: Streams,
    pub(crate) active: ActiveSegment,
    pub(crate) index: Index,
    pub(crate) edge: Edge,
    pub(crate) tiles: Vec<FullTile>,
    /// The tree under the checkpoint.
    pub(crate) checkpointed: Edge,
    /// Whether the stored chain heads are older than the checkpoint, or not to be used.
    pub(crate) heads_behind: bool,
    /// The first entry that is kept.
    pub(crate) pruned: u64,
    pub(crate) folder: PathBuf,
    /// Tiles under the checkpoint that are missing or are not what the entries make.
    pub(crate) unsound: Vec<FullTile>,
}

/// Where the replay begins.
pub(crate) struct Start {
    /// The state of the chains, at or after the first entry that is read.
    pub(crate) heads: Heads,
    /// The first entry that is read.
    pub(crate) entry: u64,
    /// Its segment.
    pub(crate) segment: u64,
    /// Its offset in the segment.
    pub(crate) offset: u64,
    /// Records of the index before it.
    pub(crate) records: u64,
    /// The root at the first entry, when it is known and the tree there is to be made of its lowest tiles alone.
    pub(crate) root: Option<Head>,
}

impl RecoveredState {
    /// The state at the start.
    pub(crate) fn begin(&mut self, start: &Start, head: Head) -> Result<(), OpenError> {
        let path = layout::heads_file(&self.folder);
        self.streams = Streams::resume(&start.heads).ok_or_else(|| broken(&path, "holds a bad digest"))?;
        (self.last, self.heads_behind) = (start.heads.last, start.heads.size < head.size || start.root.is_some());
        (self.tiles, self.unsound, self.active.segment) = (Vec::new(), Vec::new(), None);
        // At the chain heads the index has led there by that record.
        let known = start.root.is_none() && start.heads.size > 0;
        self.index.cut(start.records, known).map_err(failed(&layout::index_file(&self.folder)))?;
        let lost = |(path, error): (PathBuf, io::Error)| match error.kind() {
            io::ErrorKind::NotFound => broken(&path, "is missing, and the entries under it are not there either"),
            io::ErrorKind::InvalidData => broken(&path, error.to_string()),
            _ => failed(&path)(error),
        };
        let Some(signed) = start.root else {
            self.edge = Edge::load(&self.folder, start.entry).map_err(lost)?;
            return Ok(());
        };
        let (folder, unsound) = (&self.folder, &mut self.unsound);
        let edge = pruned::tree(folder, start.entry, |tile| unsound.extend((!in_file(folder, &tile)).then_some(tile)));
        self.edge = edge.map_err(lost)?;
        if !self.edge.root().is_ok_and(|root| root == signed.root) {
            let problem = format!("has not the root that was signed for the {} entries that were pruned", signed.size);
            return Err(broken(&self.folder.join("tile/0"), problem));
        }
        Ok(())
    }

    /// An entry must follow from those before. Gives its id.
    pub(crate) fn follow(&mut self, json: &[u8], entry: u64, start: &Start) -> Result<Uuid, String> {
        if entry < start.heads.size {
            return Ok(Link::read(json)?.receipt_id);
        }
        self.last = self.streams.follow(json, self.last)?;
        Ok(self.last)
    }

    /// From the checkpoint's tree on entries may not be on the disk.
    pub(crate) fn keep_checkpointed(&mut self, head: Head) {
        if self.edge.size() == head.size {
            self.checkpointed = self.edge.clone();
        }
    }

    /// At the checkpoint's size the tree must have the checkpoint's root.
    pub(crate) fn check_root(&self, head: Head) -> Result<(), OpenError> {
        if self.edge.size() != head.size || self.edge.root().is_ok_and(|root| root == head.root) {
            return Ok(());
        }
        let problem = format!("is signed for another root at {} entries", head.size);
        Err(broken(&layout::checkpoint_file(&self.folder), problem))
    }
}

/// Whether the tile's file is there and holds just these hashes.
pub(crate) fn in_file(folder: &Path, tile: &FullTile) -> bool {
    fs::read(folder.join(tile.path())).is_ok_and(|stored| stored == tile.bytes())
}
