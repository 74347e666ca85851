//! Decisions for whoever may not block: so many look at one time, and none for longer than it may take.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::follow::Follower;
use super::search::{DecisionQuery, FoundDecisions, NotFound};
use crate::ledger::read::service::ReadError;

/// Searches at one time.
const SEARCHES: usize = 4;
/// The longest that one takes, its place included.
const SEARCH_TIME: Duration = Duration::from_secs(5);

/// Looks decisions up.
pub(crate) struct DecisionService {
    follower: Arc<Follower>,
    places: Arc<Semaphore>,
}

impl DecisionService {
    /// In this index.
    pub(crate) fn new(follower: Arc<Follower>) -> Self {
        Self { follower, places: Arc::new(Semaphore::new(SEARCHES)) }
    }

    /// Looks decisions up on a thread that may block.
    ///
    /// # Errors
    /// A file cannot be read or is damaged, or it takes too long.
    pub(crate) async fn search(&self, query: DecisionQuery) -> Result<FoundDecisions, ReadError> {
        let until = Instant::now() + SEARCH_TIME;
        let search = async {
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
            let follower = Arc::clone(&self.follower);
            let done = tokio::task::spawn_blocking(move || {
                // Held for as long as it looks, also when nobody waits for it any more.
                let _place = place;
                follower.search(&query, until)
            });
            done.await.map_err(io::Error::other)?.map_err(|error| match error {
                NotFound::Late => ReadError::Late,
                NotFound::File(error) => error.into(),
                damaged @ NotFound::Damaged(_) => io::Error::other(damaged).into(),
            })
        };
        tokio::time::timeout_at(until.into(), search).await.unwrap_or(Err(ReadError::Late))
    }
}
