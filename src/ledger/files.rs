//! Small files that are whole or not there: written beside, synced, and renamed into place.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The ending of a file that is not in place yet.
pub(crate) const UNFINISHED: &str = "tmp";

/// Replaces a file's content as one step. The name itself is durable only after [`sync_folder`].
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write_beside(path, bytes, mode)?;
    put_in_place(path)
}

/// The first half of [`replace`]: the new content, durable beside the old.
pub(crate) fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = beside(path);
    // A leftover may be of another mode.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// The second half of [`replace`].
pub(crate) fn put_in_place(path: &Path) -> io::Result<()> {
    fs::rename(beside(path), path)
}

/// As [`put_in_place`], but only where nothing is yet.
pub(crate) fn put_if_absent(path: &Path) -> io::Result<()> {
    let beside = beside(path);
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    linked
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".");
    name.push(UNFINISHED);
    path.with_file_name(name)
}
