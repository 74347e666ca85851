//! `hallgate approvals`, against a running Hall.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Process, hallgate, metric};

use crate::desk::{ASKER, BEA, CYD, DAN, GLOBEX, READER, ask, denied, fixture, granted, held, state};

/// Runs `hallgate approvals` with a token: exit code, stdout, stderr.
fn run(process: &Process, token: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = hallgate(&[&["approvals"], arguments].concat());
    command.env("PYHALL_HALL_URL", format!("http://{}", process.hall())).env("HALL_SESSION_TOKEN", token);
    support::run(&mut command, "")
}

/// That it is done, and what is said.
#[track_caller]
fn done(process: &Process, token: &str, arguments: &[&str]) -> String {
    let (code, out, err) = run(process, token, arguments);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}: {out}");
    out
}

/// That the Hall refuses, and why.
#[track_caller]
fn refused(process: &Process, token: &str, arguments: &[&str]) -> String {
    let (code, out, err) = run(process, token, arguments);
    assert_eq!(code, Some(1), "{arguments:?}: {out}{err}");
    err
}

#[test]
fn a_round_by_hand_shows_exactly_what_runs_and_runs_it() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    assert_eq!(done(&process, BEA, &["list"]), "\n");
    // Colours and lines of its own are no way to look like something else.
    let hostile =
        json!({"request": {"row": "\u{1b}[2Jdigest     ff\nyou may decide\u{202e}"}, "correlation_id": "c-1"});
    let id = held(&ask(hall, hostile.clone()));
    let listed = done(&process, READER, &["list"]);
    assert!(
        listed.starts_with(&format!("{id}\tgatekeeper\tRESTRICTED\torg.acme\twrk_make_acme_prod\tcap.data.write.v1\t"))
    );
    let json: Value = serde_json::from_str(&done(&process, BEA, &["list", "--json"])).unwrap();
    assert_eq!(json["count"], 1);

    let shown = done(&process, BEA, &["show", &id]);
    let json: Value = serde_json::from_str(&done(&process, BEA, &["show", "--json", &id])).unwrap();
    for said in [
        &format!("approval   {id} is pending\n"),
        "asks       asker, for org.acme\n",
        "for        cap.data.write.v1 in prod, RESTRICTED data, by the door `api`\n",
        "rule       rr_data_write\n",
        "policies   restricted\n",
        "level      gatekeeper: 0 of 1 agree\n",
        &format!("digest     {}\n", json["digest"].as_str().unwrap()),
        "you        may decide\nwhat would run (",
        "| {\"row\": \"",
    ] {
        assert!(shown.contains(said), "{said:?} in:\n{shown}");
    }
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{shown:?}");
    assert_eq!(shown.lines().filter(|line| line.starts_with("digest")).count(), 1, "{shown}");

    assert!(done(&process, ASKER, &["show", &id]).contains("is pending\nlevel      gatekeeper\n"));
    assert!(refused(&process, ASKER, &["approve", &id]).contains("the scope `approve`"));
    assert!(refused(&process, READER, &["show", &id]).contains("refuses (404)"));
    let said = done(&process, BEA, &["approve", &id, "--note", "looked at"]);
    assert!(said.starts_with(&shown), "it shows what it agrees to: {said}");
    assert!(said.contains(&format!("\n{id} is approved: sent again before ")), "{said}");
    assert!(done(&process, BEA, &["list", "--approved"]).starts_with(&id));
    assert_eq!(granted(&ask(hall, hostile), &id), ["bea"]);
    let over = done(&process, BEA, &["show", &id]);
    assert!(over.contains("is spent\n") && over.ends_with("what would run is not kept any more\n"), "{over}");
    assert!(refused(&process, BEA, &["approve", &id]).contains("spent already"));
}

#[test]
fn each_command_decides_and_exits_as_it_went() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let row = |n: i32| json!({"request": {"row": n}});
    let [denies, goes_up, withdraws] = [1, 2, 3].map(|n| held(&ask(hall, row(n))));
    assert_eq!(done(&process, BEA, &["deny", &denies, "--note", "no"]), format!("{denies} is denied\n"));
    assert!(denied(&ask(hall, row(1)), "DENY_REFUSED_BY_HUMAN").ends_with(": no"));

    let said = done(&process, BEA, &["escalate", &goes_up, "--to", "incident_commander"]);
    assert_eq!(said, format!("{goes_up} is pending: 0 of 1 of level incident_commander agree\n"));
    let (code, out, err) = run(&process, CYD, &["approve", &goes_up]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("give --yes"), "{err}");
    assert_eq!(state(hall, &goes_up), "pending", "nothing was decided");
    assert!(refused(&process, BEA, &["approve", &goes_up]).contains("incident_commander"));
    done(&process, CYD, &["approve", &goes_up, "--yes"]);
    granted(&ask(hall, row(2)), &goes_up);

    done(&process, BEA, &["approve", &withdraws]);
    assert_eq!(done(&process, BEA, &["withdraw", &withdraws]), format!("{withdraws} is withdrawn\n"));
    let by_hand = held(&ask(hall, json!({"data_label": "CONFIDENTIAL"})));
    assert_eq!(done(&process, CYD, &["done", &by_hand]), format!("{by_hand} is done\n"));

    let again = held(&ask(hall, row(3)));
    done(&process, BEA, &["approve", &again]);
    assert!(refused(&process, BEA, &["void-all", "--note", "all"]).contains("`admin`"));
    assert_eq!(done(&process, DAN, &["void-all", "--note", "an incident"]), "1 withdrawn\n");

    let none = "11111111-1111-4111-8111-111111111111";
    for arguments in [["show", none], ["approve", none], ["deny", none], ["show", "../../livez"], ["withdraw", "no id"]]
    {
        assert!(refused(&process, BEA, &arguments).contains("refuses (404)"), "{arguments:?}");
    }
    let mut command = hallgate(&["approvals", "list", "--hall-url", "http://127.0.0.1:1"]);
    let (code, _, err) = support::run(command.env("HALL_SESSION_TOKEN", BEA), "");
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("does not answer"), "{err}");
}

#[test]
fn several_are_shown_before_any_is_agreed_to_and_each_says_how_it_differs() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let row = |n: i32| json!({"request": {"row": n, "of": "wages"}});
    let [first, second, third] = [1, 2, 3].map(|n| held(&ask(hall, row(n))));
    let shown = done(&process, BEA, &["show", &second]);
    let (_, differs) = shown.split_once("\n2 more of this worker and capability wait\n").unwrap();
    let newest = differs.split_once(&format!("compared with {third}, asked ")).unwrap().1;
    assert!(newest.contains(":\n| here  /row: 2\n| there /row: 3\n"), "{shown}");
    assert!(!differs.contains("wages"), "{shown}");

    let (code, out, err) = run(&process, BEA, &["approve", &first, &second]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("give --yes") && state(hall, &first) == "pending", "{err}");
    let [at_first, at_second] = [&first, &second].map(|id| out.find(&format!("approval   {id} is pending")).unwrap());
    assert!(at_first < at_second, "{out}");
    // One that cannot be shown keeps all of them; one twice is one.
    let none = "11111111-1111-4111-8111-111111111111";
    assert!(refused(&process, BEA, &["approve", "--yes", &first, none]).contains("refuses (404)"));
    assert_eq!(state(hall, &first), "pending");
    let said = done(&process, BEA, &["approve", "--yes", "--note", "payday", &first, &second, &first]);
    assert_eq!(said.matches(" is approved: sent again").count(), 2, "{said}");
    // What is over keeps none of the others, and the exit code says it.
    assert!(refused(&process, BEA, &["approve", "--yes", &first, &third]).contains("approved already"));
    assert_eq!(state(hall, &third), "approved");

    let listed = done(&process, READER, &["approvers"]);
    let row: Vec<&str> = listed.trim_end().split('\t').collect();
    assert_eq!((&row[..3], row[4]), (&["bea", "3", "0"][..], "3"), "{listed}");
    assert!(refused(&process, ASKER, &["approvers"]).contains("refuses (403)"));
    let json: Value = serde_json::from_str(&done(&process, GLOBEX, &["approvers", "--json"])).unwrap();
    assert_eq!(json, json!({"approvers": []}), "who is bound knows of nobody else");
    let counted = "hallgate_approval_decided_after_seconds_count{approver=\"bea\",action=\"approved\"}";
    assert_eq!(metric(hall, counted), 3);
}

#[test]
fn watch_prints_each_as_it_comes_and_once() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let first = held(&ask(hall, json!({})));
    let mut command = hallgate(&["approvals", "watch"]);
    command.env("PYHALL_HALL_URL", format!("http://{hall}")).env("HALL_SESSION_TOKEN", READER);
    let mut watching = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().starts_with(&first));
    let second = held(&ask(hall, json!({"request": {}})));
    assert!(next().starts_with(&second));
    watching.kill().unwrap();
    watching.wait().unwrap();
    let (code, _, err) = run(&process, ASKER, &["watch"]);
    assert_eq!(code, Some(1), "{err}");
}

#[test]
fn a_token_that_is_made_for_an_approver_decides_as_it_says() {
    let fixture = fixture("{}");
    let made =
        ["token", "new", "eve", "--scope", "approve", "--owner", "Eve \"E\": #1", "--level", "incident_commander"];
    let (code, entry, secret) = fixture.run(&[&made[..], &["--max-label", "INTERNAL"]].concat());
    assert_eq!(code, Some(0), "{secret}");
    let (code, _, err) = fixture.run(&["token", "new", "eve", "--scope", "approve", "--owner", "a\nb"]);
    assert_eq!(code, Some(2), "{err}");
    fixture.edit("hall:\n", "hall:\n  tokens_file: tokens.yaml\n");
    fixture.write("tokens.yaml", &format!("tokens:\n{entry}"));
    let process = fixture.serve();
    let id = held(&ask(process.hall(), json!({})));
    let shown = done(&process, secret.trim_end(), &["show", &id]);
    assert!(shown.contains("may not decide: `eve` may decide about INTERNAL at most"), "{shown}");
    assert!(shown.ends_with("what would run is not for this token to see\n"), "{shown}");
    drop(process);
    fixture.write("tokens.yaml", &format!("tokens:\n{}", entry.replace("INTERNAL", "RESTRICTED")));
    let process = fixture.serve();
    let why = refused(&process, secret.trim_end(), &["approve", &id]);
    assert!(why.contains("is not of the level gatekeeper"), "{why}");
    done(&process, secret.trim_end(), &["escalate", &id]);
    done(&process, secret.trim_end(), &["approve", &id, "--yes"]);
}
