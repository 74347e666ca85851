//! The files of a policy gate: one, or every `*.cedar` of a folder and of those in it.

use std::path::{Path, PathBuf};

use super::PolicyProblem;
use crate::documents::{self, FolderContents};
use crate::ids::Digest;

/// One policy file.
#[derive(Debug)]
pub(super) struct PolicyFile {
    pub(super) path: PathBuf,
    /// Its name below the policies' folder, by which policies without `@id` are called.
    pub(super) name: String,
    pub(super) text: String,
    /// Where its lines begin.
    beginnings: Vec<usize>,
}

impl PolicyFile {
    /// The file at `path`, found in `root` or being it.
    pub(super) fn new(root: &Path, path: PathBuf, text: String) -> Self {
        let below = path.strip_prefix(root).ok().filter(|below| !below.as_os_str().is_empty()).map(Path::as_os_str);
        let name = below.or(path.file_name()).unwrap_or_default().to_string_lossy().into_owned();
        let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let beginnings = std::iter::once(0).chain(after).collect();
        Self { path, name, text, beginnings }
    }

    /// Line and column (in characters), both from 1.
    pub(super) fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.beginnings.partition_point(|begin| *begin <= offset);
        let begin = line.checked_sub(1).and_then(|at| self.beginnings.get(at)).copied().unwrap_or(0);
        let column = self.text.get(begin..offset).map_or(1, |before| before.chars().count() + 1);
        (line.max(1), column)
    }
}

/// Reads a file, or every `*.cedar` of a folder and of those in it, sorted. What else lies there is a problem: a `forbid` that is
/// not read would be a hole.
pub(super) fn read(root: &Path) -> Result<Vec<PolicyFile>, Vec<PolicyProblem>> {
    let found = std::fs::metadata(root).and_then(|found| match found.is_dir() {
        true => documents::inside(root, "cedar", true),
        false => Ok(FolderContents::one(root)),
    });
    let FolderContents { read, unread, .. } = found.map_err(|error| {
        let message = format!("the policies cannot be read: {error}");
        vec![PolicyProblem::of_file(root, message, "make them readable, or correct policy.gate")]
    })?;
    let unread =
        unread.into_iter().map(|unread| PolicyProblem::of_file(&unread.path, unread.is.to_owned(), &unread.help));
    let mut problems: Vec<PolicyProblem> = unread.collect();
    if read.is_empty() && problems.is_empty() {
        let message = "holds no *.cedar file".to_owned();
        return Err(vec![PolicyProblem::of_file(root, message, "write policies into it, or correct policy.gate")]);
    }
    let mut files = Vec::with_capacity(read.len());
    for path in read {
        match documents::text(&path, documents::SMALL) {
            Ok(text) => files.push(PolicyFile::new(root, path, text)),
            Err(why) => problems.push(PolicyProblem::of_file(&path, why.to_string(), "make it a readable UTF-8 file")),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// The digest of names and texts, the same wherever the files are.
pub(super) fn digest(files: &[PolicyFile]) -> Digest {
    let mut all = b"hallgate policies 1".to_vec();
    for part in files.iter().flat_map(|file| [&file.name, &file.text]) {
        all.extend((part.len() as u64).to_be_bytes());
        all.extend(part.as_bytes());
    }
    Digest::of(&all)
}
