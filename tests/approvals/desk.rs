//! A Hall with `approvals`, whoever asks it, and whoever decides.

use std::net::SocketAddr;

use serde_json::{Value, json};
use support::{Answer, Fixture, NOWHERE, get, post};

/// Asks, for org.acme; Ann answers for it.
pub const ASKER: &str = "hst_asker_0123456789";
/// The same by another credential.
pub const ASKER2: &str = "hst_asker2_012345678";
/// Asks, for org.globex.
pub const GLOBEX_ASKER: &str = "hst_globex_asker_012";
/// A gatekeeper.
pub const BEA: &str = "hst_bea_012345678901";
/// Of every level.
pub const CYD: &str = "hst_cyd_012345678901";
/// A gatekeeper for whom Ann answers.
pub const ANN: &str = "hst_ann_012345678901";
/// A gatekeeper up to INTERNAL.
pub const LOW: &str = "hst_low_012345678901";
/// A gatekeeper of org.globex.
pub const GLOBEX: &str = "hst_globex_012345678";
/// A gatekeeper of one worker that is not the asker's.
pub const NARROW: &str = "hst_narrow_012345678";
/// A gatekeeper who may void everything.
pub const DAN: &str = "hst_dan_012345678901";
/// Reads.
pub const READER: &str = "hst_reader_012345678";

const TOKENS: &str = "
    - { name: asker, secret: hst_asker_0123456789, scopes: [route], tenant_id: org.acme, owner: ann }
    - { name: asker2, secret: hst_asker2_012345678, scopes: [route], tenant_id: org.acme, owner: ann }
    - { name: globex-asker, secret: hst_globex_asker_012, scopes: [route], tenant_id: org.globex, owner: gil }
    - { name: bea, secret: hst_bea_012345678901, scopes: [approve], owner: bea }
    - { name: cyd, secret: hst_cyd_012345678901, scopes: [approve], owner: cyd, levels: [gatekeeper, executor, incident_commander] }
    - { name: ann2, secret: hst_ann_012345678901, scopes: [approve], owner: ann }
    - { name: low, secret: hst_low_012345678901, scopes: [approve], owner: low, max_label: INTERNAL }
    - { name: globex, secret: hst_globex_012345678, scopes: [approve], owner: gus, tenant_id: org.globex }
    - { name: narrow, secret: hst_narrow_012345678, scopes: [approve], owner: ned, worker_ids: [wrk_report_acme_prod] }
    - { name: dan, secret: hst_dan_012345678901, scopes: [approve, admin], owner: dan }
    - { name: reader, secret: hst_reader_012345678, scopes: [read] }
";

/// RESTRICTED data is a gatekeeper's to let through; CONFIDENTIAL data somebody has to write by hand.
const POLICY: &str = r#"
@id("all")
permit(principal, action == Action::"dispatch", resource);
@id("restricted")
@reason("RESTRICTED data needs a human")
@gate("REQUIRE_HUMAN")
@supervisor_level("gatekeeper")
forbid(principal, action, resource) when { context.data_label == "RESTRICTED" };
@id("by_hand")
@reason("CONFIDENTIAL data is written by hand")
@gate("REQUIRE_HUMAN")
@supervisor_level("executor")
forbid(principal, action, resource) when { context.data_label == "CONFIDENTIAL" };
"#;

/// A folder with a Hall whose `approvals` say this, such as `{ ttl: 10m }`.
pub fn fixture(approvals: &str) -> Fixture {
    let fixture = Fixture::sample(NOWHERE).shutdown("{ linger: 0s, grace: 1s }");
    fixture.copy_from("conf");
    let text = format!(
        "hall:\n  listen: 127.0.0.1:0\n  tokens:{TOKENS}policy: {{ rules: rules.json, workers: enrolled, gate: policies }}\nshutdown: \
         {{ linger: 0s, grace: 1s }}\napprovals: {approvals}\n"
    );
    fixture.configure(&text);
    for file in ["base", "restricted", "tenants"] {
        std::fs::remove_file(fixture.path(&format!("policies/{file}.cedar"))).unwrap();
    }
    fixture.write("policies/all.cedar", POLICY);
    fixture
}

/// A write of RESTRICTED data, of these fields another.
pub fn write(fields: Value) -> String {
    let mut asked = json!({
        "capability_id": "cap.data.write.v1", "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": "RESTRICTED",
        "tenant_id": "org.acme", "request": {"row": "a row of the ledger of wages"},
    });
    asked.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    asked.to_string()
}

/// Asks for a decision on [`write`].
#[track_caller]
pub fn ask(hall: SocketAddr, fields: Value) -> Value {
    post(hall, ASKER, "/api/route", &write(fields)).ok()
}

/// That a decision is a hold under an id, and the id.
#[track_caller]
pub fn held(decision: &Value) -> String {
    assert_eq!((&decision["outcome"], &decision["denied"]), (&json!("STEWARD_HOLD"), &json!(true)), "{decision}");
    decision["pending_approval_id"].as_str().unwrap_or_else(|| panic!("{decision}")).to_owned()
}

/// That a decision is a denial with this code, and its reason.
#[track_caller]
pub fn denied(decision: &Value, code: &str) -> String {
    assert_eq!((&decision["outcome"], &decision["deny_code"]), (&json!("DENY"), &json!(code)), "{decision}");
    decision["reason"].as_str().unwrap().to_owned()
}

/// That a decision is a dispatch that humans agreed to under this id; who.
#[track_caller]
pub fn granted(decision: &Value, id: &str) -> Vec<String> {
    assert_eq!((&decision["outcome"], &decision["denied"]), (&json!("DISPATCH"), &json!(false)), "{decision}");
    assert_eq!(decision["approval"]["approval_id"], id, "{decision}");
    let by = decision["approval"]["approved_by"].as_array().unwrap();
    by.iter().map(|token| token.as_str().unwrap().to_owned()).collect()
}

/// Has a token decide.
#[track_caller]
pub fn resolve(hall: SocketAddr, token: &str, id: &str, resolution: &str, more: Value) -> Answer {
    let mut body = json!({"pending_approval_id": id, "resolution": resolution});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    post(hall, token, "/wcp/approvals/resolve", &body.to_string())
}

/// What a token sees of an approval.
#[track_caller]
pub fn look(hall: SocketAddr, token: &str, id: &str) -> Answer {
    get(hall, token, &format!("/wcp/approvals/{id}"))
}

/// The state that whoever asked is told.
#[track_caller]
pub fn state(hall: SocketAddr, id: &str) -> String {
    look(hall, ASKER, id).ok()["state"].as_str().unwrap().to_owned()
}

/// The ids of what waits, as a token is told.
#[track_caller]
pub fn pending(hall: SocketAddr, token: &str) -> Vec<String> {
    let body = get(hall, token, "/wcp/approvals/pending").ok();
    let ids = body["approvals"].as_array().unwrap().iter().map(|one| one["pending_approval_id"].as_str().unwrap());
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    assert_eq!(body["count"], ids.len());
    ids
}
