//! The workflow for what a human has to agree to: its way on is the second answer's; and the real n8n waits, is called by the Hall, and goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use support::{TOKEN, ask_if_there, post, until};

use crate::hall::Hall;
use crate::real::{N8n, credential, free_port, programs};
use crate::receiver::Receiver;
use crate::{imported, imported_json};

#[test]
fn the_workflow_goes_on_from_answers_only() {
    let workflow = imported_json("n8n-hold-workflow.json");
    let nodes: BTreeMap<&str, &Value> =
        workflow["nodes"].as_array().unwrap().iter().map(|node| (node["name"].as_str().unwrap(), node)).collect();
    let mut ways = BTreeSet::new();
    for (from, outputs) in workflow["connections"].as_object().unwrap() {
        for (n, output) in outputs["main"].as_array().unwrap().iter().enumerate() {
            for to in output.as_array().unwrap() {
                let to = to["node"].as_str().unwrap();
                assert!(nodes.contains_key(to) && nodes.contains_key(from.as_str()), "{from} to {to}");
                ways.insert((from.as_str(), n, to));
            }
        }
    }
    let to_allowed: Vec<_> = ways.iter().filter(|(.., to)| *to == "Allowed").collect();
    assert_eq!(to_allowed, [&("Allowed now?", 0, "Allowed"), &("Allowed?", 0, "Allowed")]);
    let to_wait: Vec<_> = ways.iter().filter(|(.., to)| *to == "Wait for a human").collect();
    assert_eq!(to_wait, [&("Held?", 0, "Wait for a human")]);
    for way in [("Wait for a human", 0, "Ask again"), ("Ask again", 0, "Allowed now?"), ("Ask again", 1, "Denied")] {
        assert!(ways.contains(&way), "{way:?}");
    }
    for n in [1, 2] {
        assert!(ways.contains(&("Allowed now?", n, "Denied")) && ways.contains(&("Held?", n, "Denied")), "{n}");
    }
    // Both compare alike, and ask alike but for the address to be called at.
    assert_eq!(nodes["Allowed now?"]["parameters"], nodes["Allowed?"]["parameters"]);
    let fields = |name: &str| nodes[name]["parameters"]["bodyParameters"]["parameters"].to_string();
    let first = fields("Ask the Hall").replace(r#",{"name":"callback_url","value":"={{ $execution.resumeUrl }}"}"#, "");
    assert_ne!(first, fields("Ask the Hall"));
    assert_eq!(first.replace("$json.", "$('Request').first().json."), fields("Ask again"));
    for name in ["Ask the Hall", "Ask again", "Held?", "Allowed?", "Allowed now?"] {
        assert_eq!(nodes[name]["onError"], "continueErrorOutput", "{name}");
    }
}

/// The workflow as its user has it: started by a webhook, for RESTRICTED data, and telling somebody what it keeps.
fn workflow(id: &str, hall: &Hall, report: &str) -> Value {
    let text = imported("n8n-hold-workflow.json").replace("https://hall.example.org", &hall.url());
    let text = text.replace("\"INTERNAL\"", "\"RESTRICTED\"").replace("hallgateSession", "right");
    let mut workflow: Value = serde_json::from_str(&text).unwrap();
    workflow["id"] = json!(id);
    let start = json!({
        "id": "start", "name": "Start", "type": "n8n-nodes-base.webhook", "typeVersion": 2, "position": [0, 0], "webhookId": id,
        "parameters": { "httpMethod": "POST", "path": id, "responseMode": "onReceived", "options": {} },
    });
    let report = json!({
        "id": "report", "name": "Report", "type": "n8n-nodes-base.httpRequest", "typeVersion": 4.2, "position": [2100, 0],
        "parameters": {
            "method": "POST", "url": report, "sendBody": true, "contentType": "json", "specifyBody": "json",
            "jsonBody": "={{ JSON.stringify($json) }}", "options": {},
        },
    });
    let nodes = workflow["nodes"].as_array_mut().unwrap();
    nodes.retain(|node| node["name"] != "Start");
    nodes.extend([start, report]);
    for name in ["Allowed", "Denied"] {
        workflow["connections"][name] = json!({ "main": [[{ "node": "Report", "type": "main", "index": 0 }]] });
    }
    workflow
}

/// A running n8n. Dropped, it ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn n8n_waits_for_a_human_and_goes_on_by_the_second_answer() {
    let Some(programs) = programs() else { return };
    let port = free_port();
    let entry = format!("{{ url: \"http://127.0.0.1:{port}/webhook-waiting/\", private: 127.0.0.1 }}");
    let hall = Hall::asking(&entry, "30s");
    let reports = Receiver::answering(|_| 200);
    let n8n = N8n { programs: &programs, hall: &hall };
    fs::write(hall.path("credentials.json"), json!([credential("right", TOKEN)]).to_string()).unwrap();
    n8n.run(&["import:credentials", &format!("--input={}", hall.path("credentials.json").display())]);
    fs::write(hall.path("workflow.json"), workflow("hold", &hall, &reports.url("hold")).to_string()).unwrap();
    n8n.run(&["import:workflow", &format!("--input={}", hall.path("workflow.json").display())]);
    n8n.run(&["publish:workflow", "--id=hold"]);
    let mut command = n8n.command(&["start"]);
    command.env("N8N_PORT", port.to_string()).env("N8N_LISTEN_ADDRESS", "127.0.0.1");
    command.env("WEBHOOK_URL", format!("http://127.0.0.1:{port}/")).env("N8N_PROTOCOL", "http");
    let log = fs::File::create(hall.path("n8n.log")).unwrap();
    let (out, err) = (log.try_clone().unwrap(), log);
    let _server = Server(command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap());
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    until(|| ask_if_there(at, "GET /healthz", &[], "").is_some_and(|answer| answer.status == 200));
    let waiting = |many: u64| hall.ask("GET", "/wcp/approvals/pending", Some(crate::hall::BEA), "").1["count"] == many;
    // The no comes last: it is remembered.
    for (n, (resolution, goes_on)) in
        [(Some("approve"), true), (None, false), (Some("deny"), false)].into_iter().enumerate()
    {
        // What was asked anew when nobody had agreed.
        until(|| waiting(0));
        // Before n8n knows its workflows it answers, too.
        until(|| post(at, "", "/webhook/hold", "{}").body["message"] == "Workflow was started");
        until(|| waiting(1));
        assert_eq!(reports.calls().len(), n, "it did not wait");
        if let Some(resolution) = resolution {
            hall.resolve(resolution);
        }
        until(|| reports.calls().len() == n + 1);
        let row = reports.calls().pop().unwrap().body;
        println!("n8n, {resolution:?}: {row}");
        assert_eq!(row["denied"] == false, goes_on, "{row}");
        assert!(hall.has_recorded(row["decision_id"].as_str().unwrap()), "{row}");
        if resolution == Some("deny") {
            assert!(row["reason"].as_str().unwrap().contains("it is payday"), "{row}");
        }
    }
}
