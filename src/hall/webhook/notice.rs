//! What somebody is told of an approval: where it goes, for whom and until when; never a header, a body, or a value of a query.

use uuid::Uuid;

use crate::approvals::{Approval, Contents};
use crate::clock::timestamp;
use crate::hall::Hall;
use crate::hall::approvals::now;

/// How much of a digest tells one from another.
const DIGEST: usize = 12;
/// The most characters of a text that a caller wrote.
const LONGEST: usize = 200;

/// An approval that somebody is told of.
#[derive(Debug)]
pub struct Notice {
    approval: Approval,
    /// Method, host and path; `None` for what was asked of the Hall itself.
    request: Option<String>,
}

impl Notice {
    /// Of an approval whose contents are these.
    pub fn of(approval: Approval, contents: Option<&Contents>) -> Self {
        let line = contents.and_then(Contents::request_line);
        let request = line.map(|line| line.replacen("https://", "", 1).replacen("http://", "", 1));
        Self { approval, request }
    }

    /// The approval's id.
    pub const fn id(&self) -> Uuid {
        self.approval.id
    }

    /// The approval as it was before somebody was told.
    pub const fn before(&self) -> &Approval {
        &self.approval
    }

    /// Whether it was escalated.
    pub const fn is_escalated(&self) -> bool {
        self.approval.told.is_some()
    }

    /// What is told, each under its name.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let asked = &self.approval.asked;
        let facts = [
            ("request", self.request.as_deref().map(short)),
            ("capability_id", Some(short(&asked.capability))),
            ("worker_id", asked.worker.as_deref().map(short)),
            ("data_label", Some(asked.label.to_string())),
            ("supervisor_level", Some(asked.level.to_string())),
            ("expires_at", Some(timestamp(self.approval.expires_at_micros))),
            ("digest", Some(asked.digest.to_hex().chars().take(DIGEST).collect())),
        ];
        facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))).collect()
    }
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl Hall {
    /// Has somebody told of what they have to be told of next, where there is a webhook.
    pub(in crate::hall) fn give_notice(&self) {
        let (Some(approvals), Some(webhook)) = (self.approvals_to_tell(), self.alerts.webhook()) else { return };
        webhook.tell_of(|| approvals.book().untold(now()));
    }

    /// What somebody has to be told of this approval, if it still is such. It counts as told, on the disk too.
    pub(super) async fn next_notice(&self, id: Uuid) -> Option<Notice> {
        let approvals = self.approvals_to_tell()?;
        let before = approvals.book().tell(id, now())?;
        let again = |_| approvals.book().tell_again(&before);
        let contents = approvals.store().show(before.id).await.map_err(again).ok()?;
        approvals.store().write().await.map_err(again).ok()?;
        Some(Notice::of(before, contents.as_ref()))
    }

    /// A notice was surely not taken: it is told again, after a restart too.
    pub(super) fn notice_again(&self, notice: &Notice) {
        if let Some(approvals) = self.approvals_to_tell() {
            approvals.book().tell_again(notice.before());
        }
    }

    /// Nobody takes it: they count as told.
    pub(super) fn notice_given_up(&self, id: Uuid) {
        if let Some(approvals) = self.approvals_to_tell() {
            approvals.book().tell(id, now());
        }
    }
}
