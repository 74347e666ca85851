//! One process has a ledger open at a time: its lock, and why a ledger cannot be opened.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::ledger::format::key::KeyError;
use crate::ledger::layout::{self, VERSION};

/// Why a ledger cannot be opened. Nothing is allowed or forwarded without one.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes it.
    #[error("the ledger `{}` is in use by another process; stop it, or set another ledger.path", .0.display())]
    InUse(PathBuf),
    /// A file or folder cannot be read or made.
    #[error("the ledger's `{}` cannot be read or made: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is of another version.
    #[error("the ledger `{}` is of version `{found}`; this program reads `{}`", path.display(), VERSION.trim())]
    Version {
        /// The ledger.
        path: PathBuf,
        /// The content of its `version`.
        found: String,
    },
    /// There is no key to sign with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It was last sealed with another key.
    #[error("the ledger's `{}` is signed by `{signer}`, not by the key file `{}`, which is `{configured}`; set ledger.key_file and ledger.origin to those of the signer, or change keys with `hallgate key rotate`", path.display(), key_file.display())]
    OtherKey {
        /// The checkpoint.
        path: PathBuf,
        /// Who signed it: `<name>+<id>`.
        signer: String,
        /// The configured key file.
        key_file: PathBuf,
        /// Its verifier key.
        configured: String,
    },
    /// What is stored does not hold together.
    #[error("the ledger's `{}` {problem}; run `hallgate audit verify` and keep a copy as evidence", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

pub(crate) fn failed(path: &Path) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::File { path: path.to_owned(), source }
}

pub(crate) fn broken(path: &Path, problem: impl Into<String>) -> OpenError {
    OpenError::Broken { path: path.to_owned(), problem: problem.into() }
}

/// Nobody else may write here.
pub(crate) fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = layout::lock_file(folder);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(&path)(error)),
    }
}
