//! Finding an entry by its id, or the first of a time: a binary search in the sparse index, and a stretch of entries to read.

use std::fs::File;
use std::io;

use serde::Deserialize;
use uuid::Uuid;

use crate::engine::Binding;
use crate::ledger::format::index::{self, Place};
use crate::ledger::format::pruned::Pruned;
use crate::ledger::format::{chain, ids};
use crate::ledger::read::cursor::Cursor;
use crate::ledger::read::reader::{LogReader, damaged};

/// An entry that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEntry {
    /// Its number, from 0.
    pub number: u64,
    /// Its canonical JSON.
    pub json: Vec<u8>,
    stream: String,
    tenant: Option<String>,
    worker: Option<String>,
    env: Option<String>,
}

/// What a search reads of an entry.
#[derive(Deserialize)]
struct Label {
    receipt_id: Uuid,
    stream: String,
    tenant_id: Option<String>,
    worker_id: Option<String>,
    env: Option<String>,
}

impl FoundEntry {
    /// Whether a reader who is bound like this may see it: in the tenant's stream, for a claim to be that tenant is not enough,
    /// and of one of the workers and environments.
    #[must_use]
    pub fn visible_to(&self, reader: &Binding) -> bool {
        let tenant = reader.tenant.as_ref().is_none_or(|tenant| {
            let shared = self.stream == chain::OTHER && self.tenant.as_deref() == Some(tenant.as_str());
            self.stream == tenant.as_str() || shared
        });
        let workers = reader.workers.as_ref();
        let worker =
            workers.is_none_or(|workers| workers.iter().any(|one| Some(one.as_str()) == self.worker.as_deref()));
        let envs = reader.envs.as_ref();
        tenant && worker && envs.is_none_or(|envs| envs.iter().any(|one| Some(one.as_str()) == self.env.as_deref()))
    }
}

/// Whether a reader who is bound like this may see an entry.
///
/// # Errors
/// It is no entry.
pub(super) fn is_visible(json: &[u8], reader: &Binding) -> io::Result<bool> {
    let label: Label = serde_json::from_slice(json).map_err(|error| damaged(format!("an entry: {error}")))?;
    Ok(label.found(0, Vec::new()).visible_to(reader))
}

impl Label {
    fn found(self, number: u64, json: Vec<u8>) -> FoundEntry {
        let Self { stream, tenant_id: tenant, worker_id: worker, env, .. } = self;
        FoundEntry { number, json, stream, tenant, worker, env }
    }
}

impl LogReader {
    /// The entry with this id; `None` when there is none, or no longer.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn find(&self, id: Uuid) -> io::Result<Option<FoundEntry>> {
        let mut cursor = self.cursor_up_to(|place| place.id <= id)?;
        // The newest entries may have no record in the index yet, so this may go on for longer than one stretch.
        while let Some((number, json)) = cursor.next()? {
            let label: Label =
                serde_json::from_slice(json).map_err(|error| damaged(format!("entry {number}: {error}")))?;
            if label.receipt_id == id {
                return Ok(Some(label.found(number, json.to_vec())));
            }
            if label.receipt_id > id {
                break;
            }
        }
        Ok(None)
    }

    /// A cursor that begins at or shortly before the first entry of this time, in microseconds since 1970 UTC.
    pub(crate) fn cursor_from(&self, micros: i64) -> io::Result<Cursor> {
        self.cursor_up_to(|place| ids::micros(place.id) < micros)
    }

    /// A cursor that begins at or before this entry, at most 255 entries before.
    pub(crate) fn cursor_at(&self, number: u64) -> io::Result<Cursor> {
        let index = self.index()?;
        let record = (number / index::EVERY).min(records(&index)?.saturating_sub(1));
        self.cursor(index::read(&index, record).map(|place| (record, place)))
    }

    /// A cursor from the last kept record for which this holds, which holds for all before it; else from the first kept entry.
    fn cursor_up_to(&self, holds: impl Fn(&Place) -> bool) -> io::Result<Cursor> {
        // Records of pruned entries may be blank.
        let kept = Pruned::edge_of(&self.folder)?.div_ceil(index::EVERY);
        self.cursor(last_up_to(&self.index()?, kept, holds)?)
    }

    fn cursor(&self, from: Option<(u64, Place)>) -> io::Result<Cursor> {
        let cursor = match from {
            Some((record, place)) => Cursor::from(&self.folder, record * index::EVERY, place.segment, place.offset)?,
            None => None,
        };
        // What was before is pruned, or there is nothing yet.
        cursor.map_or_else(|| Cursor::begin(&self.folder), Ok)
    }
}

/// The last record from this one on for which this holds, which holds for all before it.
fn last_up_to(index: &File, kept: u64, holds: impl Fn(&Place) -> bool) -> io::Result<Option<(u64, Place)>> {
    let read =
        |number| index::read(index, number).ok_or_else(|| damaged(format!("the index has no sound record {number}")));
    let (mut low, mut high) = (kept, records(index)?);
    let mut last = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let place = read(middle)?;
        if holds(&place) {
            last = Some((middle, place));
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(last)
}

/// Whole records of the index.
fn records(index: &File) -> io::Result<u64> {
    let length = index.metadata()?.len();
    Ok(length.saturating_sub(index::MAGIC.len() as u64) / index::RECORD as u64)
}
