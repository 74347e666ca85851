//! What is kept is there again; what is damaged, locked, in use or another's is refused.

use super::*;

fn stamp(n: u128) -> EntryStamp {
    EntryStamp { id: Uuid::from_u128(n), at_micros: i64::try_from(n).unwrap(), by: Some("ops".parse().unwrap()) }
}

fn enroll(id: &str, record: &str) -> Change {
    Change::Enroll { worker_id: id.parse().unwrap(), record: record.into() }
}

#[test]
fn what_is_kept_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    assert_eq!(Store::read(&path), Ok(Kept::default()), "no file is an empty store");
    let mut store = Store::open(&path).unwrap();
    let (hash, reason) = (Digest::of(b"code"), Some(Arc::from("it leaks")));
    let revoke = Change::Revoke { worker_id: "wrk_a".parse().unwrap(), reason: reason.clone() };
    let changes = [
        (enroll("wrk_a", "{1}"), stamp(1)),
        (enroll("wrk_b", "{2}"), stamp(2)),
        (enroll("wrk_a", "{3}"), stamp(3)),
        (revoke, stamp(4)),
        (Change::Ban { hash, reason: None }, stamp(5)),
    ];
    store.keep(&changes, 9).unwrap();
    let kept = store.kept().unwrap();
    let told: Vec<_> = kept.workers.iter().map(|row| (&*row.worker_id, &*row.record, row.enrolled_at_micros)).collect();
    assert_eq!(told, [("wrk_a", "{3}", 1), ("wrk_b", "{2}", 2)]);
    assert_eq!((kept.workers[0].updated_at_micros, kept.workers[0].enrollment_id), (3, Uuid::from_u128(1)));
    assert_eq!(kept.revoked, [("wrk_a".parse().unwrap(), Mark { since_micros: 4, reason })]);
    assert_eq!(kept.banned, [(hash, Mark { since_micros: 5, reason: None })]);
    assert_eq!(kept.taken, 9);
    assert_eq!(Store::read(&path).as_ref(), Ok(&kept), "others may read while it is open");
    assert!(matches!(Store::open(&path), Err(StoreError::InUse(_))), "and nobody else may write");
    drop(store);

    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.kept(), Ok(kept));
    let back =
        [(Change::Restore { worker_id: "wrk_a".parse().unwrap() }, stamp(6)), (Change::Unban { hash }, stamp(7))];
    store.keep(&back, 11).unwrap();
    let kept = store.kept().unwrap();
    assert_eq!((kept.revoked.len(), kept.banned.len(), kept.taken), (0, 0, 11));
}

#[test]
fn a_damaged_file_or_anothers_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    std::fs::write(&path, "no database at all, and long enough to be looked at as one".repeat(20)).unwrap();
    let before = std::fs::read(&path).unwrap();
    for error in [Store::open(&path).err(), Store::read(&path).err()] {
        let error = error.expect("it is refused");
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("registry.db` is damaged"), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let others = folder.path().join("others.db");
    Connection::open(&others).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(Store::open(&others), Err(StoreError::Damaged { .. })));
    assert!(matches!(Store::read(&others), Err(StoreError::Damaged { .. })));

    let newer = folder.path().join("newer.db");
    drop(Store::open(&newer).unwrap());
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 2).unwrap();
    assert!(matches!(Store::open(&newer), Err(StoreError::Version { found: 2, .. })));

    // A page in the middle: the header still says that all is well.
    let torn = folder.path().join("torn.db");
    let mut store = Store::open(&torn).unwrap();
    let many: Vec<_> = (0..2000).map(|n| (enroll(&format!("wrk_{n}"), &"x".repeat(200)), stamp(n))).collect();
    store.keep(&many, 1).unwrap();
    drop(store);
    let mut bytes = std::fs::read(&torn).unwrap();
    assert!(bytes.len() > 100 * 4096, "{}", bytes.len());
    bytes[50 * 4096..60 * 4096].fill(0xa5);
    std::fs::write(&torn, bytes).unwrap();
    let error = Store::open(&torn).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_locked_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    drop(Store::open(&path).unwrap());
    let mut other = Connection::open(&path).unwrap();
    let held = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    drop(held);
    assert!(Store::open(&path).is_ok());
}

#[test]
fn a_change_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let mut store = Store::open(&path).unwrap();
    store.keep(&[(enroll("wrk_a", "{1}"), stamp(1))], 1).unwrap();
    let mut other = Connection::open(&path).unwrap();
    let held = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let changes = [(enroll("wrk_b", "{2}"), stamp(2)), (enroll("wrk_c", "{3}"), stamp(3))];
    assert!(matches!(store.keep(&changes, 3), Err(StoreError::Locked(_))));
    drop(held);
    assert_eq!((store.kept().unwrap().workers.len(), store.kept().unwrap().taken), (1, 1));
    store.keep(&changes, 3).unwrap();
    assert_eq!((store.kept().unwrap().workers.len(), store.kept().unwrap().taken), (3, 3));
}
