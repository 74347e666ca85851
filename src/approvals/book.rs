//! The book: all approvals that may still come to something, and those of which somebody may still ask what became of them.

mod claims;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use super::approval::{Approval, Asker, HeldAsk, State};
use super::caps::MINUTE;
use super::resolving::{ApprovalMove, TakenMove};
use super::{Contents, NotResolved, Settings, UnboundHeaders};
use crate::ids::{DataLabel, Digest};

pub use claims::{GrantClaim, Opening};

/// Approvals that are over and may be asked for, at most: the oldest go first.
const REMEMBERED: usize = 10_000;

/// The wall clock in microseconds since 1970 UTC, and the steady one.
#[derive(Debug, Clone, Copy)]
pub struct BothClocks {
    /// By the wall clock.
    pub micros: i64,
    /// By the steady clock.
    pub steady: Instant,
}

/// What somebody who waits looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has decided.
    Pending,
    /// It may be spent.
    Approved,
    /// It is over.
    Over,
}

/// All approvals of a hall.
#[derive(Debug)]
pub struct Book {
    pub(super) settings: Settings,
    state: Mutex<Pages>,
}

#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) live: HashMap<Uuid, Live>,
    /// The approvals of which whoever asks the same is given one: pending, approved or refused. Mostly there is one; what is agreed to
    /// and was taken by a request that came to nothing may have been asked for again meanwhile.
    by_digest: HashMap<Digest, Vec<Uuid>>,
    /// What the store has to be told.
    pub(super) dirty: HashSet<Uuid>,
    /// The newest time that an entry had.
    pub(super) newest_micros: i64,
}

#[derive(Debug)]
pub(super) struct Live {
    pub(super) approval: Approval,
    /// When it is over by the steady clock.
    until: Instant,
    /// A step is being recorded, or it is being opened or spent: nobody else may touch it.
    pub(super) busy: bool,
    /// It is being opened: nobody is asked yet.
    pub(super) opens: bool,
    phase: watch::Sender<Phase>,
}

/// What is found for whoever asks.
#[derive(Debug)]
pub enum Entered {
    /// Nobody was asked yet: keep its contents, record it, and say that it is [opened](Opening::opened).
    New(Opening),
    /// Somebody is asked already.
    Pending(Approval),
    /// It was agreed to: record the dispatch, and [spend](GrantClaim::spent) it.
    Granted(GrantClaim),
    /// What was agreed to, or is asked, rests on something else by now: record that it is void, take the step, and ask again.
    Stale(ApprovalMove),
    /// Somebody has said no to it, or has done it themselves.
    Refused(Approval),
    /// What it has waited for is over; an equal request may have spent it.
    Over(Approval),
    /// Another step is being recorded: ask again in a moment.
    Busy,
    /// Too much waits: why.
    TooMany(String),
}

impl Book {
    /// A book with what a store has kept. `newest_micros` is when the newest entry was recorded: a wall clock that was set back extends
    /// nothing.
    #[must_use]
    pub fn new(settings: Settings, restored: Vec<Approval>, newest_micros: i64, now: BothClocks) -> Arc<Self> {
        let mut pages = Pages { newest_micros, ..Pages::default() };
        for approval in restored {
            pages.insert(approval, now, false);
        }
        Arc::new(Self { settings, state: Mutex::new(pages) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Pages> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds what there is for a request that is held. `returning` is the approval that it has waited for: it opens no other.
    pub fn enter(
        self: &Arc<Self>,
        asked: &HeldAsk,
        asker: &Asker,
        now: BothClocks,
        returning: Option<Uuid>,
    ) -> Entered {
        let mut pages = self.lock();
        let newest = pages.newest_micros;
        if let Some(live) = pages.first_of(&asked.digest, now).and_then(|id| pages.live.get_mut(&id)) {
            let approval = live.approval.clone();
            match &approval.state {
                State::Denied | State::Done => return Entered::Refused(approval),
                // Also while it is being opened: whoever opens it will have in a moment.
                State::Pending if approval.asked.basis == asked.basis => return Entered::Pending(approval),
                State::Pending | State::Approved { .. } if live.busy => return Entered::Busy,
                State::Approved { entry } if approval.asked.basis == asked.basis => {
                    live.busy = true;
                    // From here on whoever asks the same asks a human again.
                    pages.hide(approval.id, asked.digest);
                    let (book, entry) = (Arc::clone(self), *entry);
                    return Entered::Granted(GrantClaim { book, approval, entry, released: false });
                }
                State::Pending | State::Approved { .. } => {
                    live.busy = true;
                    let note = "the rule, the policy, the worker or the score that it rests on is another by now";
                    return Entered::Stale(ApprovalMove::void(self, &approval, note));
                }
                State::Spent | State::Withdrawn | State::Expired | State::Void => {}
            }
        }
        if let Some(live) = returning.and_then(|id| pages.live.get(&id)) {
            return Entered::Over(live.approval.clone());
        }
        let opened_at_micros = now.micros.max(newest);
        if let Some(why) = pages.too_many(asked, asker, &self.settings, opened_at_micros) {
            return Entered::TooMany(why);
        }
        let ttl = i64::try_from(self.settings.ttl.as_micros()).unwrap_or(i64::MAX);
        let approval = Approval {
            id: Uuid::new_v4(),
            asked: asked.clone(),
            asker: asker.clone(),
            opened_at_micros,
            expires_at_micros: opened_at_micros.saturating_add(ttl),
            state: State::Pending,
            votes: Vec::new(),
            note: None,
            ended_by: None,
            told: None,
            callbacks: Vec::new(),
        };
        pages.insert(approval.clone(), now, true);
        Entered::New(Opening { book: Arc::clone(self), approval, opened: false })
    }

    /// What is forwarded and no part of what is approved.
    #[must_use]
    pub const fn unbound_headers(&self) -> &UnboundHeaders {
        &self.settings.unbound_headers
    }

    /// What is kept and shown of contents of this label.
    #[must_use]
    pub fn kept(&self, label: DataLabel, contents: Contents) -> Contents {
        self.settings.kept(label, contents)
    }

    /// How long an approval is open.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.settings.ttl
    }

    /// Whether an approval may come to something still, and what whoever waits for it looks at.
    #[must_use]
    pub fn watch(&self, id: Uuid) -> Option<watch::Receiver<Phase>> {
        self.lock().live.get(&id).map(|live| live.phase.subscribe())
    }

    /// One approval.
    #[must_use]
    pub fn find(&self, id: Uuid) -> Option<Approval> {
        self.lock().live.get(&id).map(|live| live.approval.clone())
    }

    /// Every approval that somebody may still decide or spend, the oldest first.
    #[must_use]
    pub fn open(&self) -> Vec<Approval> {
        let pages = self.lock();
        let mut open: Vec<Approval> =
            pages.live.values().filter(|live| !live.opens).map(|live| &live.approval).cloned().collect();
        open.retain(|approval| !approval.state.is_over());
        open.sort_by_key(|approval| (approval.opened_at_micros, approval.id));
        open
    }

    /// How many wait for a human, and since when the oldest does, in microseconds since 1970 UTC.
    #[must_use]
    pub fn pending(&self) -> (usize, Option<i64>) {
        let pages = self.lock();
        let pending = pages.live.values().filter(|live| live.approval.state == State::Pending);
        let times: Vec<i64> = pending.map(|live| live.approval.opened_at_micros).collect();
        (times.len(), times.into_iter().min())
    }

    /// Steps that end what is over by the clock. Of those that are over already what nobody will ask for is forgotten.
    pub fn expire(self: &Arc<Self>, now: BothClocks) -> Vec<ApprovalMove> {
        let mut pages = self.lock();
        let newest = pages.newest_micros;
        let mut steps = Vec::new();
        for live in pages.live.values_mut() {
            if !live.busy && !live.approval.state.is_over() && live.is_over(now, newest) {
                live.busy = true;
                steps.push(ApprovalMove::expired(self, &live.approval));
            }
        }
        pages.forget(now, self.settings.ttl.max(MINUTE));
        steps
    }

    /// Takes over what is on record and may not be here: a step of an approval, or, without one, that it was spent. Whether it was news.
    pub fn replay(&self, id: Uuid, step: Option<TakenMove>) -> bool {
        let pages = self.lock();
        let Some(live) = pages.live.get(&id) else { return false };
        let (before, is_over) = (live.approval.clone(), live.approval.state.is_over());
        drop(pages);
        if is_over {
            return false;
        }
        self.settle(id, |approval| step.map_or(State::Spent, |step| step.applied_to(approval)));
        self.find(id) != Some(before)
    }

    /// The approvals that the store has not kept as they are, and those that it need not keep any more.
    #[must_use]
    pub fn unkept(&self) -> (Vec<Approval>, Vec<Uuid>) {
        let mut pages = self.lock();
        let dirty = std::mem::take(&mut pages.dirty);
        let mut gone = Vec::new();
        let mut changed = Vec::new();
        for id in dirty {
            match pages.live.get(&id) {
                Some(live) => changed.push(live.approval.clone()),
                None => gone.push(id),
            }
        }
        (changed, gone)
    }

    /// The store could not keep these: it is told again.
    pub fn still_unkept(&self, ids: impl Iterator<Item = Uuid>) {
        self.lock().dirty.extend(ids);
    }

    /// Forgets an approval that a store has and no entry says: whoever asks for it asks anew.
    pub fn forget(&self, id: Uuid) {
        self.lock().remove(id);
    }

    /// The newest time that an entry had, in microseconds since 1970 UTC: what is on record up to then, but for the last moment, is here.
    #[must_use]
    pub fn newest_micros(&self) -> i64 {
        self.lock().newest_micros
    }

    /// When whatever is open was asked for at the earliest, by what is open for how long; in microseconds since 1970 UTC.
    #[must_use]
    pub fn opened_at_the_earliest(&self) -> i64 {
        let ttl = i64::try_from(self.settings.ttl.as_micros()).unwrap_or(i64::MAX);
        self.newest_micros().saturating_sub(ttl)
    }

    /// An entry had this time.
    pub fn saw(&self, micros: i64) {
        let mut pages = self.lock();
        pages.newest_micros = pages.newest_micros.max(micros);
    }

    pub(super) fn is_over(&self, id: Uuid, now: BothClocks) -> bool {
        let pages = self.lock();
        pages.live.get(&id).is_none_or(|live| live.is_over(now, pages.newest_micros))
    }

    pub(super) fn settle(&self, id: Uuid, become_: impl FnOnce(&mut Approval) -> State) {
        let mut pages = self.lock();
        let Some(live) = pages.live.get_mut(&id) else { return };
        live.busy = false;
        let state = become_(&mut live.approval);
        pages.become_state(id, state);
    }

    pub(super) fn leave(&self, id: Uuid) {
        if let Some(live) = self.lock().live.get_mut(&id) {
            live.busy = false;
        }
    }

    /// Begins a step that somebody takes, if it may be taken.
    pub(super) fn begin<T>(
        &self,
        id: Uuid,
        may: impl FnOnce(&Approval) -> Result<T, NotResolved>,
    ) -> Result<(Approval, T), NotResolved> {
        let mut pages = self.lock();
        let live = pages.live.get_mut(&id).ok_or(NotResolved::Unknown)?;
        let step = may(&live.approval)?;
        if live.busy {
            return Err(NotResolved::Busy);
        }
        live.busy = true;
        Ok((live.approval.clone(), step))
    }
}

impl Live {
    /// By the later of the wall clock and the newest entry, and by the steady clock.
    pub(super) fn is_over(&self, now: BothClocks, newest_micros: i64) -> bool {
        now.micros.max(newest_micros) >= self.approval.expires_at_micros || now.steady >= self.until
    }
}

impl Pages {
    fn insert(&mut self, approval: Approval, now: BothClocks, opens: bool) {
        let began = now.micros.max(self.newest_micros);
        let left = u64::try_from(approval.expires_at_micros.saturating_sub(began)).unwrap_or(0);
        let until = now.steady + Duration::from_micros(left);
        let (id, digest) = (approval.id, approval.asked.digest);
        let phase = watch::Sender::new(phase(&approval.state));
        if is_found_by_digest(&approval.state) {
            self.show(id, digest);
        }
        self.live.insert(id, Live { approval, until, busy: opens, opens, phase });
    }

    fn become_state(&mut self, id: Uuid, state: State) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.phase.send_replace(phase(&state));
        let digest = live.approval.asked.digest;
        let found = is_found_by_digest(&state);
        live.approval.state = state;
        self.dirty.insert(id);
        if found {
            self.show(id, digest);
        } else {
            self.hide(id, digest);
        }
    }

    /// The approval that whoever asks this is given. What is over by the clock and has no entry of it yet is over.
    fn first_of(&self, digest: &Digest, now: BothClocks) -> Option<Uuid> {
        let of_it = self.by_digest.get(digest)?.iter().filter_map(|id| self.live.get(id));
        let still = of_it.filter(|live| !live.is_over(now, self.newest_micros));
        // One no is enough; and nobody is asked about what somebody has agreed to.
        let first = still.min_by_key(|live| match live.approval.state {
            State::Approved { .. } => 1,
            State::Pending => 2,
            _ => 0,
        });
        first.map(|live| live.approval.id)
    }

    /// Whoever asks this may be given it.
    fn show(&mut self, id: Uuid, digest: Digest) {
        let ids = self.by_digest.entry(digest).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }

    /// Nobody is given it any more.
    fn hide(&mut self, id: Uuid, digest: Digest) {
        if let Some(ids) = self.by_digest.get_mut(&digest) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_digest.remove(&digest);
            }
        }
    }

    /// Forgets what is over for longer than anybody asks, and the oldest where there are too many.
    fn forget(&mut self, now: BothClocks, ttl: Duration) {
        let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
        let over = self.live.iter().filter(|(_, live)| live.approval.state.is_over() && !live.busy);
        let over: BTreeSet<(i64, Uuid)> = over.map(|(id, live)| (live.approval.expires_at_micros, *id)).collect();
        let too_many = over.len().saturating_sub(REMEMBERED);
        for (at, (expires_at, id)) in over.into_iter().enumerate() {
            // Whoever has to be told still will be.
            let is_told = self.live.get(&id).is_none_or(|live| live.approval.callbacks.is_empty());
            if at < too_many || (is_told && now.micros >= expires_at.saturating_add(ttl)) {
                self.remove(id);
            }
        }
    }

    fn remove(&mut self, id: Uuid) {
        let Some(live) = self.live.remove(&id) else { return };
        self.dirty.insert(id);
        self.hide(id, live.approval.asked.digest);
    }
}

/// Whether whoever asks the same is given an approval of this state.
const fn is_found_by_digest(state: &State) -> bool {
    matches!(state, State::Pending | State::Approved { .. } | State::Denied | State::Done)
}

const fn phase(state: &State) -> Phase {
    match state {
        State::Pending => Phase::Pending,
        State::Approved { .. } => Phase::Approved,
        _ => Phase::Over,
    }
}

#[cfg(test)]
mod tests;
