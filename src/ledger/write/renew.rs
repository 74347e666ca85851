//! Entries that may not be on the disk, whatever the kernel says, are written once more: into new files, whose pages are all new.
//!
//! It is done after a failed sync, and at a start over entries that no checkpoint signs, since the process before may have met
//! one. What is read back has to be what was recorded: the tree over it has the root that is known. Only then are the new files put in
//! the places of the old ones.

use std::path::Path;
use std::{fs, io};

use tlog_tiles::record_hash;

use crate::ledger::format::frame::Frames;
use crate::ledger::format::tree::Edge;
use crate::ledger::format::{index, segment};
use crate::ledger::{files, layout};

/// Why entries were not renewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    /// A file cannot be read or written now; it can be tried again.
    #[error(transparent)]
    File(#[from] io::Error),
    /// What is read back is not what was recorded.
    #[error(
        "a sync failed, and what is not under a checkpoint cannot be read back as it was recorded: {0}; nothing more is recorded, and the next start says what is lost"
    )]
    Lost(String),
}

/// Renews the segments with entries after `signed`; the last one has so many bytes that count. `whole` is the tree over all of them.
pub(crate) fn segments(ledger: &Path, signed: &Edge, whole: &Edge, length: u64) -> Result<(), RenewError> {
    let folder = layout::segments(ledger);
    let firsts = segment::list(&folder)?;
    let from = firsts.iter().rposition(|first| *first <= signed.size()).unwrap_or(0);
    let mut edge = signed.clone();
    let unsigned = firsts.get(from..).unwrap_or_default();
    for first in unsigned {
        let path = segment::path(&folder, *first);
        let mut bytes = fs::read(&path)?;
        if Some(first) == unsigned.last() {
            bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        }
        if let Some(problem) = segment::header_problem(&bytes, *first) {
            return Err(RenewError::Lost(format!("`{}` {problem}", path.display())));
        }
        let mut number = *first;
        let mut frames = Frames::from(&bytes, segment::HEADER);
        for frame in &mut frames {
            if number == edge.size() {
                edge.push(record_hash(frame.entry), &mut Vec::new());
            }
            number += 1;
        }
        let at = frames.at();
        if at < bytes.len() {
            return Err(RenewError::Lost(format!(
                "`{}` has a damaged frame at byte {at}, entry {number}",
                path.display()
            )));
        }
        files::write_beside(&path, &bytes, 0o600)?;
    }
    if edge.size() != whole.size() || edge.root().ok() != whole.root().ok() {
        return Err(RenewError::Lost(format!(
            "{} entries are there, not the {} that were recorded",
            edge.size(),
            whole.size()
        )));
    }
    for first in unsigned {
        files::put_in_place(&segment::path(&folder, *first))?;
    }
    Ok(files::sync_folder(&folder)?)
}

/// Renews the first so many records of the index, of which the first `gone` are of pruned entries. It is derived: what cannot be
/// read back is made again at a start.
pub(crate) fn index(ledger: &Path, gone: u64, records: u64) -> Result<(), RenewError> {
    let path = layout::index_file(ledger);
    let bytes = fs::read(&path)?;
    let sound = index::sound(&bytes, gone, records);
    let sound = sound.ok_or_else(|| RenewError::Lost(format!("`{}` is damaged", path.display())))?;
    files::replace(&path, sound, 0o600)?;
    Ok(files::sync_folder(ledger)?)
}
