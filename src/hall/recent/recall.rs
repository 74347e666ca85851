//! What happened before this process, from the ledger's tail.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::counts::{Day, Of};
use super::{ROWS, Recent, Row, lock};
use crate::engine::Outcome;
use crate::ids::Env;
use crate::ledger::{Door, Ending, EntrySummary, Ledger, RecallRange};

/// Entries that are read for the rows alone: decisions have outcomes between them.
const LEAST: u64 = 4 * ROWS as u64;
/// The most entries that are read: some seconds of one core.
const MOST: u64 = 1_000_000;

/// Tenant, worker and environment of exchanges by their decision's id.
type Forwarded = HashMap<Uuid, (Option<Arc<str>>, Option<Arc<str>>, Option<Env>)>;

impl Recent {
    /// Reads today's entries of before this process, of which there were so many, and the newest rows at least. It blocks this
    /// thread; what happens meanwhile is noted as always.
    ///
    /// # Errors
    /// The ledger cannot be read: counts are whole from the start of this process only.
    pub fn recall(&self, ledger: &Ledger, until: u64, now_micros: i64) -> io::Result<()> {
        let today = Day::of(now_micros).begins();
        // Exchanges whose end is still to come.
        let mut forwarded = Forwarded::new();
        let mut first = None;
        let whole = ledger.reader().recall(RecallRange { until, since: today, least: LEAST, most: MOST }, |past| {
            first.get_or_insert(past.recorded_at_micros());
            self.take_back(&past, &mut forwarded);
        })?;
        let since = if whole { today } else { first.unwrap_or(now_micros) };
        self.counted_since.fetch_min(since.max(today), Ordering::Relaxed);
        Ok(())
    }

    fn take_back(&self, past: &EntrySummary, forwarded: &mut Forwarded) {
        if let Some(row) = Row::recalled(past) {
            if row.outcome == Outcome::Dispatch && row.door == Some(Door::Gate) && !row.dry_run {
                forwarded.insert(row.id, (row.owner().cloned(), row.worker.clone(), row.env));
            }
            let dropped = lock(&self.past).note(row);
            drop(dropped);
        } else if let Some((tenant, worker, env)) = past.decision_id.and_then(|id| forwarded.remove(&id)) {
            let failed = [Ending::UpstreamFailed, Ending::Aborted].map(|ending| Some(ending.as_str()));
            if failed.contains(&past.ending.as_deref()) {
                let of = Of { tenant: tenant.as_ref(), worker: worker.as_ref(), env };
                lock(&self.past).tally.fail(of, Day::of(past.recorded_at_micros()));
            }
        }
    }
}
