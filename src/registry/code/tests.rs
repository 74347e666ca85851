//! Hashes that are remembered, read again and refused.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::registry::sources::Sources;

fn file(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn source(path: &Path) -> Source {
    Sources::default().source(path.to_str().unwrap()).unwrap()
}

/// The code as a request finds it.
fn current(hashes: &SourceHashes, source: &Source) -> Code {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(hashes.current(source, PATIENCE))
}

fn remembered(hashes: &SourceHashes, source: &Source) -> bool {
    lock(&hashes.slot(source).known).is_some()
}

/// A file that was there long before this test, and its content.
fn old_file() -> (PathBuf, Vec<u8>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("LICENSE");
    let content = std::fs::read(&path).unwrap();
    (path, content)
}

#[test]
fn an_old_file_is_read_once_and_a_young_one_each_time() {
    let hashes = SourceHashes::default();
    let (path, content) = old_file();
    let old = source(&path);
    assert_eq!(current(&hashes, &old), Code::Is(Digest::of(&content)));
    assert!(remembered(&hashes, &old));
    // What is remembered is what is answered: the file itself is not opened again.
    let forged = Digest::of(b"forged");
    let slot = hashes.slot(&old);
    let state = (*lock(&slot.known)).unwrap().0;
    *lock(&slot.known) = Some((state, forged));
    assert_eq!(current(&hashes, &old), Code::Is(forged));
    // Unless anything about it differs.
    for other in [
        FileState { device: state.device + 1, ..state },
        FileState { inode: state.inode + 1, ..state },
        FileState { size: state.size + 1, ..state },
        FileState { modified: (state.modified.0, state.modified.1 + 1), ..state },
        FileState { changed: (state.changed.0, state.changed.1 + 1), ..state },
    ] {
        *lock(&slot.known) = Some((other, forged));
        assert_eq!(current(&hashes, &old), Code::Is(Digest::of(&content)));
    }

    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "a.py", b"young");
    let young = source(&path);
    assert_eq!(current(&hashes, &young), Code::Is(Digest::of(b"young")));
    assert!(!remembered(&hashes, &young), "a file younger than the time granule was remembered");
    // The same length, and as likely as not the same stamps.
    std::fs::write(&path, b"other").unwrap();
    assert_eq!(current(&hashes, &young), Code::Is(Digest::of(b"other")));
}

#[test]
fn a_file_settles_once_both_stamps_are_old() {
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let at = |modified, changed| FileState { device: 1, inode: 1, size: 1, modified, changed };
    for (modified, changed, settled) in [
        ((999_998, 0), (999_998, 0), true),
        ((5, 0), (999_998, 0), true),
        ((999_998, 1), (999_998, 0), false),
        ((999_998, 0), (999_998, 1), false),
        ((5, 0), (999_999, 0), false),
        ((1_000_001, 0), (5, 0), false),
        ((-1, 0), (-1, 0), true),
    ] {
        assert_eq!(is_settled(&at(modified, changed), began), settled, "{modified:?} {changed:?}");
    }
    assert!(!is_settled(&at((5, 0), (5, 0)), SystemTime::UNIX_EPOCH), "a clock at its beginning");
}

#[test]
fn what_cannot_be_read_whole_is_unavailable_and_never_a_hang() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("folder")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    std::os::unix::fs::symlink(at("fifo"), at("to-fifo")).unwrap();
    std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    // Sparse: larger than the limit, and nothing of it on the disk.
    File::create(at("large")).unwrap().set_len(MAX_BYTES + 1).unwrap();
    let secret = file(folder.path(), "unreadable", b"x");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o0)).unwrap();
    let root_reads_all = std::fs::read(&secret).is_ok();

    let hashes = SourceHashes::default();
    for name in ["gone", "folder", "fifo", "to-fifo", "loop", "socket", "large", "unreadable", "unreadable/x"] {
        if name == "unreadable" && root_reads_all {
            continue;
        }
        assert_eq!(current(&hashes, &source(&at(name))), Code::Unavailable, "{name}");
    }
    // Of no size as far as anybody is told, but not empty.
    for endless in ["/dev/zero", "/proc/self/status"] {
        assert_eq!(current(&hashes, &source(Path::new(endless))), Code::Unavailable, "{endless}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("busy.py");
    let source = source(&path);
    let meanwhile = |change: &dyn Fn()| {
        std::fs::write(&path, b"whole").unwrap();
        let opened = Opened::open(&source).unwrap();
        change();
        opened.hash(&source)
    };
    assert_eq!(meanwhile(&|| ()).unwrap().1, Digest::of(b"whole"));
    let changes: [(&str, &dyn Fn()); 5] = [
        ("grown", &|| std::fs::write(&path, b"whole and more").unwrap()),
        ("cut", &|| std::fs::write(&path, b"who").unwrap()),
        ("gone", &|| std::fs::remove_file(&path).unwrap()),
        ("replaced by its like", &|| {
            std::fs::write(folder.path().join("new"), b"whole").unwrap();
            std::fs::rename(folder.path().join("new"), &path).unwrap();
        }),
        ("stamped", &|| {
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }),
    ];
    for (what, change) in changes {
        assert!(meanwhile(change).is_err(), "{what}");
    }
}

#[test]
fn a_path_that_leads_out_of_the_allowed_folders_later_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    std::fs::create_dir(base.join("workers")).unwrap();
    let inside = file(&base.join("workers"), "a.py", b"code");
    let outside = file(&base, "a.py", b"code");
    let link = base.join("workers/link.py");
    std::os::unix::fs::symlink(&inside, &link).unwrap();
    let source = Sources::new(&base, &["workers".into()]).source("workers/link.py").unwrap();
    let hashes = SourceHashes::default();
    assert_eq!(current(&hashes, &source), Code::Is(Digest::of(b"code")));
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    assert_eq!(current(&hashes, &source), Code::Unavailable);
}

#[test]
fn a_reader_that_hangs_costs_one_thread_and_nobody_waits_for_it() {
    let (path, _) = old_file();
    let source = source(&path);
    let hashes = SourceHashes::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        // As a read holds it that does not come back.
        let _held = Arc::clone(&hashes.slot(&source).reading).lock_owned().await;
        assert_eq!(hashes.current(&source, Duration::from_millis(1)).await, Code::Unavailable);
    });
    assert!(matches!(current(&hashes, &source), Code::Is(_)));
}
