//! What every entry has: its id, time, stream and the hash of the one before it, and how long it and its texts may be.

use std::borrow::Cow;

use uuid::Uuid;

use crate::ids::Digest;
use crate::ledger::format::canonical::Object;

/// The longest entry: what an entry bundle's 16-bit length can say (C2SP tlog-tiles).
pub(crate) const LONGEST: usize = u16::MAX as usize;

/// The most characters of a caller's text.
pub(crate) const TEXT: usize = 512;

/// The most characters of a path, which is what says where a request went.
pub(crate) const PATH: usize = 2048;

/// What the writer adds to a record.
pub(crate) struct Stamp<'a> {
    /// The entry's id.
    pub(crate) id: Uuid,
    /// When, as text.
    pub(crate) recorded_at: &'a str,
    /// Whose stream.
    pub(crate) stream: &'a str,
    /// The receipt hash of the stream's previous entry.
    pub(crate) previous: Option<Digest>,
}

impl Stamp<'_> {
    pub(crate) fn previous(&self, object: &mut Object<'_>) {
        match &self.previous {
            Some(hash) => object.digest("prev_receipt_hash", hash),
            None => object.null("prev_receipt_hash"),
        }
    }
}

/// A text of at most so many characters; a longer one ends in `…`.
pub(crate) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most || text.chars().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(most - 1).chain(['…']).collect())
}

/// Whether a text may be what [`cut`] left of a longer one.
pub(crate) fn is_cut(text: &str) -> bool {
    text.ends_with('…') && matches!(text.chars().count(), TEXT | PATH)
}
