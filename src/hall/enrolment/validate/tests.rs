//! Whose a worker is, and what is told of a record that is none, in the reference's order.

use super::*;
use std::collections::BTreeSet;

use crate::engine::Binding;
use crate::hall::Scope;
use crate::ids::Env;

fn hashed(text: &str) -> Json {
    let mut record = Json::parse(text.as_bytes()).unwrap();
    if let Json::Object(members) = &mut record {
        let hash = format!("sha256:{}", hash::of_record(members));
        members.insert("artifact_hash".into(), Json::String(hash.into()));
    }
    record
}

fn record(id: &str, extra: &str) -> Json {
    hashed(&format!(
        r#"{{"worker_id":"{id}","worker_species_id":"wrk.data.reader","capabilities":["cap.data.read.v1"]{extra}}}"#
    ))
}

fn worker(id: &str, extra: &str) -> Enrolled {
    super::read(record(id, extra), &RecordFormat::default()).unwrap().0
}

#[test]
fn whose_a_worker_is_all_that_says_it_must_say_and_something_must() {
    let acme = "org.acme".parse().unwrap();
    for (id, extra) in [
        ("org.acme.zapier-worker", ""),
        ("org.acme/wizard", ""),
        ("org.acme.a", r#","owner":"org.acme""#),
        ("wrk_make", r#","owner":"org.acme""#),
        ("wrk_make", r#","tenant_id":"org.acme""#),
        ("wrk_make", r#","tenant_id":"org.acme","owner":null"#),
    ] {
        assert!(is_of(&worker(id, extra), &acme), "{id} {extra}");
    }
    for (id, extra) in [
        ("wrk_make", ""),
        ("wrk_make", r#","owner":"org.globex""#),
        ("wrk_make", r#","owner":["org.acme"]"#),
        ("wrk_make", r#","owner":"org.acme","tenant_id":"org.globex""#),
        ("org.acme.a", r#","owner":"org.globex""#),
        ("org.globex.a", r#","owner":"org.acme""#),
        ("x.acme.a", r#","owner":"org.acme""#),
        ("org/acme", r#","owner":"org.acme""#),
        ("org.acme-evil.a", ""),
        ("org.acmeevil", r#","owner":"org.acme""#),
        ("org.acme", r#","owner":"org.acme""#),
    ] {
        assert!(!is_of(&worker(id, extra), &acme), "{id} {extra}");
    }
}

#[test]
fn a_token_enrolls_only_what_it_is_bound_to() {
    let token =
        |binding| Token::new("ops".parse().unwrap(), vec![Digest::of(b"x")], BTreeSet::from([Scope::Enroll]), binding);
    let workers = Some(Arc::new(BTreeSet::from(["wrk_a".parse().unwrap()])));
    let of_workers = token(Binding { workers, ..Binding::default() });
    assert!(may_enroll(&of_workers, &worker("wrk_a", "")).is_ok());
    assert!(may_enroll(&of_workers, &worker("wrk_b", "")).unwrap_err().contains("worker_ids"));
    let of_envs = token(Binding { envs: Some(Arc::new(BTreeSet::from([Env::Dev]))), ..Binding::default() });
    assert!(may_enroll(&of_envs, &worker("wrk_a", r#","allowed_environments":["dev"]"#)).is_ok());
    let prod = worker("wrk_a", r#","allowed_environments":["dev","prod"]"#);
    assert!(may_enroll(&of_envs, &prod).unwrap_err().contains("`prod`"));
    assert!(may_enroll(&of_envs, &worker("wrk_a", "")).unwrap_err().contains("is missing"), "anywhere is everywhere");
}

#[test]
fn what_is_missing_is_told_in_the_references_order() {
    let error = |text: &str| match super::read(Json::parse(text.as_bytes()).unwrap(), &RecordFormat::default()) {
        Err(NotChanged::Field { error, reason }) => {
            assert!(reason.contains("write ") || reason.contains("send "), "{reason}");
            error
        }
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(error("[]"), "invalid record");
    assert_eq!(error("{}"), "missing field: worker_id");
    assert_eq!(error(r#"{"worker_id":"  "}"#), "missing field: worker_id");
    assert_eq!(error(r#"{"worker_id":7}"#), "invalid field: worker_id");
    assert_eq!(error(r#"{"worker_id":"a"}"#), "missing field: worker_species_id");
    assert_eq!(error(r#"{"worker_id":"a","worker_species_id":"s"}"#), "missing field: capabilities");
    let with = |capabilities: &str, rest: &str| {
        format!(r#"{{"worker_id":"a","worker_species_id":"s","capabilities":{capabilities}{rest}}}"#)
    };
    assert_eq!(error(&with("[]", "")), "missing field: capabilities");
    assert_eq!(error(&with("\"cap.a\"", "")), "invalid field: capabilities");
    assert_eq!(error(&with("[\"cap.a\"]", "")), "missing field: artifact_hash");
    assert_eq!(error(&with("[\"cap.a\"]", ",\"artifact_hash\":\"sha256:00\"")), "invalid field: artifact_hash");
    let other = with("[\"cap.a\"]", &format!(",\"artifact_hash\":\"sha256:{}\"", "0".repeat(64)));
    let read = super::read(Json::parse(other.as_bytes()).unwrap(), &RecordFormat::default());
    assert!(matches!(read, Err(NotChanged::Tampered)), "{read:?}");
    // What is whole and hashed is held to the strict form, in reference mode, too.
    for mode in [Mode::Strict, Mode::Reference] {
        let reading = RecordFormat { mode, ..RecordFormat::default() };
        let read = super::read(hashed(&with("[\"cap.a\", \"Cap\"]", "")), &reading);
        let Err(NotChanged::Field { error, reason }) = read else { panic!("{read:?}") };
        assert_eq!(error, "invalid field: worker_species_id");
        assert!(reason.contains("`capabilities[1]`") && reason.contains("`worker_species_id`"), "{reason}");
    }
}

#[test]
fn a_record_is_bounded_and_kept_as_it_is_hashed() {
    let large = record("wrk_a", &format!(r#","note":"{}""#, "x".repeat(LONGEST)));
    let read = super::read(large, &RecordFormat::default());
    assert!(matches!(&read, Err(NotChanged::Field { error, .. }) if error == "record too large"), "{read:?}");
    let sound = record("wrk_a", r#","note":"é","n":1e7"#);
    let (enrolled, text) = super::read(sound.clone(), &RecordFormat::default()).unwrap();
    assert_eq!(Json::parse(text.as_bytes()).unwrap(), sound);
    assert!(text.contains("\\u00e9") && text.contains("10000000.0"), "{text}");
    assert_eq!(*enrolled.record, sound);
}
