//! Registry records as files: one JSON object a worker, in one folder (WCP_SPEC 6).

use std::path::{Path, PathBuf};

use crate::engine::Mode;
use crate::engine::snapshot::Worker;

/// A problem in a registry record, with its place and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordProblem {
    /// The file, or the folder when it cannot be read.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Which field, such as `capabilities[2]`; empty for the whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

/// Reads every `*.json` of a folder as a registry record, in the order of their names.
///
/// # Errors
/// Every problem of every record at once.
pub fn load(folder: &Path, mode: Mode) -> Result<Vec<Worker>, Vec<RecordProblem>> {
    let _ = (folder, mode);
    todo!()
}
