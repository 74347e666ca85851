//! A change of keys: the old public key leads to the new one, what the old one signed stays proved, and nobody else can do it.

use super::*;
use crate::ledger::verify::proof::verify_proof;
use crate::ledger::verify::{VerifyError, verify};

#[test]
fn the_old_key_leads_to_the_new_one_and_earlier_proofs_stay_valid() {
    let folder = tempfile::tempdir().unwrap();
    let first = settings(folder.path());
    let ledger = Ledger::open(&first).unwrap();
    let receipts = fill(&ledger, 3);
    let key = |name: &str| LogKey::make(&folder.path().join(name), &first.origin).unwrap();
    let (second_key, third_key, stranger) = (key("second.key"), key("third.key"), key("stranger.key"));
    let old = LogKey::read(&first.key_file, &first.origin).unwrap();
    assert!(matches!(rotate(&first.path, &old, &second_key), Err(RotateError::Open(OpenError::InUse(_)))));
    ledger.close();
    let published = LogReader::new(&first.path);
    let proof = published.prove(&published.find(receipts[0].id()).unwrap().unwrap()).unwrap().unwrap();
    let older = fs::read(checkpoint_file(&first.path)).unwrap();

    assert!(matches!(rotate(&first.path, &stranger, &second_key), Err(RotateError::NotSigned(_))));
    assert!(matches!(rotate(&first.path, &old, &old), Err(RotateError::Same)));
    assert_eq!(rotate(&first.path, &old, &second_key).unwrap(), 9);
    // Both have signed, so either start is sound; done again, it is the same change.
    verify(&first.path, old.vkey()).unwrap();
    verify(&first.path, second_key.vkey()).unwrap();
    assert_eq!(rotate(&first.path, &old, &second_key).unwrap(), 9);
    assert_eq!(fs::read_dir(rotations(&first.path)).unwrap().count(), 1);

    let second = Settings { key_file: folder.path().join("second.key"), ..first.clone() };
    filled(&second, 2);
    assert_eq!(rotate(&first.path, &second_key, &third_key).unwrap(), 15);
    let third = Settings { key_file: folder.path().join("third.key"), ..first.clone() };
    filled(&third, 1);
    assert!(matches!(Ledger::open(&first), Err(OpenError::OtherKey { .. })), "the old key is no longer the ledger's");
    for key in [&old, &second_key, &third_key] {
        assert_eq!(verify(&first.path, key.vkey()).unwrap().signed, 18);
        verify::verify_since(&first.path, old.vkey(), Some(&older)).unwrap();
    }
    assert!(verify(&first.path, stranger.vkey()).is_err());
    let proof = serde_json::to_vec(&proof).unwrap();
    verify_proof(&proof, &[old.vkey().to_owned()]).unwrap();
    verify_proof(&proof, &[third_key.vkey().to_owned(), old.vkey().to_owned()]).unwrap();
    assert!(verify_proof(&proof, &[third_key.vkey().to_owned()]).is_err());

    let statement = rotations(&first.path).join("0000");
    let mut bytes = fs::read(&statement).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&statement, bytes).unwrap();
    match verify(&first.path, old.vkey()) {
        Err(VerifyError::Broken(found)) => assert_eq!(found.field, "rotations/0000"),
        other => panic!("{other:?}"),
    }
    assert!(verify(&first.path, third_key.vkey()).is_err());
    fs::remove_file(statement).unwrap();
    // Without it the old key leads nowhere; the keys after it still do.
    assert!(verify(&first.path, old.vkey()).is_err());
    verify(&first.path, second_key.vkey()).unwrap();
}
