//! What is agreed to is exactly what would run: whatever else is sent is another request.

use std::collections::BTreeSet;

use serde_json::json;
use support::Hook;

use crate::gate::{ASKER2, ROW, held, started};

#[test]
fn who_is_told_of_it_is_told_where_it_goes_and_nothing_of_what_is_in_it() {
    let hook = Hook::start(|_| Some("204 No Content"));
    let alerts = format!("alerts: {{ webhook: \"{}\" }}", hook.url());
    let gate = started(&format!("{{ contents: {{ none_from: CONFIDENTIAL }} }}\n{alerts}"), "");
    let headers = [("x-secret", "in-a-header"), ("authorization", "Bearer in-a-credential")];
    let id = held(&gate.send("POST /rows?since=in-a-query&x", &headers, "{\"row\": \"in-a-body\"}"));
    let told = hook.next().body;
    let at = gate.upstream.address;
    assert_eq!(told["request"], format!("POST {at}/rows?…"), "{told:#}");
    assert!(!told.to_string().contains("in-a-"), "{told:#}");
    // Nor does the store keep it, from this label on.
    let seen = gate.look(&id);
    let expected = json!({"http": format!("POST http://{at}/rows?…"), "headers": [], "body": "", "is_hex": false, "bytes": 20,
        "is_withheld": true});
    assert_eq!(seen["contents"], expected, "{seen:#}");
    let store = std::fs::read(gate.fixture.path("approvals.db")).unwrap();
    assert!(!String::from_utf8_lossy(&store).contains("in-a-"));
}

#[test]
fn another_byte_header_target_method_label_or_credential_is_another_request() {
    let gate = started("{}", "");
    let id = held(&gate.write());
    gate.resolve(&id, "approve");
    let others = [
        gate.send("POST /rows", &[], &ROW.replace('1', "2")),
        gate.send("POST /rows", &[], ""),
        gate.send("PUT /rows", &[], ROW),
        gate.send("POST /rows?dry=1", &[], ROW),
        gate.send("POST /rows", &[("x-mode", "fast")], ROW),
        gate.send("POST /rows", &[("authorization", "Bearer one")], ROW),
        gate.send("POST /rows", &[("authorization", "Bearer two")], ROW),
        gate.send("POST /rows", &[("wcp-data-label", "RESTRICTED")], ROW),
        gate.send("POST /rows", &[("wcp-token", ASKER2)], ROW),
    ];
    let ids: BTreeSet<String> = others.iter().map(held).collect();
    assert_eq!((ids.len(), ids.contains(&id)), (others.len(), false));
    assert_eq!(gate.upstream.bodies(), Vec::<Vec<u8>>::new());

    // A credential is there for whoever looks as another hash, and never itself.
    let hashes: BTreeSet<String> = ids
        .iter()
        .filter_map(|id| {
            let seen = gate.look(id);
            assert!(!seen.to_string().contains("Bearer "), "{seen:#}");
            let headers = seen["contents"]["headers"].as_array().unwrap().clone();
            let found = headers.into_iter().find(|header| header["name"] == "authorization");
            found.map(|header| header["value"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!((hashes.len(), hashes.iter().all(|hash| hash.starts_with("sha256:"))), (2, true), "{hashes:?}");
}

#[test]
fn a_host_that_the_upstream_is_told_is_part_of_it_and_a_secret_in_a_target_is_shown_to_nobody() {
    let gate = started("{}", "");
    let to = |host: &str, path: &str| gate.send(&format!("POST {path}"), &[("host", host)], ROW);
    let id = held(&to("one.example", "/named?a=1&api_key=sk-4711"));
    let seen = gate.look(&id);
    assert!(seen["contents"]["http"].as_str().unwrap().contains("/named?a=1&api_key=sha256:"), "{seen:#}");
    assert!(!seen.to_string().contains("sk-4711"), "{seen:#}");
    assert_eq!(
        (&seen["contents"]["headers"][0]["name"], &seen["contents"]["headers"][0]["value"]),
        (&"host".into(), &"one.example".into())
    );
    gate.resolve(&id, "approve");
    assert_ne!(held(&to("two.example", "/named?a=1&api_key=sk-4711")), id);
    assert_ne!(held(&to("one.example", "/named?a=1&api_key=sk-4712")), id);
    assert_eq!(to("one.example", "/named?a=1&api_key=sk-4711").status, 200);
    assert_eq!(gate.upstream.last("host"), ["one.example"]);
    // Where the upstream is not told of it, it is no part of what runs.
    assert_eq!(held(&to("one.example", "/rows")), held(&to("two.example", "/rows")));
}

#[test]
fn what_differs_each_time_is_no_part_of_it() {
    let gate = started("{ unbound_headers: [user-agent, x-note-*] }", "");
    let send = |agent: &str, note: &str, correlation: &str| {
        let headers = [("user-agent", agent), ("x-note-a", note), ("wcp-correlation-id", correlation)];
        gate.send("POST /rows", &headers, ROW)
    };
    let id = held(&send("one", "a", "11111111-1111-4111-8111-111111111111"));
    assert_eq!(held(&send("two", "b", "22222222-2222-4222-8222-222222222222")), id);
    gate.resolve(&id, "approve");
    let answer = send("three", "c", "33333333-3333-4333-8333-333333333333");
    assert_eq!(answer.status, 200);
    assert_eq!(gate.upstream.last("user-agent"), ["three"], "and it is forwarded");
    // By default a request id is one of these.
    assert_ne!(held(&gate.send("POST /rows", &[("x-request-id", "1")], ROW)), held(&gate.write()));
}
