//! Recoveries: each says what the log has lost, and what was behind the gap is kept as it was found.

use std::path::Path;
use std::{fmt, fs};

use serde_json::Value;
use uuid::Uuid;

use super::fault::{Fault, fault, text};
use super::stored::Newest;
use crate::ids::Digest;

/// A place where the log has lost entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The first entry that was lost; the log goes on with an entry of the same number, which says so.
    pub first_lost: u64,
    /// The bytes that were behind it.
    pub bytes: u64,
    /// The file that keeps them, under the ledger's folder.
    pub file: String,
    /// Entries among them that are whole.
    pub sound: u64,
    /// When, and by whom: `boot` or `hand`.
    pub recorded_at: String,
    /// See `recorded_at`.
    pub cause: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first_lost, bytes, file, sound, recorded_at, cause } = self;
        write!(
            f,
            "LOST from entry {first_lost} on ({cause}, {recorded_at}): {bytes} bytes, kept in `{file}`, with {sound} whole entries"
        )
    }
}

/// The recoveries so far.
#[derive(Debug, Default)]
pub(super) struct Recoveries {
    /// Those whose entries are kept.
    pub(super) losses: Vec<Loss>,
    /// The newest one's id and file, how many there were, and whether somebody has acknowledged it.
    pub(super) newest: Option<(Uuid, String, u64, bool)>,
}

impl Recoveries {
    /// Checks an entry of the kind. `ledger` is its folder.
    pub(super) fn check(&mut self, ledger: &Path, entry: &Value, number: u64, id: Uuid) -> Result<(), Fault> {
        let cause = text(entry, "cause")?;
        match cause {
            "acknowledged" => {
                text(entry, "token")?;
                let known =
                    self.newest.as_mut().filter(|(id, ..)| entry.get("recovery") == Some(&Value::from(id.to_string())));
                let Some((.., acknowledged)) = known else {
                    return fault("recovery", "is not the newest one before it");
                };
                *acknowledged = true;
                return Ok(());
            }
            "boot" | "hand" => {}
            _ => return fault("cause", "is none that this program knows"),
        }
        let count = |field: &'static str| match entry.get(field).and_then(Value::as_u64) {
            Some(count) => Ok(count),
            None => fault(field, "is missing or no number"),
        };
        if count("first_lost")? != number {
            return fault("first_lost", "is not this entry's number");
        }
        let file = text(entry, "lost_file")?;
        // Under `lost/` and nowhere else.
        let name = file.strip_prefix("lost/").filter(|name| !name.is_empty() && !name.contains('/'));
        let Some(name) = name else { return fault("lost_file", "is no file under `lost/`") };
        let kept = fs::read(ledger.join("lost").join(name));
        let kept = kept.map_err(|error| ("lost_file", format!("cannot be read: {error}")))?;
        if Digest::of(&kept).to_hex() != text(entry, "lost_file_hash")? || kept.len() as u64 != count("bytes")? {
            return fault("lost_file", "is not what was kept then");
        }
        let before = self.newest.as_ref().map_or(0, |(_, _, count, _)| *count);
        self.newest = Some((id, file.to_owned(), before + 1, false));
        self.losses.push(Loss {
            first_lost: number,
            bytes: kept.len() as u64,
            file: file.to_owned(),
            sound: count("sound_entries")?,
            recorded_at: text(entry, "recorded_at")?.to_owned(),
            cause: cause.to_owned(),
        });
        Ok(())
    }
}

/// The newest recovery as the chain heads say it.
pub(super) fn newest(recovered: Option<&Newest>) -> Option<(Uuid, String, u64, bool)> {
    recovered.map(|one| (one.id, one.file.clone(), one.count, one.acknowledged))
}
