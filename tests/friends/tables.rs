//! The tables of the page about Make: what is asked, answered, kept and known is what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use support::root;

use crate::hall::Hall;
use crate::{imported_json, request};

/// The rows of the table under a heading of the page, without backticks.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("docs/integrate/make.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no `{heading}`"));
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        row.trim_matches('|').split(" | ").map(|cell| cell.replace('`', "").trim().to_owned()).collect::<Vec<_>>()
    };
    rows.skip(2).map(cells).collect()
}

/// The first column of one.
fn names(heading: &str) -> BTreeSet<String> {
    table(heading).into_iter().map(|row| row[0].clone()).collect()
}

#[test]
fn a_field_is_required_where_the_page_says_so() {
    let hall = Hall::start();
    let fields = table("### Fields of the request");
    let whole = request("INTERNAL");
    let mut keys: Vec<&String> = whole.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(names("### Fields of the request").iter().collect::<Vec<_>>(), keys);
    for row in fields {
        let mut body = whole.clone();
        body.as_object_mut().unwrap().remove(&row[0]);
        let (status, answer) = hall.decide(&body);
        match row[1].as_str() {
            // Without it there is no decision, or none that allows anything for whichever label.
            "yes" => assert_eq!((status, &answer["denied"]), (400, &Value::Bool(true)), "{}: {answer}", row[0]),
            "in prod and edge" => {
                assert_eq!((status, &answer["deny_code"]), (200, &"DENY_MISSING_WORKER_ID".into()));
                body["env"] = "dev".into();
                assert_ne!(hall.decide(&body).1["deny_code"], "DENY_MISSING_WORKER_ID");
            }
            "no" => assert_eq!(status, 200, "{}: {answer}", row[0]),
            other => panic!("what is `{other}`?"),
        }
        if row[0] == "data_label" {
            assert_eq!(answer["data_label"], "RESTRICTED");
        }
    }
}

#[test]
fn an_answer_has_the_fields_of_the_page() {
    let hall = Hall::start();
    for (label, denied) in [("INTERNAL", false), ("RESTRICTED", true)] {
        let (_, answer) = hall.decide(&request(label));
        for row in table("### Fields of the answer") {
            let (name, value) = (row[0].as_str(), &answer[row[0].as_str()]);
            let there = match row[1].as_str() {
                "boolean" => value.is_boolean(),
                "text" => value.is_string(),
                "text, on a permission only" => value.is_string() != denied && answer.get(name).is_some(),
                "text, on a denial only" => value.is_string() == denied && answer.get(name).is_some() == denied,
                "text or null" => value.is_string() == denied && answer.get(name).is_some(),
                other => panic!("what is `{other}`?"),
            };
            assert!(there, "{name} is {value} on {label}");
        }
    }
}

#[test]
fn the_capabilities_of_the_page_are_those_that_are_built_in() {
    // Its rules ask for no other.
    let hall = Hall::made();
    let (status, catalogue) = hall.ask("GET", "/wcp/capabilities", Some(hall.token()), "");
    assert_eq!(status, 200, "{catalogue}");
    let there = catalogue["capabilities"].as_array().unwrap_or_else(|| panic!("{catalogue}"));
    let there: BTreeSet<String> = there.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names("### Capabilities"), there);
}

#[test]
fn both_routes_of_the_blueprint_keep_what_the_page_says() {
    let blueprint = imported_json("make-blueprint.json");
    let page: BTreeMap<String, String> =
        table("### What to keep").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    for (route, more) in [(0, &[][..]), (1, &["reason"][..])] {
        let variables = &blueprint["flow"][2]["routes"][route]["flow"][0]["mapper"]["variables"];
        let mut kept: BTreeMap<String, String> = BTreeMap::new();
        for variable in variables.as_array().unwrap() {
            let text = |key: &str| variable[key].as_str().unwrap().to_owned();
            kept.insert(text("name"), text("value"));
        }
        for name in more {
            assert!(kept.remove(*name).is_some(), "{name}");
        }
        assert_eq!(kept, page);
    }
    // The body that the page shows is the one that the blueprint sends.
    let page = fs::read_to_string(root().join("docs/integrate/make.md")).unwrap();
    let (_, shown) = page.split_once("```json request\n").unwrap();
    let shown: Value = serde_json::from_str(shown.split_once("```").unwrap().0).unwrap();
    let sent = blueprint["flow"][1]["mapper"]["jsonStringBodyContent"].as_str().unwrap();
    assert_eq!(shown, serde_json::from_str::<Value>(sent).unwrap());
}

#[test]
fn no_page_sends_a_token_in_clear() {
    let mut breaches = Vec::new();
    for entry in fs::read_dir(root().join("docs/integrate")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let page = fs::read_to_string(&path).unwrap();
        for (n, line) in page.lines().enumerate() {
            // Of the machine that it runs on nothing leaves.
            let near = ["http://127.0.0.1", "http://localhost"];
            if near.iter().fold(line.to_owned(), |line, near| line.replace(near, "")).contains("http://") {
                breaches.push(format!("{}:{}: {line}", path.display(), n + 1));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
