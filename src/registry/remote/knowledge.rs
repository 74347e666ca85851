//! What has been answered so far, and what of it counts now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{BanList, Verified, Word};
use crate::clock::now_micros;
use crate::engine::snapshot::{RegistryOverlay, Required, WorkerStatus};
use crate::ids::WorkerId;

/// A moment by both clocks: one that cannot be set, and one that can be told to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// For how long ago it is.
    pub instant: Instant,
    /// In microseconds since 1970 UTC.
    pub micros: i64,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        Self { instant: Instant::now(), micros: now_micros() }
    }
}

/// What the registry last said of a worker.
#[derive(Debug, Clone)]
pub struct WorkerAnswer {
    /// What it said.
    pub verified: Arc<Verified>,
    /// When it was asked.
    pub asked: Moment,
}

/// What has been answered so far. It holds no clock: whoever asks says what time it is.
#[derive(Debug)]
pub struct Knowledge {
    required: Required,
    max_stale: Duration,
    workers: BTreeMap<WorkerId, WorkerAnswer>,
    /// When each worker was last asked for, answered or not.
    asked: BTreeMap<WorkerId, Instant>,
    bans: Option<(Arc<BanList>, Moment)>,
    /// When the last list that is whole was asked for.
    bans_whole: Option<Moment>,
}

impl Knowledge {
    /// Nothing is known.
    #[must_use]
    pub const fn new(required: Required, max_stale: Duration) -> Self {
        Self { required, max_stale, workers: BTreeMap::new(), asked: BTreeMap::new(), bans: None, bans_whole: None }
    }

    /// Forgets workers that are not enrolled, and says whom to ask for: those without an answer that was asked for since, who
    /// has not been asked for the longest first, so that some that cannot be answered do not stand before the others for ever.
    pub fn due(&mut self, enrolled: &BTreeSet<WorkerId>, since: Option<Instant>) -> Vec<WorkerId> {
        self.workers.retain(|id, _| enrolled.contains(id));
        self.asked.retain(|id, _| enrolled.contains(id));
        let answered = |id: &&WorkerId| match (self.workers.get(*id), since) {
            (Some(heard), Some(since)) => heard.asked.instant >= since,
            (heard, _) => heard.is_some(),
        };
        let mut due: Vec<WorkerId> = enrolled.iter().filter(|id| !answered(id)).cloned().collect();
        due.sort_by_key(|id| self.asked.get(id).copied());
        due
    }

    /// Notes that a worker is asked for.
    pub fn ask(&mut self, worker: &WorkerId, now: Instant) {
        self.asked.insert(worker.clone(), now);
    }

    /// Takes an answer on a worker.
    pub fn hear(&mut self, worker: WorkerId, verified: Verified, asked: Moment) {
        self.workers.insert(worker, WorkerAnswer { verified: Arc::new(verified), asked });
    }

    /// Takes a ban list. One that is not whole takes back nothing that was on those before it, and clears nobody.
    pub fn hear_bans(&mut self, mut list: BanList, asked: Moment) {
        match (&list.unread, &self.bans) {
            (None, _) => self.bans_whole = Some(asked),
            (Some(_), Some((before, _))) => list.keep_hashes(&before.hashes),
            (Some(_), None) => {}
        }
        self.bans = Some((Arc::new(list), asked));
    }

    /// What was last said of each worker.
    #[must_use]
    pub const fn workers(&self) -> &BTreeMap<WorkerId, WorkerAnswer> {
        &self.workers
    }

    /// The last ban list.
    #[must_use]
    pub const fn bans(&self) -> Option<&(Arc<BanList>, Moment)> {
        self.bans.as_ref()
    }

    /// When the last ban list that is whole was asked for.
    #[must_use]
    pub const fn bans_whole(&self) -> Option<Moment> {
        self.bans_whole
    }

    /// Whether an answer that was asked for then counts now.
    #[must_use]
    pub fn is_fresh(&self, asked: Moment, now: Instant) -> bool {
        now.saturating_duration_since(asked.instant) < self.max_stale
    }

    /// What counts now. What speaks against a worker counts however old it is; what speaks for it while it and the last whole ban
    /// list are young enough: code may be on the part that cannot be read.
    #[must_use]
    pub fn overlay(&self, now: Instant) -> RegistryOverlay {
        let bans_fresh = self.bans_whole.is_some_and(|asked| self.is_fresh(asked, now));
        let banned = self.bans.as_ref().map(|(list, _)| list.hashes.clone()).unwrap_or_default();
        let status = |id: &WorkerId, heard: &WorkerAnswer| {
            let by_hash = heard.verified.current().is_some_and(|hash| banned.contains(&hash));
            match heard.verified.word() {
                Word::Banned => Some(WorkerStatus::Banned),
                _ if by_hash => Some(WorkerStatus::Banned),
                Word::Revoked => Some(WorkerStatus::Revoked),
                Word::Unknown => self.required.of(id).then_some(WorkerStatus::Revoked),
                Word::Active => (bans_fresh && self.is_fresh(heard.asked, now)).then_some(WorkerStatus::Active),
            }
        };
        let said = self.workers.iter().filter_map(|(id, heard)| Some((id.clone(), status(id, heard)?))).collect();
        RegistryOverlay { required: self.required, said, banned }
    }

    /// When the next answer ceases to count.
    #[must_use]
    pub fn next_change(&self, now: Instant) -> Option<Instant> {
        let asked = self.workers.values().map(|heard| heard.asked).chain(self.bans_whole);
        asked.map(|asked| asked.instant + self.max_stale).filter(|end| *end > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;

    const MAX_STALE: Duration = Duration::from_secs(600);

    fn id(text: &str) -> WorkerId {
        text.parse().unwrap()
    }

    fn answer(status: &str, hash: Option<Digest>) -> Verified {
        let current_hash = hash.map(|hash| hash.to_hex());
        Verified { status: status.to_owned(), current_hash, ..Verified::unknown("") }
    }

    fn after(from: Moment, seconds: u64) -> Moment {
        Moment { instant: from.instant + Duration::from_secs(seconds), ..from }
    }

    #[test]
    fn what_speaks_for_a_worker_counts_for_a_while_and_what_speaks_against_it_counts_on() {
        let begin = Moment::now();
        let mut known = Knowledge::new(Required::Namespaced, MAX_STALE);
        assert_eq!(
            known.overlay(begin.instant),
            RegistryOverlay { required: Required::Namespaced, ..RegistryOverlay::default() }
        );
        for (worker, status) in [
            ("org.a", "active"),
            ("org.r", "revoked"),
            ("org.b", "banned"),
            ("org.u", "unknown"),
            ("wrk_u", "unknown"),
            ("wrk_a", "active"),
        ] {
            known.hear(id(worker), answer(status, None), begin);
        }
        let said = |known: &Knowledge, now: Moment| {
            let said = known.overlay(now.instant).said;
            ["org.a", "org.r", "org.b", "org.u", "wrk_u", "wrk_a"].map(|worker| said.get(&id(worker)).copied())
        };
        let against =
            [None, Some(WorkerStatus::Revoked), Some(WorkerStatus::Banned), Some(WorkerStatus::Revoked), None, None];
        assert_eq!(said(&known, begin), against, "without a ban list nobody is vouched for");
        known.hear_bans(BanList::default(), after(begin, 60));
        let active = Some(WorkerStatus::Active);
        let mut all = against;
        (all[0], all[5]) = (active, active);
        assert_eq!(said(&known, after(begin, 599)), all);
        assert_eq!(known.next_change(begin.instant), Some(after(begin, 600).instant));
        assert_eq!(said(&known, after(begin, 600)), against);
        known.hear(id("org.a"), answer("active", None), after(begin, 610));
        assert_eq!(said(&known, after(begin, 659))[0], active);
        assert_eq!(known.next_change(after(begin, 610).instant), Some(after(begin, 660).instant), "the ban list's");
        assert_eq!(said(&known, after(begin, 660))[0], None, "the ban list is too old");
    }

    #[test]
    fn a_worker_whose_code_is_on_the_ban_list_is_banned() {
        let begin = Moment::now();
        let hash = Digest::of(b"bad");
        let mut known = Knowledge::new(Required::None, MAX_STALE);
        known.hear(id("wrk_bad"), answer("active", Some(hash)), begin);
        known.hear(id("wrk_good"), answer("active", Some(Digest::of(b"good"))), begin);
        known.hear_bans(BanList { hashes: [hash].into(), ..BanList::default() }, begin);
        let long_after = after(begin, 100_000);
        let overlay = known.overlay(long_after.instant);
        assert_eq!(overlay.said, BTreeMap::from([(id("wrk_bad"), WorkerStatus::Banned)]));
        assert_eq!(overlay.banned, [hash].into());
    }

    #[test]
    fn a_list_that_is_not_whole_takes_no_ban_back_and_clears_nobody() {
        let begin = Moment::now();
        let list = |code: &[u8], unread| BanList { hashes: [Digest::of(code)].into(), unread, ..BanList::default() };
        let unread = Some(super::super::Failure::Status(500));
        let mut known = Knowledge::new(Required::All, MAX_STALE);
        known.hear(id("w"), answer("active", None), begin);
        known.hear_bans(list(b"a", unread.clone()), begin);
        assert!(known.overlay(begin.instant).said.is_empty(), "what is on the rest?");
        known.hear_bans(list(b"b", None), begin);
        known.hear_bans(list(b"c", unread), after(begin, 60));
        let overlay = known.overlay(after(begin, 599).instant);
        assert_eq!(
            overlay.said,
            BTreeMap::from([(id("w"), WorkerStatus::Active)]),
            "the whole list counts as long as any"
        );
        assert_eq!(overlay.banned, [b"b", b"c"].map(|code| Digest::of(code)).into());
        known.hear(id("w"), answer("active", None), after(begin, 590));
        assert!(known.overlay(after(begin, 600).instant).said.is_empty());
        known.hear_bans(list(b"d", None), after(begin, 601));
        assert_eq!(known.overlay(after(begin, 601).instant).banned, [Digest::of(b"d")].into());
    }

    #[test]
    fn whoever_has_waited_longest_is_asked_for_first() {
        let begin = Moment::now();
        let mut known = Knowledge::new(Required::All, MAX_STALE);
        let enrolled = BTreeSet::from(["a", "b", "c"].map(id));
        assert_eq!(known.due(&enrolled, None).len(), 3);
        known.ask(&id("a"), begin.instant);
        known.ask(&id("b"), begin.instant);
        known.hear(id("b"), answer("active", None), begin);
        assert_eq!(known.due(&enrolled, None), ["c", "a"].map(id));
        assert_eq!(known.due(&enrolled, Some(begin.instant)), ["c", "a"].map(id));
        assert_eq!(known.due(&enrolled, Some(after(begin, 1).instant)), ["c", "a", "b"].map(id));
        assert_eq!(known.due(&BTreeSet::from([id("c")]), None), [id("c")]);
        assert!(known.workers().is_empty(), "who is no longer enrolled is forgotten");
    }
}
