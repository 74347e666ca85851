//! Evidence that is taken away proves itself elsewhere, has nothing that is another's, and no cell of it is a formula.

use std::fs;

use serde_json::{Value, json};

use crate::desk::{ACME, ADA, ASKER, Browser, GLOBEX, GLOBEX_ASKER, HOSTILE, asks, fixture};
use support::{get, post, until};

#[test]
fn a_bundle_that_is_downloaded_proves_itself_and_lines_and_rows_are_whole() {
    let fixture = fixture();
    let process = fixture.serve();
    asks(&process, ASKER, "org.acme", "INTERNAL", HOSTILE);
    asks(&process, ASKER, "org.acme", "RESTRICTED", "=1+1");
    asks(&process, GLOBEX_ASKER, "org.globex", "INTERNAL", "g");
    let ada = Browser::signed_in(&process, ADA);
    let taken = |path: &str| ada.look(path).whole().unwrap();
    // A bundle has what a checkpoint covers: the proof of a receipt waits for one.
    let last = asks(&process, ASKER, "org.acme", "PUBLIC", "last");
    ada.see(&format!("/console/decisions/{}", last["decision_id"].as_str().unwrap()));
    let bundle = ada.look("/console/evidence/entries?format=bundle&worker=wrk_make_acme_prod");
    assert_eq!(bundle.header("content-disposition"), Some("attachment; filename=\"evidence.bundle\""));
    fixture.write("evidence.bundle", &bundle.whole().unwrap());
    let (code, out, err) = fixture.run(&["audit", "verify", "evidence.bundle", "--key", "hallgate.key.pub"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("4 entries"), "{out}");
    fixture.write("evidence.bundle", &bundle.whole().unwrap().replace("ALLOW", "DENYY"));
    assert_eq!(fixture.run(&["audit", "verify", "evidence.bundle"]).0, Some(1));

    let lines = taken("/console/evidence/entries?format=jsonl&verdict=STEWARD_HOLD");
    let held: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((lines.lines().count(), &held["data_label"]), (1, &json!("RESTRICTED")), "{lines}");
    let rows = taken("/console/evidence/entries?format=csv");
    assert!(rows.contains(",'=1+1,"), "{rows}");
    let whole = taken("/console/evidence/entries?format=jsonl");
    assert_eq!(rows.lines().count(), whole.lines().count() + 1);
    process.end();
    assert!(fixture.entries().iter().all(|entry| whole.lines().any(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["receipt_id"] == entry["receipt_id"]
    }) || entry["kind"] != "decision"));
}

#[test]
fn a_tenant_takes_away_what_is_its_own_and_no_more() {
    let fixture = fixture();
    let process = fixture.serve();
    let foreign = asks(&process, ASKER, "org.acme", "INTERNAL", "acme-secret-word");
    asks(&process, GLOBEX_ASKER, "org.globex", "INTERNAL", "globex-word");
    let own = asks(&process, GLOBEX_ASKER, "org.globex", "PUBLIC", "globex-last");
    let globex = Browser::signed_in(&process, GLOBEX);
    globex.see(&format!("/console/decisions/{}", own["decision_id"].as_str().unwrap()));
    for format in ["jsonl", "csv", "bundle"] {
        for filter in ["", "&tenant=org.acme", "&worker=wrk_make_acme_prod"] {
            let taken = globex.look(&format!("/console/evidence/entries?format={format}{filter}")).whole().unwrap();
            let acme = [foreign["decision_id"].as_str().unwrap(), "acme-secret-word", "org.acme\""];
            assert!(acme.iter().all(|word| !taken.contains(word)), "{format}{filter}: {taken}");
            assert_eq!(taken.contains("globex-word"), filter != "&tenant=org.acme", "{format}{filter}: {taken}");
        }
    }
    fixture.write("own.bundle", &globex.look("/console/evidence/entries?format=bundle").whole().unwrap());
    assert_eq!(fixture.run(&["audit", "verify", "own.bundle", "--key", "hallgate.key.pub"]).0, Some(0));
    assert!(!globex.see("/console/evidence").contains("Check all of it"));
    assert_eq!(globex.send("/console/evidence/check", "key=").status, 403);
    assert_eq!(get(process.hall(), ACME, "/api/evidence/check").status, 403);
    assert_eq!(post(process.hall(), ASKER, "/api/evidence/check", "{}").status, 403, "a token that may not read");
}

#[test]
fn what_is_no_filter_is_refused_before_anything_is_sent() {
    let fixture = fixture();
    let process = fixture.serve();
    let ada = Browser::signed_in(&process, ADA);
    for (filter, why) in [
        ("since=yesterday", "since"),
        ("until=2026-13-01", "until"),
        ("label=SECRET", "label"),
        ("verdict=ALLOW", "verdict"),
        ("code=DENY", "code"),
        ("format=pdf", "format"),
    ] {
        let refused = ada.look(&format!("/console/evidence/entries?{filter}"));
        assert_eq!(refused.status, 400, "{filter}");
        assert!(refused.text().contains(why), "{filter}: {}", refused.text());
    }
    assert_eq!(get(process.hall(), ADA, "/api/evidence?formats=csv").status, 400);
}

#[test]
fn the_whole_ledger_is_checked_while_it_is_written_and_the_first_break_is_named() {
    let fixture = fixture();
    let process = fixture.serve();
    asks(&process, ASKER, "org.acme", "INTERNAL", "a-word-to-be-changed");
    let last = asks(&process, ASKER, "org.acme", "PUBLIC", "last");
    let ada = Browser::signed_in(&process, ADA);
    ada.see(&format!("/console/decisions/{}", last["decision_id"].as_str().unwrap()));
    assert!(ada.see("/console/evidence").contains("was not checked since"));
    let check = |key: &str| {
        let begun = ada.send("/console/evidence/check", &format!("key={key}"));
        assert_eq!(begun.header("location"), Some("/console/evidence"), "{}", begun.text());
        until(|| get(process.hall(), ADA, "/api/evidence/check").ok()["found"] != "running");
        ada.see("/console/evidence")
    };
    let sound = check("");
    assert!(sound.contains("Everything holds.") && sound.contains("entries hold"), "{sound}");
    assert_eq!(ada.send("/console/evidence/check", "key=nonsense").status, 400);
    // Another log's key, which is one.
    let elsewhere = crate::desk::fixture();
    drop(elsewhere.serve());
    let key = elsewhere.read("hallgate.key.pub");
    let other = check(&percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC).to_string());
    assert!(other.contains("It is broken.") || other.contains("It cannot be read."), "{other}");
    let segment = fs::read_dir(fixture.path("ledger/segments")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(20).position(|window| window == b"a-word-to-be-changed").unwrap();
    let mut changed = bytes;
    changed[at] = b'A';
    fs::write(&segment, changed).unwrap();
    let broken = check("");
    assert!(broken.contains("It is broken.") && broken.contains("entry "), "{broken}");
}
