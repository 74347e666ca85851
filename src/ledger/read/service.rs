//! What a running ledger gives to readers: files read beside the runtime's threads, and a checkpoint soon for what is new.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use crate::ledger::Ledger;
use crate::ledger::read::filter::Entries;
use crate::ledger::read::prove::ReceiptProof;
use crate::ledger::read::reader::Published;
use crate::ledger::read::resource::Resource;
use crate::ledger::read::search::Found;
use crate::telemetry::threads;

/// Reads at one time. A bundle of the longest entries has 16 MiB.
pub(crate) const READS: usize = 4;
/// The longest that a reader waits for its place and the disk.
const READ_TIME: Duration = Duration::from_secs(5);
/// How long a reader waits for a checkpoint over a new entry.
const CHECKPOINT_TIME: Duration = Duration::from_secs(5);

/// Why something cannot be read from a running ledger.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// A file cannot be read or is damaged.
    #[error("the ledger cannot be read: {0}")]
    File(Arc<io::Error>),
    /// The disk does not give it in time.
    #[error("the disk does not answer")]
    Stalled,
    /// The entry is there, and no checkpoint over it could be signed in time.
    #[error("no checkpoint over the entry could be signed in time")]
    Unsigned,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::File(Arc::new(error))
    }
}

/// Prepares a reader in the background. What stands in the way will be said to whoever reads.
pub(crate) fn warm(published: Published) -> io::Result<()> {
    let warm = move || {
        if let Err(error) = published.warm() {
            tracing::warn!(%error, "the ledger's tiles cannot be read");
        }
    };
    threads::start_once("ledger-warm", warm).map(drop)
}

impl Ledger {
    /// What is served under this name; `None` when there is nothing, not yet or no longer.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub async fn fetch(&self, resource: Resource) -> Result<Option<Vec<u8>>, ReadError> {
        self.read(move |published| published.fetch(resource)).await
    }

    /// The entry with this id, signed or not; `None` when there is none, or no longer.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub async fn find(&self, id: Uuid) -> Result<Option<Found>, ReadError> {
        self.read(move |published| published.find(id)).await
    }

    /// Proves that an entry is in the log. One that is newer than the newest checkpoint has the next one signed soon, for all
    /// who wait at once: a proof under no signature would prove nothing.
    ///
    /// # Errors
    /// A file cannot be read or is damaged, or no checkpoint could be signed in time.
    pub async fn prove(&self, found: Found) -> Result<ReceiptProof, ReadError> {
        let number = found.number;
        if number >= self.read(|published| published.signed()).await? {
            let mut signed = self.0.shared.signed.subscribe();
            let wait = async {
                self.0.shared.wanted.store(true, Ordering::Relaxed);
                self.0.shared.queue.nudge();
                signed.wait_for(|newest| number < *newest).await.is_ok()
            };
            if !tokio::time::timeout(CHECKPOINT_TIME, wait).await.unwrap_or(false) {
                return Err(ReadError::Unsigned);
            }
        }
        self.read(move |published| published.prove(&found)).await?.ok_or(ReadError::Unsigned)
    }

    /// The entries from this number on, or from the first that is kept, as far as they are committed. It blocks this thread.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn entries_from(&self, number: u64) -> io::Result<Entries> {
        self.0.published.from_entry(number)
    }

    /// Whether an entry with this id is there. It blocks this thread.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn has_entry(&self, id: Uuid) -> io::Result<bool> {
        Ok(self.0.published.find(id)?.is_some())
    }

    /// Reads on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Published) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let read = async {
            let place = Arc::clone(&self.0.reads).acquire_owned().await.map_err(io::Error::other)?;
            let published = self.0.published.clone();
            let done = tokio::task::spawn_blocking(move || {
                // Held for as long as it reads, also when nobody waits for it any more.
                let _place = place;
                read(&published)
            });
            Ok(done.await.map_err(io::Error::other)??)
        };
        tokio::time::timeout(READ_TIME, read).await.unwrap_or(Err(ReadError::Stalled))
    }
}
