//! A real browser walks every page: with and without a script, in light and dark, on a phone, and axe looks at each.

use std::process::Command;

use support::{root, run};

use crate::desk::{ADA, ASKER, HOSTILE, asks, fixture};

#[test]
fn a_browser_walks_every_page_and_nothing_is_amiss() {
    let fixture = fixture();
    let process = fixture.serve();
    asks(&process, ASKER, "org.acme", "INTERNAL", HOSTILE);
    asks(&process, ASKER, "org.acme", "RESTRICTED", HOSTILE);
    let mut command = Command::new(root().join("target/venv/bin/python"));
    command.arg(root().join("tests/console/walk.py")).arg(format!("http://{}", process.hall()));
    command.arg(root().join("target/node/node_modules/axe-core/axe.min.js")).env("TOKEN", ADA).env("ASKER", ASKER);
    let (code, out, err) = run(&mut command, "");
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.ends_with("all walked\n"), "{out}{err}");
}
