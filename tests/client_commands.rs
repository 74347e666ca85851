//! hallgate as a client of a running Hall, and what it says of its own command line.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use serde_json::Value;
use support::{Fixture, NOWHERE, TOKEN, hallgate, until};

/// Runs the program with a token and this input: exit code, stdout, stderr.
fn run(url: &str, token: Option<&str>, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = hallgate(arguments);
    command.env("PYHALL_HALL_URL", url);
    command.envs(token.map(|token| ("HALL_SESSION_TOKEN", token)));
    support::run(&mut command, input)
}

const READ: [&str; 11] = [
    "route",
    "--capability-id",
    "cap.data.read.v1",
    "--env",
    "prod",
    "--worker-id",
    "wrk_make_acme_prod",
    "--tenant-id",
    "org.acme",
    "--data-label",
    "INTERNAL",
];

#[test]
fn route_exits_0_when_allowed_1_when_denied_and_2_without_a_decision() {
    let fixture = Fixture::sample(NOWHERE);
    let process = fixture.serve();
    let url = format!("http://{}", process.hall());
    let json = |out: &str| serde_json::from_str::<Value>(out).unwrap_or_else(|error| panic!("{error}: {out}"));

    let (code, out, err) = run(&url, Some(TOKEN), &READ, "");
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(json(&out)["outcome"], "DISPATCH");

    let all = [
        "--tenant-risk",
        "high",
        "--qos-class",
        "P1",
        "--correlation-id",
        "from-the-shell",
        "--blast-score",
        "40",
        "--request",
        r#"{"writes": true}"#,
        "--dry-run",
    ];
    let (code, out, err) = run(&url, Some(TOKEN), &[READ.as_slice(), &all].concat(), "");
    assert_eq!(code, Some(0), "{out}{err}");
    let said = json(&out);
    for (key, value) in [("tenant_risk", "high"), ("qos_class", "P1"), ("correlation_id", "from-the-shell")] {
        assert_eq!(said[key], value, "{said}");
    }
    // prod 15, INTERNAL 20, writes 15, and 10 to begin with.
    assert_eq!((&said["dry_run"], &said["blast_score"]), (&true.into(), &60.into()), "{said}");

    let (code, out, err) = run(&url, Some(TOKEN), &["route"], support::READ);
    assert_eq!(code, Some(0), "{out}{err}");

    let denied = [&READ[..10], &["RESTRICTED"]].concat();
    let (code, out, err) = run(&url, Some(TOKEN), &denied, "");
    assert_eq!((code, json(&out)["denied"].as_bool()), (Some(1), Some(true)), "{out}{err}");

    for (token, arguments, input, why) in [
        (Some("hst_not-a-token-at-all"), &READ[..], "", "unauthorized"),
        (None, &READ[..], "", "HALL_SESSION_TOKEN is not set"),
        (Some(TOKEN), &["route"][..], "{", "refuses (400)"),
        (Some(TOKEN), &["route"][..], "", "refuses (400)"),
        (Some(TOKEN), &["route", "--capability-id", "cap.data.read.v1"][..], "", "--env"),
        (Some(TOKEN), &["route", "--dry-run"][..], support::READ, "--capability-id"),
        (Some(TOKEN), &[READ.as_slice(), &["--request", "[]"]].concat()[..], "", "JSON object"),
        (Some(TOKEN), &[READ.as_slice(), &["--hall-url", "http://127.0.0.1:1"]].concat()[..], "", "does not answer"),
        (Some(TOKEN), &[READ.as_slice(), &["--hall-url", "hall"]].concat()[..], "", "is not a Hall's address"),
    ] {
        let (code, out, err) = run(&url, token, arguments, input);
        assert_eq!(code, Some(2), "{arguments:?}: {out}{err}");
        assert!(err.contains(why) && !err.contains(TOKEN), "{arguments:?}: {err}");
    }
}

#[test]
fn status_says_whether_all_is_well_and_why_only_with_a_token() {
    let fixture = Fixture::sample(NOWHERE).shutdown("{ linger: 60s, grace: 0s }");
    let process = fixture.serve();
    let url = format!("http://{}", process.hall());
    assert_eq!(run(&url, None, &["status"], ""), (Some(0), "ready\n".to_owned(), String::new()));
    let (code, out, err) = run(&url, Some(TOKEN), &["status"], "");
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("ready\npolicy    policy.v0, snapshot ") && out.contains("\nledger    1 entries"), "{out}");
    let (code, out, _) = run(&url, None, &["status", "--json"], "");
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["ready"].as_bool()), (Some(0), Some(true)));

    let sound = fixture.configuration();
    fixture.add("polices: {}");
    until(|| run(&url, Some(TOKEN), &["status"], "").0 == Some(1));
    let (_, out, _) = run(&url, Some(TOKEN), &["status"], "");
    assert!(out.starts_with("ready\n") && out.contains("polices") && out.contains("1 problems"), "{out}");
    fixture.configure(&sound);
    until(|| run(&url, Some(TOKEN), &["status"], "").0 == Some(0));

    process.terminate();
    until(|| run(&url, Some(TOKEN), &["status"], "").0 == Some(1));
    let (_, out, _) = run(&url, Some(TOKEN), &["status"], "");
    assert!(out.starts_with("not ready\n  draining\n"), "{out}");
    drop(process);
    let (code, out, err) = run(&url, Some(TOKEN), &["status"], "");
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
}

#[test]
fn no_proxy_of_the_environment_sees_the_token() {
    let fixture = Fixture::sample(NOWHERE);
    let process = fixture.serve();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let hall = process.hall();
    for url in [format!("http://{hall}"), format!("http://localhost:{}", hall.port())] {
        let mut command = hallgate(&["worker", "list", "--hall-url", &url]);
        command.env("HALL_SESSION_TOKEN", TOKEN);
        let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        let Output { stderr, .. } = command.envs(names.map(|name| (name, &address))).output().unwrap();
        // Whatever the Hall says to this token, it is the Hall that says it.
        assert!(!String::from_utf8_lossy(&stderr).contains("does not answer"), "{url}");
    }
    proxy.set_nonblocking(true).unwrap();
    assert!(proxy.accept().is_err(), "the proxy was asked");
}

/// The subcommands that `--help` lists.
fn subcommands() -> Vec<String> {
    let (_, help, _) = run("", None, &["--help"], "");
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.trim().is_empty());
    let names: Vec<String> = lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    assert!(names.len() > 10, "{help}");
    names
}

#[test]
fn completions_are_scripts_that_know_every_subcommand() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, err) = run("", None, &["completions", shell], "");
        assert_eq!((code, err.as_str()), (Some(0), ""));
        for name in subcommands() {
            assert!(script.contains(&name), "{shell} does not know `{name}`");
        }
    }
    // Bash completes with it.
    let folder = tempfile::tempdir().unwrap();
    let (_, script, _) = run("", None, &["completions", "bash"], "");
    fs::write(folder.path().join("hallgate.bash"), script).unwrap();
    let complete = "source hallgate.bash; COMP_WORDS=(hallgate token n); COMP_CWORD=2; _hallgate hallgate n token; \
                    echo \"${COMPREPLY[@]}\"";
    let said = Command::new("bash").args(["-eu", "-c", complete]).current_dir(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "new", "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(run("", None, &["completions", "tcsh"], "").0, Some(2));
}

#[test]
fn the_manual_has_a_page_for_every_subcommand() {
    let (code, page, _) = run("", None, &["man"], "");
    assert_eq!(code, Some(0));
    assert!(page.contains(".TH hallgate 1"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(run("", None, &["man", path], "").0, Some(0));
    for name in subcommands().iter().filter(|name| *name != "help") {
        assert!(page.contains(&format!("hallgate\\-{name}(1)")), "{name} is not in {page}");
        let own = fs::read_to_string(folder.path().join(format!("hallgate-{name}.1"))).unwrap();
        assert!(own.contains(".SH SYNOPSIS"), "{own}");
    }
    let nowhere = format!("{path}/none/at/all");
    let (code, _, err) = run("", None, &["man", &nowhere], "");
    assert!(code == Some(2) && err.contains(&nowhere), "{err}");
}
