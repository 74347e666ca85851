//! The files of a ledger, read as their documentation says they are and by nothing that writes them: names, frames, index records,
//! chain heads.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use uuid::Uuid;

use super::breaks::{VerifyError, in_file, read};

/// The content of the file `version`.
pub(super) const VERSION: &str = "hallgate ledger 1";
/// Bytes of a segment before its first frame.
pub(super) const HEADER: usize = 32;
/// Bytes of a frame before its entry.
const FRAME: usize = 12;
/// Entries for each record of the index.
pub(super) const EVERY: u64 = 256;
/// The first bytes of the index.
pub(super) const INDEX: &[u8; 16] = b"hallgate index 1";
/// Bytes of a record of the index.
pub(super) const RECORD: usize = 48;

/// It must be of the version that this program knows.
pub(super) fn check_version(folder: &Path) -> Result<(), VerifyError> {
    if read(folder, "version")?.strip_suffix(b"\n") == Some(VERSION.as_bytes()) {
        return Ok(());
    }
    Err(in_file("version", format!("is not `{}`", VERSION)).into())
}

/// A segment's file under the ledger's folder.
pub(super) fn segment_file(first: u64) -> String {
    format!("segments/{first:020}.seg")
}

/// The numbers of the first entries of all segments, in order.
pub(super) fn segments(ledger: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for file in fs::read_dir(ledger.join("segments"))? {
        let name = file?.file_name().to_string_lossy().into_owned();
        let first = name.strip_suffix(".seg").and_then(|number| number.parse().ok());
        firsts.extend(first.filter(|first| segment_file(*first) == format!("segments/{name}")));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Why a segment does not begin as this segment does.
pub(super) fn header_problem(bytes: &[u8], first: u64) -> Option<String> {
    let Some((magic, rest)) = bytes.split_at_checked(16).filter(|(magic, _)| *magic == b"hallgate segment") else {
        return Some("has a damaged header".to_owned());
    };
    let sound = word(rest, 0) == Some(1)
        && word(rest, 4).zip(word(rest, 8)).is_some_and(|(low, high)| u64::from(high) << 32 | u64::from(low) == first)
        && rest.get(..12).is_some_and(|rest| word(bytes, 28) == Some(checksum(&[magic, rest])));
    match word(rest, 0) {
        _ if sound => None,
        Some(version) if version != 1 => Some(format!("is of version {version}; this program reads version 1")),
        _ => Some("has a damaged header".to_owned()),
    }
}

/// An entry as it is framed.
pub(super) struct StoredFrame<'a> {
    pub(super) entry: &'a [u8],
    /// Bytes from the beginning of its batch to the frame.
    in_batch: u32,
    /// Where the next frame begins.
    pub(super) end: usize,
}

/// The frame at this place, if it is whole and has its checksum.
pub(super) fn frame(bytes: &[u8], at: usize) -> Option<StoredFrame<'_>> {
    let rest = bytes.get(at..)?;
    let length = usize::from(u16::try_from(word(rest, 4)?).ok().filter(|length| *length > 0)?);
    let covered = rest.get(4..FRAME + length)?;
    (word(rest, 0)? == checksum(&[covered])).then_some(())?;
    Some(StoredFrame { entry: rest.get(FRAME..FRAME + length)?, in_batch: word(rest, 8)?, end: at + FRAME + length })
}

/// Whether an entry of a later batch follows a bad frame: then it is not the torn end of the last write.
pub(super) fn later_batch(bytes: &[u8], bad: usize) -> bool {
    (bad + 1..bytes.len()).any(|at| {
        frame(bytes, at)
            .is_some_and(|frame| usize::try_from(frame.in_batch).is_ok_and(|within| at.saturating_sub(within) > bad))
    })
}

/// Where an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredPlace {
    pub(super) id: Uuid,
    /// The first entry of its segment.
    pub(super) segment: u64,
    /// Its frame's offset in the segment.
    pub(super) offset: u64,
}

/// The index record with this number; `None` when it is not sound.
pub(super) fn record(bytes: &[u8], number: u64) -> Option<StoredPlace> {
    let long = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let id = Uuid::from_bytes(*bytes.first_chunk()?);
    let sound = i64::try_from(long(16)?) == Ok(micros(id))
        && u64::from(word(bytes, 40)?) == number & u64::from(u32::MAX)
        && word(bytes, 44)? == checksum(&[bytes.get(..44)?]);
    sound.then_some(StoredPlace { id, segment: long(24)?, offset: long(32)? })
}

/// The last record of the index, from this one on, whose id is not after this one.
pub(super) fn last_record(ledger: &Path, from: u64, id: Uuid) -> io::Result<Option<(u64, StoredPlace)>> {
    let bytes = fs::read(ledger.join("index"))?;
    let (records, _) = bytes.get(INDEX.len()..).unwrap_or_default().as_chunks::<RECORD>();
    let sound = |(number, bytes): (u64, &[u8; RECORD])| Some((number, record(bytes, number)?));
    let skipped = usize::try_from(from).unwrap_or(usize::MAX);
    let kept = (0..).zip(records).skip(skipped).filter_map(sound);
    Ok(kept.take_while(|(_, place)| place.id <= id).last())
}

/// The time within an id, in microseconds since 1970 UTC: 48 bits of milliseconds, and 12 of microseconds after the version's four.
pub(super) fn micros(id: Uuid) -> i64 {
    let (high, _) = id.as_u64_pair();
    let micros = (high >> 16) * 1000 + (high & 0xfff);
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// The state of the chains after so many entries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChainHeads {
    /// The last id.
    pub(super) last: Uuid,
    /// Whether the hall is switched off.
    #[serde(default)]
    pub(super) offline: bool,
    /// The newest recovery.
    #[serde(default)]
    pub(super) recovered: Option<Newest>,
    /// Entries counted.
    pub(super) size: u64,
    /// Each stream's last receipt hash.
    pub(super) streams: BTreeMap<String, String>,
}

/// The newest recovery.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Newest {
    /// Whether somebody has said that they know.
    pub(super) acknowledged: bool,
    /// How many there were.
    pub(super) count: u64,
    /// Its file.
    pub(super) file: String,
    /// Its entry.
    pub(super) id: Uuid,
}

impl ChainHeads {
    /// Of a log without entries.
    pub(super) const fn empty() -> Self {
        Self { last: Uuid::nil(), offline: false, recovered: None, size: 0, streams: BTreeMap::new() }
    }

    /// Reads the file: a line with the checksum of the next one, which is JSON.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (sum, json) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        let json = json.strip_suffix('\n')?;
        (sum == format!("{:08x}", checksum(&[json.as_bytes()]))).then(|| serde_json::from_str(json).ok())?
    }
}

/// A walk through the entries, from one on.
pub(super) struct FrameReader<'l> {
    ledger: &'l Path,
    file: BufReader<File>,
    number: u64,
}

impl<'l> FrameReader<'l> {
    /// From the entry with this number at this place.
    pub(super) fn from(ledger: &'l Path, number: u64, segment: u64, offset: u64) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(ledger.join(segment_file(segment)))?);
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { ledger, file, number })
    }

    /// From an entry with this number, or one before it: where the index says, or the beginning of its segment.
    pub(super) fn at(ledger: &'l Path, number: u64) -> io::Result<Self> {
        let firsts = segments(ledger)?;
        let first = firsts.iter().rev().find(|first| **first <= number).or(firsts.first()).copied().unwrap_or(0);
        let at = number / EVERY;
        let mut bytes = [0; RECORD];
        let mut index = File::open(ledger.join("index"))?;
        let read = index
            .seek(SeekFrom::Start(INDEX.len() as u64 + at * RECORD as u64))
            .and_then(|_| index.read_exact(&mut bytes));
        match record(&bytes, at).filter(|_| read.is_ok()) {
            Some(place) if place.segment >= firsts.first().copied().unwrap_or(0) => {
                Self::from(ledger, at * EVERY, place.segment, place.offset)
            }
            _ => Self::from(ledger, first, first, HEADER as u64),
        }
    }

    /// The number of the next entry.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The next entry; `None` when there is none.
    ///
    /// # Errors
    /// A file cannot be read, or is damaged where an entry should be.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; FRAME];
        if let Err(error) = self.file.read_exact(&mut bytes) {
            if error.kind() != io::ErrorKind::UnexpectedEof {
                return Err(error);
            }
            let next = self.ledger.join(segment_file(self.number));
            match File::open(next) {
                Ok(file) => self.file = BufReader::new(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
            self.file.seek(SeekFrom::Start(HEADER as u64))?;
            match self.file.read_exact(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read?,
            }
        }
        let damaged = || {
            let problem = format!("the frame of entry {} is damaged", self.number);
            io::Error::new(io::ErrorKind::InvalidData, problem)
        };
        let length = word(&bytes, 4).and_then(|length| u16::try_from(length).ok()).ok_or_else(damaged)?;
        bytes.resize(FRAME + usize::from(length), 0);
        match self.file.read_exact(bytes.get_mut(FRAME..).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged()),
            read => read?,
        }
        let entry = frame(&bytes, 0).map(|frame| frame.entry.to_vec()).ok_or_else(damaged)?;
        self.number += 1;
        Ok(Some(entry))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    parts.iter().for_each(|part| sum.update(part));
    sum.finalize()
}
