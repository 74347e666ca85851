//! Lists and counts go on after a restart, also after one that no process can notice.

use serde_json::Value;

use crate::hall::{ACME, DENIED, GLOBEX, MAKE, READ, READER, fixture};
use support::{Process, get, post, until};

#[test]
fn lists_and_counts_come_back_from_the_ledger() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    for _ in 0..5 {
        post(process.hall(), MAKE, "/api/route", READ).ok();
        post(process.hall(), MAKE, "/api/route", DENIED).ok();
    }
    assert_eq!(post(process.hall(), MAKE, "/api/route", "[]").status, 400);
    let said = |process: &Process, reader: &str| -> Vec<Value> {
        let status = get(process.hall(), reader, "/status").ok();
        let mut said: Vec<Value> =
            ["decisions_total", "decisions_today", "denials_today"].map(|name| status[name].clone()).into();
        said.push(get(process.hall(), reader, "/dispatches?limit=200").ok());
        said.push(get(process.hall(), reader, "/api/workers").ok());
        said
    };
    let before = [READER, ACME, GLOBEX].map(|reader| said(&process, reader));
    assert_eq!(before[0][0], 11);
    let since = get(process.hall(), READER, "/status").ok()["counted_since"].clone();
    assert!(since.as_str().unwrap().contains("T00:00:00.000000"), "today is counted from midnight on: {since}");
    process.kill();
    let again = fixture.serve();
    until(|| get(again.hall(), READER, "/status").ok()["decisions_total"] == 11);
    assert_eq!([READER, ACME, GLOBEX].map(|reader| said(&again, reader)), before);
    // What comes now stands before what was, and counts with it.
    let new = post(again.hall(), MAKE, "/api/route", READ).ok();
    let rows = get(again.hall(), READER, "/dispatches").ok();
    assert_eq!((&rows["dispatches"][0]["decision_id"], &rows["count"]), (&new["decision_id"], &Value::from(12)));
}
