//! `hallgate audit` and `hallgate key` from the outside: beside a running `serve` and after it, with their exit codes.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use hallgate::ids::Digest;
use serde_json::Value;
use support::{Fixture, NOWHERE, Process, TOKEN, post, until};

/// Asks the Hall for a decision on a capability, and gives its id.
fn ask(process: &Process, capability: &str) -> String {
    let body = format!(
        r#"{{"capability_id":"{capability}","worker_id":"wrk_make_acme_prod","env":"prod","data_label":"INTERNAL","tenant_id":"org.acme"}}"#
    );
    let body = post(process.hall(), TOKEN, "/api/route", &body).ok();
    body["decision_id"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

/// Runs a command that must end with this code, and gives what it said on stdout, or on stderr if that is nothing.
#[track_caller]
fn run(fixture: &Fixture, code: i32, arguments: &[&str]) -> String {
    let (ended, out, err) = fixture.run(arguments);
    assert_eq!(ended, Some(code), "{arguments:?}\n{out}{err}");
    if out.is_empty() { err } else { out }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const WRITE: &str = "cap.data.write.v1";
const READ: &str = "cap.data.read.v1";

#[test]
fn a_ledger_is_read_and_proved_beside_its_writer_and_after_it() {
    let fixture = Fixture::sample(NOWHERE).shutdown("{ linger: 0s, grace: 1m }");
    let process = fixture.serve();
    until(|| process.log().contains("made a new signing key"));
    let mut ids = vec![ask(&process, WRITE), ask(&process, READ), ask(&process, "cap.no.such")];

    // While it runs.
    let newest = lines(&run(&fixture, 0, &["audit", "tail", "-n", "2"]));
    assert_eq!(newest.iter().map(|entry| entry["receipt_id"].as_str().unwrap()).collect::<Vec<_>>(), ids[1..]);
    run(&fixture, 0, &["audit", "verify"]);
    let mut tail = fixture.command(&["audit", "tail", "-n", "1", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut followed = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&followed.next().unwrap().unwrap()).unwrap()["receipt_id"].clone();
    assert_eq!(next(), ids[2]);
    for _ in 0..3 {
        ids.push(ask(&process, WRITE));
        assert_eq!(next(), *ids.last().unwrap());
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
    until(|| fixture.run(&["audit", "prove", &ids[5]]).0 == Some(0));
    fs::copy(fixture.path("ledger/checkpoint"), fixture.path("older")).unwrap();
    ids.push(ask(&process, READ));
    process.end();

    // Each line is exactly what was hashed: the chains follow from the text alone.
    let all = run(&fixture, 0, &["audit", "export"]);
    let mut heads = HashMap::new();
    for line in all.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let before = heads.insert(entry["stream"].as_str().unwrap().to_owned(), Digest::of(line.as_bytes()).to_hex());
        assert_eq!(entry["prev_receipt_hash"].as_str(), before.as_deref(), "{line}");
    }
    let all = lines(&all);
    assert_eq!((&all[0]["kind"], &all[0]["cause"], all.len()), (&"policy".into(), &"start".into(), 8));
    let export = |arguments: &[&str]| lines(&run(&fixture, 0, &[&["audit", "export"], arguments].concat())).len();
    assert_eq!(export(&["--tenant", "org.acme"]), 7);
    assert_eq!(export(&["--tenant", ":hall"]), 1);
    assert_eq!(export(&["--capability", READ]), 2);
    for (verdict, word, least) in [("allow", "ALLOW", 1), ("deny", "DENY", 1), ("hold", "REQUIRE_HUMAN", 0)] {
        let expected = all.iter().filter(|entry| entry["policy_decision"] == word).count();
        assert!(expected >= least, "{word}: {expected}");
        assert_eq!(export(&["--verdict", verdict]), expected);
    }
    assert_eq!(export(&["--capability", WRITE]), 4);
    let time = all[5]["recorded_at"].as_str().unwrap();
    assert_eq!(export(&["--since", time]), 3);
    assert_eq!(export(&["--until", time]), 5);
    assert_eq!((export(&["--since", "24h"]), export(&["--until", "24h"])), (8, 0));
    assert_eq!((export(&["--since", "2026-01-01"]), export(&["--since", "2999-01-01"])), (8, 0));
    assert!(run(&fixture, 2, &["audit", "export", "--since", "yesterday"]).contains("24h, 7d"));
    assert_eq!((export(&["--worker", "wrk_make_acme_prod"]), export(&["--worker", "wrk_nobody"])), (7, 0));
    assert_eq!((export(&["--label", "INTERNAL"]), export(&["--label", "PUBLIC"])), (7, 0));
    let denied = all.iter().filter(|entry| entry["deny_code"] == "DENY_NO_MATCHING_RULE").count();
    assert_eq!((denied, export(&["--code", "DENY_NO_MATCHING_RULE"])), (1, 1));
    let said = run(&fixture, 2, &["audit", "export", "--code", "DENY_NO_MATCHING_RUL"]);
    assert!(said.contains("did you mean `DENY_NO_MATCHING_RULE`?"), "{said}");
    let rows = run(&fixture, 0, &["audit", "export", "--csv", "--code", "DENY_NO_MATCHING_RULE"]);
    let rows: Vec<&str> = rows.split_terminator("\r\n").collect();
    assert!(rows.len() == 2 && rows[0].starts_with("recorded_at,kind,receipt_id,"), "{rows:?}");
    assert!(rows[1].contains(&format!(",decision,{0},{0},org.acme,api,", ids[2])), "{}", rows[1]);

    // Proofs.
    let said = run(&fixture, 0, &["audit", "verify", "--since", "older"]);
    assert!(said.contains("8 entries hold") && said.contains("goes on from the older one over 7"), "{said}");
    assert!(run(&fixture, 0, &["audit", "verify", "--from", "2", "--to", "4"]).contains("entries 2 to 4 hold"));
    assert!(run(&fixture, 2, &["audit", "verify", "--from", "2", "--to", "8"]).contains("2 to 8 was asked for"));
    let proof = run(&fixture, 0, &["audit", "prove", &ids[1]]);
    fs::write(fixture.path("proof.json"), &proof).unwrap();
    let said = run(&fixture, 0, &["audit", "verify-proof", "proof.json", "--key", "hallgate.key.pub"]);
    for part in
        [ids[1].as_str(), "ALLOW for cap.data.read.v1", "org.acme", "entry 2 of the log", "hallgate.local/ledger+"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    fs::write(fixture.path("since.json"), run(&fixture, 0, &["audit", "prove", "--since", "older"])).unwrap();
    let said = run(&fixture, 0, &["audit", "verify-proof", "since.json"]);
    assert!(said.contains("8 entries begins with the 7 entries"), "{said}");
    fs::write(fixture.path("forged.json"), proof.replace("org.acme", "org.evil")).unwrap();
    assert!(run(&fixture, 1, &["audit", "verify-proof", "forged.json"]).contains("`receipt_hash` is not the hash"));
    fs::write(fixture.path("other.json"), "{}").unwrap();
    assert!(run(&fixture, 2, &["audit", "verify-proof", "other.json"]).contains("`other.json` is no proof"));
    assert!(run(&fixture, 2, &["audit", "verify-proof", "none.json"]).contains("cannot be read"));
    assert!(run(&fixture, 2, &["audit", "verify-proof", "proof.json", "--key", "none"]).contains("`none`"));
    let stranger = run(&fixture, 0, &["key", "new", "stranger.key"]);
    assert!(
        run(&fixture, 1, &["audit", "verify-proof", "proof.json", "--key", stranger.trim()]).contains("`checkpoint`")
    );
    let none = "01990000-0000-7000-8000-000000000001";
    assert!(run(&fixture, 1, &["audit", "prove", none]).contains(none));
    run(&fixture, 2, &["audit", "prove"]);
    run(&fixture, 2, &["audit", "prove", "x"]);

    // A bundle stands for itself, wherever it is; one that was changed does not.
    let bundle = run(&fixture, 0, &["audit", "export", "--bundle", "--code", "DENY_NO_MATCHING_RULE"]);
    fixture.write("denials.bundle", &bundle);
    let said = run(&fixture, 0, &["audit", "verify", "denials.bundle"]);
    assert!(said.contains("1 entries hold, numbers 3 to 3") && said.contains("with --key"), "{said}");
    let said = run(&fixture, 0, &["audit", "verify", "denials.bundle", "--key", "hallgate.key.pub"]);
    assert!(said.contains("signed") && !said.contains("--key"), "{said}");
    assert!(
        run(&fixture, 1, &["audit", "verify", "denials.bundle", "--key", stranger.trim()]).contains("line 1: `key`")
    );
    fixture.write("forged.bundle", &bundle.replace("INTERNAL", "INTERNAT"));
    let said = run(&fixture, 1, &["audit", "verify", "forged.bundle"]);
    assert!(said.contains(&format!("line 2 (entry {}): `hashes`", ids[2])), "{said}");
    assert!(run(&fixture, 2, &["audit", "verify", "proof.json"]).contains("is no bundle"));
    assert!(run(&fixture, 2, &["audit", "verify", "none.bundle"]).contains("cannot be read"));
    run(&fixture, 2, &["audit", "verify", "denials.bundle", "--ledger", "ledger"]);
    run(&fixture, 2, &["audit", "export", "--bundle", "--key", stranger.trim()]);

    // And the first break.
    let segment = fs::read_dir(fixture.path("ledger/segments")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(9).position(|found| found == b"\"recorded").unwrap();
    bytes[at + 20] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert!(run(&fixture, 1, &["audit", "verify"]).contains("entry 0"));
    assert!(run(&fixture, 1, &["audit", "verify", "--from", "0", "--to", "0"]).contains("entry 0"));
    run(&fixture, 2, &["audit", "export", "--ledger", "elsewhere"]);
}

#[test]
fn a_key_is_made_shown_and_changed_and_the_old_public_key_goes_on_verifying() {
    let fixture = Fixture::sample(NOWHERE).shutdown("{ linger: 0s, grace: 1m }");
    let vkey = run(&fixture, 0, &["key", "new", "first.key", "--origin", "hall.example.org/ledger"]);
    assert!(vkey.starts_with("hall.example.org/ledger+"), "{vkey}");
    assert_eq!(fs::metadata(fixture.path("first.key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(run(&fixture, 0, &["key", "show", "first.key"]), vkey);
    assert_eq!(fixture.read("first.key.pub"), vkey);
    assert!(run(&fixture, 2, &["key", "new", "first.key"]).contains("there already"));
    assert!(run(&fixture, 2, &["key", "show", "none.key"]).contains("none.key"));
    fs::set_permissions(fixture.path("first.key"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(run(&fixture, 2, &["key", "show", "first.key"]).contains("chmod 600"));
    let ledger = |key: &str| format!("ledger: {{ key_file: {key}, origin: hall.example.org/ledger }}\n");
    let plain = fixture.configuration();
    let configure = |key: &str| fixture.configure(&(plain.clone() + &ledger(key)));
    configure("first.key");
    assert!(run(&fixture, 2, &["serve", "--config", "hallgate.yaml"]).contains("chmod 600"));
    fs::set_permissions(fixture.path("first.key"), fs::Permissions::from_mode(0o600)).unwrap();

    let rotate = ["key", "rotate", "--old", "first.key", "--new", "second.key"];
    let process = fixture.serve();
    assert!(!process.log().contains("made a new signing key"), "{}", process.log());
    ask(&process, WRITE);
    assert!(run(&fixture, 2, &rotate).contains("second.key"), "there is no new key yet");
    run(&fixture, 0, &["key", "new", "second.key", "--origin", "hall.example.org/ledger"]);
    assert!(run(&fixture, 2, &rotate).contains("in use by another process"));
    process.end();
    assert!(run(&fixture, 0, &rotate).contains("after 2 entries, signed by both"));

    configure("second.key");
    let process = fixture.serve();
    ask(&process, READ);
    process.end();
    for key in ["first.key.pub", "second.key.pub"] {
        assert!(run(&fixture, 0, &["audit", "verify", "--key", key]).contains("4 entries hold"), "{key}");
    }
    configure("first.key");
    let said = run(&fixture, 2, &["serve", "--config", "hallgate.yaml"]);
    assert!(said.contains("is signed by `hall.example.org/ledger+") && said.contains("key rotate"), "{said}");
}

#[test]
fn what_is_not_there_is_not_said_to_be_broken() {
    let fixture = Fixture::sample(NOWHERE);
    let process = fixture.serve();
    process.end();
    run(&fixture, 0, &["audit", "verify"]);
    let said = run(&fixture, 2, &["audit", "verify", "--ledger", "ledgre"]);
    assert!(said.contains("the ledger `ledgre` cannot be read: No such file"), "{said}");
    let said = run(&fixture, 2, &["audit", "verify", "--key", "a+b+c"]);
    assert!(said.contains("the verifier key cannot be read") && said.contains("<name>+<id>+<key>"), "{said}");
    // One that is there and has lost what it needs is.
    fs::remove_file(fixture.path("ledger/version")).unwrap();
    let said = run(&fixture, 1, &["audit", "verify"]);
    assert!(said.contains("the ledger is broken: `version` is missing"), "{said}");
}
