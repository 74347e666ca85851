//! A token that is bound to a tenant sees that tenant's rows and no other's, wherever it looks.

use serde_json::json;

use crate::hall::{ACME, ANY, DENIED, GLOBEX, MAKE, READ, READER, before};
use support::{Held, get, post};

#[test]
fn no_tenant_sees_anything_of_another() {
    let upstream = Held::start();
    let fixture = before(upstream.address, "", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    let acme = post(hall, MAKE, "/api/route", READ).ok();
    let globex = post(hall, ANY, "/api/route", &READ.replace("org.acme", "org.globex")).ok();
    // A claim to be a tenant, by a token of another: it is neither's.
    let claim = post(hall, MAKE, "/api/route", &READ.replace("org.acme", "org.globex")).ok();
    assert_eq!(claim["deny_code"], "DENY_UNKNOWN_TENANT");
    post(hall, MAKE, "/api/route", DENIED).ok();
    let _stream = upstream.begin(process.gate());

    assert_eq!(get(hall, READER, "/dispatches").ok()["count"], 5);
    for (reader, own, other) in [(ACME, "org.acme", "org.globex"), (GLOBEX, "org.globex", "org.acme")] {
        for path in [
            "/dispatches",
            "/dispatches?limit=200",
            "/api/dispatches/recent?n=1000",
            "/dispatches/active",
            "/api/dispatches/active",
            "/workers",
            "/api/workers",
            "/wcp/workers",
            "/alerts",
            "/api/alerts",
            "/api/decisions",
            "/api/decisions?limit=200&verdict=DISPATCH",
            "/api/decisions?worker=wrk_make_acme_prod",
            "/status",
            "/api/health",
            "/wcp/capabilities",
        ] {
            let text = get(hall, reader, path).ok().to_string();
            assert!(!text.contains(other), "{own} sees {other} at {path}: {text}");
        }
    }
    for (reader, other) in [(ACME, "org.globex"), (GLOBEX, "org.acme")] {
        let lines = get(hall, reader, "/api/decisions?format=csv");
        assert!(lines.status == 200 && !lines.text().contains(other), "{}", lines.text());
        assert_eq!(get(hall, reader, &format!("/api/decisions?tenant={other}")).ok()["count"], 0);
        let foreign = if reader == ACME { &globex } else { &acme };
        // Another's decision as a place in the log says nothing of it, and shows no more.
        let cursor = foreign["decision_id"].as_str().unwrap();
        let beside = get(hall, reader, &format!("/api/decisions?cursor={cursor}")).ok().to_string();
        assert!(!beside.contains(other), "{beside}");
    }
    let ids = |reader: &str| {
        let body = get(hall, reader, "/dispatches").ok();
        body["dispatches"].as_array().unwrap().iter().map(|row| row["decision_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(GLOBEX), [globex["decision_id"].clone()]);
    assert_eq!(ids(ACME).len(), 3);
    assert!(ids(ACME).contains(&acme["decision_id"]) && !ids(ACME).contains(&claim["decision_id"]));

    let status = |reader: &str| {
        let body = get(hall, reader, "/status").ok();
        ["decisions_total", "decisions_today", "denials_today", "ledger_entries"].map(|name| body[name].clone())
    };
    assert_eq!(status(ACME), [json!(3), json!(3), json!(1), json!(null)]);
    assert_eq!(status(GLOBEX), [json!(1), json!(1), json!(0), json!(null)]);
    assert_eq!(get(hall, ACME, "/api/dispatches/active").ok()["count"], 1);
    assert_eq!(get(hall, GLOBEX, "/api/dispatches/active").ok()["count"], 0);

    // Only workers that are the tenant's, that its tokens are bound to, or that were dispatched for it; with its own counts.
    let workers = |reader: &str| get(hall, reader, "/workers").ok()["workers"].as_array().unwrap().clone();
    assert_eq!(workers(ACME).len(), 3, "the records in conf/enrolled name it as their owner");
    assert_eq!(workers(GLOBEX).len(), 1);
    for (reader, dispatches) in [(ACME, 2), (GLOBEX, 1)] {
        let all = workers(reader);
        let make = all.iter().find(|worker| worker["worker_id"] == "wrk_make_acme_prod").unwrap();
        assert_eq!(make["dispatches_today"], dispatches);
    }
}
