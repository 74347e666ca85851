//! The log's signing key: a private file, and the public key beside it as a note's verifier key.
//!
//! The private file is one line, `hallgate ed25519 1 <64 hex digits>`; `<file>.pub` is one line, `<name>+<id>+<key>` (C2SP
//! signed-note), which is all that an auditor needs. One key may sign several logs: a verifier key holds a log's name, and a
//! checkpoint is held against it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use ed25519_dalek::{SignatureError, Signer as _, SigningKey};

use crate::documents;
use crate::ids::Digest;
use crate::ledger::files;
use crate::ledger::settings::Settings;

const PREFIX: &str = "hallgate ed25519 1 ";

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The log's name cannot stand in a note.
    #[error("the ledger's origin `{0}` is no key name: it needs at least one character and no space and no `+`")]
    Origin(String),
    /// The key file cannot be read or written.
    #[error("the key file `{}` cannot be read or made: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the key file.
    #[error("the key file `{}` has mode {mode:03o}: others could read it; run chmod 600 on it, or mount it as root's with mode 440", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The key file is not one of ours.
    #[error("the key file `{}` does not hold an ed25519 key of this program", .0.display())]
    Malformed(PathBuf),
    /// A key is to be made where one is.
    #[error("the key file `{}` is there already; name another", .0.display())]
    Exists(PathBuf),
    /// A ledger exists, but its key does not.
    #[error("the key file `{}` is missing, and the ledger was begun with it; put it back", .0.display())]
    Missing(PathBuf),
}

/// The key with the name under which it signs.
#[derive(Debug)]
pub struct LogKey {
    name: String,
    id: u32,
    key: SigningKey,
    vkey: String,
}

impl LogKey {
    /// Makes a key in a file that must not be there yet, and writes the public key beside it.
    ///
    /// # Errors
    /// The file is there, cannot be written, or the name cannot be a key's.
    pub fn make(path: &Path, name: &str) -> Result<Self, KeyError> {
        if path.exists() {
            return Err(KeyError::Exists(path.to_owned()));
        }
        Self::load(path, name, true)?.published(path, None)
    }

    /// Reads a key, and writes the public key beside it where it is missing and can be written.
    ///
    /// # Errors
    /// The file is missing, others may read it, or it holds no key of ours; the name cannot be a key's.
    pub fn read(path: &Path, name: &str) -> Result<Self, KeyError> {
        Self::load(path, name, false)?.published(path, None)
    }

    /// Reads the key of a ledger, or makes it when it is missing and `make` says so. The public key is written beside it, or, where
    /// nothing can be written there, beside the ledger.
    pub(crate) fn of(settings: &Settings, make: bool) -> Result<Self, KeyError> {
        let key = Self::load(&settings.key_file, &settings.origin, make)?;
        key.published(&settings.key_file, settings.path.parent())
    }

    /// Loads the key; makes it first when it is missing and `make` says so.
    fn load(path: &Path, name: &str, make: bool) -> Result<Self, KeyError> {
        if !signed_note::is_key_name_valid(name) || name.chars().any(char::is_control) {
            return Err(KeyError::Origin(name.to_owned()));
        }
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let text = match documents::text(path, documents::SMALL) {
            Ok(text) => text,
            Err(why) if !why.is_missing() => return Err(failed(io::Error::other(why))),
            Err(_) if !make => return Err(KeyError::Missing(path.to_owned())),
            Err(_) => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|error| failed(io::Error::other(error)))?;
                let text = format!("{PREFIX}{}\n", Digest::from_bytes(seed).to_hex());
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder).map_err(failed)?;
                }
                files::replace(path, text.as_bytes(), 0o600).map_err(failed)?;
                tracing::info!(key_file = %path.display(), "made a new signing key for the ledger: keep a copy of it where others cannot read it");
                text
            }
        };
        let found = fs::metadata(path).map_err(failed)?;
        if is_exposed(&found) {
            return Err(KeyError::Exposed { path: path.to_owned(), mode: found.mode() & 0o777 });
        }
        let seed = text.trim_end().strip_prefix(PREFIX).and_then(|hex| hex.parse::<Digest>().ok());
        let key = SigningKey::from_bytes(seed.ok_or_else(|| KeyError::Malformed(path.to_owned()))?.as_bytes());
        let vkey = signed_note::new_ed25519_verifier_key(name, &key.verifying_key());
        let id = vkey.split('+').nth(1).and_then(|id| u32::from_str_radix(id, 16).ok()).unwrap_or_default();
        Ok(Self { name: name.to_owned(), id, key, vkey })
    }

    /// Writes the public key beside the key's file, or, where nothing can be written, under the same name into the other folder.
    fn published(self, path: &Path, other: Option<&Path>) -> Result<Self, KeyError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".pub");
        let write = |public: &Path| {
            let line = format!("{}\n", self.vkey);
            if fs::read_to_string(public).is_ok_and(|found| found == line) {
                return Ok(());
            }
            files::replace(public, line.as_bytes(), 0o644)
        };
        let written = match (write(&path.with_file_name(&name)), other) {
            (Err(error), Some(folder)) if is_closed(&error) => write(&folder.join(&name)),
            (Err(error), None) if is_closed(&error) => Ok(()),
            (written, _) => written,
        };
        written.map_err(|source| KeyError::File { path: path.to_owned(), source })?;
        Ok(self)
    }

    /// The verifier key: `<name>+<id>+<key>`.
    #[must_use]
    pub fn vkey(&self) -> &str {
        &self.vkey
    }
}

/// Whether others could read a key file. One that root gave us may be its group's to read: so Secrets are mounted in a pod, and
/// nobody but root could make it more private and leave it to us.
fn is_exposed(found: &fs::Metadata) -> bool {
    let given = found.uid() == 0 && !rustix::process::geteuid().is_root();
    found.mode() & if given { 0o037 } else { 0o077 } != 0
}

/// Whether nothing can be written there.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

impl signed_note::Signer for LogKey {
    fn name(&self) -> &str {
        &self.name
    }
    fn key_id(&self) -> u32 {
        self.id
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.key.try_sign(message)?.to_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_kept_private_and_refused_when_others_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/hallgate.key");
        assert!(matches!(LogKey::read(&path, "x.example/log"), Err(KeyError::Missing(_))));
        let first = LogKey::make(&path, "x.example/log").unwrap();
        let again = LogKey::read(&path, "x.example/log").unwrap();
        assert_eq!(first.vkey(), again.vkey());
        assert_eq!(fs::read_to_string(folder.path().join("keys/hallgate.key.pub")).unwrap().trim_end(), first.vkey());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(LogKey::read(&path, "x.example/log"), Err(KeyError::Exposed { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "something else").unwrap();
        assert!(matches!(LogKey::read(&path, "x.example/log"), Err(KeyError::Malformed(_))));
        assert!(matches!(LogKey::load(&path, "a+b", true), Err(KeyError::Origin(_))));
    }
}
