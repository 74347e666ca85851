//! Alerts: what raises one, who is told, and what an acknowledgement does.

use std::fs;

use hallgate::ids::Digest;
use serde_json::{Value, json};

use crate::hall::{ACME, ADMIN, ANY, DENIED, GLOBEX, GLOBEX_ADMIN, READ, READER, fixture};
use support::{Hook, Posted, Process, get, post, root, until};

/// The first alert of a kind, once it is there.
fn alert(process: &Process, reader: &str, kind: &str) -> Value {
    let find = || {
        let body = get(process.hall(), reader, "/api/alerts").ok();
        body["alerts"].as_array().unwrap().iter().find(|alert| alert["type"] == kind).cloned()
    };
    until(|| find().is_some());
    find().unwrap()
}

#[test]
fn a_refused_change_is_an_alert_that_a_webhook_hears_and_an_admin_acknowledges() {
    let hook = Hook::start(|attempt| Some(if attempt == 0 { "500 Not Now" } else { "204 No Content" }));
    let more = format!("alerts: {{ webhook: \"{}\", webhook_secret: whs_0123456789abcdef }}\n", hook.url());
    let fixture = fixture("", "  catalogue: catalogue.json\n", &more);
    fixture.write("catalogue.json", r#"{"entities": []}"#);
    let process = fixture.serve();
    fixture.write("catalogue.json", "{");
    let raised = alert(&process, READER, "RELOAD_REFUSED");
    assert_eq!((&raised["severity"], &raised["acknowledged"]), (&json!("warning"), &json!(false)));
    let refused = hook.next().body;
    let Posted { bearer, body: told, .. } = hook.next();
    assert_eq!((bearer.as_str(), &told), ("Bearer whs_0123456789abcdef", &refused));
    assert_eq!((&told["kind"], &told["alert_id"]), (&json!("RELOAD_REFUSED"), &raised["id"]));
    let plain = get(process.hall(), READER, "/alerts").ok();
    assert_eq!(
        (&plain["alerts"][0]["code"], &plain["alerts"][0]["level"]),
        (&json!("RELOAD_REFUSED"), &json!("warning"))
    );
    assert_eq!(get(process.hall(), READER, "/api/doctor").ok()["checks"]["config"]["status"], "warn");

    let path = format!("/api/alerts/{}/acknowledge", raised["id"].as_str().unwrap());
    post(process.hall(), READER, &path, "").refused(403);
    post(process.hall(), GLOBEX_ADMIN, &path, "").refused(404);
    post(process.hall(), ADMIN, "/api/alerts/none/acknowledge", "").refused(404);
    let known = post(process.hall(), ADMIN, &path, "").ok();
    assert_eq!((&known["acknowledged"], &known["id"]), (&json!(true), &raised["id"]));
    assert!(known["acknowledged_at"].is_string());
    // It happens again: it is open again.
    fixture.write("catalogue.json", "[");
    until(|| alert(&process, READER, "RELOAD_REFUSED")["acknowledged"] == false);
    assert_eq!(alert(&process, READER, "RELOAD_REFUSED")["count"], 2);
    process.terminate();
    process.ended();
    assert!(!process.log().contains("whs_0123"), "a secret is in the log");
}

#[test]
fn a_worker_that_is_denied_again_and_again_is_an_alert_of_its_tenant() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    for _ in 0..12 {
        post(process.hall(), ANY, "/api/route", DENIED).ok();
        // Names that nobody enrolled raise nothing.
        post(process.hall(), ANY, "/api/route", &DENIED.replace("wrk_make_acme_prod", "wrk_made_up")).ok();
    }
    let raised = alert(&process, ACME, "REPEATED_DENIALS");
    assert_eq!(raised["worker_id"], "wrk_make_acme_prod");
    assert_eq!(get(process.hall(), READER, "/api/alerts").ok()["count"], 1);
    assert_eq!(get(process.hall(), GLOBEX, "/api/alerts").ok()["count"], 0);
}

#[test]
fn a_worker_whose_code_was_changed_is_an_alert_and_an_error_in_the_crew() {
    let fixture = fixture("", "  require_worker_attestation: true\n", "");
    let record = fs::read_to_string(root().join("conf/enrolled/wrk_make_acme_prod.json")).unwrap();
    fixture.write("worker.py", "print(1)\n");
    let mut record: Value = serde_json::from_str(&record).unwrap();
    record["attestation"] = json!({ "code_hash": Digest::of(b"print(1)\n").to_hex(), "source_file": "worker.py" });
    for other in ["wrk_notify_acme_prod", "wrk_report_acme_prod"] {
        let file = format!("enrolled/{other}.json");
        fixture.write(&file, &fs::read_to_string(root().join("conf").join(&file)).unwrap());
    }
    fixture.write("enrolled/make.json", &record.to_string());
    fixture.edit(&root().join("conf/enrolled").display().to_string(), "enrolled");
    let process = fixture.serve();
    assert_eq!(post(process.hall(), ANY, "/api/route", READ).ok()["denied"], false);
    fixture.write("worker.py", "print(2)\n");
    until(|| post(process.hall(), ANY, "/api/route", READ).ok()["deny_code"] == "DENY_WORKER_TAMPERED");
    let raised = alert(&process, ACME, "WORKER_TAMPERED");
    assert_eq!((&raised["severity"], &raised["worker_id"]), (&json!("error"), &json!("wrk_make_acme_prod")));
    let crew = get(process.hall(), ACME, "/api/workers").ok();
    assert_eq!((&crew["workers"][0]["status"], &crew["workers"][0]["standing"]), (&json!("error"), &json!("active")));
    assert_eq!(get(process.hall(), GLOBEX, "/api/alerts").ok()["count"], 0);
}

#[test]
fn a_broken_ledger_is_an_alert() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    post(process.hall(), ANY, "/api/route", READ).ok();
    process.terminate();
    process.ended();
    fixture.write("ledger/checkpoint", "no checkpoint\n");
    let process = fixture.serve_under(&[]);
    let raised = alert(&process, READER, "LEDGER_BROKEN");
    assert_eq!(raised["severity"], "error");
    assert_eq!(get(process.hall(), READER, "/api/doctor").ok()["checks"]["db"]["status"], "fail");
    assert_eq!(get(process.hall(), READER, "/api/health").ok()["state"], "offline");
}

#[test]
fn a_ledger_that_cannot_be_written_is_an_alert() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    post(process.hall(), ANY, "/api/route", READ).ok();
    fs::remove_dir_all(fixture.path("ledger/segments")).unwrap();
    post(process.hall(), ANY, "/api/route", READ).refused(503);
    let raised = alert(&process, READER, "LEDGER_NOT_WRITING");
    assert_eq!((&raised["severity"], &raised["count"]), (&json!("error"), &json!(1)));
    assert_eq!(get(process.hall(), GLOBEX, "/api/alerts").ok()["count"], 0, "the hall's matters are no tenant's");
}
