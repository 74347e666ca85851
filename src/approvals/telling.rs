//! Of what somebody has to be told: each approval that waits, and each level that it is escalated to, once.
//!
//! What is being told counts as told before it is sent, on the disk too, so that a restart tells nothing twice; what was surely not taken is
//! [given back](Book::tell_again).

use uuid::Uuid;

use super::approval::{Approval, State};
use super::book::{Book, BothClocks, Live, Pages};

impl Book {
    /// What somebody has to be told of next: the oldest.
    #[must_use]
    pub fn untold(&self, now: BothClocks) -> Option<Uuid> {
        let pages = self.lock();
        let untold = pages.live.values().filter(|live| live.is_untold(now, pages.newest_micros));
        untold.min_by_key(|live| live.approval.opened_at_micros).map(|live| live.approval.id)
    }

    /// Takes this to be told, if somebody still has to be. It counts as told from here on; as it was before.
    pub fn tell(&self, id: Uuid, now: BothClocks) -> Option<Approval> {
        let mut pages = self.lock();
        let newest = pages.newest_micros;
        let before = pages.live.get(&id).filter(|live| live.is_untold(now, newest))?.approval.clone();
        pages.set_told(id, Some(before.asked.level));
        Some(before)
    }

    /// Nobody was told of an approval that was taken for that: it is as before.
    pub fn tell_again(&self, before: &Approval) {
        let mut pages = self.lock();
        let of_this = |live: &Live| live.approval.told == Some(before.asked.level);
        if pages.live.get(&before.id).is_some_and(of_this) {
            pages.set_told(before.id, before.told);
        }
    }
}

impl Live {
    fn is_untold(&self, now: BothClocks, newest_micros: i64) -> bool {
        let Approval { state, told, asked, .. } = &self.approval;
        let untold = *state == State::Pending && *told < Some(asked.level) && !self.opens;
        untold && !self.is_over(now, newest_micros)
    }
}

impl Pages {
    fn set_told(&mut self, id: Uuid, told: Option<crate::ids::SupervisorLevel>) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.approval.told = told;
        self.dirty.insert(id);
    }
}
