//! What the code of a worker is now: the hash of its source file, read again whenever the file may have changed.
//!
//! A hash is remembered with the file's device, inode, size, mtime and ctime, and used while a `stat` shows the same. A change
//! within the file system's time granule could leave all of them as they were: ext4 and XFS stamp once a kernel tick (4 ms),
//! others once a second, FAT every two. So a hash is only remembered when both stamps were two seconds old before the reading
//! began: whatever is written after that gets a younger stamp. Of a younger file the hash counts for this request alone.
//! Not seen: a writer that had the file mapped and dirty for longer than that, and a clock that was set back.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::sources::admits;
use crate::documents::FileState;
use crate::engine::snapshot::{Acting, Attestation, Source};
use crate::engine::{Code, Question, Snapshot, whose_code};
use crate::ids::Digest;

/// How old both stamps of a file are before its hash is remembered: the coarsest granule that is in use.
const SETTLED: Duration = Duration::from_secs(2);

/// The longest that a request waits for a hash: a file system that hangs must not hold it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest file that is read, in bytes.
pub const MAX_BYTES: u64 = 64 << 20;

/// The hashes of source files, remembered while the files do not change.
#[derive(Debug, Default)]
pub struct SourceHashes {
    slots: Mutex<HashMap<Source, Arc<Slot>>>,
}

/// One source file.
#[derive(Debug, Default)]
struct Slot {
    known: Mutex<Option<(FileState, Digest)>>,
    /// Held while the file is read, so that it is read by one thread at a time, and one that hangs costs no second.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl SourceHashes {
    /// The question with the code of whoever may act for it, where its verdict depends on that. Blocks no thread of the
    /// caller's for more than a `stat` a file.
    pub async fn know(&self, question: Question, snapshot: &Snapshot) -> Question {
        let Some(acting) = whose_code(&question, snapshot) else { return question };
        let code = acting.iter().map(|one| async {
            match attested(one) {
                Some(source) => self.current(source, PATIENCE).await,
                None => Code::Unavailable,
            }
        });
        question.knowing(Box::pin(futures_util::future::join_all(code)).await)
    }

    /// The same for a caller that may block.
    #[must_use]
    pub fn know_now(&self, question: Question, snapshot: &Snapshot) -> Question {
        let Some(acting) = whose_code(&question, snapshot) else { return question };
        let code = |one: &Arc<Acting>| {
            attested(one).map_or(Code::Unavailable, |source| {
                let slot = self.slot(source);
                slot.unchanged(source).unwrap_or_else(|| slot.read(source))
            })
        };
        question.knowing(acting.iter().map(code).collect())
    }

    /// Forgets the files that a snapshot does not name.
    pub fn keep(&self, snapshot: &Snapshot) {
        let named: std::collections::HashSet<&Source> = snapshot.sources().collect();
        lock(&self.slots).retain(|source, _| named.contains(source));
    }

    /// The code of one source file. `patience` is how long a request waits for it to be read.
    async fn current(&self, source: &Source, patience: Duration) -> Code {
        let slot = self.slot(source);
        if let Some(code) = slot.unchanged(source) {
            return code;
        }
        let read = async {
            let held = Arc::clone(&slot.reading).lock_owned().await;
            if let Some(code) = slot.unchanged(source) {
                return code;
            }
            let (slot, source) = (Arc::clone(&slot), source.clone());
            let reading = tokio::task::spawn_blocking(move || {
                let code = slot.read(&source);
                drop(held);
                code
            });
            reading.await.unwrap_or(Code::Unavailable)
        };
        tokio::time::timeout(patience, read).await.unwrap_or_else(|_| {
            tracing::error!(file = %source.path.display(), "a worker's source file could not be read in time");
            Code::Unavailable
        })
    }

    fn slot(&self, source: &Source) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(source) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(source.clone()).or_default())
    }
}

/// The file to be read: without a registered hash there is nothing to hold it against.
fn attested(acting: &Acting) -> Option<&Source> {
    let Attestation { registered, source } = &acting.attestation;
    source.as_ref().filter(|_| registered.is_some())
}

impl Slot {
    /// The hash as it is remembered, if the file is still as it was then.
    fn unchanged(&self, source: &Source) -> Option<Code> {
        let (state, hash) = (*lock(&self.known))?;
        let now = std::fs::metadata(&source.path).ok().map(|metadata| FileState::of(&metadata));
        (now == Some(state)).then_some(Code::Is(hash))
    }

    fn read(&self, source: &Source) -> Code {
        let began = SystemTime::now();
        let read = Opened::open(source).and_then(|opened| opened.hash(source));
        *lock(&self.known) = read.as_ref().ok().copied().filter(|(state, _)| is_settled(state, began));
        match read {
            Ok((_, hash)) => Code::Is(hash),
            Err(error) => {
                tracing::warn!(file = %source.path.display(), %error, "a worker's source file cannot be hashed");
                Code::Unavailable
            }
        }
    }
}

/// A source file that is open, and how it was then.
#[derive(Debug)]
struct Opened {
    file: File,
    state: FileState,
}

impl Opened {
    /// Opens what may be read: a regular file, inside of the allowed folders, and not too large.
    fn open(source: &Source) -> io::Result<Self> {
        let path = source.path.canonicalize()?;
        if !admits(source, &path) {
            return Err(io::Error::other("it is outside of the allowed folders"));
        }
        // Without waiting: a FIFO would otherwise hold the thread until somebody writes into it.
        let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        if metadata.len() > MAX_BYTES {
            return Err(io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
        }
        Ok(Self { file, state: FileState::of(&metadata) })
    }

    /// Reads the file whole; an error where anything about it, or about what is at its path, changed meanwhile.
    fn hash(self, source: &Source) -> io::Result<(FileState, Digest)> {
        let (digest, length) = digest(&self.file)?;
        let end = [self.file.metadata()?, std::fs::metadata(&source.path)?];
        if length != self.state.size || end.iter().any(|end| FileState::of(end) != self.state) {
            return Err(io::Error::other("it changed while it was read"));
        }
        Ok((self.state, digest))
    }
}

/// The digest of what is read, and how much that is. A file that grows is read no further than one that is too large.
fn digest(file: &File) -> io::Result<(Digest, u64)> {
    let mut file = file.take(MAX_BYTES + 1);
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        let read = file.read(&mut chunk)?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        length += read as u64;
    }
    Ok((Digest::from_bytes(hasher.finalize().into()), length))
}

/// Whether both stamps are so old that whatever is written from `began` on gets others.
fn is_settled(state: &FileState, began: SystemTime) -> bool {
    let Ok(began) = began.duration_since(SystemTime::UNIX_EPOCH) else { return false };
    let Some(latest) = began.checked_sub(SETTLED) else { return false };
    let latest = (latest.as_secs().try_into().unwrap_or(0), i64::from(latest.subsec_nanos()));
    state.modified <= latest && state.changed <= latest
}

/// What a panic left behind is still whole: each lock guards one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
