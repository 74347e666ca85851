//! Documents: the files that people write. Read whole, within a bound and as UTF-8; and in a folder, what is not read is said.

mod value;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub use value::{InvalidValue, number};

/// The largest configuration, rules, catalogue or list of tests, in bytes.
pub const LARGE: u64 = 16 << 20;
/// The largest policy, record, certificate or secret, in bytes.
pub const SMALL: u64 = 1 << 20;

/// How much a folder may hold.
const MOST: usize = 10_000;
/// How deep folders are read.
const DEEPEST: usize = 8;
/// What Windows' editors and PowerShell begin a text with.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a document cannot be read, as the rest of a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system does not give it.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It has more bytes than it may.
    #[error("is larger than {0} bytes")]
    Large(u64),
    /// It is text in another encoding.
    #[error("is written in UTF-16: save it as UTF-8")]
    Utf16,
    /// It is no text: a certificate in DER, an archive.
    #[error("holds a NUL byte, so it is no text (a certificate or a key is written as PEM)")]
    Binary,
    /// It is no text.
    #[error("is not UTF-8: save it as UTF-8")]
    NoText,
}

impl Unreadable {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// The text of a file of at most so many bytes. A byte order mark before it is no part of it.
///
/// # Errors
/// It cannot be read, is larger, or is no UTF-8.
pub fn text(path: &Path, most: u64) -> Result<String, Unreadable> {
    String::from_utf8(bytes(path, most)?).map_err(|_| Unreadable::NoText)
}

/// The bytes of a file of text of at most so many, which may hold others than UTF-8. A byte order mark before it is no part of it.
///
/// # Errors
/// It cannot be read, is larger, is UTF-16, or is no text.
pub fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Unreadable::Large(most));
    }
    // No text that is read here has a NUL; a letter of ASCII has one in UTF-16.
    let wide = matches!(*bytes, [0, other, ..] | [other, 0, ..] if other != 0);
    if wide || bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(Unreadable::Utf16);
    }
    if bytes.contains(&0) {
        return Err(Unreadable::Binary);
    }
    if bytes.starts_with(MARK) {
        bytes.drain(..MARK.len());
    }
    Ok(bytes)
}

/// What tells one state of a file from another without reading it. The times are in seconds and nanoseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    /// The device on which it is.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its content changed last.
    pub modified: (i64, i64),
    /// When anything about it changed last; nobody can set it.
    pub changed: (i64, i64),
}

impl FileState {
    /// By what the system says of a file.
    #[must_use]
    pub fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What lies in a folder and is not read: what it is, as the rest of a sentence that begins with its name, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unread {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is.
    pub is: &'static str,
    /// What to do.
    pub help: String,
}

/// What of a folder is read, and what is not and should be said.
#[derive(Debug, Default)]
pub struct FolderContents {
    /// The files that are read, sorted.
    pub read: Vec<PathBuf>,
    /// What is not, and is not passed over either.
    pub unread: Vec<Unread>,
    seen: usize,
}

impl FolderContents {
    /// This file alone.
    #[must_use]
    pub fn one(path: &Path) -> Self {
        Self { read: vec![path.to_owned()], ..Self::default() }
    }
}

/// The files of a folder with this ending, and, if `deep`, of those in it. Nothing is passed over in silence but what a dot begins
/// (editors' and Kubernetes' own), `README*`, `*.md`, `*.cedarschema`, `lost+found`, and an editor's backup (`x~`) of a file that is read.
///
/// # Errors
/// A folder cannot be read.
pub fn inside(folder: &Path, ending: &str, deep: bool) -> io::Result<FolderContents> {
    let mut found = FolderContents::default();
    walk(folder, ending, if deep { DEEPEST } else { 1 }, &mut found)?;
    found.read.sort();
    let read: BTreeSet<&PathBuf> = found.read.iter().collect();
    let backup = |path: &Path| {
        let original = path.to_str().and_then(|path| path.strip_suffix('~'));
        original.is_some_and(|original| read.contains(&PathBuf::from(original)))
    };
    found.unread.retain(|unread| !backup(&unread.path));
    found.unread.sort();
    Ok(found)
}

fn walk(folder: &Path, ending: &str, deep: usize, found: &mut FolderContents) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        found.seen += 1;
        if found.seen > MOST {
            return Err(io::Error::other(format!("there are more than {MOST} files and folders in it")));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_known(&name) {
            continue;
        }
        // What a symbolic link leads to counts: Kubernetes mounts files as links.
        let Ok(kind) = fs::metadata(&path) else {
            let help = "correct what it leads to, or begin its name with a dot".to_owned();
            found.unread.push(Unread { path, is: "cannot be read", help });
            continue;
        };
        let ends = name.strip_suffix(ending).is_some_and(|stem| stem.ends_with('.'));
        let (is, what) = match (kind.is_dir(), kind.is_file()) {
            (true, _) if deep > 1 => {
                walk(&path, ending, deep - 1, found)?;
                continue;
            }
            (true, _) => ("is a folder, of which nothing is read", "move its files up".to_owned()),
            (false, true) if ends => {
                found.read.push(path);
                continue;
            }
            (false, true) => ("is not read", format!("name it `*.{ending}`")),
            (false, false) => ("is no file, and is not read", "remove it".to_owned()),
        };
        found.unread.push(Unread { path, is, help: format!("{what}, or begin its name with a dot") });
    }
    Ok(())
}

/// All that is in a folder and in those in it, as far as it is read, sorted; nothing of a file.
#[must_use]
pub fn below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && depth + 1 < DEEPEST && path.is_dir() {
                folders.push((path.clone(), depth + 1));
            }
            all.push(path);
            if all.len() > MOST {
                return all;
            }
        }
    }
    all.sort();
    all
}

fn is_known(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.starts_with('.')
        || lower.starts_with("readme")
        || lower.ends_with(".md")
        || lower.ends_with(".cedarschema")
        || lower == "lost+found"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            text(&path, 16).map_err(|why| why.to_string())
        };
        assert_eq!(read(b"\xEF\xBB\xBFa\n").as_deref(), Ok("a\n"));
        assert_eq!(read("é".as_bytes()).as_deref(), Ok("é"));
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        for text in ["\u{feff}ab", "ab"] {
            assert_eq!(read(&utf16(text)), Err("is written in UTF-16: save it as UTF-8".to_owned()));
        }
        assert!(read(b"\x30\x82\x01\x00").is_err_and(|why| why.contains("PEM")));
        assert_eq!(read(b"\xE9"), Err("is not UTF-8: save it as UTF-8".to_owned()));
        assert_eq!(read(&[b'a'; 17]), Err("is larger than 16 bytes".to_owned()));
        assert!(read(&[b'a'; 16]).is_ok());
        assert!(text(&folder.path().join("none"), 16).is_err_and(|why| why.is_missing()));
    }

    #[test]
    fn what_is_not_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["sub/deeper", "..2024_01_01", "lost+found", ".git"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let silent =
            ["a.cedar", "a.cedar~", "README", "notes.md", ".a.cedar.swp", "..2024_01_01/k.cedar", "shop.cedarschema"];
        let deep = ["sub/b.cedar", "sub/deeper/c.cedar"];
        let said = ["A.CEDAR", "a.cedar.txt", "b.json", "gone.cedar~", "a.cedar.bak", "cedar", "sub/x.cedar.disabled"];
        for name in silent.iter().chain(&deep).chain(&said) {
            fs::write(at(name), "").unwrap();
        }
        // As Kubernetes mounts a ConfigMap: through a link that is swapped.
        std::os::unix::fs::symlink("..2024_01_01", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/k.cedar", at("k.cedar")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(at("s.cedar")).unwrap();

        let names = |paths: Vec<PathBuf>| {
            let names =
                paths.into_iter().map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned());
            names.collect::<BTreeSet<_>>()
        };
        let expected = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let found = inside(folder.path(), "cedar", true).unwrap();
        assert_eq!(names(found.read), expected(&["a.cedar", "k.cedar", "sub/b.cedar", "sub/deeper/c.cedar"]));
        let unread = |found: Vec<Unread>| names(found.into_iter().map(|unread| unread.path).collect());
        assert_eq!(unread(found.unread), expected(&[&said[..], &["s.cedar"]].concat()));
        let flat = inside(folder.path(), "cedar", false).unwrap();
        assert_eq!(names(flat.read), expected(&["a.cedar", "k.cedar"]));
        assert_eq!(unread(flat.unread), expected(&[&said[..6], &["s.cedar", "sub"]].concat()));
        drop(socket);

        // A folder that leads to itself has an end.
        std::os::unix::fs::symlink(".", at("again")).unwrap();
        assert!(!inside(folder.path(), "cedar", true).unwrap().unread.is_empty());
    }
}
