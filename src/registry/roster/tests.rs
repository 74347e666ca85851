//! Who counts: folder and store together, revocations and bans, and what is refused.

use super::*;
use crate::engine::Mode;
use crate::registry::store::StoredWorker;

fn record(id: &str, extra: &str) -> String {
    format!(
        r#"{{"worker_id":"{id}","worker_species_id":"wrk.data.reader","capabilities":["cap.data.read.v1"]{extra}}}"#
    )
}

fn read(text: &str) -> Enrolled {
    records::enrolled(Json::parse(text.as_bytes()).unwrap(), &RecordFormat::default()).unwrap()
}

fn kept(records: &[String]) -> Kept {
    let row = |record: &String| StoredWorker {
        worker_id: read(record).worker.worker_id.to_string(),
        record: record.clone(),
        enrollment_id: Uuid::from_u128(1),
        enrolled_at_micros: 1,
        updated_at_micros: 1,
    };
    Kept { workers: records.iter().map(row).collect(), ..Kept::default() }
}

fn statuses(roster: &Roster) -> Vec<(String, WorkerStatus)> {
    roster.workers().iter().map(|worker| (worker.worker_id.to_string(), worker.status)).collect()
}

fn stamp(n: u128) -> EntryStamp {
    EntryStamp { id: Uuid::from_u128(n), at_micros: i64::try_from(n).unwrap(), by: None }
}

#[test]
fn revocations_and_bans_count_for_folder_and_store_alike() {
    use WorkerStatus::{Active, Banned, Revoked};
    let code = "00000000000000000000000000000000000000000000000000000000000000aa";
    let attested = record("wrk_b", &format!(r#","attestation":{{"code_hash":"{code}"}}"#));
    let (a, own) = (record("wrk_a", ""), record("wrk_own", r#","status":"banned""#));
    let mut roster =
        Roster::of(vec![read(&a), read(&own)], RecordFormat::default(), kept(&[attested, record("wrk_c", "")]))
            .unwrap();
    let now = |roster: &Roster| statuses(roster).into_iter().map(|(_, status)| status).collect::<Vec<_>>();
    assert_eq!(now(&roster), [Active, Banned, Active, Active]);
    let id = |id: &str| id.parse::<WorkerId>().unwrap();
    for (n, worker) in ["wrk_a", "wrk_own", "wrk_c"].into_iter().enumerate() {
        roster.apply(&Change::Revoke { worker_id: id(worker), reason: None }, &stamp(n as u128)).unwrap();
    }
    assert_eq!(now(&roster), [Revoked, Banned, Active, Revoked]);
    // Of a record, and of the code.
    roster.apply(&Change::Ban { hash: read(&a).hash, reason: None }, &stamp(9)).unwrap();
    roster.apply(&Change::Ban { hash: code.parse().unwrap(), reason: Some("leaks".into()) }, &stamp(9)).unwrap();
    assert_eq!(now(&roster), [Banned, Banned, Banned, Revoked]);
    let listed = roster.find("wrk_b").unwrap();
    assert_eq!((listed.status, listed.banned.unwrap().reason.as_deref()), (Banned, Some("leaks")));
    roster.apply(&Change::Unban { hash: code.parse().unwrap() }, &stamp(10)).unwrap();
    roster.apply(&Change::Unban { hash: read(&a).hash }, &stamp(10)).unwrap();
    roster.apply(&Change::Restore { worker_id: id("wrk_own") }, &stamp(10)).unwrap();
    assert_eq!(now(&roster), [Revoked, Banned, Active, Revoked], "a ban that the record itself declares stays");
}

#[test]
fn an_update_keeps_when_the_worker_came_and_a_revocation() {
    let mut roster = Roster::of(Vec::new(), RecordFormat::default(), Kept::default()).unwrap();
    let enroll = |extra| Change::Enroll { worker_id: "wrk_a".parse().unwrap(), record: record("wrk_a", extra).into() };
    roster.apply(&enroll(""), &stamp(1)).unwrap();
    roster.apply(&Change::Revoke { worker_id: "wrk_a".parse().unwrap(), reason: None }, &stamp(2)).unwrap();
    roster.apply(&enroll(r#","risk_tier":"high""#), &stamp(3)).unwrap();
    let listed = roster.find("wrk_a").unwrap();
    assert_eq!((listed.enrolled_at_micros, listed.enrollment_id), (Some(1), Some(Uuid::from_u128(1))));
    assert_eq!(listed.status, WorkerStatus::Revoked, "a new record does not take a revocation back");
    assert_eq!(listed.enrolled.text("risk_tier").map(|tier| &**tier), Some("high"));
    assert!(roster.apply(&enroll(r#","blast_radius":{"data":9}"#), &stamp(4)).is_err());
    assert_eq!(roster.find("wrk_a").unwrap().enrolled.text("risk_tier").map(|tier| &**tier), Some("high"));
}

#[test]
fn a_worker_in_both_and_a_record_that_does_not_load_are_told_together() {
    let folder = || vec![read(&record("wrk_a", ""))];
    let mut both = kept(&[record("wrk_a", ""), record("wrk_b", "")]);
    both.workers[1].record = "{".to_owned();
    let problems = Roster::of(folder(), RecordFormat::default(), both).unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("`wrk_b`") && told[0].contains("does not load now"), "{told:?}");
    assert!(told[1].contains("`wrk_a` is in `policy.workers`") && told[1].contains("remove its record"), "{told:?}");

    let roster = Roster::of(Vec::new(), RecordFormat::default(), kept(&[record("wrk_a", "")])).unwrap();
    let other = Roster::of(folder(), RecordFormat::default(), Kept::default()).unwrap();
    assert_eq!(roster.on_folder_of(&other).unwrap_err().len(), 1);
    let elsewhere = Roster::of(vec![read(&record("wrk_z", ""))], RecordFormat::default(), Kept::default()).unwrap();
    let moved = roster.on_folder_of(&elsewhere).unwrap();
    assert_eq!(statuses(&moved).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ["wrk_z", "wrk_a"]);
}

#[test]
fn records_are_read_again_when_they_are_read_otherwise() {
    let prefixed = format!(r#","attestation":{{"code_hash":"sha256:{}"}}"#, "0".repeat(64));
    let roster = Roster::of(Vec::new(), RecordFormat::default(), kept(&[record("wrk_a", &prefixed)])).unwrap();
    assert!(roster.workers()[0].attestation.registered.is_some());
    let reading = RecordFormat { mode: Mode::Reference, ..RecordFormat::default() };
    let reference = Roster::of(Vec::new(), reading, Kept::default()).unwrap();
    let moved = roster.on_folder_of(&reference).unwrap();
    assert_eq!(moved.workers()[0].attestation.registered, None, "the reference drops this form");
}
