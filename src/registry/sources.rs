//! Where source files of workers may be: relative to what, and inside of which folders (`policy.allowed_worker_dirs`).

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::engine::snapshot::Source;

/// Where source files are, and where they may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// What a relative `source_file` is relative to: the configuration's folder.
    base: PathBuf,
    /// Resolved; `None`: they may be anywhere.
    within: Option<Arc<[PathBuf]>>,
    /// The folder in which absolute paths begin; `None`: where they do.
    root: Option<PathBuf>,
}

impl Sources {
    /// Files relative to `base`, and inside of one of `allowed`; of any folder if that is empty.
    #[must_use]
    pub fn new(base: &Path, allowed: &[PathBuf]) -> Self {
        let within = allowed.iter().map(|folder| resolved(&base.join(folder))).collect();
        Self { base: base.to_owned(), within: Some(within).filter(|_| !allowed.is_empty()), root: None }
    }

    /// The same, with absolute paths in this folder.
    #[must_use]
    pub fn below(self, root: Option<PathBuf>) -> Self {
        Self { root, ..self }
    }

    /// The same for records of others, which come over the API: of the folders that are listed alone, and of none where none is.
    /// Whoever could name any file would learn from the verdicts what is in it.
    #[must_use]
    pub fn listed(&self) -> Self {
        Self { within: Some(self.within.clone().unwrap_or_default()), ..self.clone() }
    }

    /// Why a file is none of these, and what to change.
    #[must_use]
    pub fn refusal(&self) -> (&'static str, &'static str) {
        if self.within.as_ref().is_some_and(|folders| folders.is_empty()) {
            let help = "leave it out, or list the folder of workers' files there";
            return ("names a file, and policy.allowed_worker_dirs lists no folder where one may be", help);
        }
        ("is outside of policy.allowed_worker_dirs", "move the file, or allow its folder")
    }

    /// The source file of a record; `None` when it is outside of the allowed folders.
    ///
    /// Every reading of the file checks this again, since what a path leads to may change.
    #[must_use]
    pub fn source(&self, written: &str) -> Option<Source> {
        let path = match (&self.root, Path::new(written).strip_prefix("/")) {
            (Some(root), Ok(below)) => absolute(&root.join(below)),
            _ => absolute(&self.base.join(written)),
        };
        let source = Source { path: Arc::from(path), within: self.within.clone() };
        admits(&source, &resolved(&source.path)).then_some(source)
    }
}

/// Whether a resolved path is inside of the folders where the source may be.
pub(super) fn admits(source: &Source, resolved: &Path) -> bool {
    // By components, so that `/opt/workers` does not hold `/opt/workers-of-others`.
    source.within.as_ref().is_none_or(|folders| folders.iter().any(|folder| resolved.starts_with(folder)))
}

/// The path without symbolic links, `.` and `..`, as far as it exists; the rest as it is written.
fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in absolute(path).components() {
        match component {
            Component::CurDir => {}
            // After links are followed, so that `..` leaves the folder that a link leads to.
            Component::ParentDir => drop(resolved.pop()),
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => {
                resolved.push(component);
                if let Ok(real) = resolved.canonicalize() {
                    resolved = real;
                }
            }
        }
    }
    resolved
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_inside_of_an_allowed_folder_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        for folder in ["workers/deep", "workers-of-others"] {
            std::fs::create_dir_all(base.join(folder)).unwrap();
        }
        for file in ["workers/a.py", "workers/deep/b.py", "workers-of-others/c.py", "d.py"] {
            std::fs::write(base.join(file), file).unwrap();
        }
        std::os::unix::fs::symlink(base.join("d.py"), base.join("workers/out.py")).unwrap();
        std::os::unix::fs::symlink(base.join("workers/a.py"), base.join("in.py")).unwrap();
        std::os::unix::fs::symlink(&base, base.join("workers/up")).unwrap();

        let sources = Sources::new(&base, &["workers".into()]);
        let absolute = base.join("workers/a.py");
        let within =
            ["workers/a.py", "workers/deep/../a.py", "in.py", "./workers/not-yet.py", absolute.to_str().unwrap()];
        for written in within {
            assert!(sources.source(written).is_some() && sources.listed().source(written).is_some(), "{written}");
        }
        let outside = [
            "d.py",
            "workers/../d.py",
            "workers/out.py",
            "workers/up/d.py",
            "workers-of-others/c.py",
            "/etc/passwd",
            "workers/deep/../../../etc/passwd",
        ];
        for written in outside {
            assert_eq!(sources.source(written), None, "{written}");
            assert_eq!(sources.listed().source(written), None, "{written}");
            assert_eq!(Sources::new(&base, &[]).listed().source(written), None, "{written}");
            assert!(Sources::new(&base, &[]).source(written).is_some(), "{written}");
        }
    }
}
