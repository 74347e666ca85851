//! A change of the log's key: a statement that the old and the new key both sign, kept in `rotations/` beside the entries.
//!
//! Whoever holds the old public key follows the statements to the one in force; whoever holds the new one needs none of them.
//! The statement is a signed note (C2SP signed-note) whose first line no checkpoint can have, since no origin has a space in it:
//!
//! ```text
//! hallgate key rotation 1
//! <origin>
//! <entries under the checkpoint at which the key changes>
//! <old verifier key>
//! <new verifier key>
//! ```

use std::path::{Path, PathBuf};
use std::{fs, io};

use signed_note::{Note, Signer as _};

use crate::ledger::format::checkpoint;
use crate::ledger::format::key::LogKey;
use crate::ledger::format::pruned::{PRUNED, Pruned};
use crate::ledger::lock::{OpenError, lock};
use crate::ledger::{files, layout};

const TITLE: &str = "hallgate key rotation 1";

/// Why the key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// A process has the ledger open, or it cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The newest checkpoint is not signed by the old key.
    #[error("the ledger's checkpoint is not the old key's: {0}")]
    NotSigned(String),
    /// The new key is the old one.
    #[error("the new key is the old one: make another with `hallgate key new`")]
    Same,
    /// A file cannot be read or written.
    #[error("`{}` cannot be read or written: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn failed(path: &Path) -> impl Fn(io::Error) -> RotateError {
    move |source| RotateError::File { path: path.to_owned(), source }
}

/// Changes the key of a ledger that no process has open. When it was interrupted, do it again. Gives the number of entries
/// under the checkpoint that both keys sign.
///
/// # Errors
/// The ledger is in use, is not the old key's, or cannot be written.
pub fn rotate(folder: &Path, old: &LogKey, new: &LogKey) -> Result<u64, RotateError> {
    if old.vkey() == new.vkey() {
        return Err(RotateError::Same);
    }
    let version = layout::version_file(folder);
    fs::metadata(&version).map_err(failed(&version))?;
    let _lock = lock(folder)?;
    let path = layout::checkpoint_file(folder);
    let note = fs::read(&path).map_err(failed(&path))?;
    let head = checkpoint::read(&note, old.vkey()).map_err(RotateError::NotSigned)?;

    let statement = format!("{TITLE}\n{}\n{}\n{}\n{}\n", old.name(), head.size, old.vkey(), new.vkey());
    let mut signed = Note::new(statement.as_bytes(), &[]).map_err(|error| RotateError::NotSigned(error.to_string()))?;
    signed.add_sigs(&[old, new]).map_err(|error| RotateError::NotSigned(error.to_string()))?;
    let both = checkpoint::sign_with(&[old, new], head, "").map_err(RotateError::NotSigned)?;
    let edge_file = folder.join(PRUNED);
    let edge = Pruned::load(folder, old.vkey()).map_err(failed(&edge_file))?.map_err(RotateError::NotSigned)?;
    let edge_note = edge.sign_by(&[old, new]).map_err(RotateError::NotSigned)?;

    let rotations = layout::rotations(folder);
    fs::create_dir_all(&rotations).map_err(failed(&rotations))?;
    let known = statements(folder).map_err(failed(&rotations))?;
    // The same change, interrupted after the statement, is made again under the same number.
    let again = known.last().is_some_and(|(_, last)| last.starts_with(statement.as_bytes()));
    let file = rotations.join(format!("{:04}", known.len() - usize::from(again)));
    files::replace(&file, &signed.to_bytes(), 0o644).map_err(failed(&file))?;
    files::sync_folder(&rotations).map_err(failed(&rotations))?;
    if edge.edge() > 0 {
        files::replace(&edge_file, &edge_note, 0o644).map_err(failed(&edge_file))?;
    }
    files::replace(&path, &both, 0o644).map_err(failed(&path))?;
    files::sync_folder(folder).map_err(failed(folder))?;
    Ok(head.size)
}

/// The statements beside a ledger, by name, which is their order.
fn statements(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let files = match fs::read_dir(layout::rotations(folder)) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut statements = Vec::new();
    for file in files {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if !name.ends_with(files::UNFINISHED) {
            statements.push((name, fs::read(file.path())?));
        }
    }
    statements.sort();
    Ok(statements)
}
