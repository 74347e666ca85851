//! The laws of this repository: how large a file is, what a room may import, where a crate is at home, what the engine never
//! does, and that what is documented is what is there.
//!
//! A law that fails names the file, the line and what to change. Mend the code or the plan in `src/lib.rs`, not the law.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "tidy/ledger.rs"]
mod ledger;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/supply.rs"]
mod supply;
#[path = "tidy/words.rs"]
mod words;

use source::{Source, sources};

/// Fails with every breach at once.
#[track_caller]
fn hold(law: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{law}:\n  {}", breaches.join("\n  "));
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let breaches: Vec<String> = ["src", "tests", "benches", "fuzz"]
        .into_iter()
        .filter(|folder| source::root().join(folder).exists())
        .flat_map(sources)
        .filter_map(|Source { path, text, .. }| {
            let lines = text.lines().count();
            (lines > 500).then(|| format!("{path} has {lines}: it is two files"))
        })
        .collect();
    hold("no file is longer than 500 lines", &breaches);
}

#[test]
fn every_file_opens_with_its_purpose() {
    let breaches: Vec<String> = ["src", "tests", "fuzz"]
        .into_iter()
        .flat_map(sources)
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{}: open it with `//! ` and what it is for", source.path))
        .collect();
    hold("every file opens with its purpose", &breaches);
}

#[test]
fn file_names_say_what_is_inside() {
    let breaches: Vec<String> = ["src", "tests"]
        .into_iter()
        .flat_map(sources)
        .filter_map(|Source { path, .. }| {
            let name = path.rsplit('/').next()?.trim_end_matches(".rs").to_owned();
            let weak = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "mod"];
            weak.contains(&name.as_str()).then(|| format!("{path}: name it after what it does"))
        })
        .collect();
    hold("file names say what is inside", &breaches);
}

#[test]
fn what_is_left_to_do_has_an_issue() {
    // Put together so that this file does not match itself.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat(), ["INT", "ERIM"].concat()];
    let mut breaches = Vec::new();
    for Source { path, text, .. } in ["src", "tests"].into_iter().flat_map(sources) {
        for (n, line) in text.lines().enumerate() {
            let marked = marks.iter().filter_map(|mark| line.split_once(mark.as_str()));
            for (_, rest) in marked {
                if !rest.trim_start_matches(['(', ' ']).starts_with('#') {
                    breaches.push(format!("{path}:{}: {}", n + 1, line.trim()));
                }
            }
        }
    }
    hold("what is left to do has an issue: `#7` after the mark", &breaches);
}

#[test]
fn a_permit_is_made_in_one_place() {
    let mut made = Vec::new();
    for source in &sources("src") {
        for (line, before, after) in source.places("Permit") {
            let declared = ["struct ", "impl ", " for ", "-> ", "let "].iter().any(|word| before.ends_with(word));
            if after.trim_start().starts_with('{') && !declared {
                made.push(format!("{}:{line}", source.path));
            }
        }
    }
    assert_eq!(made.len(), 1, "a permit is made in one place, but: {made:?}");
    assert!(made[0].starts_with("src/hall/permit.rs:"), "a permit is made in src/hall/permit.rs, not in {made:?}");
}

#[test]
fn a_deny_code_is_written_once() {
    let mut breaches = Vec::new();
    for Source { path, code, .. } in sources("src").iter().filter(|source| source.path != "src/engine/decision.rs") {
        for (n, line) in code.lines().enumerate().filter(|(_, line)| line.contains("\"DENY_")) {
            breaches.push(format!("{path}:{}: {}", n + 1, line.trim()));
        }
    }
    hold("a deny code is written once, in `engine::DenyCode`; use it from there", &breaches);
}

#[test]
fn nobody_waits_for_who_reads_what_is_written() {
    let mut breaches = Vec::new();
    for source in &sources("src") {
        // A command answers on stdout and says on stderr what is wrong; `serve` writes to neither, but by its log's own thread.
        let may = source.path == "src/telemetry/logs/writer.rs"
            || (source.room() == "cli" && !source.path.starts_with("src/cli/serve"));
        for word in ["stderr", "stdout", "eprint", "eprintln", "print", "println", "dbg"] {
            let written = source.places(word).filter(|(_, _, after)| after.starts_with(['(', '!']));
            // Whether there is a terminal is only asked.
            let written = written.filter(|(_, _, after)| !may && !after.starts_with("().is_terminal()"));
            breaches.extend(written.map(|(line, ..)| format!("{}:{line}: `{word}`", source.path)));
        }
    }
    hold("what a server says goes through `telemetry::logs`, whose reader may stall", &breaches);
}

#[test]
fn threads_are_started_where_their_panics_are_seen() {
    let mut breaches = Vec::new();
    for source in sources("src").iter().filter(|source| source.path != "src/telemetry/threads.rs") {
        let spawned = ["spawn", "Builder"].into_iter().flat_map(|word| source.places(word));
        let spawned = spawned.filter(|(_, before, _)| before.ends_with("thread::"));
        breaches.extend(spawned.map(|(line, ..)| format!("{}:{line}", source.path)));
        // One request's panic is that request's.
        let caught = source.places("catch_unwind").filter(|_| source.path != "src/api/middleware.rs");
        breaches.extend(caught.map(|(line, ..)| format!("{}:{line}: `catch_unwind`", source.path)));
    }
    hold("threads are started by `telemetry::threads`", &breaches);
}
