//! What n8n and Bruno import: whole, the same as the pages, and reading nothing that the Hall does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use support::{TOKEN, root};

use crate::hall::Hall;
use crate::{imported, imported_json, request};

/// The words that follow this one, each up to what cannot be in a name.
fn named<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    let parts = text.split(before).skip(1);
    parts.filter_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()).collect()
}

#[test]
fn the_workflow_goes_on_from_one_output_only() {
    let workflow = imported_json("n8n-workflow.json");
    let nodes: BTreeMap<&str, &Value> =
        workflow["nodes"].as_array().unwrap().iter().map(|node| (node["name"].as_str().unwrap(), node)).collect();
    let mut ways = BTreeSet::new();
    for (from, outputs) in workflow["connections"].as_object().unwrap() {
        assert!(nodes.contains_key(from.as_str()), "there is no node {from}");
        for (n, output) in outputs["main"].as_array().unwrap().iter().enumerate() {
            for to in output.as_array().unwrap() {
                let to = to["node"].as_str().unwrap();
                assert!(nodes.contains_key(to), "there is no node {to}");
                ways.insert((from.as_str(), n, to));
            }
        }
    }
    // The second output of a request is its errors'; an IF has true, false and errors.
    let expected = [
        ("Start", 0, "Request"),
        ("Request", 0, "Ask the Hall"),
        ("Ask the Hall", 0, "Allowed?"),
        ("Ask the Hall", 1, "Denied"),
        ("Allowed?", 0, "Allowed"),
        ("Allowed?", 1, "Denied"),
        ("Allowed?", 2, "Denied"),
    ];
    assert_eq!(ways, expected.into());
    for name in ["Ask the Hall", "Allowed?"] {
        assert_eq!(nodes[name]["onError"], "continueErrorOutput", "{name}");
    }
    let condition = &nodes["Allowed?"]["parameters"]["conditions"]["conditions"][0];
    // `is false` is true of what is not there.
    assert_eq!((&condition["operator"]["operation"], &condition["rightValue"]), (&"equals".into(), &false.into()));
}

#[test]
fn the_workflow_asks_what_the_page_asks_and_reads_what_the_hall_answers() {
    let workflow = imported_json("n8n-workflow.json");
    let node = |name: &str| workflow["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).unwrap();
    let assigned = |name: &str| node(name)["parameters"]["assignments"]["assignments"].as_array().unwrap().clone();
    let asked: BTreeMap<String, Value> = assigned("Request")
        .iter()
        .map(|field| (field["name"].as_str().unwrap().to_owned(), field["value"].clone()))
        .collect();
    assert_eq!(serde_json::to_value(&asked).unwrap(), request("INTERNAL"));
    let asks = &node("Ask the Hall")["parameters"];
    assert_eq!(asks["url"], "https://hall.example.org/api/route");
    for field in asks["bodyParameters"]["parameters"].as_array().unwrap() {
        let name = field["name"].as_str().unwrap();
        assert_eq!(field["value"], format!("={{{{ $json.{name} }}}}"));
        assert!(asked.contains_key(name), "{name}");
    }
    assert_eq!(asks["bodyParameters"]["parameters"].as_array().unwrap().len(), asked.len());

    let hall = Hall::start();
    let answers = [("Allowed", "INTERNAL"), ("Denied", "RESTRICTED")].map(|(name, label)| {
        let (status, answer) = hall.decide(&request(label));
        assert_eq!((status, &answer["denied"]), (200, &Value::Bool(name == "Denied")));
        (name, answer)
    });
    for (name, answer) in &answers {
        let text = Value::from(assigned(name)).to_string();
        let mut read = named(&text, "$json.");
        // What n8n itself puts into an error's item.
        read.remove("error");
        let missing: Vec<&str> = read.iter().copied().filter(|key| answer.get(key).is_none()).collect();
        assert!(read.contains("decision_id") && missing.is_empty(), "{name} reads {missing:?}, which no answer has");
    }
}

/// The parts of a `.bru` file: name and text.
fn parts(text: &str) -> BTreeMap<&str, &str> {
    let parts = text.split("\n}\n").filter(|part| !part.trim().is_empty());
    parts.map(|part| part.trim_start().split_once(" {\n").unwrap_or_else(|| panic!("no part: {part}"))).collect()
}

/// The value of a line of a part.
fn line<'a>(part: &'a str, key: &str) -> &'a str {
    let found = part.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no `{key}` in {part}"))
}

#[test]
fn each_request_of_the_collection_is_answered_as_it_expects() {
    let hall = Hall::start();
    let environment = imported("bruno/environments/hall.bru");
    let variables = parts(&environment)["vars"];
    assert_eq!(line(variables, "hall_url"), "https://hall.example.org");
    assert_eq!(line(variables, "token"), "{{process.env.HALL_SESSION_TOKEN}}");
    assert_eq!(imported_json("bruno/bruno.json")["type"], "collection");
    assert_eq!(line(parts(&imported("bruno/collection.bru"))["auth:bearer"], "token"), "{{token}}");
    let mut tried = BTreeSet::new();
    for entry in fs::read_dir(root().join("docs/integrate/import/bruno")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = file.strip_suffix(".bru").filter(|name| *name != "collection") else { continue };
        let text = imported(&format!("bruno/{file}"));
        let parts = parts(&text);
        assert_eq!(line(parts["meta"], "name"), name);
        assert_eq!(line(parts["meta"], "seq"), name.split_once(' ').unwrap().0);
        let (method, request) = parts.get_key_value("post").or_else(|| parts.get_key_value("get")).unwrap();
        let body = ["worker_id", "tenant_id"]
            .iter()
            .fold(parts.get("body:json").copied().unwrap_or_default().to_owned(), |body, name| {
                body.replace(&format!("{{{{{name}}}}}"), line(variables, name))
            });
        let token = match line(request, "auth") {
            "inherit" => Some(TOKEN),
            "bearer" => Some(line(parts["auth:bearer"], "token")),
            "none" => None,
            other => panic!("{name}: what is `auth: {other}`?"),
        };
        let path = line(request, "url").strip_prefix("{{hall_url}}").unwrap();
        let (status, answer) = hall.ask(&method.to_uppercase(), path, token, &body);
        assert!(parts["tests"].contains(&format!("expect(res.getStatus()).to.equal({status})")), "{name}: {answer}");
        let read = named(parts["tests"], "res.getBody().");
        let missing: Vec<&str> = read.iter().copied().filter(|key| answer.get(key).is_none()).collect();
        assert!(missing.is_empty(), "{name} reads {missing:?} of {answer}");
        for (key, value) in ["denied"].iter().filter_map(|key| answer.get(key).map(|value| (key, value))) {
            let expected = format!("expect(res.getBody().{key}).to.equal({value})");
            assert!(parts["tests"].contains(&expected), "{name}: {answer}");
        }
        tried.insert(status);
    }
    assert_eq!(tried, [200, 400, 401].into());
}
