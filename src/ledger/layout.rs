//! The files under a ledger's folder. What is public has its place as C2SP tlog-tiles serves it.

use std::path::{Path, PathBuf};

/// The content of the file `version`.
pub(crate) const VERSION: &str = "hallgate ledger 1\n";

/// The signed head of the tree.
const CHECKPOINT: &str = "checkpoint";

pub(crate) fn checkpoint_file(folder: &Path) -> PathBuf {
    folder.join(CHECKPOINT)
}
pub(crate) fn decisions(folder: &Path) -> PathBuf {
    folder.join("decisions")
}
pub(crate) fn heads_file(folder: &Path) -> PathBuf {
    folder.join("heads")
}
pub(crate) fn index_file(folder: &Path) -> PathBuf {
    folder.join("index")
}
pub(crate) fn lock_file(folder: &Path) -> PathBuf {
    folder.join("lock")
}
pub(crate) fn version_file(folder: &Path) -> PathBuf {
    folder.join("version")
}
pub(crate) fn rotations(folder: &Path) -> PathBuf {
    folder.join("rotations")
}
pub(crate) fn segments(folder: &Path) -> PathBuf {
    folder.join("segments")
}
