//! What the writer does to a file, and a file that is never synced again once a sync of it has failed.
//!
//! The kernel tells of a lost page once. Then it may call the page clean, and the next sync of the same file succeeds and proves
//! nothing. Whoever syncs a file here, the first failure is the last word on it: what it holds has to be written to a new file.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};

/// What the writer does to a file. Tests put faults behind it.
pub(crate) trait Storage: Send + Sync {
    /// Writes all of it at this place.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file to this length.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Waits until the content is on the disk.
    fn sync_data(&self) -> io::Result<()>;
    /// Its length, if the file still has a name; nobody will find what is written to one without.
    fn named_length(&self) -> io::Result<Option<u64>>;
}

impl Storage for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }
    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }
    fn named_length(&self) -> io::Result<Option<u64>> {
        let metadata = self.metadata()?;
        Ok((metadata.nlink() > 0).then_some(metadata.len()))
    }
}

/// A file, and whether a sync of it has failed.
pub(crate) struct Latch {
    file: Arc<dyn Storage>,
    failed: Mutex<bool>,
}

impl Latch {
    /// Over a file that nobody has synced in vain.
    pub(crate) fn over(file: Arc<dyn Storage>) -> Arc<dyn Storage> {
        Arc::new(Self { file, failed: Mutex::new(false) })
    }
}

impl Storage for Latch {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        // Held over the sync: of two at once the kernel would tell only one of the failure.
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *failed {
            return Err(io::Error::other("a sync of this file has failed before, and no later one is believed"));
        }
        let synced = self.file.sync_data();
        *failed = synced.is_err();
        synced
    }
    fn named_length(&self) -> io::Result<Option<u64>> {
        self.file.named_length()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A kernel that tells of a lost page once.
    #[derive(Default)]
    struct Lost(AtomicUsize);

    impl Storage for Lost {
        fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            Ok(())
        }
        fn set_len(&self, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn sync_data(&self) -> io::Result<()> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                1 => Err(io::Error::other("lost")),
                _ => Ok(()),
            }
        }
        fn named_length(&self) -> io::Result<Option<u64>> {
            Ok(None)
        }
    }

    #[test]
    fn the_first_sync_that_fails_is_the_last_that_is_tried() {
        let file = Arc::new(Lost::default());
        let latch = Latch::over(Arc::clone(&file) as Arc<dyn Storage>);
        latch.sync_data().unwrap();
        assert_eq!(latch.sync_data().unwrap_err().to_string(), "lost");
        for _ in 0..2 {
            assert!(latch.sync_data().unwrap_err().to_string().contains("no later one is believed"));
        }
        assert_eq!(file.0.load(Ordering::Relaxed), 2);
    }
}
