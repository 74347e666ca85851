//! `hallgate check`, `test` and `replay` from the outside.
//!
//! `UPDATE_GOLDEN=1 cargo test --test commands` writes the texts of `tests/check` anew.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "commands/replay.rs"]
mod replay;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command in a folder: exit code, stdout, stderr.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallgate"));
    let Output { status, stdout, stderr } = command.args(arguments).current_dir(folder).env_clear().output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A copy of `tests/commands/sample` in a folder of its own.
fn sample() -> TempDir {
    let folder = TempDir::new().unwrap();
    let from = root().join("tests/commands/sample/.");
    assert!(Command::new("cp").arg("-R").arg(from).arg(folder.path()).status().unwrap().success());
    folder
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
    let folders = folders(&root().join("tests/check"));
    assert!(folders.len() >= 5, "{folders:?}");
    for folder in folders {
        let (code, out, err) = run(&folder, &["check", "--config", "hallgate.yaml"]);
        // A fingerprint says nothing to a reader, and is another when more is fingerprinted.
        let out = match out.split_once("snapshot ") {
            Some((before, rest)) if rest.find('\n') == Some(64) => format!("{before}snapshot …{}", &rest[64..]),
            _ => out,
        };
        let said = format!("exit code {}\nstdout:\n{out}stderr:\n{err}", code.unwrap());
        let golden = folder.join("said.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &said).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != said {
            differ.push(format!("{} should be:\n{said}", golden.display()));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn the_sample_cases_agree_with_the_sample_policy() {
    let (code, out, err) = run(root(), &["test"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains(" cases in 2 files: ") && !out.contains("differ"), "{out}");
}

#[test]
fn a_case_that_would_not_be_run_is_said() {
    let folder = sample();
    fs::write(folder.path().join("cases/more.JSON"), "[]").unwrap();
    let (code, _, err) = run(folder.path(), &["test", "--config", "hallgate.yaml"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("more.JSON") && err.contains("name it `*.json`"), "{err}");
}

#[test]
fn a_difference_is_shown_and_update_writes_it_and_nothing_else() {
    let folder = sample();
    let rules = folder.path().join("rules.json");
    let text = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, text.replace("\"rr_data_write\"", "\"rr_renamed\"")).unwrap();
    let arguments = ["test", "--config", "hallgate.yaml"];
    let (code, out, err) = run(folder.path(), &arguments);
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

    let cases = folder.path().join("cases/make.json");
    let before = fs::read_to_string(&cases).unwrap();
    let (code, out, _) = run(folder.path(), &["test", "--config", "hallgate.yaml", "--update"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("2 updated"), "{out}");
    assert_eq!(fs::read_to_string(&cases).unwrap(), before.replace("\"rr_data_write\"", "\"rr_renamed\""));
    let (code, out, _) = run(folder.path(), &arguments);
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn a_case_without_expectation_is_refused_until_it_is_written() {
    let folder = sample();
    let case = folder.path().join("one.json");
    let input = "{\n  \"input\": { \"capability_id\": \"cap.data.read.v1\", \"env\": \"dev\", \"tenant_id\": \"org.acme\" }\n}\n";
    fs::write(&case, input).unwrap();
    let test = |more: &[&str]| {
        let arguments = [&["test", "--config", "hallgate.yaml", "one.json"], more].concat();
        run(folder.path(), &arguments)
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
    let folder = sample();
    let test = |path: &str| run(folder.path(), &["test", "--config", "hallgate.yaml", path]);
    fs::write(
        folder.path().join("cases/bad.json"),
        "[\n  {\"input\": {\"env\": \"dev\"}, \"expect\": {\"denied\": true}},\n 7]",
    )
    .unwrap();
    let (code, out, err) = test("cases");
    assert_eq!(code, Some(2));
    assert!(err.contains("cases/bad.json:3:") && out.contains("1 cannot be read"), "{out}{err}");
    fs::write(folder.path().join("cases/bad.json"), "{\"input\": {\"env\": \"dev\"}, \"expect\": {\"denied\": true}}")
        .unwrap();
    let (code, _, err) = test("cases");
    assert!(code == Some(2) && err.contains("missing field: capability_id"), "{err}");
    fs::create_dir(folder.path().join("empty")).unwrap();
    for nothing in ["empty", "none.json"] {
        let (code, out, err) = test(nothing);
        assert_eq!(code, Some(2), "a test of nothing must not pass: {out}{err}");
    }
}
