//! Of what somebody has to be told: each approval that waits, and each level that it is escalated to, once.
//!
//! What is being told counts as told before it is sent, on the disk too, so that a restart tells nothing twice; what was surely not taken is
//! [given back](Book::tell_again).

use uuid::Uuid;

use super::approval::{Approval, State};
use super::book::{Book, BothClocks, Live, Pages};

impl Book {
    /// Takes what somebody has to be told of next, the oldest first, or this one if it still is such. It counts as told from here on.
    pub fn tell(&self, only: Option<Uuid>, now: BothClocks) -> Option<Approval> {
        let mut pages = self.lock();
        let newest = pages.newest_micros;
        let waits = |live: &&Live| {
            let Approval { id, state, told, asked, .. } = &live.approval;
            let untold = *state == State::Pending && *told < Some(asked.level) && !live.opens;
            untold && only.is_none_or(|only| only == *id) && !live.is_over(now, newest)
        };
        let oldest = pages.live.values().filter(waits).min_by_key(|live| live.approval.opened_at_micros)?;
        let (id, level) = (oldest.approval.id, oldest.approval.asked.level);
        let before = oldest.approval.clone();
        pages.set_told(id, Some(level));
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

impl Pages {
    fn set_told(&mut self, id: Uuid, told: Option<crate::ids::SupervisorLevel>) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.approval.told = told;
        self.dirty.insert(id);
    }
}
