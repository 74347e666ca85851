//! Proofs checked offline: a document and a public key, and nothing else. Shares with the writer only the canonical form.
//!
//! The tree's arithmetic is that of RFC 9162 2.1.3.2 and 2.1.4.2, which verify the proofs of RFC 6962.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::entries::{self, EntryCheck};
use super::signed::{self, SignedHead};
use super::tree::{Hash, node};
use crate::ids::Digest;
use crate::ledger::format::canonical;

/// The form of a receipt's proof.
pub(in crate::ledger) const RECEIPT: &str = "hallgate receipt proof 1";
/// The form of a proof that a log goes on from an older checkpoint.
pub(in crate::ledger) const CONSISTENCY: &str = "hallgate consistency proof 1";

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is no document of this program.
    #[error("is no proof: {0}")]
    Unreadable(String),
    /// It is one, and something in it does not hold.
    #[error("proves nothing: `{field}` {problem}")]
    Refuted {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// What a proof proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proved {
    /// A receipt is in the log.
    Receipt {
        /// The entry.
        receipt: Value,
        /// Its hash.
        hash: Digest,
        /// Its number.
        index: u64,
        /// Entries under the checkpoint.
        size: u64,
        /// Who signed the checkpoint.
        key: String,
    },
    /// A log goes on from an older checkpoint.
    Consistency {
        /// Entries under the older checkpoint.
        older: u64,
        /// Entries under the newer one.
        size: u64,
        /// Who signed the newer one.
        key: String,
    },
}

impl fmt::Display for Proved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receipt { receipt, hash, index, size, key } => {
                let text = |field: &str| receipt.get(field).and_then(Value::as_str).unwrap_or("-").to_owned();
                let [kind, id, stream, time] = ["kind", "receipt_id", "stream", "recorded_at"].map(text);
                write!(f, "the {kind} {id} of the stream {stream}, recorded at {time}")?;
                if kind == "decision" {
                    let [verdict, capability, policy, snapshot] =
                        ["policy_decision", "capability_id", "policy_version", "snapshot"].map(text);
                    write!(f, " ({verdict} for {capability} by policy {policy}, snapshot {snapshot})")?;
                }
                write!(f, ", with hash {hash}, is entry {index} of the log that {key} signed for {size} entries")
            }
            Self::Consistency { older, size, key } => {
                write!(
                    f,
                    "the log that {key} signed for {size} entries begins with the {older} entries of the older checkpoint"
                )
            }
        }
    }
}

#[derive(Deserialize)]
struct FormatOnly {
    format: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptForm {
    #[serde(rename = "format")]
    _format: String,
    receipt: Value,
    receipt_hash: String,
    inclusion: InclusionForm,
    checkpoint: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InclusionForm {
    leaf_index: u64,
    tree_size: u64,
    hashes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsistencyProofForm {
    #[serde(rename = "format")]
    _format: String,
    older_checkpoint: String,
    consistency: ConsistencyForm,
    checkpoint: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsistencyForm {
    older_size: u64,
    tree_size: u64,
    hashes: Vec<String>,
}

fn refuted<T>(field: &'static str, problem: impl Into<String>) -> Result<T, ProofError> {
    Err(ProofError::Refuted { field, problem: problem.into() })
}

/// Checks a proof against verifier keys, any of which may have signed its checkpoint.
///
/// # Errors
/// It is no proof, or does not hold.
pub fn verify_proof(document: &[u8], vkeys: &[String]) -> Result<Proved, ProofError> {
    let unreadable = |error: serde_json::Error| ProofError::Unreadable(error.to_string());
    let form: FormatOnly = serde_json::from_slice(document).map_err(unreadable)?;
    match form.format.as_str() {
        RECEIPT => receipt(serde_json::from_slice(document).map_err(unreadable)?, vkeys),
        CONSISTENCY => extension(serde_json::from_slice(document).map_err(unreadable)?, vkeys),
        other => Err(ProofError::Unreadable(format!("its format is `{other}`, not `{RECEIPT}` or `{CONSISTENCY}`"))),
    }
}

fn receipt(proof: ReceiptForm, vkeys: &[String]) -> Result<Proved, ProofError> {
    let ReceiptForm { receipt, receipt_hash, inclusion, checkpoint, .. } = proof;
    let mut bytes = Vec::new();
    if let Err(error) = canonical::canonicalise(&receipt, &mut bytes) {
        return refuted("receipt", error.to_string());
    }
    let id = entries::id(&receipt).map_err(|(field, problem)| ProofError::Refuted { field, problem })?;
    let alone = EntryCheck::none().map_err(|found| ProofError::Unreadable(found.to_string()))?;
    alone.sound(&receipt, id, &bytes).map_err(|(field, problem)| ProofError::Refuted { field, problem })?;
    let hash = Digest::of(&bytes);
    if receipt_hash != hash.to_hex() {
        return refuted("receipt_hash", format!("is not the hash of the receipt, {hash}"));
    }
    let (head, key) = signed(&checkpoint, vkeys, "checkpoint")?;
    let InclusionForm { leaf_index: index, tree_size: size, hashes } = inclusion;
    if size != head.size {
        return refuted("tree_size", format!("is not the checkpoint's, {}", head.size));
    }
    let leaf = Sha256::new().chain_update([0]).chain_update(&bytes).finalize().into();
    match root_of_inclusion(index, size, leaf, &digests(&hashes)?) {
        Some(root) if root == head.root => Ok(Proved::Receipt { receipt, hash, index, size, key }),
        _ => refuted("hashes", "do not lead from the receipt to the checkpoint's root"),
    }
}

fn extension(proof: ConsistencyProofForm, vkeys: &[String]) -> Result<Proved, ProofError> {
    let ConsistencyProofForm { older_checkpoint, consistency, checkpoint, .. } = proof;
    let (before, _) = signed(&older_checkpoint, vkeys, "older_checkpoint")?;
    let (head, key) = signed(&checkpoint, vkeys, "checkpoint")?;
    let ConsistencyForm { older_size: older, tree_size: size, hashes } = consistency;
    if older != before.size {
        return refuted("older_size", format!("is not the older checkpoint's, {}", before.size));
    }
    if size != head.size {
        return refuted("tree_size", format!("is not the checkpoint's, {}", head.size));
    }
    if extends((older, before.root), (size, head.root), &digests(&hashes)?) {
        Ok(Proved::Consistency { older, size, key })
    } else {
        refuted("hashes", "do not lead from the older checkpoint's root to the newer one's")
    }
}

/// The head of a checkpoint that one of these keys signed, and that key's name and id.
fn signed(note: &str, vkeys: &[String], field: &'static str) -> Result<(SignedHead, String), ProofError> {
    let mut problem = "no key was given".to_owned();
    for vkey in vkeys {
        match signed::checkpoint(note.as_bytes(), vkey) {
            Ok(head) => {
                let named: Vec<&str> = vkey.trim().splitn(3, '+').take(2).collect();
                return Ok((head, named.join("+")));
            }
            Err(error) => problem = error,
        }
    }
    refuted(field, problem)
}

pub(super) fn digests(hashes: &[String]) -> Result<Vec<Hash>, ProofError> {
    let digest = |text: &String| match text.parse::<Digest>() {
        Ok(digest) => Ok(*digest.as_bytes()),
        Err(error) => refuted("hashes", error.to_string()),
    };
    hashes.iter().map(digest).collect()
}

/// RFC 9162 2.1.3.2: the root to which the path leads; `None` when the path is of another length.
pub(super) fn root_of_inclusion(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    let (mut at, mut last) = (index, size.checked_sub(1).filter(|last| index <= *last)?);
    let mut root = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node(sibling, &root);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = node(&root, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

/// RFC 9162 2.1.4.2, and the two cases in which there is nothing to prove.
pub(super) fn extends((older, older_root): (u64, Hash), (size, root): (u64, Hash), path: &[Hash]) -> bool {
    if older == size {
        return path.is_empty() && older_root == root;
    }
    if older == 0 {
        let empty: Hash = Sha256::digest([]).into();
        return path.is_empty() && older_root == empty;
    }
    if older > size {
        return false;
    }
    let mut path = path.iter();
    let first = if older.is_power_of_two() { Some(&older_root) } else { path.next() };
    let Some(first) = first else { return false };
    let (mut at, mut last) = (older - 1, size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (*first, *first);
    for hash in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old = node(hash, &old);
            new = node(hash, &new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node(&new, hash);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old == older_root && new == root
}
