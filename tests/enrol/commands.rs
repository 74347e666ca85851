//! `hallgate worker` against a running Hall.

use std::fs;

use serde_json::json;
use support::{post, root, run};

use crate::fixture::{ADMIN, ENROLL, Fixture, hashed, reader};

#[test]
fn a_worker_is_registered_revoked_restored_and_banned_from_the_command_line() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    fixture.write("a.json", &reader("wrk_a", json!({})).to_string());
    let (code, hash, err) = fixture.run(&["worker", "hash", "a.json"]);
    assert_eq!((code, &*err), (Some(0), ""));
    let hash = hash.trim();

    let (code, out, err) = fixture.worker(&process, ENROLL, &["register", "a.json"]);
    assert_eq!((code, &*out), (Some(1), ""), "{err}");
    assert!(err.contains("(400): missing field: artifact_hash") && err.contains("hallgate worker hash"), "{err}");
    fixture.write("a.json", &reader("wrk_a", json!({"artifact_hash": hash})).to_string());
    let (code, out, err) = fixture.worker(&process, ENROLL, &["register", "a.json"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("enrolled wrk_a: enr_"), "{out}");
    assert_eq!(process.ask("wrk_a"), Ok(()));
    fixture.write("a.json", &hashed(reader("wrk_a", json!({"risk_tier": "high"}))));
    let (code, out, _) = fixture.worker(&process, ENROLL, &["register", "a.json"]);
    assert_eq!((code, &*out), (Some(0), "updated wrk_a\n"));

    let told = |token, arguments: &[&str]| {
        let (code, out, err) = fixture.worker(&process, token, arguments);
        (code, format!("{out}{err}"))
    };
    assert_eq!(told(ENROLL, &["revoke", "wrk_a", "--reason", "on leave"]), (Some(0), "wrk_a is revoked\n".into()));
    assert_eq!(told(ENROLL, &["revoke", "wrk_a"]), (Some(0), "wrk_a is revoked (as before)\n".into()));
    assert_eq!(process.ask("wrk_a"), Err("DENY_WORKER_REVOKED".to_owned()));
    let (code, said) = told(ENROLL, &["restore", "wrk_a"]);
    assert!(code == Some(1) && said.contains("(403): forbidden") && said.contains("`admin`"), "{said}");
    assert_eq!(told(ADMIN, &["restore", "wrk_a"]), (Some(0), "wrk_a is active\n".into()));
    let (code, said) = told(ADMIN, &["revoke", "../registry/ban?x"]);
    assert!(code == Some(1) && said.contains("(404)"), "an id is one segment of a path: {said}");

    let hash = fixture.run(&["worker", "hash", "a.json"]).1.trim().to_owned();
    assert_eq!(told(ADMIN, &["ban", &hash]), (Some(0), format!("{hash} is banned: of wrk_a\n")));
    assert_eq!(process.ask("wrk_a"), Err("DENY_WORKER_BANNED".to_owned()));
    assert_eq!(told(ADMIN, &["unban", &hash]), (Some(0), format!("{hash} is not banned: of wrk_a\n")));
    assert_eq!(process.ask("wrk_a"), Ok(()));
}

#[test]
fn what_is_shipped_is_registered_in_one_step() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    for shipped in ["conf/enrolled/wrk_report_acme_prod.json", "k8s/policy/wrk_shop_acme_prod.json"] {
        fs::copy(root().join(shipped), fixture.path("shipped.json")).unwrap();
        let before = fixture.read("shipped.json");
        let (code, out, err) = fixture.worker(&process, ENROLL, &["register", "--hash", "shipped.json"]);
        assert!(code == Some(0) && out.starts_with("enrolled wrk_"), "{shipped}: {err}");
        assert_eq!(fixture.read("shipped.json"), before, "the file stays as it is");
    }
    let (_, out, _) = fixture.worker(&process, ENROLL, &["register", "--hash", "shipped.json"]);
    assert_eq!(out, "updated wrk_shop_acme_prod\n");
}

#[test]
fn everything_that_is_wrong_with_a_record_is_told_at_once() {
    let fixture = Fixture::new();
    let process = fixture.serve();
    let faulty =
        json!({"worker_species_id": "reader", "capabilities": [], "risk_tier": "lowest", "artifact_hash": "sha256:12"});
    fixture.write("a.json", &faulty.to_string());
    let fields = ["worker_id", "worker_species_id", "capabilities", "risk_tier", "artifact_hash"];
    let (code, _, said) = fixture.worker(&process, ENROLL, &["register", "a.json"]);
    assert_eq!(code, Some(2), "{said}");
    let answer = post(process.hall(), ENROLL, "/enroll", &faulty.to_string());
    assert_eq!(answer.status, 400);
    let answer = answer.text();
    assert!(answer.contains(r#""error":"missing field: worker_id""#), "{answer}");
    for field in fields {
        assert!(said.contains(field), "{field} in {said}");
        assert_eq!(answer.matches(&format!("`{field}`")).count(), 1, "{field} in {answer}");
    }
}

#[test]
fn a_record_and_its_code_are_hashed_as_the_reference_and_sha256sum_do() {
    let fixture = Fixture::with("");
    let hello = json!({"worker_id": "org.test.hello-worker", "worker_species_id": "wrk.doc.summarizer",
        "capabilities": ["cap.doc.summarize"], "risk_tier": "low", "owner": "org.test"});
    fixture.write("hello.json", &hello.to_string());
    fixture.write("hello.py", "def run(request):\n    return request\n");
    let record = "sha256:b348ddb1e23127821fc5053a8049587f4a80eaa7040e2f0a40b2da07798f0ffa";
    let sum = std::process::Command::new("sha256sum").arg(fixture.path("hello.py")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap().split(' ').next().unwrap().to_owned();
    let (code, out, _) = fixture.run(&["worker", "hash", "hello.json", "--code", "hello.py"]);
    assert_eq!((code, out), (Some(0), format!("{record}\n{sum}\n")));
    assert_eq!(fixture.run(&["worker", "hash", "--code", "hello.py"]).1, format!("{sum}\n"));
    fixture.write("hello.json", &hello.to_string().replace("\"org.test\"", "\"org.té\""));
    let accented = "sha256:012153791f68e94e8ac4a896b52a828baaeb501f4ed53bf64675450fcd09d193\n";
    assert_eq!(fixture.run(&["worker", "hash", "hello.json"]).1, accented);
    for (arguments, why) in [
        (&["worker", "hash", "none.json"][..], "none.json: cannot be read"),
        (&["worker", "hash", "hello.py"], "hello.py: "),
        (&["worker", "hash"], "required"),
    ] {
        let (code, out, err) = fixture.run(arguments);
        assert!(code == Some(2) && out.is_empty() && err.contains(why), "{arguments:?}: {err}");
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    let fixture = Fixture::with("");
    fixture.write("a.json", &hashed(reader("wrk_a", json!({}))));
    let (code, _, err) = run(fixture.command(&["worker", "register", "a.json"]).env_remove("HALL_SESSION_TOKEN"), "");
    assert!(code == Some(2) && err.contains("HALL_SESSION_TOKEN is not set"), "{err}");
    for (url, why) in [("localhost:1", "is not a Hall's address"), ("http://127.0.0.1:1", "does not answer")] {
        let mut command = fixture.command(&["worker", "register", "a.json", "--hall-url", url]);
        let (code, _, err) = run(command.env("HALL_SESSION_TOKEN", ENROLL), "");
        assert!(code == Some(2) && err.contains(why) && !err.contains(ENROLL), "{err}");
    }
}
