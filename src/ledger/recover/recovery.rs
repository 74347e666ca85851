//! Opening: from the files to the state in which the writer goes on, without reading the whole log.
//!
//! The last checkpoint and the chain heads beside it vouch for what is before them; everything after is read, and must follow
//! from it: whole frames, rising ids, chained hashes, and at the checkpoint's size the checkpoint's root. Only bytes that were
//! never acknowledged are cut. When that does not fit, everything that is kept is read: if it has the signed root, only derived
//! files were at fault (index, chain heads, tiles) and are made again. Else it is evidence, and not ours to repair.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::clock::now_micros;
use crate::ledger::files;
use crate::ledger::format::chain::{Heads, Streams};
use crate::ledger::format::checkpoint::{self, Head};
use crate::ledger::format::index::{self, Place};
use crate::ledger::format::key::LogKey;
use crate::ledger::format::pruned::{self, Pruned};
use crate::ledger::format::recovered::Gap;
use crate::ledger::format::segment;
use crate::ledger::format::tree::Edge;
use crate::ledger::layout::{self, VERSION};
use crate::ledger::lock::{OpenError, broken, failed, lock};
use crate::ledger::recover::boot::{self, Boot};
use crate::ledger::recover::state::{By, End, Now, RecoveredState, Start};
use crate::ledger::settings::{Durability, Settings};
use crate::ledger::write::active_segment::{ActiveSegment, Through};
use crate::ledger::write::index::Index;
use crate::ledger::write::storage::{Latch, Storage};
use crate::ledger::write::{checkpointer, prune};

/// Recovers by hand what is not recovered by itself: the ledger ends in a gap that no checkpoint signs over. Gives what was lost, or
/// with `look` what would be; `None` when there is no such gap.
///
/// # Errors
/// The ledger cannot be opened, or what is signed is damaged: that cannot be recovered.
pub fn recover(settings: &Settings, look: bool) -> Result<Option<Gap>, OpenError> {
    let version = layout::version_file(&settings.path);
    fs::metadata(&version).map_err(failed(&version))?;
    let now = Now { boot: boot::this(), micros: now_micros(), by: if look { By::Nobody } else { By::Hand } };
    open(settings, Box::new(|file| Arc::new(file)), &now).map(|(_, gap)| gap)
}

/// Opens a ledger, or makes it. With the gap that was recovered, or would be.
pub(crate) fn open(
    settings: &Settings,
    through: Through,
    now: &Now,
) -> Result<(RecoveredState, Option<Gap>), OpenError> {
    let folder = &settings.path;
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let lock = lock(folder)?;
    let key = begin(settings)?;

    let checkpoint = layout::checkpoint_file(folder);
    let note = match fs::read(&checkpoint) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(broken(&checkpoint, "is missing")),
        note => note.map_err(failed(&checkpoint))?,
    };
    if let Some(signer) = checkpoint::strangers(&note, key.vkey()) {
        let (key_file, configured) = (settings.key_file.clone(), key.vkey().to_owned());
        return Err(OpenError::OtherKey { path: checkpoint, signer, key_file, configured });
    }
    let head = checkpoint::read(&note, key.vkey()).map_err(|problem| broken(&checkpoint, problem))?;
    let path = folder.join(pruned::PRUNED);
    let pruned = Pruned::load(folder, key.vkey()).map_err(failed(&path))?.map_err(|problem| broken(&path, problem))?;
    if pruned.edge() > head.size {
        let problem =
            format!("is signed for {} entries, but {} were pruned: it was set back", head.size, pruned.edge());
        return Err(broken(&checkpoint, problem));
    }
    prune::finish(&layout::segments(folder), pruned.edge()).map_err(failed(&layout::segments(folder)))?;

    let path = layout::index_file(folder);
    let index_file = index::open(&path).map_err(failed(&path))?;
    let active = ActiveSegment {
        ledger: folder.clone(),
        folder: layout::segments(folder),
        power: settings.durability == Durability::Power,
        segment_bytes: settings.segment_bytes,
        segment_span: settings.retention.span(),
        through,
        segment: None,
        untrimmed: false,
        full: Vec::new(),
        unnamed: true,
        doubtful: false,
    };
    let index: Arc<dyn Storage> = match now.by {
        By::Nobody => Arc::new(Unwritten),
        By::Boot | By::Hand => Arc::new(index_file.try_clone().map_err(failed(&path))?),
    };
    let index = Index::resume(Latch::over(index)).map_err(failed(&path))?;
    let mut restored = RecoveredState {
        lock,
        key,
        last: Uuid::nil(),
        streams: Streams::new(),
        active,
        index,
        edge: Edge::empty(),
        tiles: Vec::new(),
        checkpointed: Edge::empty(),
        heads_behind: true,
        pruned: pruned.edge(),
        folder: folder.clone(),
        unsound: Vec::new(),
    };
    let (start, end) = restored.find_end(head, &pruned, &index_file, now)?;
    let mut gap = None;
    if let Some(end) = end {
        gap = Some(restored.recover(&end, settings.durability, now)?);
        if now.by == By::Nobody {
            return Ok((restored, gap));
        }
        if let Some(end) = restored.replay(&start, head, now)? {
            return Err(broken(&segment::path(&restored.active.folder, end.segment), end.problem));
        }
        let Gap { first_lost, bytes, file, sound, .. } = gap.as_ref().ok_or_else(|| broken(folder, "has no gap"))?;
        tracing::error!(
            first_lost,
            bytes,
            file,
            sound = sound.len(),
            "the ledger ended in a gap and goes on behind it: what was recorded from this entry on is lost, or in the file alone"
        );
    }
    if now.by == By::Nobody {
        return Ok((restored, gap));
    }
    // The process before may have met a sync that failed, and what the kernel shows may not be on the disk.
    restored.active.doubtful = restored.edge.size() > restored.checkpointed.size();
    restored.mend_tiles()?;
    restored.index.flush().map_err(failed(&path))?;
    let boot = now.boot.clone().map(|id| Boot { id, durability: settings.durability });
    if let Some(boot) = boot.filter(|_| now.by == By::Boot)
        && Boot::of(folder).map_err(failed(folder))?.as_ref() != Some(&boot)
    {
        boot.put(folder).map_err(failed(folder))?;
    }
    Ok((restored, gap))
}

/// Where nothing is to be changed.
struct Unwritten;

impl Storage for Unwritten {
    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn named_length(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// Checks the version; makes an empty ledger where there is none. `version` is written last: with it, all is there.
fn begin(settings: &Settings) -> Result<LogKey, OpenError> {
    let folder = &settings.path;
    let version = layout::version_file(folder);
    let segments = layout::segments(folder);
    match fs::read_to_string(&version) {
        Ok(found) if found == VERSION => Ok(LogKey::of(settings, false)?),
        Ok(found) => Err(OpenError::Version { path: folder.clone(), found: found.trim().to_owned() }),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&version)(error)),
        Err(_) => {
            fs::create_dir_all(&segments).map_err(failed(&segments))?;
            if !segment::list(&segments).map_err(failed(&segments))?.is_empty() {
                return Err(broken(&version, "is missing, but there are entries"));
            }
            let key = LogKey::of(settings, true)?;
            checkpointer::begin(folder, &key).map_err(failed(folder))?;
            files::replace(&version, VERSION.as_bytes(), 0o644).map_err(failed(&version))?;
            files::sync_folder(folder).map_err(failed(folder))?;
            Ok(key)
        }
    }
}

impl Start {
    /// Where the stored chain heads and the index lead; `None` when they are not sound.
    fn at_heads(folder: &Path, head: Head, pruned: &Pruned, index: &File) -> Result<Option<Self>, OpenError> {
        let path = layout::heads_file(folder);
        let heads = match fs::read(&path) {
            Ok(bytes) => Heads::from_bytes(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&path)(error)),
        };
        let Some(heads) = heads else { return Ok(None) };
        if heads.size > head.size {
            let problem =
                format!("is signed for {} entries, but {} were sealed: it was set back", head.size, heads.size);
            return Err(broken(&layout::checkpoint_file(folder), problem));
        }
        // Of the entries under the heads, so that the index has its record.
        let entry = heads.size.saturating_sub(1) / index::EVERY * index::EVERY;
        let records = entry / index::EVERY;
        let (segment, offset) = match index::read(index, records) {
            _ if entry == 0 && pruned.edge() == 0 => (0, segment::HEADER as u64),
            Some(Place { segment, offset, .. }) if segment >= pruned.edge() => (segment, offset),
            _ => return Ok(None),
        };
        Ok(Some(Self { heads, entry, segment, offset, records, root: None }))
    }

    /// Where the first entry that is kept is.
    fn at_edge(pruned: &Pruned, index: &File, now: &Now) -> io::Result<Self> {
        let records = pruned.edge().div_ceil(index::EVERY);
        if now.by != By::Nobody {
            index::blank_unsound(index, records)?;
        }
        let (heads, entry) = (pruned.heads.clone(), pruned.edge());
        Ok(Self { heads, entry, segment: entry, offset: segment::HEADER as u64, records, root: Some(pruned.head) })
    }
}

impl RecoveredState {
    /// Reads to the end, from the chain heads if it can be; where it began, and where the log ends if something follows there.
    fn find_end(
        &mut self,
        head: Head,
        pruned: &Pruned,
        index: &File,
        now: &Now,
    ) -> Result<(Start, Option<End>), OpenError> {
        let folder = self.folder.clone();
        let quick = match Start::at_heads(&folder, head, pruned, index)? {
            Some(start) => self.replay(&start, head, now).map(|end| (start, end)),
            None => Err(broken(&layout::heads_file(&folder), "or the index beside it is not sound")),
        };
        let error = match quick {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        tracing::warn!(%error, "the ledger does not follow from its last checkpoint: all entries are read");
        let path = layout::index_file(&folder);
        let start = Start::at_edge(pruned, index, now).map_err(failed(&path))?;
        let end = self.replay(&start, head, now)?;
        tracing::warn!("the ledger's entries hold: index, chain heads and tiles are made again");
        Ok((start, end))
    }

    /// Puts the tiles in place that are not as the entries make them. The entries have the signed root by now.
    fn mend_tiles(&mut self) -> Result<(), OpenError> {
        if self.unsound.is_empty() {
            return Ok(());
        }
        tracing::warn!(tiles = self.unsound.len(), "tiles of the ledger were missing or unsound and are made again");
        checkpointer::put_tiles(&self.folder, &self.unsound).map_err(failed(&self.folder.join("tile")))?;
        self.unsound.clear();
        Ok(())
    }
}
