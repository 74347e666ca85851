//! The pages for approvers and operators: each command on them is run against a Hall at which something waits.

use std::process::Command;

use serde_json::{Value, json};
use support::{program, root};

use crate::desk::{CYD, DAN, ask, fixture, held};
use crate::page::{agrees, blocks};

#[test]
fn every_command_on_the_pages_is_true() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let url = format!("http://{}", process.hall());
    let folder = program().parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut run = 0;
    for page in ["docs/use/approvers.md", "docs/operate/approvals.md"] {
        let mut said: Option<Value> = None;
        for block in blocks(&root().join(page)) {
            let before = said.take();
            match block.language.as_str() {
                "sh approvals" => {
                    let id = held(&ask(process.hall(), json!({"request": {"row": run}})));
                    let script = block.text.replace("http://127.0.0.1:8765", &url);
                    let mut shell = Command::new("sh");
                    shell.args(["-ec", &script]).env_clear().env("PATH", &path).env("ID", &id);
                    let (code, out, err) = support::run(shell.env("HALL_SESSION_TOKEN", DAN), "");
                    assert_eq!(code, Some(0), "{}: {out}{err}", block.at);
                    said = serde_json::from_str(&out).ok();
                    run += 1;
                    // Nothing but what the next block asks waits then.
                    let note = "not this one";
                    let rest = json!({"pending_approval_id": id, "resolution": "deny", "note": note}).to_string();
                    support::post(process.hall(), CYD, "/wcp/approvals/resolve", &rest);
                }
                "json" => {
                    let sample: Value = serde_json::from_str(&block.text).unwrap();
                    let answer = before.unwrap_or_else(|| panic!("{}: no answer before it", block.at));
                    assert!(agrees(&sample, &answer), "{} shows {sample:#}\nbut the answer is {answer:#}", block.at);
                }
                _ => {}
            }
        }
    }
    assert_eq!(run, 4);
}
