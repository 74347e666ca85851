//! Make's two blueprints for what a human has to agree to, run by the emulator: the first keeps what is held, the Hall calls the second, and
//! that asks again. What it does then hangs on the second answer alone.

use std::cell::RefCell;
use std::path::Path;

use serde_json::{Value, json};
use support::{TOKEN, until};

use crate::emulator::{End, Make, Nothing, Outcome};
use crate::hall::Hall;
use crate::imported_json;
use crate::receiver::Receiver;

const HELD: [u64; 4] = [1, 2, 4, 9];
const GOES_ON: [u64; 6] = [1, 9, 2, 4, 10, 5];
const STOPS: [u64; 6] = [1, 9, 2, 4, 11, 6];
const NO_DECISION: [u64; 5] = [1, 9, 2, 7, 8];

/// A Hall, the webhook of the second scenario, and Make.
struct Flow {
    hall: Hall,
    webhook: Receiver,
}

impl Flow {
    fn new(ttl: &str) -> Self {
        let webhook = Receiver::answering(|_| 200);
        Self { hall: Hall::asking(&webhook.entry(), ttl), webhook }
    }

    fn make<'a>(&self, authority: &'a Path, nothing: Nothing) -> Make<'a> {
        let (hall, callback) = (self.hall.url(), self.webhook.url("go-on"));
        Make { hall, token: TOKEN, callback, store: RefCell::default(), authority, nothing }
    }

    /// What the webhook was called with last, once it was called so often.
    fn called(&self, times: usize) -> Value {
        until(|| self.webhook.calls().len() == times);
        self.webhook.calls().pop().unwrap().body
    }
}

/// Asks for a write of RESTRICTED data, which is held, and kept in the store.
fn hold(make: &Make<'_>) -> Value {
    let sent = json!({ "worker_id": "wrk_make_acme_prod", "data_label": "RESTRICTED" });
    let outcome = make.run(&imported_json("make-hold-blueprint.json"), &sent);
    assert_eq!((outcome.ran.as_slice(), &outcome.end), (&HELD[..], &End::Done), "{outcome:?}");
    let id = outcome.output[&2]["data"]["pending_approval_id"].clone();
    assert_eq!(make.store.borrow()[id.as_str().unwrap()], sent);
    id
}

fn go_on(make: &Make<'_>, call: &Value) -> Outcome {
    make.run(&imported_json("make-resume-blueprint.json"), call)
}

#[track_caller]
fn ran(outcome: &Outcome, modules: &[u64]) {
    assert_eq!((outcome.ran.as_slice(), &outcome.end), (modules, &End::Done), "{outcome:?}");
    assert!(outcome.missing.is_empty(), "{:?} finds nothing", outcome.missing);
}

#[test]
fn what_a_human_agrees_to_goes_on_by_the_second_answer() {
    for nothing in [Nothing::IsFalse, Nothing::IsNothing] {
        let flow = Flow::new("1h");
        let authority = flow.hall.authority();
        let make = flow.make(&authority, nothing);
        let id = hold(&make);
        // Whoever calls the webhook before somebody has decided gets nothing done.
        let early = json!({ "pending_approval_id": id, "resolution": "approved" });
        let forged = go_on(&make, &early);
        ran(&forged, &STOPS);
        assert!(make.store.borrow().is_empty());
        hold(&make);
        flow.hall.resolve("approve");
        let call = flow.called(1);
        assert_eq!((&call["pending_approval_id"], &call["resolution"]), (&id, &json!("approved")));
        let outcome = go_on(&make, &call);
        ran(&outcome, &GOES_ON);
        let (row, said) = (&outcome.output[&5], &outcome.output[&2]["data"]);
        assert_eq!((&row["denied"], &row["decision_id"]), (&json!(false), &said["decision_id"]));
        assert_eq!((&said["outcome"], &said["approval"]["approval_id"]), (&json!("DISPATCH"), &id));
        assert!(flow.hall.has_recorded(row["decision_id"].as_str().unwrap()), "{row}");
        // Called once more, as after a lost answer, nothing is known any more and nothing is asked.
        assert_eq!(go_on(&make, &call).ran, [1, 9]);
    }
}

#[test]
fn a_no_stops_it_whatever_the_call_says() {
    let flow = Flow::new("1h");
    let authority = flow.hall.authority();
    let make = flow.make(&authority, Nothing::IsFalse);
    hold(&make);
    flow.hall.resolve("deny");
    let mut call = flow.called(1);
    assert_eq!(call["resolution"], "denied");
    call["resolution"] = json!("approved");
    let outcome = go_on(&make, &call);
    ran(&outcome, &STOPS);
    let row = &outcome.output[&6];
    assert!(row["denied"] == true && row["reason"].as_str().unwrap().contains("it is payday"), "{row}");
    // A denial without a human takes the route Denied of the first.
    let sent = json!({ "worker_id": "wrk_nobody", "data_label": "RESTRICTED" });
    let outcome = make.run(&imported_json("make-hold-blueprint.json"), &sent);
    assert_eq!(outcome.ran, [1, 2, 4, 6], "{outcome:?}");
    let sent = json!({ "worker_id": "wrk_make_acme_prod", "data_label": "INTERNAL" });
    assert_eq!(make.run(&imported_json("make-hold-blueprint.json"), &sent).ran, [1, 2, 4, 5]);
}

#[test]
fn silence_stops_it() {
    let flow = Flow::new("2s");
    let authority = flow.hall.authority();
    let make = flow.make(&authority, Nothing::IsFalse);
    hold(&make);
    let call = flow.called(1);
    assert_eq!(call["resolution"], "expired");
    let outcome = go_on(&make, &call);
    ran(&outcome, &STOPS);
    assert_eq!(outcome.output[&2]["data"]["outcome"], "STEWARD_HOLD");
}

#[test]
fn without_an_answer_it_is_kept_and_tried_again() {
    let flow = Flow::new("1h");
    let authority = flow.hall.authority();
    let make = flow.make(&authority, Nothing::IsFalse);
    hold(&make);
    flow.hall.resolve("approve");
    let call = flow.called(1);
    flow.hall.process.kill();
    let outcome = go_on(&make, &call);
    assert_eq!((outcome.ran.as_slice(), &outcome.end), (&NO_DECISION[..], &End::Kept), "{outcome:?}");
    assert_eq!(make.store.borrow().len(), 1, "what was asked for is there for the next try");
}

#[test]
fn the_first_blueprint_is_the_plain_one_and_what_is_held() {
    let (plain, mut held) = (imported_json("make-blueprint.json"), imported_json("make-hold-blueprint.json"));
    let body = held["flow"][1]["mapper"]["jsonStringBodyContent"].as_str().unwrap();
    let without = body.replace(r#", "callback_url": "{{var.organization.PYHALL_CALLBACK_URL}}""#, "");
    assert_ne!(without, body);
    held["flow"][1]["mapper"]["jsonStringBodyContent"] = json!(without);
    let routes = held["flow"][2]["routes"].as_array_mut().unwrap();
    assert_eq!(routes.pop().unwrap()["flow"][0]["module"], "datastore:AddRecord");
    // Denied there is what is denied and not held.
    for group in routes[1]["flow"][0]["filter"]["conditions"].as_array().unwrap() {
        assert_eq!(group[0], plain["flow"][2]["routes"][1]["flow"][0]["filter"]["conditions"][0][0]);
    }
    routes[1]["flow"][0]["filter"] = plain["flow"][2]["routes"][1]["flow"][0]["filter"].clone();
    for text in ["name", "description"] {
        held[text] = plain[text].clone();
    }
    assert_eq!(held, plain);
    // Both ask for the same, so that what was agreed to is what is asked again.
    let again = imported_json("make-resume-blueprint.json")["flow"][2]["mapper"]["jsonStringBodyContent"].to_string();
    assert_eq!(again.replace("{{9.", "{{1."), json!(without).to_string());
}
