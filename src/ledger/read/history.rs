//! What a ledger held when it was opened, newest stretch, for whoever begins with counts and lists from memory.

use std::io;

use serde::Deserialize;
use uuid::Uuid;

use crate::engine::{DenyCode, Outcome};
use crate::ledger::decisions::filter::DecisionFacts;
use crate::ledger::format::ids;
use crate::ledger::read::reader::LogReader;

/// How far back to read: from a time on, but at least and at most so many entries.
#[derive(Debug, Clone, Copy)]
pub struct RecallRange {
    /// The number of the first entry that is not wanted any more: how many there were.
    pub until: u64,
    /// From this time, in microseconds since 1970 UTC.
    pub since: i64,
    /// So many entries even if they are older.
    pub least: u64,
    /// No more entries, even if more are of the time.
    pub most: u64,
}

/// An entry, as far as lists and counts look at it.
#[derive(Debug, Clone, Deserialize)]
pub struct EntrySummary {
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub receipt_id: Uuid,
    /// The decision that it is or belongs to.
    pub decision_id: Option<Uuid>,
    /// Through which door.
    pub door: Option<String>,
    /// For whom.
    pub tenant_id: Option<String>,
    /// As whom.
    pub worker_id: Option<String>,
    /// What was selected.
    pub worker_species_id: Option<String>,
    /// For what.
    pub capability_id: Option<String>,
    /// How sensitive the data is.
    pub data_label: Option<String>,
    /// Where.
    pub env: Option<String>,
    /// The verdict.
    pub outcome: Option<String>,
    /// Why not.
    pub deny_code: Option<String>,
    /// Why not, as a sentence.
    pub deny_message: Option<String>,
    /// The blast score that counted.
    pub blast_score: Option<i64>,
    /// The hash of what was asked.
    pub artifact_hash: Option<String>,
    /// Whether nothing was to be dispatched.
    #[serde(default)]
    pub dry_run: bool,
    /// How an exchange ended.
    pub ending: Option<String>,
}

impl EntrySummary {
    /// When it was recorded, in microseconds since 1970 UTC.
    #[must_use]
    pub fn recorded_at_micros(&self) -> i64 {
        ids::micros(self.receipt_id)
    }

    /// What filters look at, of a decision.
    pub(crate) fn facts(&self) -> DecisionFacts<'_> {
        let code = |code: &str| DenyCode::ALL.iter().copied().find(|one| one.as_str() == code);
        let outcome = |outcome: &str| Outcome::ALL.iter().copied().find(|one| one.as_str() == outcome);
        DecisionFacts {
            at_micros: self.recorded_at_micros(),
            tenant: self.tenant_id.as_deref(),
            worker: self.worker_id.as_deref(),
            capability: self.capability_id.as_deref(),
            outcome: self.outcome.as_deref().and_then(outcome),
            code: self.deny_code.as_deref().and_then(code),
            label: self.data_label.as_deref().and_then(|label| label.parse().ok()),
            env: self.env.as_deref().and_then(|env| env.parse().ok()),
        }
    }
}

impl LogReader {
    /// Reads a stretch of entries from the oldest to the newest; it blocks this thread. Whether all since the wanted time that
    /// are kept were read.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn recall(&self, stretch: RecallRange, mut take: impl FnMut(EntrySummary)) -> io::Result<bool> {
        if stretch.until == 0 {
            return Ok(true);
        }
        let since = self.cursor_from(stretch.since)?.number();
        let wanted = since.min(stretch.until.saturating_sub(stretch.least));
        let first = wanted.max(stretch.until.saturating_sub(stretch.most));
        let mut cursor = self.cursor_at(first)?;
        while let Some((number, json)) = cursor.next()? {
            if number >= stretch.until {
                break;
            }
            if number >= first {
                take(serde_json::from_slice(json).map_err(io::Error::from)?);
            }
        }
        Ok(first <= since)
    }
}
