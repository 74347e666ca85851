//! The first thing in a ledger that does not hold, and how files that must be there are read.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use uuid::Uuid;

/// The first thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// The entry's number, from 0, when one entry is at fault.
    pub entry: Option<u64>,
    /// Its id, when it could be read.
    pub id: Option<Uuid>,
    /// The field of the entry, or the file under the ledger's folder.
    pub field: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = self.entry {
            write!(f, "entry {entry}")?;
            if let Some(id) = self.id {
                write!(f, " ({id})")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "`{}` {}", self.field, self.problem)
    }
}

/// Why a ledger was not found to hold.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It does not.
    #[error("the ledger is broken: {0}")]
    Broken(Break),
    /// It could not be read, which says nothing about it.
    #[error("`{}` cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl From<Break> for VerifyError {
    fn from(found: Break) -> Self {
        Self::Broken(found)
    }
}

/// The file of the signed head.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// The ending of a file that is not in its place yet.
pub(super) const UNFINISHED: &str = "tmp";

/// A break in a file.
pub(super) fn in_file(field: impl Into<String>, problem: impl Into<String>) -> Break {
    Break { entry: None, id: None, field: field.into(), problem: problem.into() }
}

/// Reads a file that must be there.
pub(super) fn read(folder: &Path, name: &str) -> Result<Vec<u8>, VerifyError> {
    let path = folder.join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(in_file(name, "is missing").into()),
        Err(source) => Err(VerifyError::Unreadable { path, source }),
    }
}
