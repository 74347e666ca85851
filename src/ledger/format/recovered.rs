//! Entries of the kind `recovered`: where the log has lost what no checkpoint signed, and that somebody knows of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{Digest, TokenName};
use crate::ledger::format::canonical::{self, Object};
use crate::ledger::format::stamp::Stamp;

/// The kind of these entries.
pub(crate) const KIND: &str = "recovered";
/// The most entries behind a gap that are named; the kept file has them all.
pub(crate) const NAMED: usize = 256;

/// What is recorded of a recovery.
#[derive(Debug, Clone)]
pub enum Recovery {
    /// The log ended in a gap and goes on from here.
    Recovered(Gap),
    /// Somebody knows of it.
    Acknowledged {
        /// The entry that they know of.
        recovery: Uuid,
        /// Whose credential.
        token: TokenName,
    },
}

/// What was found where the log ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Whether somebody has it recovered by hand.
    pub by_hand: bool,
    /// Under which boot it is recovered.
    pub boot: Option<String>,
    /// Under which boot it was written.
    pub previous_boot: Option<String>,
    /// The number of the first entry that is lost.
    pub first_lost: u64,
    /// The bytes from there on.
    pub bytes: u64,
    /// The file in which they are kept, under the ledger's folder.
    pub file: String,
    /// Its SHA-256.
    pub file_hash: Digest,
    /// The entries behind the gap that are whole, with their hashes.
    pub sound: Vec<(Uuid, Digest)>,
}

/// The newest recovery of a log, with how many there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovered {
    /// Whether somebody has said that they know.
    pub acknowledged: bool,
    /// How many recoveries there were.
    pub count: u64,
    /// The file in which the newest one kept what was behind the gap.
    pub file: String,
    /// The newest one's entry.
    pub id: Uuid,
}

impl Recovered {
    /// What follows from an entry of the kind and this cause.
    pub(crate) fn after(last: Option<Self>, id: Uuid, cause: Option<&str>, file: Option<&str>) -> Option<Self> {
        let count = last.as_ref().map_or(0, |last| last.count);
        match (cause, file) {
            (Some("acknowledged"), _) => last.map(|last| Self { acknowledged: true, ..last }),
            (_, Some(file)) => Some(Self { acknowledged: false, count: count + 1, file: file.to_owned(), id }),
            _ => last,
        }
    }
}

impl Recovery {
    pub(crate) const fn cause(&self) -> &'static str {
        match self {
            Self::Recovered(Gap { by_hand: true, .. }) => "hand",
            Self::Recovered(_) => "boot",
            Self::Acknowledged { .. } => "acknowledged",
        }
    }

    pub(crate) fn file(&self) -> Option<&str> {
        match self {
            Self::Recovered(gap) => Some(&gap.file),
            Self::Acknowledged { .. } => None,
        }
    }
}

/// Appends the entry.
pub(crate) fn push(out: &mut Vec<u8>, recovery: &Recovery, stamp: &Stamp<'_>) {
    let mut id = Uuid::encode_buffer();
    let mut entry = Object::begin(out);
    let gap = match recovery {
        Recovery::Recovered(gap) => Some(gap),
        Recovery::Acknowledged { .. } => None,
    };
    if let Some(gap) = gap {
        entry.maybe("boot", gap.boot.as_deref());
        entry.count("bytes", gap.bytes);
    }
    entry.string("canon", canonical::NAME);
    entry.string("cause", recovery.cause());
    if let Some(gap) = gap {
        entry.count("first_lost", gap.first_lost);
    }
    entry.string("kind", KIND);
    if let Some(gap) = gap {
        entry.string("lost_file", &gap.file);
        entry.digest("lost_file_hash", &gap.file_hash);
    }
    stamp.previous(&mut entry);
    if let Some(gap) = gap {
        entry.maybe("previous_boot", gap.previous_boot.as_deref());
    }
    entry.string("receipt_id", stamp.id.as_hyphenated().encode_lower(&mut id));
    entry.string("recorded_at", stamp.recorded_at);
    match recovery {
        Recovery::Recovered(gap) => {
            entry.strings("sound", gap.sound.iter().take(NAMED).map(|(id, hash)| format!("{id} {}", hash.to_hex())));
            entry.count("sound_entries", u64::try_from(gap.sound.len()).unwrap_or(u64::MAX));
            entry.string("stream", stamp.stream);
        }
        Recovery::Acknowledged { recovery, token } => {
            entry.string("recovery", &recovery.to_string());
            entry.string("stream", stamp.stream);
            entry.string("token", token.as_str());
        }
    }
    entry.end();
}

/// The newest recovery that nobody has acknowledged.
pub(crate) fn open(recovered: Option<&Recovered>) -> Option<Arc<Recovered>> {
    recovered.filter(|recovered| !recovered.acknowledged).cloned().map(Arc::new)
}
