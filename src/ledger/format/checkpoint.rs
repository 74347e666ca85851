//! Checkpoints: the tree's size and root, signed (C2SP tlog-checkpoint in a signed-note).

use signed_note::{Note, Signature, StandardVerifier, Verifier as _, VerifierList};
use tlog_tiles::{Checkpoint, Hash};

use crate::ledger::format::key::LogKey;

/// A tree head that was signed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Head {
    /// Entries in the tree.
    pub(crate) size: u64,
    /// The root over them.
    pub(crate) root: Hash,
}

/// The signed note of a head.
pub(crate) fn sign(key: &LogKey, head: Head) -> Result<Vec<u8>, String> {
    sign_with(&[key], head, "")
}

/// The signed note of a head with extension lines; at a change of keys by both, which have the one name.
pub(crate) fn sign_with(keys: &[&LogKey], head: Head, lines: &str) -> Result<Vec<u8>, String> {
    let name = keys.first().map(|key| signed_note::Signer::name(*key)).unwrap_or_default();
    let checkpoint = Checkpoint::new(name, head.size, head.root, lines).map_err(|error| error.to_string())?;
    let mut note = Note::new(&checkpoint.to_bytes(), &[]).map_err(|error| error.to_string())?;
    let keys: Vec<&dyn signed_note::Signer> = keys.iter().map(|key| *key as &dyn signed_note::Signer).collect();
    note.add_sigs(&keys).map_err(|error| error.to_string())?;
    Ok(note.to_bytes())
}

/// What a checkpoint says, whoever signed it: for a process that reads what it wrote itself.
pub(crate) fn unverified(bytes: &[u8]) -> Result<Head, String> {
    let note = Note::from_bytes(bytes).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())?;
    Ok(Head { size: checkpoint.size(), root: *checkpoint.hash() })
}

/// Reads a checkpoint that must be signed by this verifier key and be exactly as it is written.
pub(crate) fn read(bytes: &[u8], vkey: &str) -> Result<Head, String> {
    match read_with(bytes, vkey)? {
        (head, lines) if lines.is_empty() => Ok(head),
        _ => Err("has extension lines, and a checkpoint of this program has none".to_owned()),
    }
}

/// Reads a checkpoint with its extension lines.
pub(crate) fn read_with(bytes: &[u8], vkey: &str) -> Result<(Head, String), String> {
    let verifier = StandardVerifier::new(vkey.trim()).map_err(|error| format!("the key `{vkey}`: {error}"))?;
    let name = verifier.name().to_owned();
    let note = Note::from_bytes(bytes).map_err(|error| error.to_string())?;
    if note.to_bytes() != bytes {
        return Err("is not written as a note is".to_owned());
    }
    note.verify(&VerifierList::new(vec![Box::new(verifier)])).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.to_bytes() != note.text() {
        return Err("is not written as a checkpoint is".to_owned());
    }
    if checkpoint.origin() != name {
        return Err(format!("is of the log `{}`, not of `{name}`", checkpoint.origin()));
    }
    Ok((Head { size: checkpoint.size(), root: *checkpoint.hash() }, checkpoint.extension().to_owned()))
}

/// Whose signatures a checkpoint has, as `<name>+<id>`, when it is a sound note and this key's is not among them.
pub(crate) fn strangers(bytes: &[u8], vkey: &str) -> Option<String> {
    let note = Note::from_bytes(bytes).ok().filter(|note| note.to_bytes() == bytes)?;
    let lines = bytes.get(note.text().len()..)?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let signers = lines.map(|line| {
        let signature = Signature::from_bytes(line).ok()?;
        Some(format!("{}+{:08x}", signature.name(), signature.id()))
    });
    let signers: Vec<String> = signers.collect::<Option<_>>()?;
    let ours = |signer: &String| vkey.strip_prefix(signer.as_str()).is_some_and(|rest| rest.starts_with('+'));
    (!signers.is_empty() && !signers.iter().any(ours)).then(|| signers.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_with_any_bit_flipped_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let key = LogKey::make(&folder.path().join("key"), "x.example/log").unwrap();
        let other = LogKey::make(&folder.path().join("other"), "x.example/log").unwrap();
        let head = Head { size: 42, root: tlog_tiles::record_hash(b"x") };
        let note = sign(&key, head).unwrap();
        assert_eq!(read(&note, key.vkey()), Ok(head));
        assert!(read(&note, other.vkey()).is_err());
        assert_eq!(strangers(&note, key.vkey()), None);
        assert!(strangers(&note, other.vkey()).is_some_and(|signer| key.vkey().starts_with(&signer)));
        assert_eq!(strangers(b"no note", key.vkey()), None);
        // One key may sign several logs: what one of them says is not said by another.
        let elsewhere = LogKey::read(&folder.path().join("key"), "y.example/log").unwrap();
        let its = Note::from_bytes(&sign(&elsewhere, head).unwrap()).unwrap();
        let mut forged = Note::new(its.text(), &[]).unwrap();
        forged.add_sigs(&[&key]).unwrap();
        assert!(read(&its.to_bytes(), key.vkey()).is_err());
        assert!(read(&forged.to_bytes(), key.vkey()).unwrap_err().contains("of the log `y.example/log`"));

        for bit in 0..note.len() * 8 {
            let mut bad = note.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad, key.vkey()).is_err(), "bit {bit}: {}", String::from_utf8_lossy(&bad));
        }
    }
}
