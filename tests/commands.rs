//! `hallgate check`, `test`, `replay` and `explain` from the outside.
//!
//! `UPDATE_GOLDEN=1 cargo test --test commands` writes the texts of `tests/check` anew.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "commands/explain.rs"]
mod explain;
#[path = "commands/replay.rs"]
mod replay;
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
    assert!(code == Some(1) && out.contains("allowd") && out.contains("(not there)"), "{out}");
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
