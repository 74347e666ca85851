//! Decisions that others made and reported: listed, marked, and neither counted nor in the ledger.

use serde_json::json;

use crate::hall::{ACME, ACME_INGEST, GLOBEX, INGEST, READER, fixture};
use support::{get, post};

#[test]
fn a_report_is_listed_apart_from_what_this_hall_decided() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    let entries = || get(hall, READER, "/status").ok()["ledger_entries"].clone();
    let before = entries();
    let report = r#"{"decision_id": "dec_1", "decided_at": "2026-01-01T00:00:00.000000+00:00", "capability_id": "cap.a.b",
                     "tenant_id": "org.acme", "env": "prod", "denied": 1, "deny_reason": "DENY_X", "blast_score": 7}"#;
    let answer = post(hall, INGEST, "/decisions/ingest", report);
    assert_eq!(answer.status, 201);
    let expected = json!({ "recorded": true, "decision_id": "dec_1", "duplicate": false, "durable": false });
    assert_eq!(answer.body, expected);
    let again = post(hall, INGEST, "/decisions/ingest", &report.replace("DENY_X", "DENY_Y"));
    assert_eq!((again.status, &again.body["duplicate"]), (201, &json!(true)));

    let rows = get(hall, READER, "/dispatches").ok();
    assert_eq!(rows["count"], 1, "{rows}");
    let row = &rows["dispatches"][0];
    assert_eq!((&row["decision_id"], &row["external"], &row["denied"]), (&json!("dec_1"), &json!(true), &json!(1)));
    assert_eq!(
        (&row["deny_reason"], &row["decided_at"]),
        (&json!("DENY_X"), &json!("2026-01-01T00:00:00.000000+00:00"))
    );
    assert_eq!(get(hall, READER, "/api/dispatches/recent").ok()["events"][0]["external"], true);
    assert_eq!(entries(), before, "a report is no entry of the ledger");
    assert_eq!(get(hall, READER, "/status").ok()["decisions_total"], 0, "a report is no decision of this hall");
    assert_eq!(get(hall, ACME, "/dispatches").ok()["count"], 1);
    assert_eq!(get(hall, GLOBEX, "/dispatches").ok()["count"], 0);
}

#[test]
fn a_bound_token_reports_its_own_and_what_is_wrong_is_named() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    post(hall, ACME_INGEST, "/decisions/ingest", r#"{"decision_id": "mine"}"#).ok();
    assert_eq!(get(hall, ACME, "/dispatches").ok()["dispatches"][0]["tenant_id"], "org.acme");
    post(hall, ACME_INGEST, "/decisions/ingest", r#"{"tenant_id": "org.globex"}"#).refused(403);
    assert_eq!(get(hall, READER, "/dispatches").ok()["count"], 1);
    for (body, named) in [
        ("", "JSON"),
        ("[]", "object"),
        (r#"{"decision_id": "<script>"}"#, "decision_id"),
        (r#"{"decided_at": "now"}"#, "decided_at"),
        (r#"{"tenant_id": ["a"]}"#, "tenant_id"),
        (r#"{"env": "dev", "env": "prod"}"#, "env"),
    ] {
        let reason = post(hall, INGEST, "/decisions/ingest", body).refused(400);
        assert!(reason.contains(named), "{body}: {reason}");
    }
    let long = format!(r#"{{"capability_id": "{}"}}"#, "a".repeat(300_000));
    post(hall, INGEST, "/decisions/ingest", &long).refused(413);
}
