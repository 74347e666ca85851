//! Choosing entries: the newest, or those of a time, a tenant, a worker, or decisions of a kind.

use std::{fs, io};

use serde::Deserialize;
use uuid::Uuid;

use crate::ledger::format::{ids, index};
use crate::ledger::layout;
use crate::ledger::read::cursor::Cursor;
use crate::ledger::read::reader::{LogReader, damaged, named};

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// From this time, in microseconds since 1970 UTC.
    pub since: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
    /// Of this stream.
    pub tenant: Option<String>,
    /// Decisions of this worker.
    pub worker: Option<String>,
    /// Decisions on this capability.
    pub capability: Option<String>,
    /// Decisions about data with this label.
    pub data_label: Option<&'static str>,
    /// Decisions with this verdict, in the entries' own word.
    pub policy_decision: Option<&'static str>,
    /// Denials with this code.
    pub deny_code: Option<&'static str>,
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filtered {
    /// It is wanted.
    Kept,
    /// It is not.
    Skipped,
    /// It is not, and neither is any after it.
    Done,
}

/// What a filter reads of an entry.
#[derive(Deserialize)]
struct FilteredFields {
    receipt_id: Uuid,
    stream: String,
    kind: String,
    worker_id: Option<String>,
    capability_id: Option<String>,
    data_label: Option<String>,
    policy_decision: Option<String>,
    deny_code: Option<String>,
}

impl Filter {
    /// Whether an entry is wanted.
    ///
    /// # Errors
    /// It is no entry.
    pub fn apply(&self, json: &[u8]) -> io::Result<Filtered> {
        let entry: FilteredFields =
            serde_json::from_slice(json).map_err(|error| damaged(format!("an entry: {error}")))?;
        let micros = ids::micros(entry.receipt_id);
        if self.until.is_some_and(|until| micros >= until) {
            return Ok(Filtered::Done);
        }
        let wanted = self.since.is_none_or(|since| micros >= since)
            && self.tenant.as_ref().is_none_or(|tenant| *tenant == entry.stream)
            && self
                .worker
                .as_ref()
                .is_none_or(|wanted| entry.kind == "decision" && Some(wanted) == entry.worker_id.as_ref())
            && self.capability.as_ref().is_none_or(|wanted| Some(wanted) == entry.capability_id.as_ref())
            && self.data_label.is_none_or(|wanted| Some(wanted) == entry.data_label.as_deref())
            && self.policy_decision.is_none_or(|wanted| Some(wanted) == entry.policy_decision.as_deref())
            && self.deny_code.is_none_or(|wanted| Some(wanted) == entry.deny_code.as_deref());
        Ok(if wanted { Filtered::Kept } else { Filtered::Skipped })
    }
}

impl LogReader {
    /// The entries among which a filter's are; each is still to be filtered.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn filtered(&self, filter: &Filter) -> io::Result<Cursor> {
        match filter.since {
            Some(since) => self.cursor_from(since),
            None => Cursor::begin(&self.folder),
        }
    }

    /// All entries that are kept. Whoever reads them to the end asks the cursor whether that [is one](Cursor::ends).
    ///
    /// # Errors
    /// There is no ledger, or one of another version.
    pub fn entries(&self) -> io::Result<Cursor> {
        let path = layout::version_file(&self.folder);
        let found = fs::read(&path).map_err(|error| named(&path, &error))?;
        if found != layout::VERSION.as_bytes() {
            return Err(damaged(format!("`{}` is not `{}`", path.display(), layout::VERSION.trim())));
        }
        Cursor::begin(&self.folder)
    }

    /// The entries from this number on, or from the first that is kept.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn from_entry(&self, number: u64) -> io::Result<Cursor> {
        let mut cursor = self.cursor_at(number)?;
        while cursor.number() < number && cursor.next()?.is_some() {}
        Ok(cursor)
    }

    /// The last so many entries, and those that come.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn newest(&self, count: u64) -> io::Result<Cursor> {
        // The end is at most a stretch and what has no record yet after the last record of the index.
        let mut end = self.cursor_at(u64::MAX - index::EVERY)?;
        while end.next()?.is_some() {}
        let first = end.number().saturating_sub(count);
        self.from_entry(first)
    }
}
