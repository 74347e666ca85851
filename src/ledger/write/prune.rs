//! Retention: whole segments that need not be kept are checked once more, exported if asked, and deleted behind a signed edge.
//!
//! It has a thread of its own and shares nothing with the writer but files that do not change any more, so neither a slow disk nor a
//! failing export holds up a decision. The order is what makes it safe to be killed at any moment: exported, then the edge is
//! signed and durable, then deleted; a start finishes what was begun. Hash tiles are never pruned.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{fs, io};

use tlog_tiles::{Hash, record_hash};

use crate::ledger::format::chain::{Heads, Link, Streams};
use crate::ledger::format::checkpoint::Head;
use crate::ledger::format::frame::Frames;
use crate::ledger::format::index::EVERY;
use crate::ledger::format::key::LogKey;
use crate::ledger::format::pruned::Pruned;
use crate::ledger::format::tree::{self, Edge};
use crate::ledger::format::{frame, ids, segment};
use crate::ledger::settings::Retention;
use crate::ledger::write::clock::Clock;
use crate::ledger::write::shared::Shared;
use crate::ledger::{files, layout};
use crate::telemetry::threads::{self, Thread};

impl Retention {
    /// The microseconds of entries that one segment may hold, since only whole segments go: a tenth of what is kept.
    pub(crate) fn span(&self) -> i64 {
        self.keep.map_or(i64::MAX, |keep| micros(keep / 10))
    }
}

/// The thread that prunes; it ends when this is dropped and [`Self::join`]ed.
pub(crate) struct Pruner {
    stop: mpsc::Sender<Infallible>,
    thread: Thread,
}

/// What the thread works with.
pub(crate) struct Pruning {
    /// The ledger's folder.
    pub(crate) folder: PathBuf,
    /// What signs the edge.
    pub(crate) key: Arc<LogKey>,
    /// What is kept.
    pub(crate) retention: Retention,
    /// Where it is said how it goes.
    pub(crate) shared: Arc<Shared>,
    /// The time by which entries grow old.
    pub(crate) clock: Clock,
    /// No other process opens the ledger while this goes on.
    pub(crate) _lock: Arc<fs::File>,
}

impl Pruner {
    /// Starts the thread, which looks so often; none is needed when all is kept.
    pub(crate) fn start(pruning: Pruning, every: Duration) -> io::Result<Option<Self>> {
        let Retention { keep, max_bytes, .. } = &pruning.retention;
        if keep.is_none() && max_bytes.is_none() {
            return Ok(None);
        }
        let (stop, stopped) = mpsc::channel();
        let thread = threads::start("ledger-prune", move || {
            while matches!(stopped.recv_timeout(every), Err(mpsc::RecvTimeoutError::Timeout)) {
                pruning.turn(&stopped);
            }
        })?;
        Ok(Some(Self { stop, thread }))
    }

    /// Ends the thread after the segment that it is at, and waits so long for that.
    pub(crate) fn join(self, patience: Duration) {
        drop(self.stop);
        self.thread.join(patience);
    }
}

/// Deletes segments before the edge.
pub(crate) fn finish(segments: &Path, edge: u64) -> io::Result<()> {
    let firsts = segment::list(segments)?;
    let gone: Vec<_> = firsts.into_iter().take_while(|first| *first < edge).collect();
    for first in &gone {
        match fs::remove_file(segment::path(segments, *first)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    if gone.is_empty() { Ok(()) } else { files::sync_folder(segments) }
}

impl Pruning {
    /// Prunes what need not be kept now, a segment at a time, and says how it went.
    fn turn(&self, stopped: &mpsc::Receiver<Infallible>) {
        while matches!(stopped.try_recv(), Err(mpsc::TryRecvError::Empty)) {
            let result = self.prune_one();
            let error = result.as_ref().err().map(|error| Arc::<str>::from(error.to_string()));
            if let Some(error) = &error
                && self.shared.prune_failure().as_ref() != Some(error)
            {
                tracing::error!(%error, "the ledger cannot be pruned: it grows, and decisions go on");
            }
            self.shared.set_prune_failure(error);
            match result {
                Ok(Some((bytes, edge))) => {
                    self.shared.set_pruned(edge);
                    tracing::info!(
                        bytes,
                        edge,
                        "the ledger was pruned: entries before this edge are proved by the tree alone"
                    );
                }
                _ => return,
            }
        }
    }

    /// Prunes the oldest segment if it need not be kept: its bytes and the new edge.
    fn prune_one(&self) -> io::Result<Option<(usize, u64)>> {
        let segments = layout::segments(&self.folder);
        let firsts = segment::list(&segments)?;
        let [first, next, ..] = *firsts.as_slice() else { return Ok(None) };
        let heads = Heads::from_bytes(&fs::read(layout::heads_file(&self.folder))?);
        // A start reads from there, and the tiles before it are in their files.
        let needed = heads.map_or(0, |heads| heads.size.saturating_sub(1) / EVERY * EVERY);
        if next > needed || !(self.too_old(&segments, next)? || self.too_much(&segments, &firsts)?) {
            return Ok(None);
        }
        let path = segment::path(&segments, first);
        let bytes = fs::read(&path)?;
        let before = Pruned::load(&self.folder, self.key.vkey())?;
        let after = before
            .map_err(|problem| format!("`pruned` {problem}"))
            .and_then(|before| self.follow(&before, &bytes, first, next))
            .map_err(|problem| io::Error::other(format!("{}: {problem}; nothing is pruned", path.display())))?;
        if let Some(folder) = &self.retention.export_dir {
            export(folder, first, &bytes).map_err(|error| {
                let path = segment::path(folder, first);
                io::Error::new(
                    error.kind(),
                    format!("ledger.export_dir: {}: {error}; nothing is pruned", path.display()),
                )
            })?;
        }
        after.put(&self.folder, &self.key)?;
        finish(&segments, next)?;
        Ok(Some((bytes.len(), next)))
    }

    /// Whether all entries before this one, which begins a segment, are older than what is kept.
    fn too_old(&self, segments: &Path, next: u64) -> io::Result<bool> {
        let Some(keep) = self.retention.keep else { return Ok(false) };
        let began = first_time(&segment::path(segments, next))?;
        Ok(began.is_some_and(|began| began < (self.clock)().saturating_sub(micros(keep))))
    }

    /// Whether the segments have more bytes than they may.
    fn too_much(&self, segments: &Path, firsts: &[u64]) -> io::Result<bool> {
        let Some(most) = self.retention.max_bytes else { return Ok(false) };
        let mut bytes = 0;
        for first in firsts {
            bytes += fs::metadata(segment::path(segments, *first))?.len();
        }
        Ok(bytes > most)
    }

    /// The edge after this segment, if it holds: it follows from the edge before it and is what the tree has.
    fn follow(&self, before: &Pruned, bytes: &[u8], first: u64, next: u64) -> Result<Pruned, String> {
        if before.edge() != first {
            return Err(format!("begins with entry {first}, and what was pruned ends before {}", before.edge()));
        }
        if let Some(problem) = segment::header_problem(bytes, first) {
            return Err(problem);
        }
        let unread = |(path, error): (PathBuf, io::Error)| format!("{}: {error}", path.display());
        let mut streams = Streams::resume(&before.heads).ok_or("`pruned` holds a bad digest")?;
        let (mut last, mut number) = (before.last(), first);
        let mut frames = Frames::from(bytes, segment::HEADER);
        let mut hashes: Vec<Hash> = Vec::new();
        for frame in &mut frames {
            let within = usize::try_from(number % EVERY).unwrap_or(usize::MAX);
            if within == 0 || hashes.is_empty() {
                hashes = tree::read_tile(&self.folder, 0, number / EVERY).map_err(unread)?;
            }
            if hashes.get(within) != Some(&record_hash(frame.entry)) {
                return Err(format!("entry {number} is not the one that was recorded"));
            }
            last = streams.follow(frame.entry, last).map_err(|problem| format!("has entry {number}, {problem}"))?;
            number += 1;
        }
        let at = frames.at();
        if (number, at) != (next, bytes.len()) {
            return Err(format!("has a damaged frame at byte {at}, entry {number}"));
        }
        let mut edge = Edge::load(&self.folder, next / EVERY * EVERY).map_err(unread)?;
        if !next.is_multiple_of(EVERY) {
            let left = usize::try_from(next % EVERY).unwrap_or(usize::MAX);
            let hashes = tree::read_tile(&self.folder, 0, next / EVERY).map_err(unread)?;
            hashes.into_iter().take(left).for_each(|hash| edge.push(hash, &mut Vec::new()));
        }
        let root = edge.root().map_err(|error| error.to_string())?;
        Ok(Pruned { head: Head { size: next, root }, heads: streams.heads(next, last) })
    }
}

/// The time of a segment's first entry, if it has one, in microseconds since 1970 UTC.
pub(crate) fn first_time(path: &Path) -> io::Result<Option<i64>> {
    use std::io::Read as _;
    let most = segment::HEADER + frame::HEADER + crate::ledger::format::stamp::LONGEST;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most as u64).read_to_end(&mut bytes)?;
    let Some(frame) = frame::at(&bytes, segment::HEADER) else { return Ok(None) };
    let link =
        Link::read(frame.entry).map_err(|problem| io::Error::other(format!("begins with an entry, {problem}")))?;
    Ok(Some(ids::micros(link.receipt_id)))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Copies a segment, durably. What is there already under its name must be the same.
fn export(folder: &Path, first: u64, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let path = segment::path(folder, first);
    match fs::read(&path) {
        Ok(there) if there == bytes => return Ok(()),
        Ok(_) => return Err(io::Error::other("is there already, with other entries")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    files::replace(&path, bytes, 0o600)?;
    files::sync_folder(folder)
}
