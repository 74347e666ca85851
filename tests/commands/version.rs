//! What `--version` says: build.rs, compiled and run as cargo does it, in folders of other people.

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{hallgate, root, run};

/// What git says to this in a folder, where nothing of this machine's own settings counts.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(arguments).current_dir(folder);
    let (code, out, err) = run(git.env("GIT_CONFIG_GLOBAL", "/dev/null"), "");
    assert_eq!(code, Some(0), "{arguments:?}: {err}");
    out.trim_end().to_owned()
}

#[test]
fn a_program_says_from_which_commit_it_was_built_or_that_nobody_knows() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("build-script");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition=2024", "-o"]).arg(&script).arg(root().join("build.rs"));
    assert!(rustc.status().unwrap().success());
    let sources = folder.path().join("sources");
    fs::create_dir_all(sources.join("src")).unwrap();
    for (name, text) in [("build.rs", ""), ("Cargo.toml", ""), ("Cargo.lock", ""), ("src/lib.rs", "")] {
        fs::write(sources.join(name), text).unwrap();
    }
    let said = |profile: &str, told: &str| {
        let mut built = Command::new(&script);
        built.current_dir(&sources).env("PROFILE", profile).env("HALLGATE_COMMIT", told);
        // Not the repository above the folder of temporary files, if there is one.
        let (code, out, err) = run(built.env("GIT_CEILING_DIRECTORIES", folder.path()), "");
        assert_eq!(code, Some(0), "{err}");
        let told = out.lines().filter_map(|line| line.strip_prefix("cargo::rustc-env=HALLGATE_BUILT="));
        (told.collect::<String>(), out.matches("rerun-if-changed").count())
    };
    // One file is looked at where nobody asks for a commit: cargo would look at all of them without any.
    assert_eq!(said("debug", ""), ("development build".to_owned(), 1));
    assert_eq!(said("release", ""), ("built without git".to_owned(), 1));
    assert_eq!(said("release", "0123456789ab"), ("0123456789ab".to_owned(), 1));

    git(&sources, &["init", "--quiet"]);
    assert_eq!(said("release", "").0, "built without git", "a repository that does not keep them is another one");
    git(&sources, &["add", "."]);
    git(&sources, &["commit", "--quiet", "--message", "one"]);
    let commit = git(&sources, &["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(said("release", ""), (commit.clone(), 7));
    fs::write(sources.join("README.md"), "").unwrap();
    assert_eq!(said("release", "").0, commit, "what does not go into the program");
    fs::write(sources.join("src/more.rs"), "").unwrap();
    assert_eq!(said("release", "").0, format!("{commit} with changes"));
}

#[test]
fn the_version_is_the_packages_and_that_of_each_command() {
    let expected = format!("{} (development build)", env!("CARGO_PKG_VERSION"));
    for command in [vec!["--version"], vec!["audit", "verify", "--version"]] {
        let (code, out, _) = run(&mut hallgate(&command), "");
        assert_eq!((code, out.trim_end().ends_with(&expected)), (Some(0), true), "{command:?}: {out}");
    }
}
