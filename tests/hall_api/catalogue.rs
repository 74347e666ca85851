//! The catalogue: built in, of a file, and what the policy makes of it.

use serde_json::{Value, json};

use crate::hall::{ANY, READER, fixture};
use support::{get, post, until};

const FILE: &str = r#"{"_meta": {"version": "7"}, "entities": [
    {"id": "cap.db.write", "type": "capability", "risk_tier": "critical", "name": "Write", "tags": ["db"], "blast_radius_hint": {"data": 3}},
    {"id": "wrk.db.writer", "type": "worker_species", "serves_capabilities": ["cap.db.write"]},
    {"id": "ctrl.obs.audit-log-append-only", "type": "control"}]}"#;

fn ask(hall: std::net::SocketAddr, capability: &str) -> Value {
    let body = json!({ "capability_id": capability, "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": "PUBLIC", "tenant_id": "org.acme" });
    post(hall, ANY, "/api/route", &body.to_string()).ok()["deny_code"].clone()
}

#[test]
fn the_built_in_capabilities_have_their_tiers_and_their_workers() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let body = get(process.hall(), READER, "/wcp/capabilities").ok();
    assert_eq!(body["catalog_version"], "built-in");
    let tier = |id: &str| {
        let found = body["capabilities"].as_array().unwrap().iter().find(|row| row["id"] == id);
        found.unwrap_or_else(|| panic!("{id} in {body}"))
    };
    for (id, expected) in [
        ("cap.data.read.v1", "low"),
        ("cap.notify.send.v1", "medium"),
        ("cap.report.generate.v1", "medium"),
        ("cap.auth.verify.v1", "high"),
        ("cap.data.write.v1", "high"),
        ("cap.workflow.trigger.v1", "high"),
    ] {
        assert_eq!((&tier(id)["risk_tier"], &tier(id)["source"]), (&json!(expected), &json!("catalog")), "{id}");
    }
    assert!(tier("cap.data.read.v1")["workers"].as_array().unwrap().contains(&json!("wrk_make_acme_prod")));
    // Without the requirement nothing depends on it.
    assert_eq!(ask(process.hall(), "cap.no.rule"), "DENY_NO_MATCHING_RULE");
}

#[test]
fn a_file_adds_entities_and_what_is_in_no_catalogue_is_denied() {
    let fixture = fixture("", "  catalogue: catalogue.json\n  require_known_capability: true\n", "");
    fixture.write("catalogue.json", FILE);
    let process = fixture.serve();
    let hall = process.hall();
    let body = get(hall, READER, "/api/catalog").ok();
    assert_eq!((&body["_meta"]["version"], &body["count"]), (&json!("7"), &json!(9)));
    let body = get(hall, READER, "/api/catalog?type=worker_species").ok();
    let expected = json!({"id": "wrk.db.writer", "type": "worker_species", "serves_capabilities": ["cap.db.write"]});
    assert_eq!(body["entities"], json!([expected]), "as it is written");
    assert!(get(hall, READER, "/api/catalog?type=thing").refused(400).contains("worker_species"));

    assert_eq!(ask(hall, "cap.data.read.v1"), Value::Null);
    assert_eq!(ask(hall, "cap.db.write"), "DENY_NO_MATCHING_RULE");
    assert_eq!(ask(hall, "cap.db.read"), "DENY_UNKNOWN_CAPABILITY");
    // A species is no capability, and no version is stripped.
    assert_eq!(ask(hall, "cap.data.read"), "DENY_UNKNOWN_CAPABILITY");

    // In force as soon as the file says so, and for nothing that was remembered before.
    fixture.write("catalogue.json", &FILE.replace("cap.db.write\", \"type", "cap.db.read\", \"type"));
    until(|| ask(hall, "cap.db.read") == "DENY_NO_MATCHING_RULE");
    assert_eq!(ask(hall, "cap.db.write"), "DENY_UNKNOWN_CAPABILITY");
    drop(process);
    fixture.verify();
}
