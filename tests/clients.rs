//! Real clients, unchanged: an SDK behind the gate notices nothing, and each platform branches on the Hall's answer as its
//! own documentation says. The scripts are in `tests/clients/`; each says on its last line that it has seen all it should.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::Command;

use support::{Demo, EXPORTED, program, root, venv};

/// Runs a script against a demo of its own and expects its last word.
fn run(interpreter: &str, script: &str) {
    let demo = Demo::start();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(interpreter)
        .current_dir(folder.path())
        .arg(root().join("tests/clients").join(script))
        .env("GATE", demo.introduced("gate"))
        .env("HALL", demo.introduced("hall"))
        .env("HALLGATE", program())
        .envs(EXPORTED.iter().map(|name| (name, demo.exported(name))))
        .output()
        .unwrap_or_else(|error| panic!("`{interpreter}` cannot be run: {error}; `make test` installs it"));
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}:\n{said}{complaint}");
    assert_eq!(said.lines().last(), Some("all seen"), "{script}:\n{said}{complaint}");
}

/// The Python of the virtual environment that `make test` makes, with the clients in it.
fn python(script: &str) {
    run(venv("python").to_str().unwrap(), script);
}

#[test]
fn the_openai_sdk_needs_only_another_base_url() {
    python("openai_sdk.py");
}

#[test]
fn a_websocket_client_talks_through_the_gate() {
    python("websocket.py");
}

#[test]
fn requests_with_raise_for_status_sees_a_denial_as_an_answer() {
    python("raise_for_status.py");
}

#[test]
fn every_platform_branches_as_its_documentation_says() {
    run("node", "platforms.mjs");
}

#[test]
fn two_implementations_of_others_verify_the_whole_log_its_notes_and_its_proofs() {
    python("auditor.py");
}

#[test]
fn curl_gets_what_the_pages_show() {
    run("bash", "curl.sh");
}
