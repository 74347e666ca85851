//! `hallgate demo`, the program itself: its walk, its lines to copy, its end, and a port that is taken.

use std::net::TcpListener;
use std::path::Path;

use support::{ANY_PORTS, Demo, hallgate, run};

#[test]
fn once_it_walks_the_journey_and_ends_with_0() {
    let (code, page, err) = run(hallgate(&["demo", "--once"]).args(ANY_PORTS), "");
    assert_eq!(code, Some(0), "{page}{err}");
    assert!(!page.contains('\x1b'), "no colour where there is no terminal");
    let mut rest = page.as_str();
    for expected in [
        "export HALL_SESSION_TOKEN=hst_",
        "\n   401  refused by the upstream\n",
        "\n   200  forwarded  decision ",
        "\n   200  allowed  decision ",
        "rule rr_model_call matches",
        "\n   200  forwarded  decision ",
        "tokens, the last after ",
        "\n   201  forwarded  decision ",
        "\n   403  denied: DENY_MISSING_REQUIRED_CONTROLS  decision ",
        "\n   200  denied: DENY_WORKER_NOT_ENROLLED  decision ",
        "\n   200  allowed  decision ",
        "rule rr_data_write matches",
        "\n   403  denied: DENY_REQUIRES_HUMAN_APPROVAL  decision ",
        "you        may decide\n",
        "| {\"item\":\"bolt M8\",\"quantity\":40}\n",
        "\n   200  approved\n",
        "\n   201  forwarded  decision ",
        "\n   403  denied: DENY_REQUIRES_HUMAN_APPROVAL  decision ",
        "\n   it holds  16 entries, every one of them sound\n",
    ] {
        let at = rest.find(expected).unwrap_or_else(|| panic!("`{expected}` is not where it should be in:\n{page}"));
        rest = &rest[at + expected.len()..];
    }
    let folder = page.lines().find_map(|line| line.trim().strip_prefix("folder")).unwrap().trim();
    assert!(!Path::new(folder).exists(), "{folder} is still there");
}

#[test]
fn it_stays_up_its_lines_can_be_copied_and_ctrl_c_ends_it() {
    let demo = Demo::start();
    let folder = demo.introduced("folder").to_owned();
    let lines: Vec<&str> = demo.page.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
    assert_eq!(lines.len(), 14, "thirteen requests and the verification:\n{}", demo.page);
    for line in lines {
        let run = demo.shell(line, Path::new(&folder)).output().unwrap();
        assert!(run.status.success() && !run.stdout.is_empty(), "{line}\n{}", String::from_utf8_lossy(&run.stderr));
    }
    // The same policy decides all of it again as it was: entries keep what its policies read of the callers' objects.
    let again = format!("{} replay --config hallgate.yaml --all ledger", env!("CARGO_BIN_EXE_hallgate"));
    let replayed = demo.shell(&again, Path::new(&folder)).output().unwrap();
    let said = String::from_utf8_lossy(&replayed.stdout);
    assert!(replayed.status.success() && said.contains("decisions replayed: 0 flip, 0 have the same"), "{said}");
    assert!(!said.contains("cannot be decided again"), "{said}");
    let shown = demo.shell(&format!("curl -sS '{}'", demo.introduced("console")), Path::new(&folder)).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("This link signs you in once."), "{shown}");
    let (code, rest) = demo.end("INT");
    assert_eq!(code, Some(0), "{rest}");
    // The lines above have caused as many entries as the walk did, but one: what was agreed to is asked for anew. One more is the policy's.
    assert!(rest.contains("All 30 entries"), "{rest}");
    assert!(!Path::new(&folder).exists(), "{folder} is still there");
}

#[test]
fn a_port_that_is_taken_is_named_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--gate-port", "--hall-port", "--upstream-port"] {
        // The last of two equal flags would be refused, so each is given once.
        let others =
            ["--gate-port", "--hall-port"].into_iter().filter(|other| *other != flag).flat_map(|other| [other, "0"]);
        let (code, page, error) = run(hallgate(&["demo", "--once", flag, &port]).args(others), "");
        assert_eq!(code, Some(2), "{flag}: {error}");
        assert!(error.contains(&format!("port {port} ")) && error.contains(flag), "{error}");
        assert!(page.is_empty(), "nothing is printed before the ports are known to be free");
    }
}
