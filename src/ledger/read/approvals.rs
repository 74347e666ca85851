//! What a log says of approvals, for whoever keeps them in a store that may be behind.

use std::io;
use std::sync::Arc;

use memchr::memmem;
use serde::Deserialize;
use uuid::Uuid;

use crate::ids::{Digest, SupervisorLevel, TokenName};
use crate::ledger::format::approval::ApprovalAction;
use crate::ledger::format::ids;
use crate::ledger::read::cursor::Cursor;
use crate::ledger::read::reader::LogReader;

/// What an entry says of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastApproval {
    /// Which approval.
    pub id: Uuid,
    /// When, in microseconds since 1970 UTC.
    pub recorded_at_micros: i64,
    /// The entry's hash.
    pub entry: Digest,
    /// What became of it.
    pub happened: ApprovalEvent,
    /// The level from then on.
    pub level: SupervisorLevel,
    /// When it is over, in microseconds since 1970 UTC.
    pub expires_at_micros: i64,
    /// By whom, and who answers for them; `None` for time and change.
    pub by: Option<(TokenName, Arc<str>)>,
    /// Where somebody agrees, all who have and still count.
    pub agreed: Vec<TokenName>,
    /// Why.
    pub note: Option<Arc<str>>,
}

/// What an entry says of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalEvent {
    /// Somebody is asked.
    Asked,
    /// It was spent.
    Spent,
    /// A step.
    Step(ApprovalAction),
}

/// An entry, as far as approvals look at it.
#[derive(Deserialize)]
struct Written {
    receipt_id: Uuid,
    action: Option<String>,
    approval: Option<Mark>,
    approver: Option<Approver>,
    #[serde(default)]
    approved_by: Vec<TokenName>,
    note: Option<Arc<str>>,
}

#[derive(Deserialize)]
struct Mark {
    id: Uuid,
    level: SupervisorLevel,
    expires_at: String,
    /// Of a decision that spends.
    receipt_hash: Option<Digest>,
}

#[derive(Deserialize)]
struct Approver {
    token: TokenName,
    owner: Arc<str>,
}

impl LogReader {
    /// When the oldest entry that is kept was recorded, in microseconds since 1970 UTC; `None`: there is none. It blocks this thread.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn kept_since(&self) -> io::Result<Option<i64>> {
        #[derive(Deserialize)]
        struct Id {
            receipt_id: Uuid,
        }
        let mut cursor = Cursor::begin(&self.folder)?;
        let Some((_, json)) = cursor.next()? else { return Ok(None) };
        let Id { receipt_id } = serde_json::from_slice(json).map_err(io::Error::from)?;
        Ok(Some(ids::micros(receipt_id)))
    }

    /// Reads what has become of approvals from a time on, in microseconds since 1970 UTC, in order, up to the entry of this number; it
    /// blocks this thread.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn recall_approvals(&self, since: i64, until: u64, mut take: impl FnMut(PastApproval)) -> io::Result<()> {
        // Most entries are of other things, and are not read as JSON.
        let about = memmem::Finder::new(b"\"approval\":{");
        let mut cursor = self.cursor_from(since)?;
        while let Some((number, json)) = cursor.next()? {
            if number >= until {
                break;
            }
            if about.find(json).is_none() {
                continue;
            }
            let written: Written = serde_json::from_slice(json).map_err(io::Error::from)?;
            let Some(mark) = written.approval else { continue };
            let action = match &written.action {
                Some(name) => ApprovalAction::ALL.iter().copied().find(|action| action.as_str() == name),
                None => None,
            };
            let happened = match action {
                Some(action) => ApprovalEvent::Step(action),
                None if mark.receipt_hash.is_some() => ApprovalEvent::Spent,
                None => ApprovalEvent::Asked,
            };
            let expires_at: jiff::Timestamp = mark.expires_at.parse().map_err(io::Error::other)?;
            take(PastApproval {
                id: mark.id,
                recorded_at_micros: ids::micros(written.receipt_id),
                entry: Digest::of(json),
                happened,
                level: mark.level,
                expires_at_micros: expires_at.as_microsecond(),
                agreed: written.approved_by,
                by: written.approver.map(|approver| (approver.token, approver.owner)),
                note: written.note,
            });
        }
        Ok(())
    }
}
