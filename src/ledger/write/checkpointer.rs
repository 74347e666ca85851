//! Checkpoints of what is new: entries synced, tiles written, head signed, chain heads kept, in this order.
//!
//! A disk may take long to sync and nothing on a request's path waits for it, so this has a thread of its own, which shares
//! nothing with the writer but messages. A checkpoint never covers what a power cut could take back.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::{fs, io};

use tokio::sync::watch;

use crate::ledger::format::checkpoint::{self, Head};
use crate::ledger::format::key::LogKey;
use crate::ledger::format::tree::{Edge, FullTile};
use crate::ledger::write::storage::Storage;
use crate::ledger::{files, layout};
use crate::telemetry::threads;

/// What a checkpoint is to be made of.
pub(crate) struct PendingCheckpoint {
    /// The head to be signed.
    pub(crate) head: Head,
    /// The bytes of the file `heads` at this head.
    pub(crate) heads: Vec<u8>,
    /// Tiles that were completed since the last.
    pub(crate) tiles: Vec<FullTile>,
    /// Files that were written since the last.
    pub(crate) written: Vec<Arc<dyn Storage>>,
    /// The tree at this head.
    pub(crate) edge: Edge,
}

/// Why there is no checkpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    /// The entries may not be on the disk, and no later sync of these files would prove that they are.
    #[error("the entries cannot be synced: {0}")]
    Unsynced(io::Error),
    /// What is made of the entries cannot be written now; all of it is written anew the next time.
    #[error(transparent)]
    Unwritten(#[from] io::Error),
}

/// Where it is written, and by whom signed.
pub(crate) struct Checkpointing {
    /// The ledger's folder.
    pub(crate) folder: PathBuf,
    /// The log's key.
    pub(crate) key: Arc<LogKey>,
    /// Told how many entries the newest checkpoint covers.
    pub(crate) signed: watch::Sender<u64>,
    /// Counts what is done, as the writer does.
    pub(crate) taken: Arc<AtomicU64>,
}

/// So many tiles are counted as one step.
const TILES: usize = 16;

impl Checkpointing {
    /// Makes a checkpoint.
    pub(crate) fn put(&self, checkpoint: &PendingCheckpoint) -> Result<(), CheckpointError> {
        let taken = || {
            self.taken.fetch_add(1, Ordering::Relaxed);
        };
        let synced = checkpoint.written.iter().try_for_each(|file| file.sync_data().inspect(|()| taken()));
        synced.and_then(|()| files::sync_folder(&layout::segments(&self.folder))).map_err(CheckpointError::Unsynced)?;
        for tiles in checkpoint.tiles.chunks(TILES) {
            put_tiles(&self.folder, tiles)?;
            taken();
        }
        let note = checkpoint::sign(&self.key, checkpoint.head).map_err(io::Error::other)?;
        files::replace(&layout::checkpoint_file(&self.folder), &note, 0o644)?;
        // Heads that are newer than the checkpoint would look as if it had been set back.
        files::sync_folder(&self.folder)?;
        files::replace(&layout::heads_file(&self.folder), &checkpoint.heads, 0o600)?;
        files::sync_folder(&self.folder)?;
        self.signed.send_replace(checkpoint.head.size);
        Ok(())
    }
}

/// Puts tiles in place, durably.
pub(crate) fn put_tiles(ledger: &Path, tiles: &[FullTile]) -> io::Result<()> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for tile in tiles {
        let path = ledger.join(tile.path());
        if let Some(folder) = path.parent().filter(|folder| folders.last().is_none_or(|last| last != folder)) {
            fs::create_dir_all(folder)?;
            folders.push(folder.to_owned());
        }
        files::replace(&path, tile.bytes(), 0o644)?;
    }
    for folder in folders.iter().flat_map(|folder| folder.ancestors().take_while(|above| *above != ledger)) {
        files::sync_folder(folder)?;
    }
    Ok(())
}

/// A thread that makes one checkpoint at a time.
pub(crate) struct Checkpointer {
    pending: mpsc::Sender<PendingCheckpoint>,
    done: mpsc::Receiver<(PendingCheckpoint, Result<(), CheckpointError>)>,
    busy: bool,
}

impl Checkpointer {
    /// Starts the thread; it ends when this is dropped.
    pub(crate) fn start(checkpointing: Checkpointing) -> io::Result<Self> {
        let (pending, todo) = mpsc::channel::<PendingCheckpoint>();
        let (results, done) = mpsc::channel();
        // What was in hand when it panicked goes back, too: the writer waits for it.
        let mut in_hand = None;
        threads::start("ledger-seal", move || {
            if let Some(checkpoint) = in_hand.take() {
                // In the midst of a sync, for all that is known.
                let panicked = CheckpointError::Unsynced(io::Error::other("sealing has panicked"));
                let _writer_is_gone = results.send((checkpoint, Err(panicked)));
            }
            for checkpoint in &todo {
                let result = checkpointing.put(in_hand.insert(checkpoint));
                if in_hand.take().is_none_or(|checkpoint| results.send((checkpoint, result)).is_err()) {
                    break;
                }
            }
        })?;
        Ok(Self { pending, done, busy: false })
    }

    /// Whether a checkpoint is being made.
    pub(crate) const fn busy(&self) -> bool {
        self.busy
    }

    /// Begins a checkpoint; it comes back from [`Self::finished`], or at once if the thread is gone.
    pub(crate) fn begin(&mut self, checkpoint: PendingCheckpoint) -> Result<(), Box<PendingCheckpoint>> {
        self.pending.send(checkpoint).map_err(|refused| Box::new(refused.0))?;
        self.busy = true;
        Ok(())
    }

    /// The checkpoint that has been made, or could not be; waits for it if asked to.
    pub(crate) fn finished(&mut self, wait: bool) -> Option<(PendingCheckpoint, Result<(), CheckpointError>)> {
        if !self.busy {
            return None;
        }
        let done = match wait {
            true => self.done.recv().map_err(|_| mpsc::TryRecvError::Disconnected),
            false => self.done.try_recv(),
        };
        self.busy = matches!(done, Err(mpsc::TryRecvError::Empty));
        done.ok()
    }
}

/// Writes the first checkpoint and chain heads of an empty ledger.
pub(crate) fn begin(folder: &Path, key: &LogKey) -> io::Result<()> {
    let head = Head { size: 0, root: tlog_tiles::EMPTY_HASH };
    let note = checkpoint::sign(key, head).map_err(io::Error::other)?;
    files::replace(&layout::checkpoint_file(folder), &note, 0o644)?;
    files::replace(&layout::heads_file(folder), &crate::ledger::format::chain::Heads::empty().to_bytes()?, 0o600)
}
