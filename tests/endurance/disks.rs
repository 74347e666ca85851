//! Disks that are full, become full, or cannot be written: 503 or a refusal to start, and a recovery without a hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stored::{ask, build, entries, refuses, serves};
use support::{Fixture, Process, Upstream, until};

/// Runs what follows where files past its limit are an error, not the end of the process.
const LIMITED: [&str; 4] = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];

fn segment(fixture: &Fixture) -> PathBuf {
    let files = fs::read_dir(fixture.path("ledger/segments")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "seg")).max().unwrap()
}

#[test]
fn a_file_that_cannot_grow_is_503_until_it_can() {
    let upstream = Upstream::start();
    let fixture = build(&upstream, "{ checkpoint_every: 50ms }");
    let process = fixture.serve_under(&LIMITED);
    until(|| process.readiness() == Some(200));
    serves(&process, &upstream);
    for _ in 0..3 {
        // Somewhere within the next entry: a part of it is written, and must be taken back.
        let length = fs::metadata(segment(&fixture)).unwrap().len();
        process.limit_files(&(length + 100).to_string());
        until(|| !ask(&process).starts_with("HTTP/1.1 200"));
        let before = entries(&[&fixture.path("ledger/segments")]).len();
        refuses(&process, &upstream, "the ledger is not writing: File too large");
        assert_eq!(entries(&[&fixture.path("ledger/segments")]).len(), before);
        process.limit_files("unlimited");
        until(|| process.readiness() == Some(200));
        serves(&process, &upstream);
    }
    process.end();
    until(|| process.log().contains("the ledger cannot be written") && process.log().contains("is written again"));
    fixture.verify();
}

#[test]
fn each_policy_is_on_record_in_turn_also_when_the_disk_was_full_at_the_start() {
    let upstream = Upstream::start();
    let fixture = build(&upstream, "{ checkpoint_every: 50ms }");
    let rules = fixture.path("rules.json");
    let conf = fs::canonicalize("conf/rules.json").unwrap();
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&rules, &text).unwrap();
    fixture.edit(conf.to_str().unwrap(), rules.to_str().unwrap());
    // An empty ledger fits, and no entry does.
    let process = fixture.serve_under(&["sh", "-c", "trap '' XFSZ; exec prlimit --fsize=300: \"$@\"", "sh"]);
    refuses(&process, &upstream, "the ledger is not writing: File too large");
    fs::write(&rules, text.replace("rr_data_read", "rr_data_read_anew")).unwrap();
    process.wait_for_log("a change of files is not in force");
    assert_eq!(entries(&[&fixture.path("ledger/segments")]).len(), 0);
    process.limit_files("unlimited");
    until(|| process.readiness() == Some(200));
    serves(&process, &upstream);
    process.wait_for_log("in force from the next request on");
    serves(&process, &upstream);
    process.end();
    let all = fixture.entries();
    let policies: Vec<_> = all.iter().filter(|entry| entry["kind"] == "policy").collect();
    assert_eq!(policies.len(), 2, "{all:?}");
    assert_eq!((&policies[0]["cause"], &policies[0]["replaces"]), (&"start".into(), &serde_json::Value::Null));
    assert_eq!((&policies[1]["cause"], &policies[1]["replaces"]), (&"reload".into(), &policies[0]["snapshot"]));
    assert_eq!(all[0]["kind"], "policy", "nothing is decided before its policy is on record");
}

/// Whether we may mount; if not, the reason is said aloud.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]).output();
    match tried {
        Ok(tried) if tried.status.success() => true,
        Ok(tried) => {
            let why = String::from_utf8_lossy(&tried.stderr);
            let said = format!("SKIPPED: no file system can be mounted here: {}\n", why.trim());
            std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes()).unwrap();
            false
        }
        Err(error) => panic!("unshare (util-linux) does not run: {error}"),
    }
}

/// Runs what follows with a small file system of its own where the ledger is.
fn on_a_small_disk(fixture: &Fixture, options: &str) -> [String; 5] {
    fs::create_dir_all(fixture.path("ledger")).unwrap();
    let mount = format!("mount -t tmpfs -o {options} tmpfs {}; exec \"$@\"", fixture.path("ledger").display());
    ["unshare", "-m", "sh", "-c", &mount].map(str::to_owned)
}

/// A path as the process sees it.
fn within(process: &Process, path: &Path) -> PathBuf {
    Path::new("/proc").join(process.id().to_string()).join("root").join(path.strip_prefix("/").unwrap())
}

#[test]
fn a_full_disk_is_503_until_there_is_room() {
    if !may_mount() {
        return;
    }
    let upstream = Upstream::start();
    let fixture = build(&upstream, "{ checkpoint_every: 50ms, segment_mib: 1 }");
    let above = on_a_small_disk(&fixture, "size=2m");
    let above: Vec<&str> = above.iter().map(String::as_str).chain(["sh"]).collect();
    let process = fixture.serve_under(&above);
    until(|| process.readiness() == Some(200));
    serves(&process, &upstream);
    let ledger = within(&process, &fixture.path("ledger"));
    for _ in 0..3 {
        let filler = ledger.join("filler");
        let chunk = vec![7; 1 << 20];
        let full = (0..4).find_map(|n| fs::write(ledger.join(format!("filler{n}")), &chunk).err());
        assert!(full.is_some(), "the disk is full");
        // What room is left in the segment's last block is used first.
        until(|| !ask(&process).starts_with("HTTP/1.1 200"));
        refuses(&process, &upstream, "the ledger is not writing: No space left on device");
        for n in 0..4 {
            let _ = fs::remove_file(ledger.join(format!("filler{n}")));
        }
        let _ = fs::remove_file(filler);
        until(|| process.readiness() == Some(200));
        serves(&process, &upstream);
    }
    let copy = fixture.path("copy");
    let copied = Command::new("cp").arg("-r").arg(&ledger).arg(&copy).status().unwrap();
    assert!(copied.success());
    process.end();
}

#[test]
fn a_disk_that_cannot_be_written_is_a_refusal_to_start_that_says_so() {
    if !may_mount() {
        return;
    }
    let upstream = Upstream::start();
    let fixture = build(&upstream, "{}");
    for (what, options) in [("Read-only file system", "ro"), ("No space left on device", "size=4k,nr_inodes=2")] {
        let above = on_a_small_disk(&fixture, options);
        let mut command = Command::new(&above[0]);
        command.args(&above[1..]).args(["sh", env!("CARGO_BIN_EXE_hallgate"), "serve", "--config", "hallgate.yaml"]);
        let ended = command.current_dir(fixture.path("")).env("HALL_SESSION_TOKEN", support::TOKEN).output().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{err}");
        assert!(err.contains("`ledger`") && err.contains(what), "{err}");
    }
}
