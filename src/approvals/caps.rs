//! How much may be asked of humans: in all, of one worker, of one credential, and how fast.

use std::time::Duration;

use super::Settings;
use super::approval::{Asker, HeldAsk, State};
use super::book::{Live, Pages};

/// Who asks is held to how often they did for so long: nothing is forgotten before.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

impl Pages {
    /// Why nothing more may be asked for at this time. What was asked for within the last minute counts as asked, whatever became of it.
    pub(super) fn too_many(
        &self,
        asked: &HeldAsk,
        asker: &Asker,
        settings: &Settings,
        now_micros: i64,
    ) -> Option<String> {
        let late = now_micros.saturating_sub(i64::try_from(MINUTE.as_micros()).unwrap_or(i64::MAX));
        let (mut all, mut of_worker, mut of_asker, mut of_late) = (0, 0, 0, 0);
        for Live { approval, .. } in self.live.values() {
            let same_asker = approval.asker == *asker;
            of_late += usize::from(same_asker && approval.opened_at_micros > late);
            if approval.state != State::Pending {
                continue;
            }
            all += 1;
            let same_worker = asked.worker.is_some() && approval.asked.worker == asked.worker;
            of_worker += usize::from(same_worker && approval.asked.tenant == asked.tenant);
            of_asker += usize::from(same_asker);
        }
        let over = |count: usize, most: usize, what: &str, key: &str| {
            (count >= most).then(|| format!("{count} requests {what}, and `approvals.{key}` is {most}"))
        };
        let most = settings.most_for_one;
        over(all, settings.most, "wait for a human", "most")
            .or_else(|| over(of_worker, most, "of this worker wait for a human", "most_for_one"))
            .or_else(|| over(of_asker, most, "of this credential wait for a human", "most_for_one"))
            .or_else(|| {
                let what = "of this credential were put to a human within a minute";
                over(of_late, settings.most_a_minute, what, "most_a_minute")
            })
    }
}
