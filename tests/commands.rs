//! `hallgate check`, `test`, `replay` and `explain` from the outside.
//!
//! `UPDATE_GOLDEN=1 cargo test --test commands` writes the texts of `tests/check` anew.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "commands/explain.rs"]
mod explain;
#[path = "commands/replay.rs"]
mod replay;
#[path = "commands/version.rs"]
mod version;
#[path = "commands/warnings.rs"]
mod warnings;

use std::fs;
use std::path::{Path, PathBuf};

use support::{Fixture, differs_from_golden, hallgate, root, run};

/// A copy of `tests/commands/sample` in a folder of its own.
fn sample() -> Fixture {
    Fixture::copy_of("tests/commands/sample")
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

#[test]
fn check_says_of_each_folder_what_the_text_in_it_says() {
    let mut differ = Vec::new();
    let mut folders = folders(&root().join("tests/check"));
    // Those have a text for each of their own.
    folders.retain(|folder| !folder.ends_with("warnings"));
    assert!(folders.len() >= 5, "{folders:?}");
    for folder in folders {
        let (code, out, err) = run(hallgate(&["check", "--config", "hallgate.yaml"]).current_dir(&folder), "");
        // A fingerprint says nothing to a reader, and is another when more is fingerprinted.
        let out = match out.split_once("snapshot ") {
            Some((before, rest)) if rest.find('\n') == Some(64) => format!("{before}snapshot …{}", &rest[64..]),
            _ => out,
        };
        let said = format!("exit code {}\nstdout:\n{out}stderr:\n{err}", code.unwrap());
        differ.extend(differs_from_golden(&folder.join("said.txt"), &said));
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn the_sample_cases_agree_with_the_sample_policy() {
    let (code, out, err) = run(hallgate(&["test"]).current_dir(root()), "");
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains(" cases in 2 files: ") && !out.contains("differ"), "{out}");
}

#[test]
fn a_case_that_would_not_be_run_is_said() {
    let fixture = sample();
    fixture.write("cases/more.JSON", "[]");
    let (code, _, err) = fixture.run(&["test", "--config", "hallgate.yaml"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("more.JSON") && err.contains("name it `*.json`"), "{err}");
}

#[test]
fn a_difference_is_shown_and_update_writes_it_and_nothing_else() {
    let fixture = sample();
    let rules = fixture.path("rules.json");
    let text = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, text.replace("\"rr_data_write\"", "\"rr_renamed\"")).unwrap();
    let arguments = ["test", "--config", "hallgate.yaml"];
    let (code, out, err) = fixture.run(&arguments);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    for said in [
        "cases/make.json:",
        "Make may write internal data in prod",
        "matched_rule_id",
        "- \"rr_data_write\"",
        "+ \"rr_renamed\"",
        "why:",
        "2 differ",
    ] {
        assert!(out.contains(said), "{said} in:\n{out}");
    }

    let cases = fixture.path("cases/make.json");
    let before = fs::read_to_string(&cases).unwrap();
    let (code, out, _) = fixture.run(&["test", "--config", "hallgate.yaml", "--update"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("2 updated"), "{out}");
    assert_eq!(fs::read_to_string(&cases).unwrap(), before.replace("\"rr_data_write\"", "\"rr_renamed\""));
    let (code, out, _) = fixture.run(&arguments);
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn a_case_without_expectation_is_refused_until_it_is_written() {
    let fixture = sample();
    let case = fixture.path("one.json");
    let input = "{\n  \"input\": { \"capability_id\": \"cap.data.read.v1\", \"env\": \"dev\", \"tenant_id\": \"org.acme\" }\n}\n";
    fs::write(&case, input).unwrap();
    let test = |more: &[&str]| {
        let arguments = [&["test", "--config", "hallgate.yaml", "one.json"], more].concat();
        fixture.run(&arguments)
    };
    let (code, out, err) = test(&[]);
    assert_eq!(code, Some(2), "{out}");
    assert!(err.contains("one.json:2:12: has no `expect`"), "{err}");
    assert_eq!(test(&["--update"]).0, Some(0));
    let written = fs::read_to_string(&case).unwrap();
    assert!(written.contains("\"expect\": {") && written.contains("DENY_NO_MATCHING_RULE"), "{written}");
    assert_eq!(test(&[]).0, Some(0), "{written}");
    fs::write(&case, written.replace("\"outcome\": \"DENY\"", "\"outcome\": \"DENY\", \"allowd\": false")).unwrap();
    let (code, out, _) = test(&[]);
    assert!(code == Some(1) && out.contains("allowd") && out.contains("(not there; did you mean `allowed`?)"), "{out}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place_and_the_rest_is_run() {
    let fixture = sample();
    let test = |path: &str| fixture.run(&["test", "--config", "hallgate.yaml", path]);
    fixture.write("cases/bad.json", "[\n  {\"input\": {\"env\": \"dev\"}, \"expect\": {\"denied\": true}},\n 7]");
    let (code, out, err) = test("cases");
    assert_eq!(code, Some(2));
    assert!(err.contains("cases/bad.json:3:") && out.contains("1 cannot be read"), "{out}{err}");
    fixture.write("cases/bad.json", "{\"input\": {\"env\": \"dev\"}, \"expect\": {\"denied\": true}}");
    let (code, _, err) = test("cases");
    assert!(code == Some(2) && err.contains("missing field: capability_id"), "{err}");
    fs::create_dir(fixture.path("empty")).unwrap();
    for nothing in ["empty", "none.json"] {
        let (code, out, err) = test(nothing);
        assert_eq!(code, Some(2), "a test of nothing must not pass: {out}{err}");
    }
}

#[test]
fn what_no_case_reaches_is_named_and_so_much_can_be_demanded() {
    let fixture = sample();
    let rules = serde_json::json!({"rules": [
        {"rule_id": "asked", "match": {"capability_id": "cap.data.read.v1"}, "decision": {
            "candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}], "escalation": {"policy_gate": true}}},
        {"rule_id": "missed", "match": {"capability_id": "cap.data.write.v1"}, "decision": {
            "candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}]}}]});
    fixture.write("covered.json", &rules.to_string());
    let policies = "@id(\"yes\")\npermit(principal, action, resource);\n\n@id(\"large\")\nforbid(principal, action, resource)\n\
        when { context.request has amount && (context.request.amount > 100 || context.env == \"edge\") }\nunless { context.dry_run };\n";
    fixture.write("gate.cedar", policies);
    fixture.write(
        "covered.yaml",
        "policy: { rules: covered.json, gate: gate.cedar, tenants: { org.acme: { risk: low } } }\n",
    );
    let case = |name: &str, request: &str, outcome: &str| {
        format!(
            r#"{{"name": "{name}", "input": {{"capability_id": "cap.data.read.v1", "worker_id": "wrk_make_acme_prod", "env": "prod",
            "data_label": "INTERNAL", "tenant_id": "org.acme", "request": {request}}}, "expect": {{"outcome": "{outcome}"}}}}"#
        )
    };
    let write = |cases: &[String]| fixture.write("covered/all.json", &format!("[{}]", cases.join(",\n")));
    let test = |more: &[&str]| fixture.run(&[&["test", "--config", "covered.yaml", "covered"], more].concat());
    fs::create_dir_all(fixture.path("covered")).unwrap();

    write(&[case("small", r#"{"amount": 7}"#, "DISPATCH")]);
    let (code, out, err) = test(&["--coverage"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for said in [
        "not covered: rule `missed` (number 2) matches no case",
        "not covered: policy `large` (gate.cedar:4) never applies",
        "`context.request has amount` is never false",
        "`context.request.amount > 100` is never true",
        "`context.env == \"edge\"` is never true",
        "`context.dry_run` is never looked at",
        "is covered: 1 of 2 rules, 1 of 2 policies, 3 of 8 branches",
    ] {
        assert!(out.contains(said), "{said} in:\n{out}");
    }
    assert!(!out.contains("`yes`"), "{out}");
    // 5 of 12.
    let (code, _, err) = test(&["--min", "42"]);
    assert!(code == Some(1) && err.contains("41% is covered, and --min wants 42%"), "{err}");
    assert_eq!(test(&["--min", "41"]).0, Some(0));
    assert_eq!(test(&["--min", "101"]).0, Some(2));

    write(&[
        case("small", r#"{"amount": 7}"#, "DISPATCH"),
        case("large", r#"{"amount": 700}"#, "DENY"),
        case("none", "{}", "DENY"),
    ]);
    let (code, out, err) = test(&["--json", "--junit", "results.xml", "--coverage"]);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&said["cases"], &said["agree"], &said["differ"]), (&3.into(), &2.into(), &1.into()), "{said:#}");
    assert_eq!(said["results"][2]["differences"][0]["found"], "\"DISPATCH\"", "{said:#}");
    assert_eq!(said["coverage"]["policies"], serde_json::json!({"reached": 2, "of": 2}), "{said:#}");
    let condition = &said["coverage"]["each_policy"][1]["conditions"][0];
    assert_eq!((&condition["was_true"], &condition["was_false"]), (&true.into(), &true.into()), "{said:#}");
    let xml = fixture.read("results.xml");
    assert!(xml.contains(r#"<testsuite name="covered/all.json" tests="3" failures="1" errors="0">"#), "{xml}");
    assert!(xml.contains(r#"<failure message="outcome differs">outcome&#10;  - &quot;DENY&quot;"#), "{xml}");
    // Whoever reads such files can read this one.
    let read = "import sys, xml.etree.ElementTree as t; r = t.parse(sys.argv[1]).getroot(); print(len(r.findall('.//testcase')))";
    let parsed =
        std::process::Command::new("python3").args(["-c", read]).arg(fixture.path("results.xml")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&parsed.stdout).trim(), "3", "{}", String::from_utf8_lossy(&parsed.stderr));
}

#[test]
fn a_mistake_is_marked_in_its_line_and_what_was_meant_is_named() {
    let fixture = sample();
    let rules = fixture.read("rules.json");
    fixture.write("wrong.json", &rules.replacen("\"match\": {", "\"match\": { \"qos_class\": [\"P0\", \"P1\"],", 1));
    fixture.write(
        "wrong.yaml",
        "policy:\n  mode: strickt\n  rules: wrong.json\n  tenants: { org.acme: { risk: hgih } }\n",
    );
    let (code, _, err) = fixture.run(&["check", "wrong.yaml"]);
    assert_eq!(code, Some(2), "{err}");
    for said in [
        "\n      |\n    2 | mode: strickt\n      |       ^^^^^^^\n    help: did you mean `strict`?\n",
        "| risk: hgih\n",
        "    help: did you mean `high`?\n",
    ] {
        assert!(err.contains(said), "{said} in:\n{err}");
    }
    fixture.write("wrong.yaml", "policy:\n  rules: wrong.json\n");
    let (code, _, err) = fixture.run(&["check", "wrong.yaml"]);
    assert_eq!(code, Some(2), "{err}");
    for said in [
        "is a list, and a list of values stands in `in`\n",
        "\"match\": { \"qos_class\": [\"P0\", \"P1\"],",
        "      |                               ^\n",
        "    help: write {\"in\": [\"P0\",\"P1\"]}\n",
    ] {
        assert!(err.contains(said), "{said} in:\n{err}");
    }
}

#[test]
fn a_mistake_in_a_case_is_marked_in_its_line_and_what_was_meant_is_named() {
    let fixture = sample();
    let test = |more: &[&str]| fixture.run(&[&["test", "--config", "hallgate.yaml", "wrong"], more].concat());
    fs::create_dir(fixture.path("wrong")).unwrap();
    fixture.write(
        "wrong/keys.json",
        "[\n  { \"name\": \"é\", \"input\": {}, \"exepct\": 1 },\n  { \"input\": {}, \"expect\": {} }\n]\n",
    );
    fixture.write(
        "wrong/input.json",
        "[\n  { \"input\": { \"capability_id\": \"cap.data.read.v1\", \"env\": \"dev\", \"tenant_id\": \"org.acme\" } },\n  \
         { \"name\": \"é\", \"input\": { \"capability_id\": 7, \"env\": \"dev\" }, \"expect\": { \"denied\": true } }\n]\n",
    );
    fixture.write("wrong/syntax.json", "{ \"name\": \"é\", ]");
    // The second time the file is written anew: what is quoted is the text that was read.
    for more in [&[][..], &["--update"]] {
        let (code, out, err) = test(more);
        assert_eq!(code, Some(2), "{out}{err}");
        for said in [
            "wrong/keys.json:2:41: [0].exepct: is not a key that is known here\n      |\n    2 |   { \"name\": \"é\", \"input\": {}, \"exepct\": 1 },\n      \
             |                                         ^\n    help: did you mean `expect`?\n",
            "wrong/keys.json:3:28: [1].expect: expects nothing\n",
            "wrong/input.json:3:46: é: capability_id must be a string, not a number\n      |\n    3 |   { \"name\": \"é\", \"input\": { \"capability_id\": 7, \
             \"env\": \"dev\" }, \"expect\": { \"denied\": true } }\n      |                                              ^\n",
            "wrong/syntax.json:1:16: ",
            "    1 | { \"name\": \"é\", ]\n      |                ^\n    help: correct the file's JSON\n",
        ] {
            assert!(err.contains(said), "{said} in:\n{err}");
        }
        assert!(out.contains("4 cannot be read") == (more == ["--update"]), "{out}");
    }
    assert!(fixture.read("wrong/input.json").contains("\"deny_code\""));
    fixture.write("wrong/input.json", &fixture.read("wrong/input.json").replace("\"deny_code\"", "\"deny_cod\""));
    let (_, out, _) = test(&[]);
    assert!(out.contains("(not there; did you mean `deny_code`?)"), "{out}");
}

#[test]
fn a_word_of_a_policy_is_marked_and_what_was_meant_is_named() {
    let fixture = sample();
    fixture.write("wrong.yaml", "policy: { gate: wrong.cedar }\n");
    fixture.write(
        "wrong.cedar",
        "@gate(\"require-human\")\n@supervisor_level(\"gatekeper\")\nforbid(principal, action, resource)\nwhen { context.env == \"prd\" };\n",
    );
    let (code, _, err) = fixture.run(&["check", "wrong.yaml"]);
    assert_eq!(code, Some(2), "{err}");
    for said in [
        "1 | @gate(\"require-human\")\n      | ^^^^^\n    help: did you mean `REQUIRE_HUMAN`?\n",
        "`@supervisor_level(\"gatekeper\")` is not a supervisor level: advisory, gatekeeper, executor or incident_commander\n      |\n    2 | \
         @supervisor_level(\"gatekeper\")\n      | ^^^^^^^^^^^^^^^^^\n    help: did you mean `gatekeeper`?\n",
        "4 | when { context.env == \"prd\" };\n      |                       ^^^^^\n    help: did you mean `prod`?\n",
    ] {
        assert!(err.contains(said), "{said} in:\n{err}");
    }
}

/// A configuration holds secrets, and what is said of it is read by more people than it is.
#[test]
fn no_secret_is_in_an_excerpt() {
    let fixture = Fixture::new(
        "hall:\n  tokens: [{ name: make, secret: hst_never_shown_123456, scopes: [rout] }, { name: b, secret: hst_short, scopes: [] }]\n",
    );
    // Whatever its file is called.
    fixture.write("secret.json", &fixture.configuration());
    for file in ["hallgate.yaml", "secret.json"] {
        let (code, out, err) = fixture.run(&["check", file]);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains(" | rout\n") && err.contains("did you mean `route`?"), "{err}");
        assert!(!format!("{out}{err}").contains("hst_"), "{err}");
    }
}

/// What lives in a pod is checked where it is not: absolute paths in a folder, and variables from a file.
#[test]
fn a_pods_configuration_is_checked_outside_of_it() {
    let configuration = "hall:\n  tokens_file: /etc/secrets/tokens.yaml\n\
                         policy: { rules: /etc/policy/rules.json, workers: ../workers, version: \"${POLICY_VERSION}\" }\n";
    let fixture = Fixture::new("{}");
    for (name, text) in [
        ("pod/etc/hallgate/hallgate.yaml", configuration),
        ("pod/etc/secrets/tokens.yaml", "tokens: [{ name: make, secret_file: /etc/secrets/make, scopes: [route] }]\n"),
        ("pod/etc/secrets/make", "hst_00112233445566778899aabbccddeeff\n"),
        (
            "pod/etc/policy/rules.json",
            r#"{ "rules": [{ "rule_id": "rr_read", "match": { "capability_id": "cap.data.read.v1" },
                "decision": { "candidate_workers_ranked": [{ "worker_species_id": "wrk.data.reader" }] } }] }"#,
        ),
        (
            "pod/etc/workers/reader.json",
            r#"{ "worker_id": "wrk_reader", "worker_species_id": "wrk.data.reader", "capabilities": ["cap.data.read.v1"],
                "risk_tier": "low", "attestation": { "source_file": "/opt/reader.py",
                "code_hash": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b" } }"#,
        ),
        ("pod/opt/reader.py", "print()\n"),
        ("pod.env", "# as the pod has it\nPOLICY_VERSION=policy.of-the-pod\n"),
        ("bad.env", "hunter2\n"),
    ] {
        fixture.write(name, text);
    }
    let check =
        |more: &[&str]| fixture.run(&[&["check", "--deny-warnings", "pod/etc/hallgate/hallgate.yaml"], more].concat());
    let (code, out, err) = check(&["--root", "pod", "--env-file", "pod.env"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let (code, _, err) = check(&["--root", "pod"]);
    assert!(code == Some(2) && err.contains("the environment variable `POLICY_VERSION` is not set"), "{err}");
    let (code, _, err) = check(&["--env-file", "pod.env"]);
    assert!(code == Some(2) && err.contains("/etc/policy/rules.json"), "{err}");
    for (more, said) in [
        (["--root", "pods"], "`pods` is no folder"),
        (["--env-file", "bad.env"], "bad.env:1:1: the line is no variable"),
        (["--env-file", "none.env"], "none.env: cannot be read"),
    ] {
        let (code, _, err) = check(&more);
        assert!(code == Some(2) && err.contains(said) && !err.contains("hunter2"), "{err}");
    }
    // What is in the pod's folder, and not what is there on this machine.
    fs::remove_file(fixture.path("pod/opt/reader.py")).unwrap();
    let (code, _, err) = check(&["--root", "pod", "--env-file", "pod.env"]);
    assert!(code == Some(1) && err.contains("warning[attestation-file-missing]"), "{err}");
}
