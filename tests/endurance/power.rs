//! `durability: power`, as the kernel sees it: the entry is on the disk before its answer, and a new segment's name, too.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::process::Command;

use crate::stored::{build, pass, serves};
use support::{Upstream, until};

/// The system calls that did not fail, each by its name and what it was given: those that sync where they end, the others where
/// they begin.
fn calls(trace: &str) -> Vec<(String, String)> {
    // Another thread's call may come in between: then the second line has only the end of it.
    let (mut calls, mut open) = (Vec::new(), HashMap::<String, String>::new());
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let whole = if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            if begun.starts_with('f') {
                open.insert(thread.to_owned(), begun.to_owned());
                continue;
            }
            begun.to_owned()
        } else if let Some(resumed) = call.strip_prefix("<... ") {
            let Some(begun) = open.remove(thread) else { continue };
            format!("{begun}{}", resumed.split_once("resumed>").map_or("", |(_, rest)| rest))
        } else {
            call.to_owned()
        };
        if let Some((name, rest)) = whole.split_once('(')
            && !rest.contains(" = -1 ")
        {
            calls.push((name.to_owned(), rest.to_owned()));
        }
    }
    calls
}

/// Whether system calls can be traced; if not, the reason is said aloud.
fn may_trace() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).output().unwrap();
    if !traced.status.success() {
        let why = String::from_utf8_lossy(&traced.stderr);
        // Past the harness, which keeps what a passing test prints to itself.
        let said = format!("SKIPPED: nothing can be traced here: {}\n", why.trim());
        std::io::stderr().write_all(said.as_bytes()).unwrap();
    }
    traced.status.success()
}

#[test]
fn a_sync_that_fails_once_has_the_entries_written_into_another_file() {
    let upstream = Upstream::start();
    let fixture = build(&upstream, "{ checkpoint_every: 20ms }");
    if !may_trace() {
        return;
    }
    let segment = fixture.path("ledger/segments/00000000000000000000.seg");
    let file = segment.to_str().unwrap();
    // The second sync of the first segment fails; the kernel would say that those after it succeed.
    let above = ["strace", "-D", "-f", "-o", "/dev/null", "-P", file, "-e", "inject=fdatasync:error=EIO:when=2"];
    let process = fixture.serve_under(&above);
    until(|| process.readiness() == Some(200));
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&segment).unwrap());
    let before = inode();
    until(|| {
        let _ = pass(&process);
        inode() != before
    });
    upstream.called();
    until(|| process.readiness() == Some(200));
    serves(&process, &upstream);
    process.end();
    assert!(
        process.log().contains("Input/output error") && process.log().contains("in new files"),
        "{}",
        process.log()
    );
    fixture.verify();
}

#[test]
fn an_answer_follows_fdatasync_and_a_new_segment_its_folders() {
    let upstream = Upstream::start();
    let fixture = build(&upstream, "{ durability: power, checkpoint_every: 1h }");
    if !may_trace() {
        return;
    }
    let file = fixture.path("trace");
    let shown = "trace=pwrite64,fdatasync,fsync,rename,write,writev,sendto,sendmsg";
    // -D: the traced process is our child, and strace a grandchild beside it.
    let above = ["strace", "-D", "-f", "-y", "-s", "48", "-e", shown, "-o", file.to_str().unwrap()];
    let process = fixture.serve_under(&above);
    until(|| process.readiness() == Some(200));
    serves(&process, &upstream);
    for _ in 0..3 {
        assert!(pass(&process).starts_with("HTTP/1.1 200"));
    }
    process.end();
    until(|| fs::read_to_string(&file).unwrap().contains("+++ exited with 0"));
    let calls = calls(&fs::read_to_string(&file).unwrap());

    // Written and not yet synced; each answer and each forward finds none.
    let (mut unsynced, mut unnamed, mut answers, mut written) = (false, false, 0, 0);
    for (name, given) in &calls {
        let in_segment = given.contains("/segments/") && given.contains(".seg>");
        match name.as_str() {
            "pwrite64" if in_segment => {
                assert!(!unnamed, "an entry in a segment whose name may be lost: {given}");
                unsynced = true;
                written += 1;
            }
            "fdatasync" if in_segment => unsynced = false,
            "rename" if given.contains(".seg\"") => unnamed = true,
            "fsync" if given.contains("/segments>") => unnamed = false,
            "write" | "writev" | "sendto" | "sendmsg"
                if given.contains("HTTP/1.1 200") || given.contains("GET /orders") =>
            {
                // The probes at the start are answers without entries.
                answers += 1;
                assert!(!unsynced || written == 0, "an answer before its entry was on the disk: {given}");
            }
            _ => {}
        }
    }
    assert!(written >= 5 && answers >= 5, "{written} batches, {answers} answers, in {} calls", calls.len());
    assert!(calls.iter().any(|(name, given)| name == "fsync" && given.contains("/segments>")));
    fixture.verify();
}
