//! Callbacks: whoever asks is told once that it is decided, at addresses that are allowed and at no other, and asks again.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ring::hmac;
use serde_json::{Value, json};
use support::{Fixture, metric, post, until};

use crate::desk::{ASKER, BEA, CYD, ask, denied, fixture as desk, granted, held, pending, resolve, state, write};
use crate::receiver::Receiver;

/// What receivers know a callback by.
pub const SECRET: &str = "of-these-tests-0123456789abcdef";

/// A Hall that calls these back, or nobody.
pub fn fixture(entries: &[String], more: &str) -> Fixture {
    if entries.is_empty() {
        return desk(&format!("{{ {more} }}"));
    }
    desk(&format!("{{ callbacks: [{}], callback_secret: {SECRET}{more} }}", entries.join(", ")))
}

/// What they know it by later.
const OTHER: &str = "of-later-tests-0123456789abcdef0";

fn called(hall: std::net::SocketAddr, result: &str) -> u64 {
    metric(hall, &format!("hallgate_callbacks_total{{result=\"{result}\"}}"))
}

#[test]
fn whoever_asks_is_told_once_and_asks_again() {
    let receiver = Receiver::answering(|_| 200);
    let fixture = fixture(&[receiver.entry()], "");
    let process = fixture.serve();
    let hall = process.hall();
    let url = receiver.url("wages?token=s3cret-of-a-flow");
    let asked = json!({"callback_url": url, "correlation_id": "order-7"});
    let first = ask(hall, asked.clone());
    let id = held(&first);
    assert!(fs::read(fixture.path("approvals.db")).unwrap().windows(6).any(|bytes| bytes == b"s3cret"));
    assert!(receiver.calls().is_empty(), "nobody has decided");
    let resolved = resolve(hall, BEA, &id, "approve", json!({})).ok();
    until(|| called(hall, "delivered") == 1);
    let calls = receiver.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].target(), calls[0].header("content-type")),
        ("/flows/wages?token=s3cret-of-a-flow", "application/json")
    );
    let expected = json!({
        "pending_approval_id": id, "resolution": "approved", "correlation_id": "order-7", "digest": resolved["digest"],
        "expires_at": first["approval_expires_at"],
    });
    assert_eq!(calls[0].body, expected, "and no verdict");
    // What counts is the second answer, with or without the field.
    assert_eq!(granted(&ask(hall, asked), &id), ["bea"]);

    // The URL is nowhere any more, and its query never was in the log or the ledger.
    let there = |name: &str| {
        let bytes = fs::read(fixture.path(name)).unwrap_or_default();
        bytes.windows(6).any(|window| window == b"s3cret")
    };
    until(|| !["approvals.db", "approvals.db-journal", "approvals.db-wal"].into_iter().any(there));
    process.end();
    assert!(!process.log().contains("s3cret"), "{}", process.log());
    assert!(process.log().contains("whoever asked knows that it is decided"));
    assert!(!Value::from(fixture.entries()).to_string().contains("s3cret"));
    fixture.verify();
    assert_eq!(receiver.calls().len(), 1);
}

#[test]
fn the_secret_is_changed_while_it_runs_and_whatever_is_sent_from_then_on_has_the_new_one() {
    let receiver = Receiver::answering(|n| if n == 2 { 500 } else { 200 });
    let fixture = desk(&format!("{{ callbacks: [{}], callback_secret_file: secret }}", receiver.entry()));
    fixture.write("secret", SECRET);
    let process = fixture.serve();
    let hall = process.hall();
    let told = |name: &str, calls: usize| {
        let id = held(&ask(hall, json!({"request": {"row": name}, "callback_url": receiver.url(name)})));
        resolve(hall, BEA, &id, "approve", json!({})).ok();
        until(|| receiver.calls().len() == calls);
    };
    let signed_with = |n: usize| {
        let call = &receiver.calls()[n];
        let text = format!("{}.{}", call.header("wcp-callback-timestamp"), call.text());
        let by = |secret: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let hex: String =
                hmac::sign(&key, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            call.header("wcp-callback-signature") == format!("v1={hex}")
        };
        (by(SECRET), by(OTHER))
    };
    told("first", 1);
    told("second", 2);
    fixture.write("secret", OTHER);
    assert!(process.wait_for_log("the secret of callbacks has changed").contains("next attempt"));
    // What had the old secret and was not taken is tried again with the new one.
    until(|| receiver.calls().len() >= 3);
    told("third", 4);
    assert_eq!([0, 1, 3].map(signed_with), [(true, false), (true, false), (false, true)]);
    assert!(signed_with(2).0 != signed_with(2).1);
    // What is no secret changes nothing, and is said.
    fixture.write("secret", "short");
    process.wait_for_log("a change of files is refused");
    told("fourth", 5);
    assert_eq!(signed_with(4), (false, true));
    process.end();
    assert!(!process.log().contains("sections have changed"), "{}", process.log());
    assert!(![SECRET, OTHER].iter().any(|secret| process.log().contains(secret)));
}

#[test]
fn each_resolution_is_said_as_it_is_in_force() {
    let receiver = Receiver::answering(|_| 204);
    let fixture = fixture(&[receiver.entry()], "");
    let process = fixture.serve();
    let hall = process.hall();
    let row =
        |n: &str, label: &str| json!({"request": {"row": n}, "callback_url": receiver.url(n), "data_label": label});
    let said = |path: &str| {
        let calls = receiver.calls().into_iter().filter(|call| call.target() == format!("/flows/{path}"));
        calls.map(|call| call.body["resolution"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let id = held(&ask(hall, row("denied", "RESTRICTED")));
    resolve(hall, BEA, &id, "deny", json!({"note": "no"})).ok();
    until(|| said("denied") == ["denied"]);
    denied(&ask(hall, row("denied", "RESTRICTED")), "DENY_REFUSED_BY_HUMAN");
    let id = held(&ask(hall, row("done", "CONFIDENTIAL")));
    resolve(hall, CYD, &id, "done", json!({})).ok();
    until(|| said("done") == ["done"]);
    let first = held(&ask(hall, row("void", "RESTRICTED")));
    let policies = fixture.read("policies/all.cedar");
    let others = policies.replace("RESTRICTED data needs a human", "RESTRICTED data needs somebody");
    fixture.write("policies/all.cedar", &others);
    process.hang_up();
    until(|| held(&ask(hall, row("void", "RESTRICTED"))) != first);
    until(|| said("void") == ["void"]);
}

#[test]
fn silence_is_said_too() {
    let receiver = Receiver::answering(|_| 204);
    let fixture = fixture(&[receiver.entry()], ", ttl: 2s");
    let process = fixture.serve();
    let id = held(&ask(process.hall(), json!({"callback_url": receiver.url("a")})));
    until(|| called(process.hall(), "delivered") == 1);
    assert_eq!(receiver.calls()[0].body["resolution"], "expired");
    assert_eq!(state(process.hall(), &id), "expired");
}

#[test]
fn what_is_taken_back_before_it_is_told_is_told_as_taken_back() {
    let receiver = Receiver::answering(|n| if n == 1 { 500 } else { 200 });
    let fixture = fixture(&[receiver.entry()], "");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({"callback_url": receiver.url("a")})));
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    until(|| called(hall, "failed") == 1);
    resolve(hall, BEA, &id, "withdraw", json!({})).ok();
    until(|| called(hall, "delivered") == 1);
    let said: Vec<_> = receiver.calls().iter().map(|call| call.body["resolution"].clone()).collect();
    assert_eq!(said, ["approved", "withdrawn"]);
}

#[test]
fn where_nobody_may_be_called_nobody_is_asked() {
    let receiver = Receiver::answering(|_| 200);
    let (allowed, at) = (receiver.entry(), receiver.address);
    let fixture = fixture(&[allowed, "https://hooks.example.org/flows/".to_owned()], "");
    let process = fixture.serve();
    let hall = process.hall();
    let forms = [
        format!("http://{at}/"),
        format!("http://{at}/flows"),
        format!("http://{at}/flows/../admin"),
        format!("http://{at}/flows/%2e%2e/admin"),
        format!("http://{at}/flows/..%2fadmin"),
        format!("http://{at}/flows/..;/admin"),
        format!("http://{at}/flows//admin"),
        format!("http://user:word@{at}/flows/a"),
        format!("http://{at}/flows/a#b"),
        format!("HTTP://{at}/flows/a"),
        format!("http://2130706433:{}/flows/a", at.port()),
        format!("http://0x7f000001:{}/flows/a", at.port()),
        format!("http://0177.0.0.1:{}/flows/a", at.port()),
        format!("http://127.1:{}/flows/a", at.port()),
        format!("http://127.0.0.1.:{}/flows/a", at.port()),
        format!("http://[::ffff:127.0.0.1]:{}/flows/a", at.port()),
        format!("http://[::1]:{}/flows/a", at.port()),
        format!("http://localhost:{}/flows/a", at.port()),
        format!("http://127.0.0.2:{}/flows/a", at.port()),
        "http://127.0.0.1/flows/a".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://hooks.example.org/flows/a".to_owned(),
        "https://hooks.example.org:8443/flows/a".to_owned(),
        "https://hooks.example.org./flows/a".to_owned(),
        "https://HOOKS.example.org/flows/a".to_owned(),
        "https://hooks.example.org.evil.test/flows/a".to_owned(),
        "https://hööks.example.org/flows/a".to_owned(),
        "ftp://hooks.example.org/flows/a".to_owned(),
        "hooks.example.org/flows/a".to_owned(),
    ];
    for url in &forms {
        let asked = write(json!({"callback_url": url}));
        let answer = post(hall, ASKER, "/api/route", &asked);
        assert_eq!(answer.body["error"], "invalid field: callback_url", "{url}: {}", answer.body);
        assert!(answer.body["decision_id"].is_string(), "it is on record: {}", answer.body);
        let why = answer.refused(400);
        assert!(why.starts_with("`callback_url` ") && why.contains(';'), "{url}: {why}");
    }
    for wrong in [json!(7), json!({}), json!([receiver.url("a")])] {
        let answer = post(hall, ASKER, "/api/route", &write(json!({"callback_url": wrong})));
        assert!(answer.refused(400).contains("callback_url must be a string"));
    }
    assert!(pending(hall, BEA).is_empty(), "nothing is opened");
    assert_eq!(called(hall, "refused"), forms.len() as u64);
    // Where no human has to agree it is a word like another; an empty one, as Make sends it, is none.
    for url in &forms {
        let free = ask(hall, json!({"data_label": "INTERNAL", "callback_url": url}));
        assert_eq!(free["denied"], false, "{free}");
        assert_eq!(ask(hall, json!({"dry_run": true, "callback_url": url}))["outcome"], "STEWARD_HOLD");
    }
    let ids = [json!(""), Value::Null].map(|none| held(&ask(hall, json!({"callback_url": none}))));
    assert_eq!(ids[0], ids[1]);
    process.end();
    let refused = fixture.entries().iter().filter(|entry| entry["deny_code"] == "DENY_INVALID_INPUT").count();
    assert_eq!(refused, forms.len() + 3);
    assert!(!Value::from(fixture.entries()).to_string().contains("/admin"), "a path may be a secret");
    assert!(receiver.calls().is_empty());
}

#[test]
fn without_a_list_nobody_is_called() {
    let fixture = desk("{}");
    let process = fixture.serve();
    let url = "https://hooks.example.org/flows/a?s3cret";
    let why = post(process.hall(), ASKER, "/api/route", &write(json!({"callback_url": url}))).refused(400);
    assert!(why.contains("`https://hooks.example.org/`") && why.contains("`approvals.callbacks`"), "{why}");
    assert!(!why.contains("s3cret") && pending(process.hall(), BEA).is_empty(), "{why}");
}

#[test]
fn a_name_of_this_machine_is_not_public() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let origin = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let fixture = fixture(std::slice::from_ref(&origin), "");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({"callback_url": format!("{origin}a")})));
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    until(|| called(hall, "refused") == 1);
    assert!(listener.accept().is_err(), "somebody has come");
    assert!(process.wait_for_log("its callback is not allowed").contains(origin.trim_end_matches('/')));
}

#[test]
fn a_redirect_leads_nowhere() {
    let elsewhere = Receiver::answering(|_| 200);
    let to = elsewhere.url("a");
    let redirects = Receiver::saying(move |n| {
        let status = [301, 302, 307, 308][n % 4];
        format!("HTTP/1.1 {status} There\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let fixture = fixture(&[redirects.entry()], "");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({"callback_url": redirects.url("a")})));
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    until(|| called(hall, "failed") == 2);
    assert!(elsewhere.calls().is_empty());
    assert_eq!(redirects.calls().len(), 2);
}

#[test]
fn who_never_answers_holds_up_nobody() {
    let (silent, well) = (Receiver::answering(|_| 0), Receiver::answering(|_| 200));
    let fixture = fixture(&[silent.entry(), well.entry()], "");
    let process = fixture.serve();
    let hall = process.hall();
    let ids: Vec<String> = (0..8)
        .map(|n| held(&ask(hall, json!({"request": {"row": n}, "callback_url": silent.url(&n.to_string())}))))
        .collect();
    let last = held(&ask(hall, json!({"callback_url": well.url("a")})));
    for id in ids.iter().chain([&last]) {
        resolve(hall, BEA, id, "approve", json!({})).ok();
    }
    until(|| called(hall, "delivered") == 1);
    // Only so many wait for one who is slow; and each attempt ends.
    until(|| silent.calls().len() == 4);
    assert_eq!(called(hall, "failed"), 0);
    granted(&ask(hall, json!({})), &last);
    until(|| called(hall, "failed") >= 4);
    // It ends with calls under way.
    process.end();
}

#[test]
fn what_is_not_told_yet_outlasts_a_restart_and_a_kill() {
    let open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&open);
    let receiver = Receiver::answering(move |_| if is_open.load(Ordering::SeqCst) { 200 } else { 503 });
    let fixture = fixture(&[receiver.entry()], ", ttl: 1h");
    let row = |n: i32| json!({"request": {"row": n}, "callback_url": receiver.url(&n.to_string())});
    let process = fixture.serve();
    let (first, second) = (held(&ask(process.hall(), row(1))), held(&ask(process.hall(), row(2))));
    resolve(process.hall(), BEA, &first, "approve", json!({})).ok();
    until(|| called(process.hall(), "failed") >= 1);
    process.end();
    // What was asked is asked still, and that is decided in another process, which is killed before it has told anybody.
    let process = fixture.serve();
    process.wait_for_log("approvals are as the ledger has them");
    resolve(process.hall(), BEA, &second, "deny", json!({})).ok();
    process.kill();
    open.store(true, Ordering::SeqCst);
    let process = fixture.serve();
    until(|| called(process.hall(), "delivered") == 2);
    let calls = receiver.calls();
    let (last, before) = (&calls[calls.len() - 1], &calls[calls.len() - 2]);
    let told: BTreeSet<_> =
        [last, before].map(|call| (call.target().to_owned(), call.body["resolution"].to_string())).into();
    assert_eq!(
        told,
        [("/flows/1".to_owned(), "\"approved\"".to_owned()), ("/flows/2".to_owned(), "\"denied\"".to_owned())].into()
    );
    process.end();
    let process = fixture.serve();
    process.end();
    assert_eq!(receiver.calls().len(), calls.len(), "once told is told");
}

#[test]
fn sixteen_who_ask_are_told_and_one_more_is_told_so_at_once() {
    let receiver = Receiver::answering(|_| 200);
    let fixture = fixture(&[receiver.entry()], "");
    let process = fixture.serve();
    let hall = process.hall();
    let asked = |n: i32, id: &str| json!({"callback_url": receiver.url(&n.to_string()), "correlation_id": id});
    let id = held(&ask(hall, asked(1, "order-1")));
    for n in 2..=15 {
        assert_eq!(held(&ask(hall, asked(n, "order"))), id);
    }
    // The same once more is the same; under another id that the caller chose it is another. Without one it is not.
    assert_eq!(held(&ask(hall, asked(1, "order-1"))), id);
    let unnamed = json!({"callback_url": receiver.url("16")});
    for _ in 0..3 {
        assert_eq!(held(&ask(hall, unnamed.clone())), id);
    }
    for one_more in [asked(17, "order"), asked(1, "order-2")] {
        let why = denied(&ask(hall, one_more), "DENY_TOO_MANY_PENDING");
        assert!(why.contains("`callback_url`"), "{why}");
    }
    assert_eq!(held(&ask(hall, json!({}))), id, "whoever polls may ask on");
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    until(|| called(hall, "delivered") == 16);
    let targets: BTreeSet<String> = receiver.calls().iter().map(|call| call.target().to_owned()).collect();
    assert_eq!((targets.len(), receiver.calls().len()), (16, 16));
}

#[test]
fn who_is_gone_is_not_called_again() {
    let receiver = Receiver::answering(|_| 410);
    let fixture = fixture(&[receiver.entry()], "");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({"callback_url": receiver.url("a?s3cret")})));
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    until(|| called(hall, "given_up") == 1);
    assert!(!process.wait_for_log("could not be called").contains("s3cret"));
    process.end();
    let process = fixture.serve();
    granted(&ask(process.hall(), json!({})), &id);
    process.end();
    assert_eq!(receiver.calls().len(), 1);
}
