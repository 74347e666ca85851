//! What is signed: checkpoints, the edge behind which entries were pruned, and changes of the key (C2SP signed-note, tlog-checkpoint).

use std::path::Path;
use std::{fs, io};

use signed_note::{Note, StandardVerifier, Verifier as _, VerifierList};
use tlog_tiles::Checkpoint;

use super::breaks::{UNFINISHED, VerifyError, in_file};
use super::stored::ChainHeads;
use super::tree::Hash;

/// The file of the edge.
pub(super) const PRUNED: &str = "pruned";

/// A tree head that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignedHead {
    /// Entries in the tree.
    pub(super) size: u64,
    /// The root over them.
    pub(super) root: Hash,
}

/// Reads a checkpoint that this key must have signed and that is exactly as it is written.
pub(super) fn checkpoint(bytes: &[u8], vkey: &str) -> Result<SignedHead, String> {
    match with_lines(bytes, vkey)? {
        (head, lines) if lines.is_empty() => Ok(head),
        _ => Err("has extension lines, and a checkpoint of this program has none".to_owned()),
    }
}

/// A note that is exactly as a note is written, once this key is found to have signed it.
/// The key that verifies.
pub(super) fn verifier(vkey: &str) -> Result<StandardVerifier, String> {
    StandardVerifier::new(vkey.trim()).map_err(|error| format!("the key `{vkey}`: {error}"))
}

fn note(bytes: &[u8], vkey: &str) -> Result<(Note, String), String> {
    let verifier = verifier(vkey)?;
    let name = verifier.name().to_owned();
    let note = Note::from_bytes(bytes).map_err(|error| error.to_string())?;
    if note.to_bytes() != bytes {
        return Err("is not written as a note is".to_owned());
    }
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|error| error.to_string())?;
    Ok((note, name))
}

fn with_lines(bytes: &[u8], vkey: &str) -> Result<(SignedHead, String), String> {
    let (note, name) = note(bytes, vkey)?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.to_bytes() != note.text() {
        return Err("is not written as a checkpoint is".to_owned());
    }
    if checkpoint.origin() != name {
        return Err(format!("is of the log `{}`, not of `{name}`", checkpoint.origin()));
    }
    Ok((SignedHead { size: checkpoint.size(), root: checkpoint.hash().0 }, checkpoint.extension().to_owned()))
}

/// The edge behind which entries were pruned: the tree over them, and how each chain goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PrunedEdge {
    pub(super) head: SignedHead,
    pub(super) heads: ChainHeads,
}

impl PrunedEdge {
    /// Where nothing was pruned.
    pub(super) fn none(empty: Hash) -> Self {
        Self { head: SignedHead { size: 0, root: empty }, heads: ChainHeads::empty() }
    }

    /// The edge of a ledger, or the problem with its file; `empty` is the root of a tree without entries.
    pub(super) fn load(ledger: &Path, vkey: &str, empty: Hash) -> io::Result<Result<Self, String>> {
        match fs::read(ledger.join(PRUNED)) {
            Ok(bytes) => Ok(Self::read(&bytes, vkey)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ok(Self::none(empty))),
            Err(error) => Err(error),
        }
    }

    pub(super) fn read(bytes: &[u8], vkey: &str) -> Result<Self, String> {
        let (head, line) = with_lines(bytes, vkey)?;
        let heads: ChainHeads =
            serde_json::from_str(&line).map_err(|error| format!("holds no chain heads: {error}"))?;
        if heads.size != head.size {
            return Err(format!("is signed for {} entries with the chain heads of {}", head.size, heads.size));
        }
        Ok(Self { head, heads })
    }

    /// The first entry that is kept.
    pub(super) const fn entry(&self) -> u64 {
        self.head.size
    }
}

/// The key in force, to which the statements beside the ledger lead from the one that is given.
pub(super) fn newest_key(folder: &Path, vkey: &str) -> Result<String, VerifyError> {
    match follow_rotations(folder, vkey) {
        Ok(Ok(key)) => Ok(key),
        Ok(Err((file, problem))) => Err(in_file(file, problem).into()),
        Err(source) => Err(VerifyError::Unreadable { path: folder.join("rotations"), source }),
    }
}

/// The key to which the statements beside a ledger lead from this one; the same, when no statement knows it. Else the file that does not
/// hold, and why.
fn follow_rotations(ledger: &Path, vkey: &str) -> io::Result<Result<String, (String, String)>> {
    let mut names = Vec::new();
    match fs::read_dir(ledger.join("rotations")) {
        Ok(files) => {
            for file in files {
                names.push(format!("rotations/{}", file?.file_name().to_string_lossy()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    names.retain(|name| !name.ends_with(UNFINISHED));
    names.sort();
    let given = vkey.trim();
    let (mut known, mut newest) = (false, None::<String>);
    for name in names {
        let (old, new) = match rotation(&fs::read(ledger.join(&name))?) {
            Ok(keys) => keys,
            Err(problem) => return Ok(Err((name, problem))),
        };
        if newest.is_some_and(|newest| newest != old) {
            return Ok(Err((name, "does not go on from the statement before it".to_owned())));
        }
        known |= [&old, &new].into_iter().any(|key| key == given);
        newest = Some(new);
    }
    Ok(Ok(newest.filter(|_| known).unwrap_or_else(|| given.to_owned())))
}

/// The old and the new key of a statement that both have signed.
pub(super) fn rotation(bytes: &[u8]) -> Result<(String, String), String> {
    let unread = Note::from_bytes(bytes).map_err(|error| error.to_string())?;
    let text = String::from_utf8(unread.text().to_vec()).map_err(|error| error.to_string())?;
    let ["hallgate key rotation 1", origin, size, old, new] = *text.split_terminator('\n').collect::<Vec<_>>() else {
        return Err("is no statement of a change of keys".to_owned());
    };
    if !text.ends_with('\n') || size.parse::<u64>().is_err() {
        return Err("is not written as a statement is".to_owned());
    }
    for key in [old, new] {
        let (_, name) = note(bytes, key)?;
        if name != origin {
            return Err(format!("is of the log `{origin}`, and names the key `{key}` of another"));
        }
    }
    Ok((old.to_owned(), new.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::LogKey;

    #[test]
    fn a_statement_that_is_changed_anywhere_or_lacks_a_signature_does_not_hold() {
        let folder = tempfile::tempdir().unwrap();
        let key = |name: &str| LogKey::make(&folder.path().join(name), "x.example/log").unwrap();
        let (old, new) = (key("old"), key("new"));
        let text = format!("hallgate key rotation 1\nx.example/log\n7\n{}\n{}\n", old.vkey(), new.vkey());
        let signed = |keys: &[&dyn signed_note::Signer]| {
            let mut note = Note::new(text.as_bytes(), &[]).unwrap();
            note.add_sigs(keys).unwrap();
            note.to_bytes()
        };
        assert!(rotation(&signed(&[&old])).is_err() && rotation(&signed(&[&new])).is_err());
        let note = signed(&[&old, &new]);
        assert_eq!(rotation(&note), Ok((old.vkey().to_owned(), new.vkey().to_owned())));
        for at in 0..note.len() {
            let mut bad = note.clone();
            bad[at] ^= 1;
            assert!(rotation(&bad).is_err(), "byte {at}");
        }
    }
}
