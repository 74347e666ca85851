//! Going on behind a gap: what no checkpoint signs and cannot be read any more is kept, named in the log, and no part of it.
//!
//! Three steps, each of which may be the last before a crash. What is behind the end goes into a file under `lost/` that is never
//! changed. The segment is replaced, in one step, by its sound part and an entry that says what was lost. Then later segments, which
//! that file holds, are removed. A start after a crash does the rest.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use uuid::Uuid;

use crate::ids::Digest;
use crate::ledger::files;
use crate::ledger::format::chain::{Link, Streams};
use crate::ledger::format::record::Record;
use crate::ledger::format::recovered::{Gap, Recovered, Recovery};
use crate::ledger::format::{frame, ids, segment};
use crate::ledger::lock::{OpenError, broken, failed};
use crate::ledger::recover::boot::Boot;
use crate::ledger::recover::state::{By, End, Now, RecoveredState};
use crate::ledger::settings::Durability;
use crate::ledger::write::batch::Batch;
use crate::ledger::write::job::Job;

/// The folder of what was behind gaps, under the ledger's.
const LOST: &str = "lost";
/// A second recovery by itself within so many microseconds is none: somebody has to look.
const AGAIN: i64 = 3_600_000_000;

impl RecoveredState {
    /// Recovers, or says why not.
    pub(crate) fn recover(&self, end: &End, durability: Durability, now: &Now) -> Result<Gap, OpenError> {
        let path = segment::path(&self.active.folder, end.segment);
        let unread = failed(&path);
        let previous = Boot::of(&self.folder).map_err(&unread)?;
        if now.by != By::Hand
            && let Some(why) = refusal(previous.as_ref(), durability, self.streams.recovered(), now)
            && now.by == By::Boot
        {
            let End { problem, .. } = end;
            let problem = format!(
                "{problem}, past what is signed; it is not recovered by itself, because {why}: `hallgate ledger recover` does it by hand"
            );
            return Err(broken(&path, problem));
        }
        let (behind, later) = self.behind(end).map_err(&unread)?;
        let sound = sound(&behind);
        let hash = Digest::of(&behind);
        let name: String = hash.to_hex().chars().take(16).collect();
        let gap = Gap {
            by_hand: now.by != By::Boot,
            boot: now.boot.clone(),
            previous_boot: previous.map(|boot| boot.id),
            first_lost: end.entry,
            bytes: behind.len() as u64,
            file: format!("{LOST}/{:020}-{name}", end.entry),
            file_hash: hash,
            sound,
        };
        if now.by != By::Nobody {
            self.cut(&path, end, &gap, &behind, now.micros).and_then(|()| self.remove(&later)).map_err(unread)?;
        }
        Ok(gap)
    }

    /// All that is behind the end, and the segments after it.
    fn behind(&self, end: &End) -> io::Result<(Vec<u8>, Vec<u64>)> {
        let folder = &self.active.folder;
        let mut later = segment::list(folder)?;
        later.retain(|first| *first > end.segment);
        let mut bytes = segment::read_from(&segment::open(&segment::path(folder, end.segment))?, end.offset)?;
        for first in &later {
            bytes.extend(fs::read(segment::path(folder, *first))?);
        }
        Ok((bytes, later))
    }

    /// Keeps what is behind the end, and replaces the segment by what is before it and the entry that says so.
    fn cut(&self, path: &Path, end: &End, gap: &Gap, behind: &[u8], now: i64) -> io::Result<()> {
        let lost = self.folder.join(LOST);
        fs::create_dir_all(&lost)?;
        files::sync_folder(&self.folder)?;
        keep(&self.folder.join(&gap.file), behind)?;
        files::sync_folder(&lost)?;
        let mut whole = fs::read(path)?;
        whole.truncate(usize::try_from(end.offset).map_err(io::Error::other)?);
        let heads = self.streams.heads(end.entry, self.last);
        let streams = Streams::resume(&heads).ok_or_else(|| io::Error::other("the chains hold a bad digest"))?;
        // No id behind the gap is given again.
        let last = gap.sound.iter().map(|(id, _)| *id).chain([self.last]).max().unwrap_or(self.last);
        let mut batch = Batch::after(last, streams);
        batch.fill(
            &[Job::Record { record: Record::Recovery(Recovery::Recovered(gap.clone())), waiter: None }],
            now,
            &AtomicU64::new(0),
        )?;
        whole.extend_from_slice(batch.bytes());
        files::replace(path, &whole, 0o600)?;
        files::sync_folder(&self.active.folder)
    }

    /// Removes segments that are kept under `lost/`, the first one first: what is left then is the end of that file.
    fn remove(&self, later: &[u64]) -> io::Result<()> {
        for first in later {
            fs::remove_file(segment::path(&self.active.folder, *first))?;
        }
        files::sync_folder(&self.active.folder)
    }

    /// Finishes a recovery that was interrupted when this was the last entry: whether these later segments were its.
    pub(crate) fn finish_recovery(&self, later: &[u64]) -> io::Result<bool> {
        let Some(Recovered { file, .. }) = self.streams.recovered().filter(|recovered| recovered.id == self.last)
        else {
            return Ok(false);
        };
        let mut left = Vec::new();
        for first in later {
            left.extend(fs::read(segment::path(&self.active.folder, *first))?);
        }
        if !fs::read(self.folder.join(file)).is_ok_and(|lost| lost.ends_with(&left)) {
            return Ok(false);
        }
        tracing::warn!(file, "a recovery of the ledger was interrupted, and is finished");
        self.remove(later)?;
        Ok(true)
    }
}

/// Why a gap is not recovered by itself.
fn refusal(previous: Option<&Boot>, durability: Durability, last: Option<&Recovered>, now: &Now) -> Option<String> {
    let Some(previous) = previous else { return Some("under which boot it was written is not known".to_owned()) };
    let Some(boot) = &now.boot else { return Some("which boot this is cannot be told".to_owned()) };
    if previous.id == *boot {
        return Some(format!(
            "the machine has not been booted since it was written ({boot}), so no page of it was lost"
        ));
    }
    if durability == Durability::Power || previous.durability == Durability::Power {
        return Some("with `durability: power` nothing that was acknowledged can be lost by a boot".to_owned());
    }
    let since = last.map(|last| now.micros.saturating_sub(ids::micros(last.id))).filter(|since| *since < AGAIN)?;
    Some(format!(
        "the last recovery was {} s ago, and a second one within the hour is for somebody to look at",
        since / 1_000_000
    ))
}

/// Keeps bytes under a name that nothing else ever has. A start that was interrupted has kept the same.
fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    files::write_beside(path, bytes, 0o400)?;
    match files::put_if_absent(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && fs::read(path)? == bytes => Ok(()),
        kept => kept,
    }?;
    fs::set_permissions(path, Permissions::from_mode(0o400))
}

/// The whole entries anywhere in these bytes, with their hashes.
fn sound(bytes: &[u8]) -> Vec<(Uuid, Digest)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let entry = frame::at(bytes, at).map(|frame| frame.entry);
        match entry.and_then(|entry| Link::read(entry).ok().map(|link| (link, entry))) {
            Some((link, entry)) => {
                found.push((link.receipt_id, Digest::of(entry)));
                at += frame::HEADER + entry.len();
            }
            None => at += 1,
        }
    }
    found
}
