//! Bundles: chosen entries with the proof of each, the checkpoint under which they are and its key, in one file that stands for itself.
//!
//! [`crate::ledger::verify::bundle`] checks it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::ids::Digest;
use crate::ledger::format::checkpoint::Head;
use crate::ledger::read::prove::{Hashes, text};
use crate::ledger::read::reader::{LogReader, damaged};
use crate::ledger::verify::bundle::{BUNDLE, BundleEnd, BundleHead, BundledEntry};
use crate::ledger::verify::is_signed;

/// Writes a bundle, entry by entry.
pub struct BundleWriter<'a, W> {
    out: W,
    hash: Sha256,
    hashes: Hashes<'a>,
    head: Head,
    entries: u64,
}

impl LogReader {
    /// Begins a bundle under the newest checkpoint, which this verifier key must have signed.
    ///
    /// # Errors
    /// It has not, the checkpoint cannot be read, or nothing can be written.
    pub fn bundle_to<W: Write>(&self, out: W, vkey: &str) -> io::Result<BundleWriter<'_, W>> {
        let (note, head) = self.checkpoint()?;
        is_signed(&note, vkey).map_err(|problem| damaged(format!("the checkpoint: {problem}")))?;
        let hashes = Hashes::under(self, head);
        let mut bundle = BundleWriter { out, hash: Sha256::new(), hashes, head, entries: 0 };
        bundle.line(&BundleHead { format: BUNDLE.to_owned(), key: vkey.trim().to_owned(), checkpoint: text(note)? })?;
        Ok(bundle)
    }
}

impl<W: Write> BundleWriter<'_, W> {
    /// Whether the checkpoint covers the entry of this number.
    #[must_use]
    pub const fn covers(&self, number: u64) -> bool {
        number < self.head.size
    }

    /// Adds an entry that the checkpoint covers.
    ///
    /// # Errors
    /// A file cannot be read or is damaged, or nothing can be written.
    pub fn entry(&mut self, number: u64, json: &[u8]) -> io::Result<()> {
        let hashes = self.hashes.of_entry(number)?;
        let entry = std::str::from_utf8(json).map_err(|_| damaged("an entry is not UTF-8"))?;
        let entry = RawValue::from_string(entry.to_owned()).map_err(io::Error::from)?;
        self.line(&BundledEntry { number, entry, hashes: hashes.iter().map(Digest::to_hex).collect() })?;
        self.entries += 1;
        Ok(())
    }

    /// Ends it, and gives how many entries it has.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(mut self) -> io::Result<u64> {
        let sha256 = Digest::from_bytes(self.hash.clone().finalize().into()).to_hex();
        self.line(&BundleEnd { entries: self.entries, sha256 })?;
        self.out.flush()?;
        Ok(self.entries)
    }

    fn line(&mut self, said: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(said)?;
        line.push(b'\n');
        self.hash.update(&line);
        self.out.write_all(&line)
    }
}
