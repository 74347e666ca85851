//! Bundles checked offline: entries, the proof of each, a checkpoint and its key, in one file. Shares with the writer only the canonical form.
//!
//! Each line must be exactly as it would be written again from what it says, so that a byte that means nothing cannot change
//! either; and the last line has the hash of all before it.

use std::fmt;
use std::io::{self, BufRead, Read as _};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::entries::{self, EntryCheck};
use super::proof::{digests, root_of_inclusion};
use super::signed::{self, SignedHead};
use crate::ids::Digest;

/// The form of a bundle.
pub(in crate::ledger) const BUNDLE: &str = "hallgate bundle 1";

/// The most bytes of a line: an entry of 65,535 bytes and its proof.
const LINE: u64 = 1 << 17;

/// The first line: by which key the log's head is signed, and the head.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ledger) struct BundleHead {
    pub(in crate::ledger) format: String,
    pub(in crate::ledger) key: String,
    pub(in crate::ledger) checkpoint: String,
}

/// An entry, which is the `number`th of the log, counted from 0, and the hashes that lead from it to the head (RFC 6962 2.1.1).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ledger) struct BundledEntry {
    pub(in crate::ledger) number: u64,
    pub(in crate::ledger) entry: Box<RawValue>,
    pub(in crate::ledger) hashes: Vec<String>,
}

/// The last line: how many entries there are, and the SHA-256 of every line before it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::ledger) struct BundleEnd {
    pub(in crate::ledger) entries: u64,
    pub(in crate::ledger) sha256: String,
}

/// Why a bundle proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is no bundle, or cannot be read.
    #[error("is no bundle: {0}")]
    Unreadable(String),
    /// It is one, and this line of it does not hold.
    #[error("is broken: line {line}{}: `{field}` {problem}", Which(id))]
    Broken {
        /// The line, from 1.
        line: u64,
        /// The entry in it, when that could be read.
        id: Option<Uuid>,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

struct Which<'a>(&'a Option<Uuid>);

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |id| write!(f, " (entry {id})"))
    }
}

/// What a bundle proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundled {
    /// How many entries there are.
    pub entries: u64,
    /// The numbers of the first and the last one.
    pub range: Option<(u64, u64)>,
    /// Entries under the checkpoint.
    pub size: u64,
    /// The name and id of the key that signed it.
    pub key: String,
}

impl fmt::Display for Bundled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, range, size, key } = self;
        write!(f, "{entries} entries hold")?;
        if let Some((first, last)) = range {
            write!(f, ", numbers {first} to {last}")?;
            let all = last - first + 1;
            match all == *entries {
                true => f.write_str(" without a gap")?,
                false => write!(f, ", of {all}: the others were not asked for, or were left out")?,
            }
        }
        write!(f, "; each is in the log of {size} entries that `{key}` signed")
    }
}

/// Checks a bundle. Its checkpoint is signed by its own key, and where others are given, by one of these.
///
/// # Errors
/// It is none, or does not hold.
pub fn verify_bundle(input: impl BufRead, vkeys: Option<&[String]>) -> Result<Bundled, BundleError> {
    let mut lines = BundleLines { input, line: 0, hash: Sha256::new() };
    let first = lines.next()?.ok_or_else(|| BundleError::Unreadable("it is empty".to_owned()))?;
    let head: BundleHead = serde_json::from_slice(&first)
        .map_err(|error| BundleError::Unreadable(format!("its first line is no head of one: {error}")))?;
    if head.format != BUNDLE {
        let found = head.format.escape_debug();
        return Err(BundleError::Unreadable(format!("its format is `{found}`, not `{BUNDLE}`")));
    }
    lines.as_written(&first, &head)?;
    let checkpoint = |vkey: &str| signed::checkpoint(head.checkpoint.as_bytes(), vkey);
    let signed = checkpoint(&head.key).map_err(|problem| lines.broken(None, "checkpoint", problem))?;
    if let Some(vkeys) = vkeys
        && !vkeys.iter().any(|vkey| checkpoint(vkey).is_ok())
    {
        let problem = "is signed by the bundle's own key, which is none of those that are given".to_owned();
        return Err(lines.broken(None, "key", problem));
    }
    let mut walk = Walk::new(signed).map_err(|problem| lines.broken(None, "checkpoint", problem))?;
    loop {
        let before = lines.hash.clone();
        let Some(line) = lines.next()? else {
            return Err(lines.broken(None, "entries", "ends here: the rest of the bundle is missing".to_owned()));
        };
        if let Ok(end) = serde_json::from_slice::<BundleEnd>(&line) {
            lines.as_written(&line, &end)?;
            if end.entries != walk.entries {
                return Err(lines.broken(None, "entries", format!("is not how many there are, {}", walk.entries)));
            }
            if end.sha256 != Digest::from_bytes(before.finalize().into()).to_hex() {
                return Err(lines.broken(None, "sha256", "is not the hash of the lines before it".to_owned()));
            }
            if lines.next()?.is_some() {
                return Err(lines.broken(None, "entries", "there is more after the last line".to_owned()));
            }
            let named: Vec<&str> = head.key.trim().splitn(3, '+').take(2).collect();
            let Walk { entries, first, last, .. } = walk;
            let range = first.zip(last);
            return Ok(Bundled { entries, range, size: signed.size, key: named.join("+") });
        }
        let entry: BundledEntry =
            serde_json::from_slice(&line).map_err(|error| lines.broken(None, "json", error.to_string()))?;
        walk.take(&entry).map_err(|(id, field, problem)| lines.broken(id, field, problem))?;
        lines.as_written(&line, &entry)?;
    }
}

/// A bundle's lines, with the hash of those so far.
struct BundleLines<R> {
    input: R,
    line: u64,
    hash: Sha256,
}

impl<R: BufRead> BundleLines<R> {
    /// The next line, without its end.
    fn next(&mut self) -> Result<Option<Vec<u8>>, BundleError> {
        let unreadable = |error: io::Error| BundleError::Unreadable(format!("it cannot be read: {error}"));
        let mut bytes = Vec::new();
        self.input.by_ref().take(LINE + 1).read_until(b'\n', &mut bytes).map_err(unreadable)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        self.hash.update(&bytes);
        if bytes.pop() != Some(b'\n') {
            let problem = format!("has no end within {LINE} bytes");
            // What does not begin as a bundle does is none.
            return Err(if self.line == 1 {
                BundleError::Unreadable(format!("its first line {problem}"))
            } else {
                self.broken(None, "line", problem)
            });
        }
        Ok(Some(bytes))
    }

    fn broken(&self, id: Option<Uuid>, field: &'static str, problem: String) -> BundleError {
        BundleError::Broken { line: self.line, id, field, problem }
    }

    /// That a line is what would be written of what it says.
    fn as_written(&self, line: &[u8], said: &impl Serialize) -> Result<(), BundleError> {
        match serde_json::to_vec(said) {
            Ok(again) if again == line => Ok(()),
            _ => Err(self.broken(None, "line", "is not written as a bundle's lines are".to_owned())),
        }
    }
}

/// What is known of the entries so far.
struct Walk {
    head: SignedHead,
    check: EntryCheck,
    entries: u64,
    first: Option<u64>,
    last: Option<u64>,
}

impl Walk {
    fn new(head: SignedHead) -> Result<Self, String> {
        let check = EntryCheck::none().map_err(|found| found.to_string())?;
        Ok(Self { head, check, entries: 0, first: None, last: None })
    }

    /// Checks an entry by itself, after the one before it, and up to the signed root.
    fn take(
        &mut self,
        BundledEntry { number, entry, hashes }: &BundledEntry,
    ) -> Result<(), (Option<Uuid>, &'static str, String)> {
        let bytes = entry.get().as_bytes();
        let value: Value = serde_json::from_slice(bytes).map_err(|error| (None, "entry", error.to_string()))?;
        let id = entries::id(&value).map_err(|(field, problem)| (None, field, problem))?;
        let broken = |field, problem: String| (Some(id), field, problem);
        self.check.sound(&value, id, bytes).map_err(|(field, problem)| broken(field, problem))?;
        if self.last.is_some_and(|last| *number <= last) {
            return Err(broken("number", "does not follow the one before it".to_owned()));
        }
        let leaf = Sha256::new().chain_update([0]).chain_update(bytes).finalize().into();
        let hashes = digests(hashes).map_err(|error| broken("hashes", error.to_string()))?;
        if root_of_inclusion(*number, self.head.size, leaf, &hashes) != Some(self.head.root) {
            let problem =
                "do not lead from this entry to the checkpoint's root: the entry, its number or a hash is another";
            return Err(broken("hashes", problem.to_owned()));
        }
        self.check.last = id;
        self.entries += 1;
        self.first = self.first.or(Some(*number));
        self.last = Some(*number);
        Ok(())
    }
}
