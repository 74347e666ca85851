//! Make's blueprint, run by the emulator over real answers: one route on a yes, the other on a no, and neither without a decision.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use support::TOKEN;

use crate::emulator::{End, Make, Nothing, Outcome};
use crate::hall::{Hall, answer, in_its_place};
use crate::imported_json;

/// What the blueprint's modules are.
const ALLOWED: [u64; 4] = [1, 2, 4, 5];
const DENIED: [u64; 4] = [1, 2, 4, 6];
const NEITHER: [u64; 3] = [1, 2, 4];
const NO_DECISION: [u64; 4] = [1, 2, 7, 8];

/// Both ways in which Make may read what is not there.
const READINGS: [Nothing; 2] = [Nothing::IsFalse, Nothing::IsNothing];

/// An organization that takes nothing for false, and that nobody calls back.
fn organization<'a>(url: &str, token: &'a str, authority: &'a Path) -> Make<'a> {
    let (callback, store) = (String::new(), RefCell::default());
    Make { hall: url.to_owned(), token, callback, store, authority, nothing: Nothing::IsFalse }
}

/// Runs a blueprint, which has to end alike however nothing is read.
fn take(blueprint: &Value, hall: &Hall, url: &str, token: &str, label: &str) -> Outcome {
    let sent = json!({ "worker_id": "wrk_make_acme_prod", "data_label": label });
    let [one, other] =
        READINGS.map(|nothing| Make { nothing, ..organization(url, token, &hall.authority()) }.run(blueprint, &sent));
    assert_eq!((&one.ran, &one.end), (&other.ran, &other.end), "{label} from {url}");
    one
}

/// That this is what ran, how it ended, and that each mapping found something where a route was taken.
#[track_caller]
fn ran(outcome: &Outcome, modules: &[u64], end: &End) {
    assert_eq!((outcome.ran.as_slice(), &outcome.end), (modules, end), "{outcome:?}");
    let whole = modules != NEITHER;
    assert!(!whole || outcome.missing.is_empty(), "{:?} finds nothing", outcome.missing);
}

#[test]
fn the_blueprint_goes_on_after_a_yes_only() {
    let hall = Hall::start();
    let blueprint = imported_json("make-blueprint.json");
    let take = |label| take(&blueprint, &hall, &hall.url(), TOKEN, label);

    let allowed = take("INTERNAL");
    ran(&allowed, &ALLOWED, &End::Done);
    let (row, said) = (&allowed.output[&5], &allowed.output[&2]["data"]);
    assert_eq!((&row["denied"], &row["worker_id"]), (&json!(false), &json!("wrk_make_acme_prod")));
    assert_eq!((&row["decision_id"], &row["artifact_hash"]), (&said["decision_id"], &said["artifact_hash"]));
    assert!(row["decision_id"].is_string() && row["artifact_hash"].is_string(), "{row}");

    for label in ["RESTRICTED", ""] {
        let denied = take(label);
        ran(&denied, &DENIED, &End::Done);
        let row = &denied.output[&6];
        assert_eq!(row["denied"], true);
        assert!(row["decision_id"].is_string() && !row["reason"].as_str().unwrap().is_empty(), "{row}");
    }
    // A label that brings fields of its own says one twice, which is no JSON of ours.
    ran(&take("PUBLIC\", \"env\": \"dev"), &NO_DECISION, &End::Kept);
}

#[test]
fn the_blueprint_keeps_what_it_has_no_decision_on() {
    let hall = Hall::start();
    let mut blueprint = imported_json("make-blueprint.json");
    blueprint["flow"][1]["mapper"]["timeout"] = json!(1);
    let kept = |url: &str, token: &str, why: &str| {
        let outcome = take(&blueprint, &hall, url, token, "INTERNAL");
        ran(&outcome, &NO_DECISION, &End::Kept);
        let row = &outcome.output[&7];
        assert_eq!(row["denied"], "true");
        assert!(row["reason"].as_str().unwrap().contains(why), "{url}: {row} instead of {why}");
    };
    kept(&hall.url(), "hst_not-one-of-ours", "401");
    hall.cannot_record();
    kept(&hall.url(), TOKEN, "503");
    hall.process.limit_files("unlimited");
    let silent = in_its_place(None);
    kept(&format!("http://{silent}"), TOKEN, "timed out");
    // One whose certificate nobody vouches for is not asked.
    let stranger = Hall::start();
    kept(&stranger.url(), TOKEN, "curl: (");
    hall.process.kill();
    kept(&hall.url(), TOKEN, "connect");
}

#[test]
fn the_blueprint_takes_nothing_else_for_a_yes() {
    let hall = Hall::start();
    let blueprint = imported_json("make-blueprint.json");
    let yes = hall.decide(&crate::request("INTERNAL")).1.to_string();
    let answers = [
        answer("200 OK", "text/html", "<p>Sign in to go on</p>"),
        answer("200 OK", "application/json", "<p>Sign in to go on</p>"),
        answer("200 OK", "application/json", "{}"),
        answer("200 OK", "application/json", "[]"),
        answer("200 OK", "application/json", r#"{ "denied": false }"#),
        answer("200 OK", "application/json", r#"{ "denied": 0, "decision_id": "…" }"#),
        answer("302 Found", "text/html", "elsewhere"),
        // Not JSON by its kind: Make does not parse it.
        answer("200 OK", "text/plain", &yes),
    ];
    for answer in answers {
        let url = format!("http://{}", in_its_place(Some(answer.clone())));
        let outcome = take(&blueprint, &hall, &url, TOKEN, "INTERNAL");
        assert_eq!((outcome.ran.as_slice(), &outcome.end), (&NEITHER[..], &End::Done), "{answer}: {outcome:?}");
    }
}

/// The blueprint with other mappings of the answer.
fn mapped(blueprint: &Value, from: &str, to: &str) -> Value {
    let text = blueprint.to_string();
    assert!(text.contains(from), "no {from}");
    serde_json::from_str(&text.replace(from, to)).unwrap()
}

#[test]
fn without_parse_response_the_answer_is_text_until_parse_json_reads_it() {
    let hall = Hall::start();
    let mut unparsed = imported_json("make-blueprint.json");
    unparsed["flow"][1]["mapper"]["parseResponse"] = json!(false);
    let take = |blueprint: &Value, label| take(blueprint, &hall, &hall.url(), TOKEN, label);
    ran(&take(&unparsed, "INTERNAL"), &NEITHER, &End::Done);
    ran(&take(&unparsed, "RESTRICTED"), &NEITHER, &End::Done);

    // As the page says: JSON → Parse JSON behind it, module 3, and `{{3.denied}}`.
    let mut parsed = mapped(&unparsed, "{{2.data.", "{{3.");
    let parse = json!({ "id": 3, "module": "json:ParseJSON", "version": 1, "mapper": { "json": "{{2.data}}" } });
    parsed["flow"].as_array_mut().unwrap().insert(2, parse);
    ran(&take(&parsed, "INTERNAL"), &[1, 2, 3, 4, 5], &End::Done);
    ran(&take(&parsed, "RESTRICTED"), &[1, 2, 3, 4, 6], &End::Done);
    hall.cannot_record();
    ran(&take(&parsed, "INTERNAL"), &NO_DECISION, &End::Kept);
}

#[test]
fn the_answer_is_under_data_and_not_beside_it() {
    let hall = Hall::start();
    let blueprint = mapped(&imported_json("make-blueprint.json"), "{{2.data.", "{{2.");
    for label in ["INTERNAL", "RESTRICTED"] {
        let outcome = take(&blueprint, &hall, &hall.url(), TOKEN, label);
        assert_eq!(outcome.ran, NEITHER, "{outcome:?}");
    }
    // Why Allowed has a second condition: alone, the first lets a no pass, where nothing counts as false.
    let mut alone = blueprint;
    alone["flow"][2]["routes"][0]["flow"][0]["filter"]["conditions"][0].as_array_mut().unwrap().truncate(1);
    let sent = json!({ "worker_id": "wrk_make_acme_prod", "data_label": "RESTRICTED" });
    let authority = hall.authority();
    let make = organization(&hall.url(), TOKEN, &authority);
    assert_eq!(make.run(&alone, &sent).ran, ALLOWED);
}

#[test]
fn each_blueprint_is_one_that_make_imports() {
    for name in ["make-blueprint.json", "make-hold-blueprint.json", "make-resume-blueprint.json"] {
        can_be_imported(&imported_json(name));
    }
}

fn can_be_imported(blueprint: &Value) {
    let mut ids = BTreeSet::new();
    let mut flows = vec![&blueprint["flow"]];
    while let Some(flow) = flows.pop() {
        for module in flow.as_array().unwrap() {
            assert!(ids.insert(module["id"].as_u64().unwrap()), "two modules have the number {}", module["id"]);
            assert!(module["version"].is_u64() && module["metadata"]["designer"]["x"].is_i64(), "{module}");
            // What belongs to an account cannot be imported.
            let bound = ["__IMTCONN__", "hook", "apiKeyKeychain", "bodyDataStructure", "datastore"];
            assert!(bound.iter().all(|key| module["parameters"].get(key).is_none()), "{module}");
            flows.extend(module.get("onerror"));
            if let Some(routes) = module["routes"].as_array() {
                assert!(module["mapper"].is_null() && module.get("filter").is_none(), "a router has neither: {module}");
                flows.extend(routes.iter().map(|route| &route["flow"]));
            }
        }
    }
    assert!(blueprint["flow"][0].get("filter").is_none(), "the first module has no filter");
    let scenario = &blueprint["metadata"]["scenario"];
    assert_eq!((&scenario["dlq"], &blueprint["metadata"]["version"]), (&json!(true), &json!(1)), "Break keeps runs");
}
