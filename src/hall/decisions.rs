//! Decisions of the past: out of the ledger, by what is asked for.

use uuid::Uuid;

use super::{Hall, Row};
use crate::ledger::{DecisionQuery, FoundDecisions, ReadError};

/// Decisions that were looked up.
#[derive(Debug)]
pub struct FoundRows {
    /// The newest, the newest first.
    pub rows: Vec<Row>,
    /// How many more there are, where they were to be counted.
    pub more: u64,
    /// The newest entry among which was looked.
    pub up_to: Option<Uuid>,
    /// From when on all that the ledger has was looked at, in microseconds since 1970 UTC; `None`: from its beginning on.
    pub complete_since: Option<i64>,
}

impl Hall {
    /// Looks decisions up in the ledger. Where that does not hold together, those that are remembered.
    ///
    /// # Errors
    /// The ledger cannot be read, or it takes too long.
    pub async fn decisions(&self, query: DecisionQuery) -> Result<FoundRows, ReadError> {
        let (filter, range, most) = (query.filter.clone(), query.range, query.most);
        let Some(found) = self.ledger.decisions(query).await? else {
            let rows = self.recent.rows(most, |row| range.has(row.id) && filter.passes(&row.facts()));
            return Ok(FoundRows { rows, more: 0, up_to: None, complete_since: Some(self.began_micros()) });
        };
        let FoundDecisions { entries, more, up_to, complete_since } = found;
        Ok(FoundRows { rows: entries.iter().filter_map(Row::recalled).collect(), more, up_to, complete_since })
    }

    /// How many entries the ledger has: as long as there are no more, nothing was decided.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.ledger.entries()
    }
}
