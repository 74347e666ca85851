//! The index's files: one beside each segment, of pages that are written once and never change.
//!
//! A page says which entry it goes up to, so that it can be held against the segment, and has a checksum. All integers are little-endian:
//!
//! ```text
//! header  "hallgate marks 1"  segment's first entry u64  key 4 × u64  check u64  vocabulary u32  crc32 of the rest u32
//! page    last entry's number u64  its offset u64  its id 16 bytes  marks u32  crc32 of the rest u32  1,024 marks of 27 bytes
//! ```
//!
//! The last page of a segment that is over may have fewer marks; its bytes are there all the same.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::mark::{DecisionMark, MARK, Names, vocabulary};
use crate::ledger::layout;

/// Marks of a page.
pub(super) const MARKS: usize = 1024;
const MAGIC: &[u8; 16] = b"hallgate marks 1";
const HEADER: usize = 72;
/// Bytes of a page before its marks.
const HEAD: usize = 40;
/// Bytes of a page.
const PAGE: usize = HEAD + MARKS * MARK;

/// The index of one segment.
#[derive(Debug)]
pub(super) struct IndexFile {
    file: File,
    names: Names,
}

/// An entry, as far as an index knows the last one that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastEntry {
    pub(super) number: u64,
    /// Where in its segment its frame begins.
    pub(super) offset: u64,
    pub(super) id: Uuid,
}

/// A page as it is read.
pub(super) struct MarkPage {
    pub(super) last: LastEntry,
    bytes: Vec<u8>,
    count: usize,
}

/// The file of the segment that begins with this entry.
pub(super) fn path(ledger: &Path, first: u64) -> PathBuf {
    layout::decisions(ledger).join(format!("{first:020}.marks"))
}

/// The segments that have a file.
pub(super) fn list(ledger: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for file in std::fs::read_dir(layout::decisions(ledger))? {
        let name = file?.file_name();
        firsts.extend(name.to_str().and_then(|name| name.strip_suffix(".marks")?.parse::<u64>().ok()));
    }
    Ok(firsts)
}

/// Deletes the file of a segment.
pub(super) fn remove(ledger: &Path, first: u64) -> io::Result<()> {
    match std::fs::remove_file(path(ledger, first)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn header(first: u64, names: &Names) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&first.to_le_bytes());
    for part in names.key() {
        bytes.extend_from_slice(&part.to_le_bytes());
    }
    bytes.extend_from_slice(&names.check().to_le_bytes());
    bytes.extend_from_slice(&vocabulary().to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl IndexFile {
    /// One without pages, in the place of whatever is there.
    pub(super) fn create(ledger: &Path, first: u64) -> io::Result<Self> {
        let names = Names::new().map_err(io::Error::other)?;
        // Another name is another file: whoever reads the one before goes on with that.
        remove(ledger, first)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path(ledger, first))?;
        file.write_all_at(&header(first, &names), 0)?;
        Ok(Self { file, names })
    }

    /// The one of this segment; `None` when there is none that this program would have made.
    pub(super) fn open(ledger: &Path, first: u64) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).write(true).open(path(ledger, first)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = [0; HEADER];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let part = |at: usize| long(&bytes, MAGIC.len() + 8 + 8 * at).unwrap_or_default();
        let names = Names::under([part(0), part(1), part(2), part(3)]);
        Ok((header(first, &names) == bytes).then_some(Self { file, names }))
    }

    pub(super) const fn names(&self) -> &Names {
        &self.names
    }

    /// How many pages there are.
    pub(super) fn pages(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len().saturating_sub(HEADER as u64) / PAGE as u64)
    }

    /// Writes a page of at most [`MARKS`] marks.
    pub(super) fn put(&self, page: u64, last: LastEntry, marks: &[DecisionMark]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(PAGE);
        bytes.extend_from_slice(&last.number.to_le_bytes());
        bytes.extend_from_slice(&last.offset.to_le_bytes());
        bytes.extend_from_slice(last.id.as_bytes());
        bytes.extend_from_slice(&u32::try_from(marks.len()).map_err(io::Error::other)?.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        marks.iter().for_each(|mark| mark.push_to(&mut bytes));
        bytes.resize(PAGE, 0);
        let sum = sum(&bytes).to_le_bytes();
        bytes.splice(HEAD - 4..HEAD, sum);
        self.file.write_all_at(&bytes, HEADER as u64 + page * PAGE as u64)
    }

    /// Reads a page; `None` when it is not as it was written.
    pub(super) fn page(&self, page: u64) -> io::Result<Option<MarkPage>> {
        let mut bytes = vec![0; PAGE];
        match self.file.read_exact_at(&mut bytes, HEADER as u64 + page * PAGE as u64) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        Ok(MarkPage::of(bytes))
    }
}

/// The checksum of a page, without the place in which it stands.
fn sum(bytes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(bytes.get(..HEAD - 4).unwrap_or_default());
    sum.update(bytes.get(HEAD..).unwrap_or_default());
    sum.finalize()
}

impl MarkPage {
    fn of(bytes: Vec<u8>) -> Option<Self> {
        let count = usize::try_from(short(&bytes, 32)?).ok().filter(|count| *count <= MARKS)?;
        let id = Uuid::from_bytes(*bytes.get(16..)?.first_chunk()?);
        let last = LastEntry { number: long(&bytes, 0)?, offset: long(&bytes, 8)?, id };
        (short(&bytes, HEAD - 4)? == sum(&bytes)).then_some(Self { last, bytes, count })
    }

    /// Whether no mark has room any more.
    pub(super) const fn is_full(&self) -> bool {
        self.count == MARKS
    }

    /// Its marks, in the order of the entries.
    pub(super) fn marks(&self) -> impl DoubleEndedIterator<Item = DecisionMark> {
        let (marks, _) = self.bytes.get(HEAD..).unwrap_or_default().as_chunks::<MARK>();
        marks.iter().take(self.count).map(DecisionMark::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_it_was_written_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(layout::decisions(folder.path())).unwrap();
        let file = IndexFile::create(folder.path(), 7).unwrap();
        let mark = |n: u64| DecisionMark { time: n, offset: n, worker: 1, capability: 2, tenant: 3, code: 4, words: 5 };
        let marks: Vec<DecisionMark> = (0..1000).map(mark).collect();
        let last = LastEntry { number: 9, offset: 10, id: Uuid::from_u128(11) };
        file.put(0, last, &marks).unwrap();
        let again = IndexFile::open(folder.path(), 7).unwrap().unwrap();
        let page = again.page(0).unwrap().unwrap();
        assert_eq!((page.last, page.is_full(), page.marks().eq(marks)), (last, false, true));
        assert_eq!((again.pages().unwrap(), again.page(1).unwrap().is_none()), (1, true));

        let path = path(folder.path(), 7);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), HEADER + PAGE);
        for bit in (0..(HEADER + HEAD + 3 * MARK) * 8).chain([whole.len() * 8 - 1]) {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bad).unwrap();
            let opened = IndexFile::open(folder.path(), 7).unwrap();
            assert!(opened.is_none_or(|file| file.page(0).unwrap().is_none()), "bit {bit}");
        }
        std::fs::write(&path, &whole[..HEADER - 1]).unwrap();
        assert!(IndexFile::open(folder.path(), 7).unwrap().is_none());
        assert!(IndexFile::open(folder.path(), 8).unwrap().is_none());
        std::fs::write(super::path(folder.path(), 8), &whole).unwrap();
        assert!(IndexFile::open(folder.path(), 8).unwrap().is_none(), "another segment's");
        assert_eq!(list(folder.path()).unwrap().len(), 2);
    }
}
