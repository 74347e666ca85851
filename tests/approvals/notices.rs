//! A person is told of what waits: once of each approval and each level, in the form that the receiver takes, and of no contents.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Fixture, Hook, HookAnswer, get, metric, until};

use crate::desk::{BEA, READER, ask, fixture, held, resolve};

const TAKEN: HookAnswer = Some("204 No Content");

/// A Hall that tells this receiver in this form.
fn telling(hook: &Hook, form: &str) -> Fixture {
    let fixture = fixture("{ ttl: 1h }");
    fixture.add(&format!("alerts: {{ webhook: \"{}\", webhook_form: {form} }}", hook.url()));
    fixture
}

fn row(row: &str) -> Value {
    json!({"request": {"row": row}})
}

/// How many notices ended so.
fn notices(hall: std::net::SocketAddr, result: &str) -> u64 {
    metric(hall, &format!("hallgate_approval_notices_total{{result=\"{result}\"}}"))
}

#[test]
fn somebody_is_told_once_of_each_and_of_each_level_and_the_link_leads_to_a_page_that_knows_nothing() {
    let hook = Hook::start(|_| TAKEN);
    let fixture = telling(&hook, "slack");
    fixture.edit("hall:\n", "hall:\n  public_url: https://hall.example.org/a/\n");
    let process = fixture.serve();
    let hall = process.hall();
    let first = held(&ask(hall, json!({"request": {"row": "a wage"}, "correlation_id": "c-1"})));
    let told = hook.next().body;
    let text = told["text"].as_str().unwrap().to_owned();
    let digest = get(hall, BEA, &format!("/wcp/approvals/{first}")).ok()["digest"].as_str().unwrap().to_owned();
    for said in [
        "*A request waits for a human*\n",
        "\nworker_id: `wrk_make_acme_prod`\n",
        "\ncapability_id: `cap.data.write.v1`\n",
        "\ndata_label: `RESTRICTED`\n",
        "\nsupervisor_level: `gatekeeper`\n",
        &format!("\ndigest: `{}`\n", &digest[..12]),
        &format!("\n<https://hall.example.org/a/approvals/{first}|Look at it and decide>"),
    ] {
        assert!(format!("\n{text}").contains(said), "{said:?} in:\n{text}");
    }
    assert!(!told.to_string().contains("wage") && !text.contains(&digest), "{text}");
    held(&ask(hall, json!({"request": {"row": "a wage"}, "correlation_id": "c-2"})));
    resolve(hall, BEA, &first, "escalate", json!({})).ok();
    let text = hook.next().body["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("*A request was escalated") && text.contains("`incident_commander`"), "{text}");
    assert!(text.contains(&first), "{text}");
    // Nothing of the first one stands between.
    let second = held(&ask(hall, row("2")));
    assert!(hook.next().body["text"].as_str().unwrap().contains(&second));
    until(|| notices(hall, "taken") == 3);

    for id in [&*first, "11111111-1111-4111-8111-111111111111"] {
        let page = support::ask(hall, &format!("GET /approvals/{id}"), &[], "");
        let (text, policy) = (page.text(), page.header("content-security-policy").unwrap().to_owned());
        assert_eq!((page.status, policy.starts_with("default-src 'none'")), (200, true), "{text}");
        assert!(text.contains(&format!("hallgate approvals show {id}")) && !text.contains("RESTRICTED"), "{text}");
    }
    for path in ["/approvals/%3Cscript%3E", "/approvals/"] {
        assert_eq!(support::ask(hall, &format!("GET {path}"), &[], "").status, 404, "{path}");
    }
}

#[test]
fn a_receiver_of_json_or_a_card_is_told_the_command_where_there_is_no_link() {
    let hook = Hook::start(|_| TAKEN);
    let (json, teams) = (telling(&hook, "json"), telling(&hook, "teams"));
    let process = json.serve();
    let id = held(&ask(process.hall(), row("1")));
    let told = hook.next().body;
    assert_eq!((&told["kind"], &told["pending_approval_id"]), (&json!("APPROVAL_PENDING"), &json!(id)));
    assert_eq!((&told["url"], &told["data_label"]), (&Value::Null, &json!("RESTRICTED")), "{told:#}");
    assert_eq!(told["command"], format!("hallgate approvals show {id}"));
    drop(process);
    let process = teams.serve();
    let id = held(&ask(process.hall(), row("1")));
    let card = hook.next().body["attachments"][0]["content"].clone();
    assert_eq!((&card["type"], &card["actions"]), (&json!("AdaptiveCard"), &json!([])), "{card:#}");
    assert!(card.to_string().contains(&format!("hallgate approvals show {id}")), "{card:#}");
}

#[test]
fn a_receiver_that_is_not_there_is_told_after_a_restart_and_nobody_is_told_twice() {
    let takes = Arc::new(AtomicBool::new(false));
    let is_there = Arc::clone(&takes);
    let hook = Hook::start(move |_| if is_there.load(Ordering::SeqCst) { TAKEN } else { Some("503 Not Now") });
    let fixture = telling(&hook, "slack");
    let process = fixture.serve();
    let first = held(&ask(process.hall(), row("1")));
    (0..3).for_each(|_| assert!(hook.next().body["text"].as_str().unwrap().contains(&first)));
    // The pause before the next attempt is five seconds: nobody was told, and that is on the disk.
    until(|| {
        let store = fs::read(fixture.path("approvals.db")).unwrap();
        let is_written = String::from_utf8_lossy(&store).contains("\"told\":null");
        // What a journal can take back is not there yet.
        is_written && fs::metadata(fixture.path("approvals.db-journal")).unwrap().len() == 0
    });
    process.kill();
    takes.store(true, Ordering::SeqCst);
    let process = fixture.serve();
    assert!(hook.next().body["text"].as_str().unwrap().contains(&first));
    until(|| notices(process.hall(), "taken") == 1);
    process.kill();
    let process = fixture.serve();
    process.wait_for_log("approvals are as the ledger has them");
    let second = held(&ask(process.hall(), row("2")));
    assert!(hook.next().body["text"].as_str().unwrap().contains(&second), "the first one was told again");
}

#[test]
fn a_receiver_that_is_busy_is_left_alone_as_long_as_it_wants_and_one_that_never_answers_holds_nobody_up() {
    let hook = Hook::start(|post| match post {
        0 => Some("429 Too Many\r\nretry-after: 2"),
        2 => None,
        3 => {
            // Slow, and within its time.
            thread::sleep(Duration::from_secs(2));
            TAKEN
        }
        _ => TAKEN,
    });
    let fixture = telling(&hook, "slack");
    let process = fixture.serve();
    let hall = process.hall();
    let ids = ["1", "2", "3"].map(|n| held(&ask(hall, row(n))));
    let [busy, taken] = [hook.next(), hook.next()];
    assert_eq!(busy.body, taken.body);
    assert!(taken.body["text"].as_str().unwrap().contains(&ids[0]));
    assert!(taken.at - busy.at >= Duration::from_secs(2), "{:?}", taken.at - busy.at);
    assert!(hook.next().body["text"].as_str().unwrap().contains(&ids[1]));
    // It may have been taken: it is not told again, and requests are decided meanwhile.
    let fourth = held(&ask(hall, row("4")));
    for id in [&ids[2], &fourth] {
        assert!(hook.next().body["text"].as_str().unwrap().contains(id));
    }
    until(|| (notices(hall, "unanswered"), notices(hall, "taken")) == (1, 3));
    process.end();
    assert!(!process.log().contains("/hook"), "the address is in the log");
}

#[test]
fn an_alert_does_not_wait_behind_a_notice_that_nobody_takes_nor_a_notice_behind_an_alert() {
    // Whoever is told of what waits wants to be left alone for a minute, and later never answers.
    let hook = Hook::start(|post| match post {
        0 => Some("503 Not Now\r\nretry-after: 60"),
        1 => None,
        _ => TAKEN,
    });
    let fixture = telling(&hook, "json");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, row("1")));
    let notice = hook.next();
    assert_eq!(notice.body["pending_approval_id"], json!(id));
    let rules = fs::read_to_string(fixture.path("rules.json")).unwrap();
    fixture.write("rules.json", "{");
    let unheard = hook.next();
    assert_eq!(unheard.body["kind"], "RELOAD_REFUSED", "{:#}", unheard.body);
    assert!(unheard.at - notice.at < Duration::from_secs(30), "{:?}", unheard.at - notice.at);
    // That alert waits for an answer, and another one does not wait for it.
    fixture.write("rules.json", &rules);
    until(|| get(hall, READER, "/api/doctor").ok()["checks"]["config"]["status"] == "ok");
    fixture.write("rules.json", "[");
    let second = hook.next();
    assert_eq!(second.body["kind"], "RELOAD_REFUSED", "{:#}", second.body);
    assert!(second.at - unheard.at < Duration::from_secs(8), "{:?}", second.at - unheard.at);
    assert_eq!(notices(hall, "taken"), 0);
}

#[test]
fn what_nobody_answers_for_half_of_its_time_is_an_alert() {
    let fixture = fixture("{ ttl: 4s }");
    let process = fixture.serve();
    let id = held(&ask(process.hall(), row("1")));
    let alert = || {
        let alerts = get(process.hall(), READER, "/api/alerts").ok();
        let mut alerts = alerts["alerts"].as_array().unwrap().clone().into_iter();
        alerts.find(|alert| alert["type"] == "APPROVAL_UNANSWERED")
    };
    until(|| alert().is_some());
    let alert = alert().unwrap();
    assert_eq!((&alert["severity"], &alert["worker_id"]), (&json!("warning"), &json!("wrk_make_acme_prod")));
    assert!(alert["body"].as_str().unwrap().contains(&format!("hallgate approvals show {id}")), "{alert:#}");
    assert_eq!(metric(process.hall(), "hallgate_approvals_ttl_seconds"), 4);
}
