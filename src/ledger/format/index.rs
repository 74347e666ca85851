//! The sparse index: where every 256th entry is, so that any id or time is found without a database.
//!
//! Ids and times rise with the entries, so a binary search over these records ends at 256 entries to read. The file is derived
//! from the segments and rebuilt when it is not sound. It is a header of 16 bytes and records of 48, little-endian:
//!
//! ```text
//! header  "hallgate index 1"
//! record  id 16 bytes  microseconds u64  segment's first entry u64  offset u64  record number u32  crc32 of the rest u32
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::Path;

use uuid::Uuid;

use crate::ledger::format::ids;

/// Entries for each record.
pub(crate) const EVERY: u64 = 256;
/// The file's first bytes; the version is in them.
pub(crate) const MAGIC: &[u8; 16] = b"hallgate index 1";
/// Bytes of a record.
pub(crate) const RECORD: usize = 48;
/// The record of an entry that was pruned before the index was made again.
pub(crate) const BLANK: [u8; RECORD] = [0; RECORD];

/// Where an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its id.
    pub(crate) id: Uuid,
    /// The first entry of its segment.
    pub(crate) segment: u64,
    /// Its frame's offset in the segment's file.
    pub(crate) offset: u64,
}

impl Place {
    /// The record with this number.
    pub(crate) fn to_bytes(self, number: u64) -> [u8; RECORD] {
        let mut bytes = Vec::with_capacity(RECORD);
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&ids::micros(self.id).to_le_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(number.to_le_bytes().first_chunk::<4>().map_or(&[], |low| low.as_slice()));
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.first_chunk().copied().unwrap_or([0; RECORD])
    }

    /// Reads the record with this number; `None` when it is not sound.
    pub(crate) fn from_bytes(bytes: &[u8; RECORD], number: u64) -> Option<Self> {
        let integer = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let id = Uuid::from_bytes(*bytes.first_chunk()?);
        let place = Self { id, segment: integer(24)?, offset: integer(32)? };
        (place.to_bytes(number) == *bytes).then_some(place)
    }
}

/// Opens the index file, or makes it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Of an index file's bytes those of the first so many records, if all are sound; the first `gone` may be blank.
pub(crate) fn sound(bytes: &[u8], gone: u64, records: u64) -> Option<&[u8]> {
    let bytes = bytes.get(..usize::try_from(offset(records)).ok()?)?;
    let (stored, _) = bytes.strip_prefix(MAGIC)?.as_chunks::<RECORD>();
    let holds = |(number, record): (u64, &[u8; RECORD])| {
        Place::from_bytes(record, number).is_some() || (number < gone && *record == BLANK)
    };
    (0..).zip(stored).all(holds).then_some(bytes)
}

/// Makes the first so many records either sound or blank: what they told is pruned and cannot be made again.
pub(crate) fn blank_unsound(file: &File, records: u64) -> io::Result<()> {
    FileExt::write_all_at(file, MAGIC, 0)?;
    for number in (0..records).filter(|number| read(file, *number).is_none()) {
        FileExt::write_all_at(file, &BLANK, offset(number))?;
    }
    Ok(())
}

/// The record with this number, if the file has it whole and sound.
pub(crate) fn read(file: &File, number: u64) -> Option<Place> {
    let mut magic = [0; MAGIC.len()];
    let mut record = [0; RECORD];
    file.read_exact_at(&mut magic, 0).ok().filter(|()| magic == *MAGIC)?;
    file.read_exact_at(&mut record, offset(number)).ok()?;
    Place::from_bytes(&record, number)
}

pub(crate) const fn offset(records: u64) -> u64 {
    MAGIC.len() as u64 + records * RECORD as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_with_any_bit_flipped_or_of_another_number_is_not_sound() {
        let place = |n: u64| Place { id: Uuid::from_u128(u128::from(n) << 80), segment: n / 3, offset: 32 + n };
        for bit in 0..RECORD * 8 {
            let mut bytes = place(7).to_bytes(7);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Place::from_bytes(&bytes, 7), None, "{bit}");
        }
        assert_eq!(Place::from_bytes(&place(7).to_bytes(7), 8), None);

        assert_eq!(Place::from_bytes(&BLANK, 0), None);
    }
}
