//! Contents that nobody keeps: from the label on that `approvals.contents` names, approvers see where it goes, how much it is and its digest.

use std::fs;

use serde_json::json;
use support::Fixture;

use crate::desk::{BEA, CYD, ask, fixture, granted, held, look, resolve};

const SECRET: &str = "a-wage-of-4711-and-nobodys-business";

/// Whether the store's file, or what SQLite has beside it, has the secret.
fn is_kept(fixture: &Fixture) -> bool {
    ["approvals.db", "approvals.db-journal", "approvals.db-wal"].into_iter().any(|name| {
        let bytes = fs::read(fixture.path(name)).unwrap_or_default();
        bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
    })
}

#[test]
fn from_a_label_on_nothing_keeps_what_would_run_and_it_runs_all_the_same() {
    let fixture = fixture("{ contents: { none_from: RESTRICTED } }");
    let process = fixture.serve();
    let hall = process.hall();
    let row = json!({"request": {"row": SECRET}});
    let id = held(&ask(hall, row.clone()));
    assert!(!is_kept(&fixture), "it is in the store");
    let seen = look(hall, BEA, &id).ok();
    let expected = json!({"http": null, "headers": [], "body": "", "is_hex": false, "bytes": 46, "is_withheld": true});
    assert_eq!(seen["contents"], expected, "{seen:#}");
    resolve(hall, BEA, &id, "approve", json!({"digest": seen["digest"]})).ok();
    granted(&ask(hall, row.clone()), &id);
    assert!(!is_kept(&fixture));
    // Below it is kept until somebody has decided.
    let by_hand = held(&ask(hall, json!({"request": {"row": SECRET}, "data_label": "CONFIDENTIAL"})));
    assert!(is_kept(&fixture));
    assert_eq!(look(hall, CYD, &by_hand).ok()["contents"]["is_withheld"], false);
    process.end();
}
