//! Workers by forms: enrolled after the difference was seen, banned and let back in.

use serde_json::{Value, json};

use crate::desk::{ACME, ADA, ASKER, Browser, add_token, asks, fixture};
use support::post;

const RECORD: &str = r#"{"worker_id":"wrk_new","worker_species_id":"wrk.data.writer","capabilities":["cap.data.read.v1"],"risk_tier":"low","allowed_environments":["dev"],"owner":"org.acme"}"#;

fn form(record: &str, step: &str) -> String {
    let record = percent_encoding::utf8_percent_encode(record, percent_encoding::NON_ALPHANUMERIC);
    format!("record={record}&step={step}")
}

/// What the page would send next.
fn next(page: &str) -> String {
    let record = page.split("name=\"record\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    record.replace("&#34;", "\"").replace("&#39;", "'").replace("&#38;", "&")
}

#[test]
fn a_worker_is_enrolled_once_its_difference_was_shown() {
    let fixture = fixture();
    let process = fixture.serve();
    let ada = Browser::signed_in(&process, ADA);
    assert!(ada.see("/console/workers").contains("/console/enrol"));
    let looked = ada.send("/console/enrol", &form(RECORD, "look")).text();
    assert!(looked.contains("wrk_new would be new") && looked.contains("sha256:"), "{looked}");
    assert!(!ada.see("/console/workers").contains("wrk_new"), "looking changes nothing");
    let enrolled = ada.send("/console/enrol", &form(&next(&looked), "enrol"));
    assert_eq!(enrolled.header("location"), Some("/console/workers/wrk_new"), "{}", enrolled.text());
    assert!(ada.see("/console/workers/wrk_new").contains("active"));
    // Another record: what is another is shown, and nothing else.
    let other = RECORD.replace("\"dev\"", "\"dev\",\"prod\"");
    let looked = ada.send("/console/enrol", &form(&other, "look")).text();
    let members: Vec<&str> =
        looked.split("<th scope=\"row\"><code>").skip(1).map(|row| row.split('<').next().unwrap()).collect();
    assert_eq!(members, ["allowed_environments", "artifact_hash"], "{looked}");
    assert_eq!(ada.send("/console/enrol", &form(&next(&looked), "enrol")).status, 303);
    assert!(ada.send("/console/enrol", &form(&other, "look")).text().contains("is enrolled with this record"));
    process.end();
    let by: Vec<Value> = fixture
        .entries()
        .into_iter()
        .filter(|entry| entry["action"] == "enrolled" || entry["action"] == "updated")
        .collect();
    assert_eq!(by.iter().map(|entry| &entry["token"]).collect::<Vec<_>>(), ["ada", "ada"], "{by:?}");
}

#[test]
fn what_is_wrong_with_a_record_is_told_where_it_can_be_mended() {
    let fixture = fixture();
    let process = fixture.serve();
    let ada = Browser::signed_in(&process, ADA);
    for (record, why) in [
        ("{\"worker_id\": ", "is no JSON"),
        ("[]", "not an object"),
        ("{}", "worker_species_id"),
        (&*RECORD.replace("cap.data.read.v1", "<script>alert(1)</script>"), "&#60;script&#62;"),
        (&*RECORD.replace("\"low\"", "\"loww\""), "risk_tier"),
    ] {
        let page = ada.send("/console/enrol", &form(record, "look"));
        assert_eq!(page.status, 200);
        let text = page.text();
        assert!(text.contains("Not as it is:") && text.contains(why), "{record}: {text}");
        assert!(!text.contains("value=\"enrol\"") && !text.contains("<script>alert"), "{text}");
    }
    // What is in the folder is not changed from here.
    let of_folder = RECORD.replace("wrk_new", "wrk_make_acme_prod");
    assert_eq!(ada.send("/console/enrol", &form(&of_folder, "look")).status, 409);
    assert_eq!(ada.send("/console/enrol", &form(RECORD, "enrol")).status, 400, "without its hash");
    assert_eq!(ada.send("/console/enrol", &form(RECORD, "both")).status, 400);
    let acme = Browser::signed_in(&process, ACME);
    assert!(!acme.see("/console/workers").contains("/console/enrol"));
    assert_eq!(acme.send("/console/enrol", &form(RECORD, "look")).status, 403);
}

#[test]
fn what_enrolling_refuses_is_refused_before() {
    let fixture = fixture();
    add_token(
        &fixture,
        "{ name: enroller, secret: hst_enroller_0123456, scopes: [enroll], tenant_id: org.acme, envs: [dev] }",
    );
    let process = fixture.serve();
    let token = "hst_enroller_0123456";
    for (record, status) in [
        (RECORD.to_owned(), 200),
        (RECORD.replace("org.acme", "org.globex"), 403),
        (RECORD.replace("\"dev\"", "\"prod\""), 403),
        (RECORD.replace("wrk_new", "org.globex.x"), 403),
        (RECORD.replace("\"cap.data.read.v1\"", ""), 400),
    ] {
        let preview = post(process.hall(), token, "/api/enroll/preview", &record);
        // The hash is the only thing that a preview does not want.
        let mut hashed: Value = serde_json::from_str(&record).unwrap();
        hashed["artifact_hash"] =
            format!("sha256:{}", hallgate::registry::hash::of_record(members(&record).as_object().unwrap())).into();
        let enrolled = post(process.hall(), token, "/enroll", &hashed.to_string());
        assert_eq!(preview.status, status, "{record}: {}", preview.text());
        if status == 200 {
            assert_eq!((enrolled.status, &preview.ok()["would_be"]), (201, &json!("enrolled")));
        } else {
            assert_eq!(preview.refused(status), enrolled.refused(status), "{record}");
        }
    }
}

fn members(record: &str) -> hallgate::engine::Json {
    hallgate::engine::Json::parse(record.as_bytes()).unwrap()
}

#[test]
fn a_hash_is_banned_and_let_back_in() {
    let fixture = fixture();
    let process = fixture.serve();
    let ada = Browser::signed_in(&process, ADA);
    let path = "/console/workers/wrk_make_acme_prod";
    let hash = ada.see(path).split("name=\"hash\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(ada.send(path, &format!("change=ban&hash={hash}&reason=leaked")).header("location"), Some(path));
    let page = ada.see(path);
    assert!(page.contains("<span class=\"no\">banned</span>") && page.contains("value=\"unban\""), "{page}");
    assert_eq!(asks(&process, ASKER, "org.acme", "INTERNAL", "x")["deny_code"], "DENY_WORKER_BANNED");
    assert_eq!(ada.send(path, &format!("change=unban&hash={hash}")).status, 303);
    assert_eq!(asks(&process, ASKER, "org.acme", "INTERNAL", "x")["denied"], json!(false));
    assert_eq!(ada.send(path, "change=ban&hash=sha256:0").status, 400);
    let acme = Browser::signed_in(&process, ACME);
    assert!(!acme.see(path).contains("value=\"ban\""));
    assert_eq!(acme.send(path, &format!("change=ban&hash={hash}")).status, 403);
    process.end();
    let entries = fixture.entries();
    assert!(
        entries
            .iter()
            .any(|entry| entry["action"] == "banned" && entry["token"] == "ada" && entry["reason"] == "leaked")
    );
}
