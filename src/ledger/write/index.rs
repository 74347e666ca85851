//! The index file, as the writer keeps it: a record for every 256th entry, appended after the entries.

use std::io;
use std::sync::Arc;

use crate::ledger::format::index::{EVERY, MAGIC, Place, RECORD, offset};
use crate::ledger::write::storage::Storage;

/// The index file, as the writer keeps it.
pub(crate) struct Index {
    file: Arc<dyn Storage>,
    written: u64,
    waiting: Vec<u8>,
}

impl Index {
    /// Goes on with the records of this file; [`Self::cut`] says after how many.
    pub(crate) fn resume(file: Arc<dyn Storage>) -> io::Result<Self> {
        file.write_all_at(MAGIC, 0)?;
        Ok(Self { file, written: 0, waiting: Vec::new() })
    }

    /// Keeps the first so many records and goes on after them. With `next`, the one after them stays in the file until it is written
    /// again: a start that is killed before that is followed by one that begins at the same place, and need not read everything.
    pub(crate) fn cut(&mut self, records: u64, next: bool) -> io::Result<()> {
        self.file.set_len(offset(records + u64::from(next)))?;
        self.written = records;
        self.waiting.clear();
        Ok(())
    }

    /// Records that an entry is at this place, if its number is one to be recorded. Entries come in order.
    pub(crate) fn note(&mut self, entry: u64, place: Place) {
        let next = self.written + (self.waiting.len() / RECORD) as u64;
        if entry == next * EVERY {
            self.waiting.extend_from_slice(&place.to_bytes(next));
        }
    }

    /// Writes what waits. After an error it waits on.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&self.waiting, offset(self.written))?;
        self.written += (self.waiting.len() / RECORD) as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Records that are in the file.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Goes on in this file, which has the same records.
    pub(crate) fn move_to(&mut self, file: Arc<dyn Storage>) {
        self.file = file;
    }

    /// The file, to be synced.
    pub(crate) fn file(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use uuid::Uuid;

    use super::*;
    use crate::ledger::format::index::BLANK;
    use crate::ledger::format::index::blank_unsound;
    use crate::ledger::format::index::open;
    use crate::ledger::format::index::read;

    #[test]
    fn a_record_is_read_back_only_as_it_was_written_and_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = open(&folder.path().join("index")).unwrap();
        let place = |n: u64| Place { id: Uuid::from_u128(u128::from(n) << 80), segment: n / 3, offset: 32 + n };
        let mut index = Index::resume(Arc::new(file.try_clone().unwrap())).unwrap();
        index.cut(0, false).unwrap();
        for entry in 0..1000 {
            index.note(entry, place(entry));
        }
        index.flush().unwrap();
        assert_eq!([0, 1, 2, 3].map(|n| read(&file, n)), [0, 256, 512, 768].map(|n| Some(place(n))));
        assert_eq!(read(&file, 4), None);
        index.cut(2, true).unwrap();
        assert_eq!([1, 2, 3].map(|n| read(&file, n)), [Some(place(256)), Some(place(512)), None], "it was killed here");
        for entry in 512..1000 {
            index.note(entry, place(entry));
        }
        index.flush().unwrap();
        assert_eq!([2, 3].map(|n| read(&file, n)), [512, 768].map(|n| Some(place(n))));
        FileExt::write_all_at(&file, b"x", offset(1) + 3).unwrap();
        blank_unsound(&file, 3).unwrap();
        let mut bytes = [1; RECORD];
        file.read_exact_at(&mut bytes, offset(1)).unwrap();
        assert_eq!((bytes, read(&file, 0), read(&file, 2)), (BLANK, Some(place(0)), Some(place(512))));
    }
}
