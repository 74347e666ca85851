//! The lines of new connections that wait for a place, in the order in which they came.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use super::Network;

/// For so long a connection waits. A decision takes far less; an upstream may take more.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How often the first of a line looks for somebody who owes us something; of places that are given back it is told.
const LOOK: Duration = Duration::from_millis(5);
/// Networks share so many lines: a crowd of one holds up few others, and few look for a place at a time.
const LINES: usize = 16;

/// Those who wait at a door.
#[derive(Debug)]
pub(super) struct Lines {
    lines: [Line; LINES],
    line_of: RandomState,
    most: usize,
    waiting: AtomicUsize,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Line {
    first: Mutex<()>,
    waiting: AtomicUsize,
}

/// One of those that are counted, for as long as it is kept.
struct Counted<'a>(&'a AtomicUsize);

impl Lines {
    /// Lines in which so many may wait together.
    pub(super) fn of_at_most(most: usize) -> Self {
        Self {
            lines: <[Line; LINES]>::default(),
            line_of: RandomState::new(),
            most,
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        }
    }

    /// Whether nobody waits.
    pub(super) fn nobody_waits(&self) -> bool {
        self.waiting.load(Relaxed) == 0
    }

    /// Whether somebody waits in the line of this network.
    pub(super) fn has(&self, network: Network) -> bool {
        self.line(network).is_some_and(|line| line.waiting.load(Relaxed) > 0)
    }

    /// A place is free: the first of each line looks.
    pub(super) fn look(&self) {
        if !self.nobody_waits() {
            self.freed.notify_waiters();
        }
    }

    /// Waits in line until there is a place for this network's next. `None`: there is none for too long, or too many wait.
    pub(super) async fn wait<T>(&self, network: Network, place: impl Fn() -> Option<T>) -> Option<T> {
        let line = self.line(network)?;
        // A crowd of one line leaves some to the others.
        let _in_line = Counted::within(&line.waiting, self.most - self.most / 4)?;
        let _in_all = Counted::within(&self.waiting, self.most)?;
        let in_turn = async {
            let _first = line.first.lock().await;
            loop {
                // Whatever is given back from here on wakes us.
                let mut freed = pin!(self.freed.notified());
                freed.as_mut().enable();
                if let Some(place) = place() {
                    return place;
                }
                let _ = tokio::time::timeout(LOOK, freed).await;
            }
        };
        tokio::time::timeout(PATIENCE, in_turn).await.ok()
    }

    fn line(&self, network: Network) -> Option<&Line> {
        let number = self.line_of.hash_one(network) % u64::try_from(LINES).ok()?;
        self.lines.get(usize::try_from(number).ok()?)
    }
}

impl<'a> Counted<'a> {
    /// One more, unless there are so many.
    fn within(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let counted = Self(count);
        (count.fetch_add(1, Relaxed) < most).then_some(counted)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
