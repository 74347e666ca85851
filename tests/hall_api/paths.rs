//! Every path, in the words of each client.

use serde_json::{Value, json};

use crate::hall::{ANY, DENIED, MAKE, READ, READER, before, fixture, has, keys};
use support::{Held, ask, get, post, until};

#[test]
fn each_client_finds_the_fields_that_it_reads() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    let allowed = post(hall, MAKE, "/api/route", READ).ok();
    assert_eq!(allowed["denied"], false, "{allowed}");
    let denied = post(hall, MAKE, "/api/route", DENIED).ok();
    assert_eq!(denied["denied"], true);
    let probe = READ.replace('}', r#","dry_run":true}"#);
    post(hall, MAKE, "/api/route", &probe).ok();
    assert_eq!(post(hall, MAKE, "/api/route", "{").status, 400);

    let body = get(hall, READER, "/health").ok();
    assert_eq!(body["status"], "ok");
    assert!(body["timestamp"].as_str().unwrap().ends_with("+00:00"), "{body}");

    let body = get(hall, READER, "/status").ok();
    has(&body, "hall_version hall_name timestamp account_standing standing_checked_at counted_since");
    let numbers = ["workers_enrolled", "decisions_total", "decisions_today", "denials_today"].map(|name| &body[name]);
    // The malformed body is a recorded refusal; the probe counts for nothing.
    assert_eq!(numbers.map(|n| n.as_u64().unwrap()), [3, 3, 3, 2], "{body}");
    assert_eq!(body["online"], true);

    let body = get(hall, READER, "/dispatches").ok();
    assert_eq!(body["count"], 4);
    let rows = body["dispatches"].as_array().unwrap();
    has(
        &rows[0],
        "decision_id decided_at capability_id tenant_id env denied deny_reason selected_worker blast_score artifact_hash",
    );
    assert_eq!(rows[0]["deny_reason"], "DENY_INVALID_INPUT");
    let by_id = |id: &Value| rows.iter().find(|row| row["decision_id"] == *id).unwrap();
    let row = by_id(&allowed["decision_id"]);
    assert_eq!((&row["denied"], &row["allowed"], &row["is_denied"]), (&json!(0), &json!(true), &json!(false)));
    for name in ["artifact_hash", "blast_score", "capability_id", "worker_id", "tenant_id", "env"] {
        assert_eq!(row[name], allowed[name], "{name}");
    }
    assert_eq!(row["selected_worker"], allowed["selected_worker_species_id"]);
    assert_eq!(by_id(&denied["decision_id"])["denied"], 1);
    assert_eq!(get(hall, READER, "/dispatches?limit=2").ok()["count"], 2);
    assert_eq!(get(hall, READER, "/dispatches?limit=-7").ok()["count"], 1);
    assert_eq!(get(hall, READER, "/dispatches?limit=99999999999999999999999").ok()["count"], 4);
    assert!(get(hall, READER, "/dispatches?limit=two").refused(400).contains("`limit`"));

    let body = get(hall, READER, "/api/dispatches/recent?n=100").ok();
    let events = body["events"].as_array().unwrap();
    has(&events[0], "id timestamp outcome decision worker capability blast_score tenant_id env profile reason");
    let event = events.iter().find(|event| event["id"] == denied["decision_id"]).unwrap();
    assert_eq!((&event["outcome"], &event["decision"]), (&json!("REFUSED"), &json!("deny")));
    let event = events.iter().find(|event| event["id"] == allowed["decision_id"]).unwrap();
    assert_eq!((&event["outcome"], &event["decision"]), (&json!("DISPATCHED"), &json!("allow")));

    for path in ["/workers", "/api/workers", "/wcp/workers"] {
        let body = get(hall, READER, path).ok();
        assert_eq!(body["count"], 3, "{path}");
        let worker = body["workers"].as_array().unwrap().iter().find(|row| row["id"] == "wrk_make_acme_prod").unwrap();
        has(
            worker,
            "worker_id worker_species_id capabilities risk_tier enrolled_at status species_id name guarantee blast_score",
        );
        assert_eq!((&worker["id"], &worker["species_id"]), (&worker["worker_id"], &worker["worker_species_id"]));
        assert_eq!((&worker["risk_tier"], &worker["status"]), (&json!("medium"), &json!("active")));
        assert_eq!((&worker["dispatches_today"], &worker["refusals_today"]), (&json!(1), &json!(1)));
        let idle = body["workers"].as_array().unwrap().iter().find(|row| row["id"] == "wrk_report_acme_prod").unwrap();
        assert_eq!((&idle["health"], &idle["standing"]), (&json!("idle"), &json!("active")));
        assert_eq!(idle["status"], if path == "/api/workers" { "idle" } else { "active" });
    }

    let body = get(hall, READER, "/api/health").ok();
    has(&body, "version uptime_seconds profile state");
    let numbers =
        ["workers", "dispatches_today", "refusals_today", "rules_loaded"].map(|name| body[name].as_u64().unwrap());
    assert_eq!(numbers, [3, 1, 2, 7]);

    let body = get(hall, READER, "/api/doctor").ok();
    let checks = ["connectivity", "auth", "binary_integrity", "hall_server", "db", "config"];
    assert_eq!(keys(&body["checks"]), checks);
    for check in checks {
        assert_eq!(body["checks"][check]["status"], "ok", "{body}");
    }
    assert_eq!(body["overall"], "ok");

    let body = get(hall, READER, "/wcp/health").ok();
    assert_eq!((&body["wcp_version"], &body["compliance_level"]), (&json!("0.1"), &json!("WCP-Standard")));
    assert_eq!(body["rules_hash"], allowed["snapshot"]);

    for (path, list) in [("/alerts", "alerts"), ("/api/alerts", "alerts"), ("/dispatches/active", "dispatches")] {
        assert_eq!(get(hall, READER, path).ok(), json!({ list: [], "count": 0 }), "{path}");
    }
}

#[test]
fn an_exchange_is_under_way_until_it_ends() {
    let upstream = Held::start();
    let fixture = before(upstream.address, "", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    let stream = upstream.begin(process.gate());
    let body = get(hall, READER, "/api/dispatches/active").ok();
    let active = &body["active"][0];
    assert_eq!((&active["worker"], &active["capability"]), (&json!("wrk_make_acme_prod"), &json!("cap.data.read.v1")));
    has(active, "blast_score started_at");
    let body = get(hall, READER, "/dispatches/active").ok();
    assert_eq!((&body["count"], &body["dispatches"][0]["denied"]), (&json!(1), &json!(0)));
    assert_eq!(body["dispatches"][0]["decision_id"], active["id"]);
    upstream.finish();
    drop(stream);
    until(|| get(hall, READER, "/api/dispatches/active").ok()["count"] == 0);
}

#[test]
fn unknown_paths_and_wrong_methods_are_refused_in_json() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    for path in ["/nothing", "/health/", "/api/health/", "/api", "/wcp/", "/api/coord/agents", "/decisions"] {
        get(hall, READER, path).refused(404);
        get(hall, "wrong", path).refused(404);
    }
    for path in
        ["/health", "/status", "/workers", "/dispatches", "/alerts", "/api/catalog", "/wcp/health", "/api/doctor"]
    {
        let answer = post(hall, READER, path, "{}");
        assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{path}");
        answer.refused(405);
    }
    for path in ["/wcp/route", "/decisions/ingest", "/api/alerts/1/acknowledge"] {
        let answer = get(hall, READER, path);
        assert_eq!(answer.header("allow"), Some("POST"), "{path}");
        answer.refused(405);
    }
}

#[test]
fn nothing_is_read_without_a_token_that_may_read() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    let paths = "/health /status /workers /dispatches /dispatches/active /alerts /api/health /api/alerts /api/dispatches/recent \
                 /api/dispatches/active /api/workers /api/catalog /api/doctor /wcp/capabilities /wcp/workers /wcp/health";
    for path in paths.split_whitespace() {
        ask(hall, &format!("GET {path}"), &[], "").refused(401);
        get(hall, "hst_that_is_no_token", path).refused(401);
        get(hall, ANY, path).refused(403);
        get(hall, READER, path).ok();
    }
    post(hall, READER, "/wcp/route", READ).refused(403);
    post(hall, READER, "/decisions/ingest", "{}").refused(403);
    ask(hall, "GET /openapi.json", &[], "").refused(401);
}

#[test]
fn a_whole_route_input_gets_the_decision_that_a_short_one_gets() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    let whole = json!({
        "capability_id": "cap.data.read.v1", "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": "PUBLIC",
        "tenant_id": "org.acme", "tenant_risk": "low", "qos_class": "P2", "correlation_id": "c-1", "request": {}
    });
    let full = post(hall, MAKE, "/wcp/route", &whole.to_string()).ok();
    let short = post(hall, MAKE, "/api/route", &whole.to_string()).ok();
    assert_eq!(keys(&full), keys(&short));
    for name in keys(&full) {
        let own =
            ["decision_id", "timestamp", "decided_at", "proof", "receipt_id", "telemetry_envelopes"].contains(&name);
        assert!(own || full[name] == short[name], "{name}: {} {}", full[name], short[name]);
    }
    assert_ne!(full["decision_id"], short["decision_id"], "each has its own entry");
    for name in ["capability_id", "env", "data_label", "tenant_id", "tenant_risk", "qos_class", "correlation_id"] {
        let mut less = whole.clone();
        less.as_object_mut().unwrap().remove(name);
        let answer = post(hall, MAKE, "/wcp/route", &less.to_string());
        assert_eq!(answer.body["error"], format!("missing field: {name}"));
        answer.refused(400);
        less[name] = Value::Null;
        post(hall, MAKE, "/wcp/route", &less.to_string()).refused(400);
    }
}

#[test]
fn who_opens_the_address_in_a_browser_is_told_what_it_is() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let answer = ask(process.hall(), "GET /", &[], "");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(answer.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'")));
    let page = answer.text();
    assert!(page.contains("This is a hallgate Hall") && page.contains("POST /api/route"), "{page}");
    // Where it leads to is there for strangers, too.
    let paths: Vec<&str> = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(paths, ["/readyz", "/livez"]);
    for path in paths {
        assert_eq!(ask(process.hall(), &format!("GET {path}"), &[], "").status, 200, "{path}");
    }
    assert_eq!(ask(process.hall(), "POST /", &[], "").status, 405);
}
