//! Why something was decided, what would change it, and what would be decided of what: what is said is what is decided, and nobody is told
//! of what is another's.

use serde_json::{Value, json};

use crate::hall::{ACME, ANY, DENIED, GLOBEX, MAKE, READ, READER, fixture};
use support::{Process, get, post, root, until};

/// What the Hall explains.
fn explain(process: &Process, token: &str, asked: &Value) -> Value {
    post(process.hall(), token, "/api/explain", &asked.to_string()).ok()
}

fn entries(process: &Process) -> u64 {
    get(process.hall(), READER, "/status").ok()["ledger_entries"].as_u64().unwrap()
}

#[test]
fn a_request_is_explained_gate_by_gate_and_nothing_is_recorded_or_allowed() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let before = entries(&process);
    let asked: Value = serde_json::from_str(READ).unwrap();
    let allowed = explain(&process, READER, &json!({ "route": asked }));
    assert_eq!(allowed["now"]["outcome"], "DISPATCH");
    assert_eq!(allowed["explain"]["rule"]["rule_id"], "rr_data_read");
    assert_eq!(
        (&allowed["was"], &allowed["same"], &allowed["decision_id"]),
        (&json!(null), &json!(null), &json!(null))
    );
    assert!(allowed.get("allowed").is_none() && allowed.get("denied").is_none(), "it is no decision");
    let asked: Value =
        serde_json::from_str(&READ.replace("PUBLIC", "SECRET").replace("data.read", "notify.send")).unwrap();
    let denied = explain(&process, READER, &json!({ "route": asked }));
    assert_eq!(denied["now"]["deny_code"], "DENY_NO_MATCHING_RULE", "{denied}");
    assert_eq!(denied["now"]["outcome"], "DENY");
    assert!(denied["reason"].as_str().unwrap().contains("cap.notify.send.v1"));
    let nothing =
        explain(&process, READER, &json!({ "route": { "capability_id": "cap.data.read.v1", "env": "moon" } }));
    assert_eq!(nothing["now"]["deny_code"], "DENY_INVALID_INPUT", "as it would be");
    assert!(nothing["reason"].as_str().unwrap().contains("moon"), "{nothing}");
    assert_eq!(nothing["explain"]["gates"][0]["said"], "not reached");
    assert_eq!(entries(&process), before, "nothing is recorded");
}

#[test]
fn what_would_change_a_denial_is_what_would_be_decided() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let asked = json!({
        "capability_id": "cap.report.generate.v1", "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": "RESTRICTED",
        "tenant_id": "org.acme",
    });
    let explained = explain(&process, READER, &json!({ "route": asked }));
    assert_eq!(explained["explain"]["nearest_rules"][0]["rule_id"], "rr_report");
    let changes = explained["changes"].as_array().unwrap();
    assert!(!changes.is_empty(), "{explained}");
    for change in changes {
        for value in change["values"].as_array().unwrap() {
            let mut other = asked.clone();
            other[change["member"].as_str().unwrap()] = value.clone();
            let decided = post(process.hall(), ANY, "/api/route", &other.to_string()).ok();
            assert_eq!(decided["outcome"], change["outcome"], "{other}");
        }
    }
}

#[test]
fn a_decision_on_record_is_explained_and_held_against_a_draft() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let decided = post(process.hall(), MAKE, "/api/route", READ).ok();
    let id = &decided["decision_id"];
    let explained = explain(&process, READER, &json!({ "decision_id": id }));
    assert_eq!(
        (&explained["decision_id"], &explained["same"], &explained["same_policy"]),
        (id, &json!(true), &json!(true))
    );
    let none = json!({ "decision_id": id, "draft": { "rules": [] } });
    let drafted = explain(&process, READER, &none);
    assert_eq!(drafted["was"]["outcome"], "DISPATCH");
    assert_eq!((&drafted["now"]["deny_code"], &drafted["same"]), (&json!("DENY_NO_MATCHING_RULE"), &json!(false)));
    assert_eq!(drafted["same_policy"], false);
    // A short draft has very many problems: the first are told, and how many there are.
    let many = json!({ "decision_id": id, "draft": { "rules": vec![json!({}); 2000] } });
    let reason = post(process.hall(), READER, "/api/explain", &many.to_string()).refused(400);
    assert!(reason.len() < 8 << 10 && reason.ends_with(" more"), "{} bytes", reason.len());
    // The draft is nobody's policy but the asker's.
    assert_eq!(post(process.hall(), MAKE, "/api/route", READ).ok()["outcome"], "DISPATCH");
    let broken = json!({ "decision_id": id, "draft": { "rules": [{ "rule_id": "r", "match": { "env": "prdo" }, "decision": {} }] } });
    let reason = post(process.hall(), READER, "/api/explain", &broken.to_string()).refused(400);
    assert!(reason.contains("rules[0].match.env") && reason.contains("prdo"), "{reason}");
}

#[test]
fn what_is_no_question_is_refused_with_what_to_change() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    for (asked, names) in [
        ("{}", "decision_id"),
        ("[]", "object"),
        (r#"{"decision_id":"x"}"#, "decision_id"),
        (r#"{"route":{"env":"prod"}}"#, "capability_id"),
        (r#"{"route":{},"decision_id":"00000000-0000-4000-8000-000000000000"}"#, "either"),
        (r#"{"route":{},"drafts":{}}"#, "drafts"),
        (r#"{"route":{},"draft":{"rules":[],"more":1}}"#, "rules"),
    ] {
        let reason = post(process.hall(), READER, "/api/explain", asked).refused(400);
        assert!(reason.contains(names), "{asked}: {reason}");
    }
    let nobodys = r#"{"decision_id":"00000000-0000-4000-8000-000000000000"}"#;
    assert_eq!(post(process.hall(), READER, "/api/explain", nobodys).status, 404);
    assert_eq!(post(process.hall(), MAKE, "/api/explain", nobodys).status, 403, "a token that may not read");
    assert_eq!(post(process.hall(), "hst_wrong_0123456789", "/api/explain", nobodys).status, 401);
}

#[test]
fn nobody_is_told_of_what_is_another_tenants() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let acme = post(process.hall(), MAKE, "/api/route", DENIED).ok();
    let asked = json!({ "decision_id": acme["decision_id"] }).to_string();
    assert_eq!(post(process.hall(), ACME, "/api/explain", &asked).status, 200);
    assert_eq!(post(process.hall(), GLOBEX, "/api/explain", &asked).status, 404);
    // It may ask as itself, and is not told who else is enrolled.
    let route = json!({ "capability_id": "cap.data.read.v1", "env": "prod", "data_label": "PUBLIC", "worker_id": "wrk_nobody" });
    let explained = explain(&process, GLOBEX, &json!({ "route": route }));
    assert_eq!(explained["now"]["deny_code"], "DENY_WORKER_NOT_ENROLLED");
    assert!(!explained.to_string().contains("acme"), "{explained}");
    let known = explain(&process, ACME, &json!({ "route": route }));
    assert!(known["changes"].to_string().contains("wrk_make_acme_prod"), "{known}");
    let as_another =
        json!({ "route": { "capability_id": "cap.data.read.v1", "env": "prod", "tenant_id": "org.acme" } });
    assert_eq!(explain(&process, GLOBEX, &as_another)["now"]["deny_code"], "DENY_UNKNOWN_TENANT");

    let policy = get(process.hall(), GLOBEX, "/api/policy?tenant=org.acme").ok();
    assert_eq!(policy["tenant_id"], "org.globex");
    assert!(!policy.to_string().contains("acme"), "{policy}");
    assert_eq!(policy["policies"], json!([]));
    // It is not said to be asked as a worker as which it was not.
    let as_foreign = get(process.hall(), GLOBEX, "/api/policy?worker=wrk_make_acme_prod").ok();
    assert_eq!(as_foreign["worker_id"], json!(null));
    assert!(policy["rules"].as_array().unwrap().iter().all(|rule| rule["has_decided"].is_null()));
}

#[test]
fn each_cell_of_the_matrix_is_what_is_decided_there() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let policy = get(process.hall(), READER, "/api/policy?tenant=org.acme").ok();
    let mut outcomes = std::collections::BTreeSet::new();
    for row in policy["capabilities"].as_array().unwrap() {
        let cells = row["cells"].as_array().unwrap();
        assert_eq!(cells.len(), 16, "four environments, four labels");
        for cell in cells {
            let mut asked = json!({
                "capability_id": row["capability_id"], "env": cell["env"], "data_label": cell["data_label"], "tenant_id": "org.acme",
            });
            if !cell["worker_id"].is_null() {
                asked["worker_id"] = cell["worker_id"].clone();
            }
            let decided = post(process.hall(), ANY, "/api/route", &asked.to_string()).ok();
            assert_eq!((&decided["outcome"], &decided["deny_code"]), (&cell["outcome"], &cell["deny_code"]), "{asked}");
            outcomes.insert(cell["outcome"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(outcomes.len(), 3, "the sample allows, denies and holds: {outcomes:?}");
    let one = get(process.hall(), READER, "/api/policy?worker=wrk_nobody&capability=cap.data.read").ok();
    assert_eq!((&one["count"], &one["next"]), (&json!(1), &json!(null)));
    let refused = one["capabilities"][0]["cells"].as_array().unwrap();
    assert!(refused.iter().all(|cell| cell["deny_code"] == "DENY_WORKER_NOT_ENROLLED"), "{one}");
    for wrong in ["?tenants=x", "?tenant=a&tenant=b"] {
        assert_eq!(get(process.hall(), READER, &format!("/api/policy{wrong}")).status, 400);
    }
}

#[test]
fn rules_that_have_decided_nothing_are_known_until_they_do_or_change() {
    let fixture = fixture("", "", "");
    let conf = root().join("conf/rules.json");
    fixture.write("rules.json", &std::fs::read_to_string(&conf).unwrap());
    fixture.edit(&format!("rules: {}", conf.display()), "rules: rules.json");
    let process = fixture.serve();
    let decided = || {
        let policy = get(process.hall(), READER, "/api/policy").ok();
        let rules = policy["rules"].as_array().unwrap().iter();
        let used =
            rules.filter(|rule| rule["has_decided"] == true).map(|rule| rule["rule_id"].as_str().unwrap().to_owned());
        (used.collect::<Vec<_>>(), policy["snapshot"].clone())
    };
    assert!(decided().0.is_empty(), "asking for the matrix decides nothing");
    post(process.hall(), MAKE, "/api/route", READ).ok();
    post(process.hall(), MAKE, "/api/route", READ).ok();
    let (used, before) = decided();
    assert_eq!(used, ["rr_data_read"]);
    let policies = get(process.hall(), READER, "/api/policy").ok();
    assert!(policies["policies"].as_array().unwrap().iter().any(|policy| policy["has_decided"] == true), "{policies}");
    // Another rule changes: what this one has decided is still so. It changes itself: nothing has been decided by it.
    let change = |from: &str, to: &str| {
        let rules = std::fs::read_to_string(fixture.path("rules.json")).unwrap();
        assert!(rules.contains(from), "{rules}");
        fixture.write("rules.json", &rules.replace(from, to));
        let now = decided().1;
        process.hang_up();
        until(|| decided().1 != now);
    };
    change("rr_auth", "rr_auth_2");
    assert_eq!(decided().0, ["rr_data_read"]);
    assert_ne!(decided().1, before);
    change(
        r#""capability_id": "cap.data.read.v1""#,
        r#""capability_id": "cap.data.read.v1", "env": { "in": ["dev", "stage", "prod"] }"#,
    );
    assert!(decided().0.is_empty());
}
