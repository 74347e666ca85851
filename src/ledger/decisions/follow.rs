//! Following the log: a thread behind the writer keeps the index of the newest segment, and makes those before it that are missing, the newest
//! first, so that what the index has always reaches from some time on to now.
//!
//! It shares nothing with the writer but the number of committed entries and files that are read, so nothing that is decided waits for it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{fs, io};

use super::file;
use super::growing::{Growing, Grown, is_whole};
use super::search::{DecisionQuery, FoundDecisions, NotFound, View};
use crate::ledger::format::segment;
use crate::ledger::layout;
use crate::ledger::write::prune::first_time;
use crate::ledger::write::shared::Shared;
use crate::telemetry::threads::{self, Thread};

/// How often it is looked for what is new, when nobody asks.
const EVERY: Duration = Duration::from_secs(1);
/// How long it is waited before what failed is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// Entries that are read before somebody else has a turn.
const SLICE: usize = 4096;

/// The index of a ledger's decisions.
pub(crate) struct Follower {
    ledger: PathBuf,
    shared: Arc<Shared>,
    state: Mutex<FollowState>,
}

#[derive(Default)]
struct FollowState {
    /// The newest segment's, as far as it was read.
    live: Option<Growing>,
    /// Segments before it whose index is whole.
    whole: BTreeSet<u64>,
    /// Those whose index is still to be made.
    missing: BTreeSet<u64>,
    /// The first segment that was kept when it was looked at last.
    kept: u64,
    /// When what failed is tried again.
    retry_at: Option<Instant>,
}

/// The thread that follows; it ends when this is dropped and [`Self::join`]ed.
pub(crate) struct FollowThread {
    stop: mpsc::Sender<Infallible>,
    thread: Thread,
}

impl FollowThread {
    /// Starts it.
    pub(crate) fn start(follower: Arc<Follower>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = threads::start("ledger-follow", move || {
            while matches!(stopped.recv_timeout(EVERY), Err(mpsc::RecvTimeoutError::Timeout)) {
                follower.turn(&stopped);
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends it after the entries that it is at, and waits so long for that.
    pub(crate) fn join(self, patience: Duration) {
        drop(self.stop);
        self.thread.join(patience);
    }
}

impl Follower {
    /// Of the ledger in this folder, whose writer shows this.
    pub(crate) fn new(ledger: &Path, shared: Arc<Shared>) -> Self {
        Self { ledger: ledger.to_owned(), shared, state: Mutex::default() }
    }

    /// Looks decisions up, among all that are committed by now. It blocks this thread, until then at most.
    ///
    /// # Errors
    /// A file cannot be read, or it takes too long.
    pub(super) fn search(&self, query: &DecisionQuery, until: Instant) -> Result<FoundDecisions, NotFound> {
        loop {
            self.catch_up(until)?;
            let (view, complete_from) = self.view();
            match view.search(&self.ledger, query, until) {
                Err(NotFound::Damaged(segment)) => self.forget(segment)?,
                found => {
                    // What was looked at begins there.
                    let complete_since = complete_from.map(|segment| self.begins(segment)).transpose()?.flatten();
                    return Ok(FoundDecisions { complete_since, ..found? });
                }
            }
        }
    }

    fn begins(&self, segment: u64) -> io::Result<Option<i64>> {
        match first_time(&segment::path(&layout::segments(&self.ledger), segment)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            time => time,
        }
    }

    /// The index as it is, and its first segment where there are others before it.
    fn view(&self) -> (View, Option<u64>) {
        let state = self.lock();
        let newest_missing = state.missing.last().copied();
        let from = newest_missing.map_or(0, |missing| missing + 1);
        let whole: Vec<u64> = state.whole.range(from..).rev().copied().collect();
        let live = state.live.as_ref();
        let first = whole.last().copied().or_else(|| live.map(|live| live.segment));
        let up_to = live.and_then(|live| live.last).map(|last| last.id);
        let live = live.map(|live| (live.segment, Arc::clone(&live.file), live.pages, live.tail.clone()));
        (View { live, whole, up_to }, first.filter(|_| newest_missing.is_some()))
    }

    /// Reads what is committed and not in the index yet.
    fn catch_up(&self, until: Instant) -> Result<(), NotFound> {
        loop {
            let mut state = self.lock();
            let entries = self.shared.entries.load(Ordering::Relaxed);
            if state.live.is_none() && !state.load(&self.ledger)? {
                return Ok(());
            }
            match state.live.as_mut().map(|live| live.grow(entries, SLICE)).transpose()? {
                None | Some(Grown::Far) => return Ok(()),
                Some(Grown::Partly) => {}
                Some(Grown::Whole(next)) => {
                    let over = state.live.take().map(|live| live.segment);
                    state.whole.extend(over);
                    state.live = Some(Growing::resume(&self.ledger, next)?);
                }
            }
            drop(state);
            if Instant::now() >= until {
                return Err(NotFound::Late);
            }
        }
    }

    /// The index of this segment is not to be believed: it is made again.
    fn forget(&self, segment: u64) -> io::Result<()> {
        tracing::warn!(segment, "the index of decisions is damaged: it is made again");
        let mut state = self.lock();
        file::remove(&self.ledger, segment)?;
        if state.whole.remove(&segment) {
            state.missing.insert(segment);
        } else {
            state.live = None;
        }
        Ok(())
    }

    /// Keeps up with the log, and makes what is missing.
    fn turn(&self, stopped: &mpsc::Receiver<Infallible>) {
        let is_over = || !matches!(stopped.try_recv(), Err(mpsc::TryRecvError::Empty));
        let due = self.lock().retry_at.is_none_or(|at| at <= Instant::now());
        if !due {
            return;
        }
        self.lock().retry_at = None;
        if let Err(error) = self.keep_up(&is_over) {
            tracing::warn!(%error, "decisions cannot be looked up: their index cannot be read or written");
            self.lock().retry_at = Some(Instant::now() + RETRY);
        }
    }

    fn keep_up(&self, is_over: &dyn Fn() -> bool) -> io::Result<()> {
        self.caught_up()?;
        self.prune()?;
        loop {
            let Some(segment) = self.lock().missing.last().copied() else { return Ok(()) };
            let mut growing = match Growing::resume(&self.ledger, segment) {
                // It was pruned meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.lock().missing.remove(&segment);
                    continue;
                }
                growing => growing?,
            };
            while !matches!(growing.grow(u64::MAX, SLICE)?, Grown::Whole(_)) {
                if is_over() {
                    return Ok(());
                }
                self.caught_up()?;
            }
            let mut state = self.lock();
            state.missing.remove(&segment);
            state.whole.insert(segment);
        }
    }

    /// As [`Self::catch_up`], for as long as a turn may take.
    fn caught_up(&self) -> io::Result<()> {
        match self.catch_up(Instant::now() + RETRY) {
            Ok(()) | Err(NotFound::Late) => Ok(()),
            Err(NotFound::File(error)) => Err(error),
            Err(damaged @ NotFound::Damaged(_)) => Err(io::Error::other(damaged)),
        }
    }

    /// Forgets what was pruned.
    fn prune(&self) -> io::Result<()> {
        let edge = self.shared.pruned.load(Ordering::Relaxed);
        let mut state = self.lock();
        if edge == state.kept {
            return Ok(());
        }
        state.kept = edge;
        state.whole = state.whole.split_off(&edge);
        state.missing = state.missing.split_off(&edge);
        drop(state);
        for first in file::list(&self.ledger)?.into_iter().filter(|first| *first < edge) {
            file::remove(&self.ledger, first)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, FollowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FollowState {
    /// Finds out what there is already. False: there is no segment yet.
    fn load(&mut self, ledger: &Path) -> io::Result<bool> {
        let firsts = segment::list(&layout::segments(ledger))?;
        let Some((newest, before)) = firsts.split_last() else { return Ok(false) };
        fs::create_dir_all(layout::decisions(ledger))?;
        for other in file::list(ledger)?.into_iter().filter(|first| !firsts.contains(first)) {
            file::remove(ledger, other)?;
        }
        let (mut whole, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for (first, next) in before.iter().zip(firsts.iter().skip(1)) {
            let among = if is_whole(ledger, *first, *next)? { &mut whole } else { &mut missing };
            among.insert(*first);
        }
        self.live = Some(Growing::resume(ledger, *newest)?);
        (self.whole, self.missing) = (whole, missing);
        Ok(true)
    }
}
