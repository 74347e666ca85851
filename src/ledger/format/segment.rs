//! Segments: append-only files of framed entries, the source of truth. Each is named by the number of its first entry.
//!
//! A file is a header and [frames](super::frame), all integers little-endian:
//!
//! ```text
//! header  "hallgate segment"  version u32  first entry u64  crc32 of the 28 bytes before
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::ledger::files;
use crate::ledger::format::frame::integer;

/// Bytes of a segment's header.
pub(crate) const HEADER: usize = 32;

const MAGIC: &[u8; 16] = b"hallgate segment";
const VERSION: u32 = 1;
const EXTENSION: &str = "seg";

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

/// Reads a segment's bytes from this place to its end.
pub(crate) fn read_from(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
