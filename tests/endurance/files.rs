//! Files that are lost, damaged or taken: what can be derived is made again, and evidence that does not hold stops all allows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stored::{build, get, refuses, serves};
use support::{Fixture, Upstream, ask, until};

/// A fixture whose ledger has so many entries under its checkpoint, in several segments.
fn filled(upstream: &Upstream) -> Fixture {
    let fixture = build(upstream, "{ checkpoint_every: 20ms }");
    fixture.add("ops: { listen: 127.0.0.1:0 }");
    let process = fixture.serve();
    for _ in 0..100 {
        serves(&process, upstream);
    }
    process.end();
    fixture.verify();
    fixture
}

fn segments(fixture: &Fixture) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(fixture.path("ledger/segments")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn derived_files_are_made_again_and_the_log_says_so() {
    let upstream = Upstream::start();
    let fixture = filled(&upstream);
    for name in ["index", "heads", "tile/0/000"] {
        let path = fixture.path("ledger").join(name);
        for bytes in [None, Some(b"damaged".as_slice())] {
            match bytes {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            let process = fixture.serve();
            serves(&process, &upstream);
            process.end();
            until(|| process.log().contains("made again"));
            fixture.verify();
        }
    }
}

#[test]
fn a_broken_ledger_starts_allows_nothing_and_says_why_until_it_is_put_right() {
    let upstream = Upstream::start();
    let fixture = filled(&upstream);
    let segment = segments(&fixture).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let checkpoint = fixture.path("ledger/checkpoint");
    let note = fs::read(&checkpoint).unwrap();
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 4;
        bytes
    };
    // As it was when the process had ended, whatever has been recorded since.
    let kept = fixture.path("kept");
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").args(["-a", "-T"]).args([from, to]).status().unwrap().success());
    };
    copy(&fixture.path("ledger"), &kept);
    let restore = || {
        fs::remove_dir_all(fixture.path("ledger")).unwrap();
        copy(&kept, &fixture.path("ledger"));
    };
    let breaks: [(&str, &dyn Fn()); 5] = [
        ("damaged frame", &|| fs::write(&segment, flipped(&whole, whole.len() - 30)).unwrap()),
        ("damaged frame", &|| fs::write(&segment, &whole[..whole.len() - 1]).unwrap()),
        ("only 0 are there", &|| fs::remove_file(&segment).unwrap()),
        ("checkpoint", &|| fs::write(&checkpoint, flipped(&note, note.len() - 10)).unwrap()),
        ("checkpoint` is missing", &|| fs::remove_file(&checkpoint).unwrap()),
    ];
    for (why, make) in breaks {
        make();
        let process = fixture.serve_under(&[]);
        refuses(&process, &upstream, why);
        let metrics = get(&process, "/metrics");
        assert!(metrics.contains("\nhallgate_ledger_broken 1\n"), "{metrics}");
        assert!(get(&process, "/readyz").contains("\"broken\":true"));
        // The operations door is opened last: who hears there that it runs may end it in order.
        assert_eq!(ask(process.door("ops"), "GET /livez", &[], "").status, 200);
        process.end();
        until(|| process.log().contains("\"level\":\"ERROR\"") && process.log().contains("the ledger is broken"));
        assert_eq!(fixture.run(&["audit", "verify"]).0, Some(1), "{why}");
        restore();
        let process = fixture.serve();
        assert!(get(&process, "/metrics").contains("\nhallgate_ledger_broken 0\n"));
        process.end();
        fixture.verify();
    }
}

#[test]
fn a_segment_that_is_deleted_under_a_running_process_takes_no_entry() {
    let upstream = Upstream::start();
    let fixture = filled(&upstream);
    let process = fixture.serve();
    serves(&process, &upstream);
    let segment = segments(&fixture).pop().unwrap();
    let aside = fixture.path("aside");
    fs::hard_link(&segment, &aside).unwrap();
    fs::remove_file(&segment).unwrap();
    // It has another name: nothing is lost yet. Without any it takes nothing more.
    fs::remove_file(&aside).unwrap();
    refuses(&process, &upstream, "the segment was deleted");
    process.end();
    let process = fixture.serve_under(&[]);
    until(|| process.readiness() == Some(503));
    refuses(&process, &upstream, "only");
}

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let upstream = Upstream::start();
    let fixture = build(&upstream, "{}");
    let process = fixture.serve();
    let (code, _, err) = fixture.run(&["serve", "--config", "hallgate.yaml"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("is in use by another process") && err.contains("set another ledger.path"), "{err}");
    serves(&process, &upstream);
    process.end();
    fixture.verify();
}
