//! Segments: append-only files of framed entries, the source of truth. Each is named by the number of its first entry.
//!
//! A file is a header and frames, all integers little-endian:
//!
//! ```text
//! header  "hallgate segment"  version u32  first entry u64  crc32 of the 28 bytes before
//! frame   crc32 of the rest of the frame  length u32  bytes since its batch began u32  entry
//! ```
//!
//! A batch is one write and is acknowledged whole or not at all, so a frame says where its batch began: a bad frame is the
//! torn end of a write only if nothing after it belongs to a later batch. Else acknowledged entries are damaged.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::ledger::files;
use crate::ledger::format::entry;

/// Bytes of a segment's header.
pub(crate) const HEADER: usize = 32;
/// Bytes of a frame before its entry.
pub(crate) const FRAME: usize = 12;
const MAGIC: &[u8; 16] = b"hallgate segment";
const VERSION: u32 = 1;
const EXTENSION: &str = "seg";

/// What the writer does to a file. Tests put faults behind it.
pub(crate) trait Storage: Send + Sync {
    /// Writes all of it at this place.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file to this length.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Waits until the content is on the disk.
    fn sync_data(&self) -> io::Result<()>;
    /// Its length, if the file still has a name; nobody will find what is written to one without.
    fn named_length(&self) -> io::Result<Option<u64>>;
}

impl Storage for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }
    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }
    fn named_length(&self) -> io::Result<Option<u64>> {
        let metadata = self.metadata()?;
        Ok((metadata.nlink() > 0).then_some(metadata.len()))
    }
}

/// The file of the segment that begins with this entry.
pub(crate) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.{EXTENSION}"))
}

/// The numbers of all segments' first entries, in order.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for file in fs::read_dir(folder)? {
        let name = file?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        firsts.extend(number.filter(|number| number.len() == 20).and_then(|number| number.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Makes a segment: its header is there before its name is.
pub(crate) fn create(folder: &Path, first: u64) -> io::Result<File> {
    let path = path(folder, first);
    files::replace(&path, &header(first), 0o600)?;
    open(&path)
}

/// Opens a segment for reading and writing.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

fn header(first: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Why a segment's header is not the one of this segment.
pub(crate) fn header_problem(bytes: &[u8], first: u64) -> Option<String> {
    if bytes.starts_with(&header(first)) {
        return None;
    }
    if bytes.starts_with(MAGIC)
        && let Some(version) = integer(bytes, MAGIC.len())
        && version != VERSION
    {
        return Some(format!("is of version {version}; this program reads version {VERSION}"));
    }
    Some("has a damaged header".to_owned())
}

/// Room for a frame's header; [`end_frame`] fills it.
pub(crate) fn begin_frame(batch: &mut Vec<u8>) -> usize {
    let start = batch.len();
    batch.extend_from_slice(&[0; FRAME]);
    start
}

/// Completes the frame that began here and holds the rest of the batch.
pub(crate) fn end_frame(batch: &mut [u8], start: usize) {
    let Some(frame) = batch.get_mut(start..) else { return };
    let length = frame.len().saturating_sub(FRAME);
    put(frame, 4, u32::try_from(length).unwrap_or(u32::MAX));
    put(frame, 8, u32::try_from(start).unwrap_or(u32::MAX));
    let sum = crc32fast::hash(frame.get(4..).unwrap_or_default());
    put(frame, 0, sum);
}

/// A sound frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The entry's bytes.
    pub(crate) entry: &'a [u8],
    /// Bytes since its batch began.
    pub(crate) in_batch: u32,
}

/// The frame at this place, if a whole and sound one is there.
pub(crate) fn frame(bytes: &[u8], at: usize) -> Option<Frame<'_>> {
    let length = usize::try_from(integer(bytes, at.checked_add(4)?)?).ok()?;
    if length == 0 || length > entry::LONGEST {
        return None;
    }
    let covered = bytes.get(at + 4..at + FRAME + length)?;
    if integer(bytes, at)? != crc32fast::hash(covered) {
        return None;
    }
    Some(Frame { entry: covered.get(FRAME - 4..)?, in_batch: integer(bytes, at + 8)? })
}

/// Where, after a bad frame, an entry of a later batch follows: then what is bad was acknowledged. `None`: a torn end.
pub(crate) fn later_batch(bytes: &[u8], bad: usize) -> Option<usize> {
    (bad + 1..bytes.len()).find(|at| {
        frame(bytes, *at).is_some_and(|frame| at.saturating_sub(usize::try_from(frame.in_batch).unwrap_or(0)) > bad)
    })
}

/// Reads a segment's bytes from this place to its end.
pub(crate) fn read_from(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn integer(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(batches: &[&[&[u8]]]) -> (Vec<u8>, Vec<usize>) {
        let (mut file, mut starts) = (Vec::new(), Vec::new());
        for entries in batches {
            let mut batch = Vec::new();
            for entry in *entries {
                let start = begin_frame(&mut batch);
                batch.extend_from_slice(entry);
                end_frame(&mut batch, start);
                starts.push(file.len() + start);
            }
            file.extend(batch);
        }
        (file, starts)
    }

    #[test]
    fn a_frame_is_read_whole_or_not_at_all() {
        let (file, starts) = batches(&[&[b"one", b"two"]]);
        assert_eq!(frame(&file, 0), Some(Frame { entry: b"one", in_batch: 0 }));
        assert_eq!(frame(&file, starts[1]), Some(Frame { entry: b"two", in_batch: 15 }));
        for end in starts[1]..file.len() {
            assert_eq!(frame(&file[..end], starts[1]), None, "{end}");
        }
        for at in 0..starts[1] {
            let mut bad = file.clone();
            bad[at] ^= 1;
            assert_eq!(frame(&bad, 0), None, "{at}");
        }
    }

    #[test]
    fn a_bad_frame_is_a_torn_end_only_within_the_last_batch() {
        let (mut file, starts) = batches(&[&[b"one"], &[b"two", b"three"]]);
        file[starts[1] + FRAME] ^= 1;
        assert_eq!(later_batch(&file, starts[1]), None);
        file[FRAME] ^= 1;
        assert_eq!(later_batch(&file, 0), Some(starts[2]));
        assert_eq!(later_batch(&[0; 100], 0), None);
    }
}
