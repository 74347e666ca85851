//! The lines of new connections that wait for a place, in the order in which they came.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::Network;

/// For so long a connection waits. A decision takes far less; an upstream may take more.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How often somebody looks for a connection that owes us something; of places that are given back it is told.
const LOOK: Duration = Duration::from_millis(5);
/// The most that get a place in one look.
const AT_ONCE: usize = 128;
/// Networks share so many lines: a crowd of one holds up few others, and few look for a place at a time.
const LINES: usize = 16;

/// Those who wait at a door for what is a `T`.
#[derive(Debug)]
pub(super) struct Lines<T> {
    lines: [Line<T>; LINES],
    line_of: RandomState,
    most: usize,
    waiting: AtomicUsize,
    freed: Notify,
    /// How long a look was late last, in milliseconds.
    late: AtomicU64,
}

#[derive(Debug)]
struct Line<T> {
    waiters: Mutex<VecDeque<(Network, oneshot::Sender<T>)>>,
    waiting: AtomicUsize,
    /// Whoever has this looks for places for all of the line: where a thousand tasks are ready to run, one that gets a place and wakes
    /// the next would let in one for each turn of the loop.
    looks: tokio::sync::Mutex<()>,
}

/// One of those that are counted, for as long as it is kept.
struct Counted<'a>(&'a AtomicUsize);

impl<T> Lines<T> {
    /// Lines in which so many may wait together.
    pub(super) fn of_at_most(most: usize) -> Self {
        Self {
            lines: std::array::from_fn(|_| Line::default()),
            line_of: RandomState::new(),
            most,
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
            late: AtomicU64::new(0),
        }
    }

    /// Whether nobody waits.
    pub(super) fn nobody_waits(&self) -> bool {
        self.waiting.load(Relaxed) == 0
    }

    /// Whether somebody waits in the line of this network.
    pub(super) fn has(&self, network: Network) -> bool {
        !self.nobody_waits() && self.line(network).is_some_and(|line| line.waiting.load(Relaxed) > 0)
    }

    /// For how long what a caller has sent may lie unread, as long as many wait: about the time in which each task has its turn.
    pub(super) fn lag(&self) -> Duration {
        if self.nobody_waits() {
            Duration::ZERO
        } else {
            Duration::from_millis(self.late.load(Relaxed)).min(PATIENCE / 20)
        }
    }

    /// A place is free.
    pub(super) fn look(&self) {
        if !self.nobody_waits() {
            self.freed.notify_waiters();
        }
    }

    /// Waits in line until there is a place for this network's next. `None`: there is none for too long, or too many wait.
    pub(super) async fn wait(&self, network: Network, place: impl Fn(Network) -> Option<T>) -> Option<T> {
        let line = self.line(network)?;
        // A crowd of one line leaves some to the others.
        let _in_line = Counted::within(&line.waiting, self.most - self.most / 16)?;
        let _in_all = Counted::within(&self.waiting, self.most)?;
        let (given, mut mine) = oneshot::channel();
        line.joins(network, given);
        let looks = async {
            let _looks = line.looks.lock().await;
            let mut freed = pin!(self.freed.notified());
            loop {
                let slept = Instant::now();
                let _ = tokio::time::timeout(LOOK, freed.as_mut()).await;
                let late = slept.elapsed().saturating_sub(LOOK).as_millis();
                self.late.store(u64::try_from(late).unwrap_or(u64::MAX), Relaxed);
                // Whatever is given back from here on wakes us.
                freed.set(self.freed.notified());
                freed.as_mut().enable();
                line.serve(&place);
            }
        };
        tokio::select! {
            biased;
            mine = &mut mine => return mine.ok(),
            () = tokio::time::sleep(PATIENCE) => {}
            () = looks => {}
        }
        // It may have come at the last moment.
        mine.close();
        line.leave();
        mine.try_recv().ok()
    }

    fn line(&self, network: Network) -> Option<&Line<T>> {
        let number = self.line_of.hash_one(network) % u64::try_from(LINES).ok()?;
        self.lines.get(usize::try_from(number).ok()?)
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { waiters: Mutex::default(), waiting: AtomicUsize::new(0), looks: tokio::sync::Mutex::default() }
    }
}

impl<T> Line<T> {
    fn joins(&self, network: Network, given: oneshot::Sender<T>) {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).push_back((network, given));
    }

    /// Who waits no longer is not in the line.
    fn leave(&self) {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, given)| !given.is_closed());
    }

    /// Gives places to the first ones, for as long as there are any.
    fn serve(&self, place: &impl Fn(Network) -> Option<T>) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..AT_ONCE {
            let Some(place) = waiters.front().and_then(|(network, _)| place(*network)) else { return };
            if let Some((_, given)) = waiters.pop_front() {
                // Nobody takes what comes too late; it is given back.
                let _ = given.send(place);
            }
        }
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
