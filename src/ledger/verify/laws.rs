//! What holds of any proof: without a log's key nobody makes one that proves what the log did not say.
#![expect(clippy::indexing_slicing, reason = "who looks for a breach stops at the first")]

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use super::proof::{Proved, extends, root_of_inclusion, verify_proof};
use super::signed::{self, PrunedEdge, SignedHead};
use super::tree::{EMPTY, Hash, node};

/// Of a log of which nothing else was ever signed.
const KEY: &str = include_str!("../../../fuzz/seeds/proofs/key.pub");
const PROOFS: [&[u8]; 2] = [
    include_bytes!("../../../fuzz/seeds/proofs/receipt.json"),
    include_bytes!("../../../fuzz/seeds/proofs/consistency.json"),
];
const CHECKPOINTS: [&[u8]; 2] = [
    include_bytes!("../../../fuzz/seeds/proofs/older_checkpoint"),
    include_bytes!("../../../fuzz/seeds/proofs/checkpoint"),
];

/// What that log has proved.
static PROVED: LazyLock<Vec<Proved>> = LazyLock::new(|| {
    let keys = [KEY.to_owned()];
    PROOFS.iter().filter_map(|proof| verify_proof(proof, &keys).ok()).collect()
});
static HEADS: LazyLock<Vec<SignedHead>> =
    LazyLock::new(|| CHECKPOINTS.iter().filter_map(|note| signed::checkpoint(note, KEY).ok()).collect());

/// The law of documents that prove something: a receipt, an extension, a checkpoint, an edge.
pub fn proofs(bytes: &[u8]) {
    assert_eq!((PROVED.len(), HEADS.len()), (PROOFS.len(), CHECKPOINTS.len()), "the log's own proofs do not hold");
    if let Ok(proved) = verify_proof(bytes, &[KEY.to_owned()]) {
        assert!(PROVED.contains(&proved), "the log never said that {proved}");
    }
    if let Ok(head) = signed::checkpoint(bytes, KEY) {
        assert!(HEADS.contains(&head), "the log never signed {head:?}");
    }
    // Behind no edge of it was anything pruned, and its key was never changed.
    assert!(PrunedEdge::read(bytes, KEY).is_err());
    assert!(signed::rotation(bytes).is_err());
}

/// The law of the hash tree's arithmetic: the path that RFC 9162 gives leads to the root, and no other path does.
///
/// The bytes: the tree's size, a leaf, an older size, and then what is done to a path, three bytes at a time.
pub fn trees(bytes: &[u8]) {
    let Some((&[size, leaf, older], edits)) = bytes.split_first_chunk() else { return };
    let size = usize::from(size) % 70 + 1;
    let (leaf, older) = (usize::from(leaf) % size, usize::from(older) % (size + 1));
    let leaves: Vec<Hash> = (0..size as u64).map(|n| Sha256::digest(n.to_le_bytes()).into()).collect();
    let (root, old_root) = (root(&leaves), root(&leaves[..older]));

    let path = inclusion(leaf, &leaves);
    let leads = |leaf: usize, at: usize, path: &[Hash]| {
        root_of_inclusion(at as u64, size as u64, leaves[leaf], path) == Some(root)
    };
    assert!(leads(leaf, leaf, &path));
    for other in (0..=size).filter(|other| *other != leaf) {
        assert!(!leads(leaf, other, &path), "leaf {leaf} of {size} as leaf {other}");
    }
    let edited = edit(&path, edits);
    assert_eq!(leads(leaf, leaf, &edited), edited == path, "leaf {leaf} of {size}");

    let path = if (1..size).contains(&older) { consistency(older, &leaves, true) } else { Vec::new() };
    let goes_on = |old_root, path: &[Hash]| extends((older as u64, old_root), (size as u64, root), path);
    assert!(goes_on(old_root, &path), "{older} to {size}");
    let edited = edit(&path, edits);
    assert_eq!(goes_on(old_root, &edited), edited == path, "{older} to {size}");
    for other in (0..=size).filter(|other| *other != older) {
        assert!(!goes_on(self::root(&leaves[..other]), &path), "{older} to {size} from the root of {other}");
    }
}

fn edit(path: &[Hash], edits: &[u8]) -> Vec<Hash> {
    let mut path = path.to_vec();
    for &[what, place, value] in edits.as_chunks().0 {
        let at = usize::from(place) % (path.len() + 1);
        match what % 4 {
            0 if at < path.len() => path[at][usize::from(what / 4) % 32] ^= value,
            1 if at < path.len() => drop(path.remove(at)),
            2 => path.insert(at, [value; 32]),
            _ if at + 1 < path.len() => path.swap(at, at + 1),
            _ => {}
        }
    }
    path
}

/// RFC 9162 2.1.1.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY,
        [only] => *only,
        more => {
            let (left, right) = more.split_at(split(more.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The largest power of two below a size of two or more.
const fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

/// RFC 9162 2.1.3.1.
fn inclusion(leaf: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut path, sibling) =
        if leaf < at { (inclusion(leaf, left), root(right)) } else { (inclusion(leaf - at, right), root(left)) };
    path.push(sibling);
    path
}

/// RFC 9162 2.1.4.1; `whole`: the older tree is one that the proof's reader knows.
fn consistency(older: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if older == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut path, sibling) = if older <= at {
        (consistency(older, left, whole), root(right))
    } else {
        (consistency(older - at, right, false), root(left))
    };
    path.push(sibling);
    path
}
