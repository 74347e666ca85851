//! What `check` warns of: one folder of `tests/check/warnings` a case, with the files in which it differs from `base`.
//!
//! `UPDATE_GOLDEN=1 cargo test --test commands warnings` writes the texts anew.

use std::collections::BTreeSet;
use std::fs;

use hallgate::lint::LINTS;
use serde_json::{Value, json};
use support::{Fixture, differs_from_golden, root, run, until};

use crate::folders;

/// What `check` says of a case: exit code and warnings.
fn said(case: &str) -> String {
    let fixture = Fixture::copy_of("tests/check/warnings/base");
    if case == "no-workers" {
        fs::remove_dir_all(fixture.path("enrolled")).unwrap();
        fs::create_dir(fixture.path("enrolled")).unwrap();
    }
    fixture.copy_from(&format!("tests/check/warnings/{case}"));
    let (code, _, err) = fixture.run(&["check", "--config", "hallgate.yaml"]);
    let folder = fixture.path("");
    format!("exit code {}\n{err}", code.unwrap()).replace(folder.to_str().unwrap(), "…/")
}

fn names() -> impl Iterator<Item = &'static str> {
    LINTS.iter().map(|lint| lint.name)
}

#[test]
fn each_warning_is_as_the_text_in_its_folder_says() {
    assert_eq!(said("base"), "exit code 0\n");
    let mut differ = Vec::new();
    let mut seen = BTreeSet::new();
    for folder in folders(&root().join("tests/check/warnings")) {
        let case = folder.file_name().unwrap().to_str().unwrap();
        if case == "base" {
            continue;
        }
        let said = said(case);
        seen.extend(names().filter(|name| case.starts_with(name) && said.contains(&format!("warning[{name}]: "))));
        differ.extend(differs_from_golden(&folder.join("said.txt"), &said));
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!(seen, names().collect(), "a folder of tests/check/warnings shows each warning, by its name");
}

#[test]
fn serve_and_reload_log_what_check_says() {
    let fixture = Fixture::copy_of("tests/check/warnings/base");
    fixture.copy_from("tests/check/warnings/gate-worker-not-enrolled");
    fixture.edit("  env: prod", "  listen: 127.0.0.1:0\n  env: prod");
    fixture
        .edit("hall:\n", "ops: { listen: \"127.0.0.1:0\" }\nshutdown: { linger: 0s }\nhall:\n  listen: 127.0.0.1:0\n");
    let process = fixture.serve();
    until(|| process.log().contains("gate-worker-not-enrolled"));
    assert!(process.log().contains("`wrk_shpo` is not enrolled: every request of this gate will be denied"));

    fixture.write(
        "enrolled/wrk_make.json",
        &fixture.read("enrolled/wrk_make.json").replace("{ ", "{ \"stauts\": \"active\", "),
    );
    until(|| process.log().contains("unknown-record-key"));
    assert!(process.log().contains("did you mean `status`?"));
    process.end();
}

/// With a look at each pair of a rule and a worker this would take minutes.
#[test]
fn what_is_configured_may_be_large() {
    const MANY: usize = 4000;
    let fixture = Fixture::copy_of("tests/check/warnings/base");
    let rules: Vec<Value> = (0..MANY)
        .map(|n| {
            let species = json!([{ "worker_species_id": "wrk.rule.none" }]);
            json!({
                "rule_id": format!("rr_{n}"), "match": { "capability_id": format!("cap.rule.n{n}") },
                "decision": { "candidate_workers_ranked": species }
            })
        })
        .collect();
    fixture.write("rules.json", &json!({ "rules": rules }).to_string());
    for n in 0..=MANY {
        let (species, envs) = match n {
            MANY => ("wrk.rule.none".to_owned(), json!([])),
            n => (format!("wrk.worker.s{n}"), json!(["prod"])),
        };
        let worker = json!({
            "worker_id": format!("wrk_{n}"), "worker_species_id": species, "risk_tier": "low",
            "capabilities": [format!("cap.worker.n{n}")], "allowed_environments": envs
        });
        fixture.write(&format!("enrolled/wrk_{n}.json"), &worker.to_string());
    }
    let route = |n| {
        format!(
            "    - {{ match: {{ path: /p{n}/* }}, capability: cap.route.n{n}, data_label: INTERNAL, upstream: orders }}\n"
        )
    };
    let routes: String = (0..500).map(route).collect();
    fixture.edit("  routes:\n", &format!("  routes:\n{routes}"));
    let began = std::time::Instant::now();
    let (code, _, err) = fixture.run(&["check", "--config", "hallgate.yaml"]);
    assert_eq!(code, Some(0), "{err}");
    for name in
        ["route-without-rule", "worker-never-candidate", "rule-candidates-cannot-act", "rule-capability-not-declared"]
    {
        let told: Vec<_> = err.lines().filter(|line| line.contains(&format!("warning[{name}]"))).collect();
        assert_eq!(told.len(), 50, "{name}");
        assert!(told.iter().any(|line| line.ends_with("; more of this kind are not listed")), "{name}");
    }
    assert!(began.elapsed() < support::PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn nothing_that_is_shipped_is_warned_of() {
    for folder in ["conf", "tests/commands/sample"] {
        let fixture = Fixture::copy_of(folder);
        let mut check = fixture.command(&["check", "--config", "hallgate.yaml"]);
        check
            .env("OPENAI_API_KEY", "sk-0123456789abcdef")
            .env("HALL_SESSION_TOKEN", "hst_00112233445566778899aabbccddeeff");
        let (code, _, err) = run(&mut check, "");
        assert_eq!((code, err.as_str()), (Some(0), ""), "{folder}");
    }
}

#[test]
fn warnings_can_be_denied_and_all_of_it_be_read_by_programs() {
    let fixture = Fixture::copy_of("tests/check/warnings/base");
    assert_eq!(fixture.run(&["check", "--deny-warnings", "hallgate.yaml"]).0, Some(0));
    fixture.copy_from("tests/check/warnings/path-doubled");
    let (code, out, _) = fixture.run(&["check", "hallgate.yaml"]);
    assert!(code == Some(0) && out.contains(", 1 warning, snapshot "), "{out}");
    assert_eq!(fixture.run(&["check", "--deny-warnings", "hallgate.yaml"]).0, Some(1));
    assert_eq!(fixture.run(&["check", "a.yaml", "--config", "b.yaml"]).0, Some(2), "one file, not two");

    let (code, out, err) = fixture.run(&["check", "--deny-warnings", "--json", "hallgate.yaml"]);
    assert_eq!((code, err.as_str()), (Some(1), ""));
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&said["sound"], &said["serves"], &said["rules"]), (&json!(true), &json!(true), &json!(2)));
    let warning = &said["warnings"][0];
    let place = (&warning["warning"], &warning["file"], &warning["line"], &warning["column"], &warning["key"]);
    let expected = json!(["path-doubled", "hallgate.yaml", 9, 24, "gate.routes[0].match.path"]);
    assert_eq!(json!([place.0, place.1, place.2, place.3, place.4]), expected, "{out}");

    fixture.write("rules.json", "{");
    let (code, out, _) = fixture.run(&["check", "--json", "hallgate.yaml"]);
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["sound"], &said["problems"][0]["file"]), (Some(2), &json!(false), &json!("rules.json")));
}
