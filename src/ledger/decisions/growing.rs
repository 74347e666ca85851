//! The index of one segment, as it is made: entry after entry, page after page, from where it was left.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::fields::DecisionFields;
use super::file::{IndexFile, LastEntry, MARKS, MarkPage};
use super::mark::DecisionMark;
use crate::ledger::format::segment;
use crate::ledger::layout;
use crate::ledger::read::cursor::Cursor;
use crate::ledger::read::reader::damaged;

/// Marks that wait for a disk that does not take pages; then nothing more is read.
const MOST: usize = 64 * MARKS;
/// The longest offset that a mark can say.
const FARTHEST: u64 = 1 << 40;

/// The index of a segment that is being made.
pub(super) struct Growing {
    ledger: PathBuf,
    /// The segment's first entry.
    pub(super) segment: u64,
    cursor: Cursor,
    pub(super) file: Arc<IndexFile>,
    /// Pages that are written.
    pub(super) pages: u64,
    /// Marks that no page has yet.
    pub(super) tail: Vec<DecisionMark>,
    /// Up to where the full pages go of these that wait.
    due: VecDeque<LastEntry>,
    /// The entry for which the segment was opened again, because it was not there.
    reopened: Option<u64>,
    /// The last entry that was read.
    pub(super) last: Option<LastEntry>,
}

/// How far it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grown {
    /// As far as was asked.
    Far,
    /// So many entries, and there are more.
    Partly,
    /// To the segment's end: another begins with this entry.
    Whole(u64),
}

/// The id of an entry.
fn id_of(fields: &DecisionFields<'_>, number: u64) -> io::Result<Uuid> {
    Uuid::try_parse_ascii(fields.receipt_id).map_err(|_| damaged(format!("entry {number} has no id")))
}

/// Reads what is looked up of an entry.
fn fields(json: &[u8], number: u64) -> io::Result<DecisionFields<'_>> {
    DecisionFields::read(json).ok_or_else(|| damaged(format!("entry {number} is no canonical object")))
}

/// A cursor behind this entry, if the segment has it there.
fn behind(ledger: &Path, segment: u64, last: LastEntry) -> io::Result<Option<Cursor>> {
    let Some(mut cursor) = Cursor::from(ledger, last.number, segment, last.offset)? else { return Ok(None) };
    // What cannot be read there is not this entry.
    let Ok(Some((_, json))) = cursor.next_here() else { return Ok(None) };
    let is_it = DecisionFields::read(json).is_some_and(|fields| id_of(&fields, last.number).ok() == Some(last.id));
    Ok(is_it.then_some(cursor))
}

/// Whether a segment whose last entry comes before this one has an index of all of it.
pub(super) fn is_whole(ledger: &Path, segment: u64, next: u64) -> io::Result<bool> {
    let Some(file) = IndexFile::open(ledger, segment)? else { return Ok(false) };
    let Some(page) = file.pages()?.checked_sub(1) else { return Ok(false) };
    let Some(page) = file.page(page)? else { return Ok(false) };
    Ok(page.last.number + 1 == next && behind(ledger, segment, page.last)?.is_some())
}

impl Growing {
    /// Goes on with what there is of a segment's index, where that is of these entries, or begins it.
    pub(super) fn resume(ledger: &Path, segment: u64) -> io::Result<Self> {
        if let Some(file) = IndexFile::open(ledger, segment)?
            && let Some(newest) = file.pages()?.checked_sub(1)
            && let Some(page) = file.page(newest)?.filter(MarkPage::is_full)
            && let Some(cursor) = behind(ledger, segment, page.last)?
        {
            return Ok(Self::at(ledger, segment, cursor, file, newest + 1, Some(page.last)));
        }
        let file = IndexFile::create(ledger, segment)?;
        let cursor = Cursor::from(ledger, segment, segment, segment::HEADER as u64)?;
        let cursor = cursor.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self::at(ledger, segment, cursor, file, 0, None))
    }

    fn at(ledger: &Path, segment: u64, cursor: Cursor, file: IndexFile, pages: u64, last: Option<LastEntry>) -> Self {
        let (ledger, file) = (ledger.to_owned(), Arc::new(file));
        Self { ledger, segment, cursor, file, pages, tail: Vec::new(), due: VecDeque::new(), reopened: None, last }
    }

    /// Reads on, as far as the entry before this one, and no more than so many entries.
    ///
    /// # Errors
    /// A file cannot be read or written, or is damaged.
    pub(super) fn grow(&mut self, until: u64, most: usize) -> io::Result<Grown> {
        self.write();
        for _ in 0..most {
            let number = self.cursor.number();
            if number >= until {
                return Ok(Grown::Far);
            }
            if self.tail.len() >= MOST {
                return Err(io::Error::other("the index of decisions cannot be written"));
            }
            let Some((offset, json)) = self.cursor.next_here()? else { return self.end(number) };
            if offset >= FARTHEST {
                return Err(damaged(format!("entry {number} is too far in its segment to be looked up")));
            }
            let fields = fields(json, number)?;
            let last = LastEntry { number, offset, id: id_of(&fields, number)? };
            self.last = Some(last);
            let Some(mark) = DecisionMark::of(&fields, last.id, offset, self.file.names()) else { continue };
            self.tail.push(mark);
            if self.tail.len().is_multiple_of(MARKS) {
                self.due.push_back(last);
                self.write();
            }
        }
        Ok(Grown::Partly)
    }

    /// There is no more in this file: either the segment is over, or its file was replaced by an equal one.
    fn end(&mut self, number: u64) -> io::Result<Grown> {
        if number > self.segment && segment::path(&layout::segments(&self.ledger), number).exists() {
            // The last page says how far it goes, even if it has no mark.
            if let Some(last) = self.last {
                self.file.put(self.pages, last, &self.tail)?;
                self.pages += 1;
                self.tail.clear();
            }
            return Ok(Grown::Whole(number));
        }
        if self.reopened == Some(number) {
            return Err(damaged(format!("entry {number} is not where it should be: verify the ledger")));
        }
        self.reopened = Some(number);
        let cursor = Cursor::from(&self.ledger, number, self.segment, self.cursor.offset())?;
        self.cursor = cursor.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Grown::Partly)
    }

    /// Writes the pages that are full. What cannot be written waits, and is looked up all the same.
    fn write(&mut self) {
        while let (Some(last), Some(marks)) = (self.due.front(), self.tail.get(..MARKS)) {
            if let Err(error) = self.file.put(self.pages, *last, marks) {
                tracing::warn!(%error, "a page of the index of decisions cannot be written");
                return;
            }
            self.pages += 1;
            self.due.pop_front();
            self.tail.drain(..MARKS);
        }
    }
}
