//! What is over by the clock is recorded as over. It is over before, whoever asks: this only says so. And others are told what they have to
//! be told.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::now;
use crate::approvals::Restored;
use crate::hall::Hall;
use crate::telemetry::threads::{self, Thread};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);
/// How long the end of the thread is waited for: it may be waiting for a disk.
pub(super) const END: Duration = Duration::from_secs(3);

impl Hall {
    /// First reads what the store lacks from the ledger, then looks after the clock until it is told to end.
    pub(super) fn expire_approvals(self: &Arc<Self>, restored: Restored, ends: Arc<AtomicBool>) -> io::Result<Thread> {
        let hall = Arc::downgrade(self);
        threads::start("approvals", move || {
            if let Some(hall) = Weak::upgrade(&hall) {
                hall.recover_approvals(&restored, &ends);
            }
            while !ends.load(Ordering::Acquire) {
                let Some(hall) = Weak::upgrade(&hall) else { return };
                hall.expire_due();
                hall.call_back();
                hall.give_notice();
                drop(hall);
                thread::sleep(LOOK);
            }
        })
    }

    fn expire_due(&self) {
        let Some(approvals) = self.approvals.get() else { return };
        for step in approvals.book.expire(now()) {
            if let Err(error) = self.record_step_blocking(step) {
                tracing::debug!(%error, "the end of an approval is not recorded yet");
                return;
            }
        }
        let (pending, oldest) = approvals.book.pending();
        let age = oldest.map_or(0, |since| now().micros.saturating_sub(since) / 1_000_000);
        self.metrics.approvals_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.metrics.approvals_oldest.set(age);
        self.metrics.approvals_waiting.set(i64::try_from(approvals.waiting.len()).unwrap_or(i64::MAX));
    }
}
