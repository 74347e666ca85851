//! The pages about Pipedream, Zapier and Dify, where a human has to agree: what they show is run, and goes on by the second answer alone.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use support::{Fixture, Process, get, node, post, root, until, venv};

use crate::callbacks::fixture;
use crate::desk::{ASKER, BEA, pending, resolve};
use crate::page::blocks;
use crate::receiver::Receiver;

/// A block of a page, as it stands at the beginning of a line.
fn block(page: &str, language: &str) -> String {
    let mut blocks = blocks(&root().join("docs/integrate").join(page)).into_iter();
    let block = blocks.find(|block| block.language == language).unwrap_or_else(|| panic!("{page}: no {language}"));
    let indent = block.text.len() - block.text.trim_start().len();
    let lines = block.text.lines().map(|line| line.get(indent..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// What somebody does about the one request that waits; nothing: it expires, or has.
fn decide(hall: SocketAddr, resolution: Option<&str>) {
    if let Some(resolution) = resolution {
        let waiting = pending(hall, BEA);
        assert_eq!(waiting.len(), 1);
        resolve(hall, BEA, &waiting[0], resolution, json!({"note": "it is payday"})).ok();
    }
}

/// The ways in which a hold ends: what is done, within which time, and whether the flow goes on.
const ENDS: [(Option<&str>, &str, bool); 3] =
    [(Some("approve"), "1h", true), (Some("deny"), "1h", false), (None, "15s", false)];

/// Runs a step as Pipedream does, for the so-many-th time: what it returns, why it ends the workflow, and whether it asks to run again.
fn step(fixture: &Fixture, process: &Process, text: &str, run: u32, resume_url: &str) -> Value {
    let around = format!(
        "const defineComponent = (component) => component;\nconst seen = {{ returned: null, exit: null, rerun: null }};\n\
         const $ = {{ context: {{ run: {{ runs: {run} }} }}, flow: {{ exit: (why) => {{ seen.exit = why; }},\n\
         rerun: (delay, context, most) => {{ seen.rerun = [delay, most]; return {{ resume_url: '{resume_url}', cancel_url: '' }}; }} }} }};\n\
         {}\nconst steps = {{ trigger: {{ event: {{ worker_id: 'wrk_make_acme_prod', data_label: 'RESTRICTED' }} }} }};\n\
         seen.returned = (await step.run({{ steps, $ }})) ?? null;\nconsole.log(JSON.stringify(seen));\n",
        text.replacen("export default", "const step =", 1)
    );
    fixture.write("step.mjs", &around);
    let mut node = Command::new(node());
    node.arg(fixture.path("step.mjs")).env("PYHALL_HALL_URL", format!("http://{}", process.hall()));
    let (code, out, err) = support::run(node.env("HALL_SESSION_TOKEN", ASKER), "");
    assert_eq!(code, Some(0), "{out}{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn the_step_of_pipedream_goes_on_by_the_second_answer() {
    let text = block("pipedream.md", "js held");
    for (resolution, ttl, goes_on) in ENDS {
        let receiver = Receiver::answering(|_| 200);
        let fixture = fixture(&[receiver.entry()], &format!(", ttl: {ttl}"));
        let process = fixture.serve();
        let first = step(&fixture, &process, &text, 1, &receiver.url("resume"));
        assert_eq!(first, json!({"returned": null, "exit": null, "rerun": [3_600_000, 1]}));
        decide(process.hall(), resolution);
        until(|| receiver.calls().len() == 1);
        let second = step(&fixture, &process, &text, 2, &receiver.url("resume"));
        assert_eq!(second["rerun"], Value::Null, "{second}");
        assert_eq!((second["returned"]["denied"] == false, second["exit"].is_null()), (goes_on, goes_on), "{second}");
        // It has asked for no second call.
        assert_eq!(receiver.calls().len(), 1);
    }
}

#[test]
fn the_second_zap_sends_what_the_first_has_kept() {
    let text = block("zapier.md", "json held");
    let text =
        text.replace("{{trigger__worker_id}}", "wrk_make_acme_prod").replace("{{trigger__data_label}}", "RESTRICTED");
    for (resolution, ttl, goes_on) in ENDS {
        let receiver = Receiver::answering(|_| 200);
        let fixture = fixture(&[receiver.entry()], &format!(", ttl: {ttl}"));
        let process = fixture.serve();
        let first: Value =
            serde_json::from_str(&text.replace("https://hooks.zapier.com/hooks/catch/123/abc/", &receiver.url("hook")))
                .unwrap();
        let answer = post(process.hall(), ASKER, "/api/route", &first.to_string()).ok();
        assert_eq!(answer["outcome"], "STEWARD_HOLD", "{answer}");
        let mut kept = first;
        kept.as_object_mut().unwrap().remove("callback_url").unwrap();
        decide(process.hall(), resolution);
        until(|| receiver.calls().len() == 1);
        assert_eq!(receiver.calls()[0].body["pending_approval_id"], answer["pending_approval_id"]);
        let second = post(process.hall(), ASKER, "/api/route", &kept.to_string()).ok();
        // As Zapier compares: by the text.
        let text = second["denied"].to_string();
        assert_eq!(text == "false", goes_on, "{second}");
        assert_eq!(second["outcome"] == "STEWARD_HOLD", resolution.is_none(), "{second}");
    }
}

#[test]
fn the_loop_of_dify_ends_when_somebody_has_decided() {
    let look = format!(
        "{}\nimport sys\nprint(json.dumps(main(sys.argv[1], int(sys.argv[2]))))\n",
        block("dify.md", "python held")
    );
    let read = format!(
        "{}\nimport sys\nprint(json.dumps(main(sys.argv[1], int(sys.argv[2]))))\n",
        block("dify.md", "python node")
    );
    for (resolution, ttl, goes_on) in ENDS {
        let fixture = fixture(&[], &format!("ttl: {ttl}"));
        let process = fixture.serve();
        fixture.write("look.py", &look);
        fixture.write("read.py", &read);
        let main = |file: &str, body: &Value, status: u16| -> Value {
            let mut python = Command::new(venv("python"));
            python.arg(fixture.path(file)).args([body.to_string(), status.to_string()]);
            let (code, out, err) = support::run(&mut python, "");
            assert_eq!(code, Some(0), "{out}{err}");
            serde_json::from_str(&out).unwrap()
        };
        let asked = crate::desk::write(json!({}));
        let first = post(process.hall(), ASKER, "/api/route", &asked);
        assert_eq!(main("read.py", &first.body, first.status)["denied"], "true");
        let id = first.body["pending_approval_id"].as_str().unwrap();
        let looked = || {
            let answer = get(process.hall(), ASKER, &format!("/wcp/approvals/{id}"));
            main("look.py", &answer.body, answer.status)["state"].clone()
        };
        assert_eq!(looked(), "pending");
        decide(process.hall(), resolution);
        until(|| looked() != "pending");
        let second = post(process.hall(), ASKER, "/api/route", &asked);
        assert_eq!(main("read.py", &second.body, second.status)["denied"] == "false", goes_on, "{}", second.body);
        assert_eq!(main("look.py", &json!({"error": "not found"}), 404)["state"], "unknown", "and the loop ends");
        fs::remove_file(fixture.path("look.py")).unwrap();
    }
}
