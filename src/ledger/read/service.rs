//! What a running ledger gives to readers: files read beside the runtime's threads, and a checkpoint soon for what is new.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::ledger::read::prove::ReceiptProof;
use crate::ledger::read::reader::LogReader;
use crate::ledger::read::resource::LogResource;
use crate::ledger::read::search::FoundEntry;
use crate::ledger::write::shared::Shared;
use crate::telemetry::threads;

/// Reads at one time. A bundle of the longest entries has 16 MiB.
const READS: usize = 4;
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
    /// It was looked through for as long as it may be.
    #[error("it takes too long to look through the ledger")]
    Late,
    /// The entry is there, and no checkpoint over it could be signed in time.
    #[error("no checkpoint over the entry could be signed in time")]
    Unsigned,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::File(Arc::new(error))
    }
}

/// Reads for whoever may not block: so many at a time, and none for longer than it may take.
pub(crate) struct ReadService {
    reader: LogReader,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

impl ReadService {
    /// Of the ledger in this folder.
    pub(crate) fn new(folder: &Path, shared: Arc<Shared>) -> Self {
        Self { reader: LogReader::new(folder), shared, places: Arc::new(Semaphore::new(READS)) }
    }

    /// What reads the files, for whoever may block.
    pub(crate) const fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// Prepares the reader in the background. What stands in the way will be said to whoever reads.
    pub(crate) fn warm(&self) -> io::Result<()> {
        let reader = self.reader.clone();
        let warm = move || {
            if let Err(error) = reader.warm() {
                tracing::warn!(%error, "the ledger's tiles cannot be read");
            }
        };
        threads::start_once("ledger-warm", warm).map(drop)
    }

    /// What is served under this name; `None` when there is nothing, not yet or no longer.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub(crate) async fn fetch(&self, resource: LogResource) -> Result<Option<Vec<u8>>, ReadError> {
        self.read(move |reader| reader.fetch(resource)).await
    }

    /// The entry with this id, signed or not; `None` when there is none, or no longer.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub(crate) async fn find(&self, id: Uuid) -> Result<Option<FoundEntry>, ReadError> {
        self.read(move |reader| reader.find(id)).await
    }

    /// Proves that an entry is in the log. One that is newer than the newest checkpoint has the next one signed soon, for all
    /// who wait at once: a proof under no signature would prove nothing.
    ///
    /// # Errors
    /// A file cannot be read or is damaged, or no checkpoint could be signed in time.
    pub(crate) async fn prove(&self, found: FoundEntry) -> Result<ReceiptProof, ReadError> {
        let number = found.number;
        if number >= self.read(|reader| reader.signed()).await? {
            let mut signed = self.shared.signed.subscribe();
            let wait = async {
                self.shared.want_checkpoint();
                signed.wait_for(|newest| number < *newest).await.is_ok()
            };
            if !tokio::time::timeout(CHECKPOINT_TIME, wait).await.unwrap_or(false) {
                return Err(ReadError::Unsigned);
            }
        }
        self.read(move |reader| reader.prove(&found)).await?.ok_or(ReadError::Unsigned)
    }

    /// Reads on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&LogReader) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let read = async {
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
            let reader = self.reader.clone();
            let done = tokio::task::spawn_blocking(move || {
                // Held for as long as it reads, also when nobody waits for it any more.
                let _place = place;
                read(&reader)
            });
            Ok(done.await.map_err(io::Error::other)??)
        };
        tokio::time::timeout(READ_TIME, read).await.unwrap_or(Err(ReadError::Stalled))
    }
}
