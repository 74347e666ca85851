//! The checks that the page shows receivers, run by Python and Node: they take what the Hall sends, and nothing that was changed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use support::{node, root, until, venv};

use crate::callbacks::{SECRET, fixture};
use crate::desk::{BEA, ask, held, resolve};
use crate::page::blocks;
use crate::receiver::Receiver;

/// The block of the page in this language.
fn block(language: &str) -> String {
    let mut blocks = blocks(&root().join("docs/integrate/callbacks.md")).into_iter();
    blocks.find(|block| block.language == language).unwrap_or_else(|| panic!("no {language}")).text
}

#[test]
fn the_checks_of_the_page_take_what_the_hall_sends_and_nothing_else() {
    let receiver = Receiver::answering(|_| 200);
    let fixture = fixture(&[receiver.entry()], "");
    let process = fixture.serve();
    let id = held(&ask(process.hall(), json!({"callback_url": receiver.url("a"), "correlation_id": "Zoë \"1\""})));
    resolve(process.hall(), BEA, &id, "approve", json!({})).ok();
    until(|| receiver.calls().len() == 1);
    let call = &receiver.calls()[0];
    // As it came: what was parsed may be written otherwise.
    let (sent, signature, body) =
        (call.header("wcp-callback-timestamp"), call.header("wcp-callback-signature"), call.text());
    let later = (sent.parse::<u64>().unwrap() + 1).to_string();
    let cases = json!([
        [sent, signature, body, SECRET],
        [later, signature, body, SECRET],
        [sent, signature.replace('1', "2"), body, SECRET],
        [sent, signature, body.replace("approved", "denied"), SECRET],
        [sent, signature, body, "another-secret-0123456789"],
        [sent, "v1=", body, SECRET],
    ]);
    let python = format!(
        "{}\nimport json, sys\ncheck = lambda t, s, b, k: is_from_hall({{'wcp-callback-timestamp': t, 'wcp-callback-signature': s}}, \
         b.encode(), k)\nprint(json.dumps([check(*case) for case in json.load(sys.stdin)]))\n",
        block("python receiver")
    );
    let script = format!(
        "{}\nimport {{ readFileSync }} from 'node:fs';\nconst check = ([t, s, b, k]) => isFromHall({{ 'wcp-callback-timestamp': t, \
         'wcp-callback-signature': s }}, Buffer.from(b), k);\n\
         console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(check)));\n",
        block("js receiver")
    );
    let run = |program: PathBuf, name: &str, text: &str| {
        let file = fixture.path(name);
        fs::write(&file, text).unwrap();
        let (code, out, err) = support::run(Command::new(program).arg(file), &cases.to_string());
        assert_eq!(code, Some(0), "{out}{err}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let expected = json!([true, false, false, false, false, false]);
    assert_eq!(run(venv("python"), "check.py", &python), expected);
    assert_eq!(run(node(), "check.mjs", &script), expected);
    // And what the page shows of a callback is what comes.
    let shown: Value = serde_json::from_str(&block("json")).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&shown), keys(&call.body));
}
