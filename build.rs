//! Tells `--version` from which commit an optimised program was built.
//!
//! Only an optimised one: it is made from the whole anyway, while a development build would be made again after each commit.

use std::env;
use std::path::Path;
use std::process::Command;

/// What goes into the program.
const SOURCES: [&str; 4] = ["build.rs", "Cargo.lock", "Cargo.toml", "src"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // What packs the sources elsewhere, as `docker build` does, knows their commit.
    println!("cargo::rerun-if-env-changed=HALLGATE_COMMIT");
    let told = env::var("HALLGATE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let built = match (env::var("PROFILE").as_deref(), told) {
        (_, Some(commit)) => commit,
        (Ok("release"), None) => commit().unwrap_or_else(|| "built without git".to_owned()),
        _ => "development build".to_owned(),
    };
    println!("cargo::rustc-env=HALLGATE_BUILT={built}");
}

/// The commit of the sources, and whether they differ from it. `None` where there is no git, or they are not in its keeping.
fn commit() -> Option<String> {
    // An archive that was unpacked inside of somebody else's repository is of no commit there.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    // Each commit and checkout writes a line into the log of HEAD, where there is one.
    for file in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", file])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    let changed = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    Some(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}

/// What git answers, without the line's end; `None` where there is none, or it refuses.
fn git(arguments: &[&str]) -> Option<String> {
    let answer = Command::new("git").args(arguments).output().ok().filter(|answer| answer.status.success())?;
    Some(String::from_utf8(answer.stdout).ok()?.trim_end().to_owned())
}
