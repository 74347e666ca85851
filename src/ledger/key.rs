//! The log's signing key: a private file, and the public key beside it as a note's verifier key.
//!
//! The private file is one line, `hallgate ed25519 1 <64 hex digits>`; `<file>.pub` is one line, `<name>+<id>+<key>` (C2SP
//! signed-note), which is all that an auditor needs.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ed25519_dalek::{SignatureError, Signer as _, SigningKey};

use super::files;
use crate::ids::Digest;

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
    #[error("the key file `{}` has mode {mode:03o}: others could read it; run chmod 600 on it", path.display())]
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
        Self::load(path, name, true)
    }

    /// Reads a key, and writes the public key beside it where it is missing.
    ///
    /// # Errors
    /// The file is missing, others may read it, or it holds no key of ours; the name cannot be a key's.
    pub fn read(path: &Path, name: &str) -> Result<Self, KeyError> {
        Self::load(path, name, false)
    }

    /// Loads the key; makes it first when it is missing and `make` says so.
    pub(super) fn load(path: &Path, name: &str, make: bool) -> Result<Self, KeyError> {
        if !signed_note::is_key_name_valid(name) || name.chars().any(char::is_control) {
            return Err(KeyError::Origin(name.to_owned()));
        }
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
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
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let seed = text.trim_end().strip_prefix(PREFIX).and_then(|hex| hex.parse::<Digest>().ok());
        let key = SigningKey::from_bytes(seed.ok_or_else(|| KeyError::Malformed(path.to_owned()))?.as_bytes());
        let vkey = signed_note::new_ed25519_verifier_key(name, &key.verifying_key());
        let id = vkey.split('+').nth(1).and_then(|id| u32::from_str_radix(id, 16).ok()).unwrap_or_default();

        let mut public = path.as_os_str().to_owned();
        public.push(".pub");
        let line = format!("{vkey}\n");
        if fs::read_to_string(&public).ok().as_deref() != Some(&line) {
            files::replace(Path::new(&public), line.as_bytes(), 0o644).map_err(failed)?;
        }
        Ok(Self { name: name.to_owned(), id, key, vkey })
    }

    /// The verifier key: `<name>+<id>+<key>`.
    #[must_use]
    pub fn vkey(&self) -> &str {
        &self.vkey
    }
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
    use super::*;

    #[test]
    fn a_key_is_made_once_kept_private_and_refused_when_others_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/hallgate.key");
        assert!(matches!(LogKey::load(&path, "x.example/log", false), Err(KeyError::Missing(_))));
        let first = LogKey::load(&path, "x.example/log", true).unwrap();
        let again = LogKey::load(&path, "x.example/log", false).unwrap();
        assert_eq!(first.vkey(), again.vkey());
        assert_eq!(fs::read_to_string(folder.path().join("keys/hallgate.key.pub")).unwrap().trim_end(), first.vkey());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(LogKey::load(&path, "x.example/log", false), Err(KeyError::Exposed { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "something else").unwrap();
        assert!(matches!(LogKey::load(&path, "x.example/log", false), Err(KeyError::Malformed(_))));
        assert!(matches!(LogKey::load(&path, "a+b", true), Err(KeyError::Origin(_))));
    }
}
