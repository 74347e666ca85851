//! The files of a policy gate: one, or every `*.cedar` of a folder.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::PolicyProblem;
use crate::ids::Digest;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// One policy file.
#[derive(Debug)]
pub(super) struct PolicyFile {
    pub(super) path: PathBuf,
    /// Its name without folders, by which policies without `@id` are called.
    pub(super) name: String,
    pub(super) text: String,
    /// Where its lines begin.
    beginnings: Vec<usize>,
}

impl PolicyFile {
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
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

/// Reads a file, or every `*.cedar` of a folder, sorted. What a dot begins is passed over: editors and Kubernetes keep their
/// own there.
pub(super) fn read(path: &Path) -> Result<Vec<PolicyFile>, Vec<PolicyProblem>> {
    let paths = match std::fs::metadata(path)
        .and_then(|found| if found.is_dir() { inside(path) } else { Ok(vec![path.to_owned()]) })
    {
        Ok(paths) => paths,
        Err(error) => {
            let message = format!("the policies cannot be read: {error}");
            return Err(vec![PolicyProblem::of_file(path, message, "make them readable, or correct policy.gate")]);
        }
    };
    if paths.is_empty() {
        let message = "holds no *.cedar file".to_owned();
        return Err(vec![PolicyProblem::of_file(path, message, "write policies into it, or correct policy.gate")]);
    }
    let (mut files, mut problems) = (Vec::with_capacity(paths.len()), Vec::new());
    for path in paths {
        match text(&path) {
            Ok(text) => files.push(PolicyFile::new(path, text)),
            Err(message) => problems.push(PolicyProblem::of_file(&path, message, "make it a readable UTF-8 file")),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

fn inside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "cedar") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > MAX_BYTES { Err(format!("is larger than {MAX_BYTES} bytes")) } else { Ok(text) }
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
