//! Frames: how an entry stands in a segment, with its length and checksum.
//!
//! All integers are little-endian:
//!
//! ```text
//! frame   crc32 of the rest of the frame  length u32  bytes since its batch began u32  entry
//! ```
//!
//! A batch is one write and is acknowledged whole or not at all, so a frame says where its batch began: a bad frame is the
//! torn end of a write only if nothing after it belongs to a later batch. Else acknowledged entries are damaged.

use crate::ledger::format::stamp::LONGEST;

/// Bytes of a frame before its entry.
pub(crate) const HEADER: usize = 12;

/// Room for a frame's header; [`end`] fills it.
pub(crate) fn begin(batch: &mut Vec<u8>) -> usize {
    let start = batch.len();
    batch.extend_from_slice(&[0; HEADER]);
    start
}

/// Completes the frame that began here and holds the rest of the batch.
pub(crate) fn end(batch: &mut [u8], start: usize) {
    let Some(frame) = batch.get_mut(start..) else { return };
    let length = frame.len().saturating_sub(HEADER);
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
pub(crate) fn at(bytes: &[u8], at: usize) -> Option<Frame<'_>> {
    let length = usize::try_from(integer(bytes, at.checked_add(4)?)?).ok()?;
    if length == 0 || length > LONGEST {
        return None;
    }
    let covered = bytes.get(at + 4..at + HEADER + length)?;
    if integer(bytes, at)? != crc32fast::hash(covered) {
        return None;
    }
    Some(Frame { entry: covered.get(HEADER - 4..)?, in_batch: integer(bytes, at + 8)? })
}

/// The frames from a place on, as long as they are whole and sound.
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    /// Those of a segment's bytes from this place on.
    pub(crate) const fn from(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where the next one would begin.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let frame = at(self.bytes, self.at)?;
        self.at += HEADER + frame.entry.len();
        Some(frame)
    }
}

/// Where, after a bad frame, an entry of a later batch follows: then what is bad was acknowledged. `None`: a torn end.
pub(crate) fn later_batch(bytes: &[u8], bad: usize) -> Option<usize> {
    (bad + 1..bytes.len()).find(|at| {
        self::at(bytes, *at).is_some_and(|frame| at.saturating_sub(usize::try_from(frame.in_batch).unwrap_or(0)) > bad)
    })
}

pub(crate) fn integer(bytes: &[u8], at: usize) -> Option<u32> {
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
                let start = begin(&mut batch);
                batch.extend_from_slice(entry);
                end(&mut batch, start);
                starts.push(file.len() + start);
            }
            file.extend(batch);
        }
        (file, starts)
    }

    #[test]
    fn a_frame_is_read_whole_or_not_at_all() {
        let (file, starts) = batches(&[&[b"one", b"two"]]);
        assert_eq!(super::at(&file, 0), Some(Frame { entry: b"one", in_batch: 0 }));
        assert_eq!(super::at(&file, starts[1]), Some(Frame { entry: b"two", in_batch: 15 }));
        for end in starts[1]..file.len() {
            assert_eq!(super::at(&file[..end], starts[1]), None, "{end}");
        }
        for at in 0..starts[1] {
            let mut bad = file.clone();
            bad[at] ^= 1;
            assert_eq!(super::at(&bad, 0), None, "{at}");
        }
    }

    #[test]
    fn a_bad_frame_is_a_torn_end_only_within_the_last_batch() {
        let (mut file, starts) = batches(&[&[b"one"], &[b"two", b"three"]]);
        file[starts[1] + HEADER] ^= 1;
        assert_eq!(later_batch(&file, starts[1]), None);
        file[HEADER] ^= 1;
        assert_eq!(later_batch(&file, 0), Some(starts[2]));
        assert_eq!(later_batch(&[0; 100], 0), None);
    }
}
