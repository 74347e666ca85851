//! The file `boot`: under which boot of the machine, and with which durability, the newest entries were written.
//!
//! After another boot, entries that were acknowledged before they were on the disk may be gone. The file says when that can be. Whoever
//! has the disk can change it, as they can cut off what no checkpoint signs: what is recovered by it is reported in the log for ever.

use std::path::Path;
use std::{fs, io};

use crate::ledger::files;
use crate::ledger::settings::Durability;

const TITLE: &str = "hallgate boot 1";
const NAME: &str = "boot";
/// Where Linux says which boot this is; the same in every container of a machine.
const KERNEL: &str = "/proc/sys/kernel/random/boot_id";

/// Who wrote the newest entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Boot {
    /// The kernel's random id of the boot.
    pub(crate) id: String,
    /// When an entry counted as committed.
    pub(crate) durability: Durability,
}

/// The id of this boot; `None` where there is none to be had.
pub(crate) fn this() -> Option<String> {
    let id = fs::read_to_string(KERNEL).ok()?;
    Some(id.trim().to_owned()).filter(|id| uuid::Uuid::parse_str(id).is_ok())
}

impl Boot {
    /// Under which boot a ledger was written; `None` where nobody said so.
    pub(crate) fn of(ledger: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(ledger.join(NAME)) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let [TITLE, id, durability] = *text.lines().collect::<Vec<_>>() else { return None };
        uuid::Uuid::parse_str(id).ok()?;
        let durabilities = [Durability::Process, Durability::Power];
        let durability = durabilities.into_iter().find(|one| one.as_str() == durability)?;
        Some(Self { id: id.to_owned(), durability })
    }

    /// Says it, durably.
    pub(crate) fn put(&self, ledger: &Path) -> io::Result<()> {
        let text = format!("{TITLE}\n{}\n{}\n", self.id, self.durability.as_str());
        files::replace(&ledger.join(NAME), text.as_bytes(), 0o600)?;
        files::sync_folder(ledger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Boot::of(folder.path()).unwrap(), None);
        let boot = Boot { id: this().unwrap(), durability: Durability::Power };
        boot.put(folder.path()).unwrap();
        assert_eq!(Boot::of(folder.path()).unwrap(), Some(boot));
        for other in ["", "hallgate boot 1\nx\npower\n", "hallgate boot 2\n", "\u{0}"] {
            fs::write(folder.path().join(NAME), other).unwrap();
            assert_eq!(Boot::of(folder.path()).unwrap(), None, "{other}");
        }
    }
}
