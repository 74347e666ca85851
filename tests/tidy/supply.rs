//! What is refused in a lock file, tried on copies of ours that are changed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::source::root;

/// What `.ci/supply-chain` says to these lock files; nothing: all is well.
fn said(locks: &[&Path]) -> String {
    let run = Command::new("python3").arg(".ci/supply-chain").args(locks).current_dir(root()).output().unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.success(), said.is_empty(), "{said}");
    said
}

#[test]
fn what_must_not_come_in_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let path = folder.path().join("Cargo.lock");
    let changed = |from: &str, to: &str| {
        assert!(lock.contains(from), "the lock has no {from:?}");
        fs::write(&path, lock.replacen(from, to, 1)).unwrap();
        said(&[&path])
    };
    let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let more = |packages: &[(&str, &str)]| {
        let entry =
            |(name, version)| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n{registry}\n\n");
        packages.iter().copied().map(entry).collect::<String>() + "[[package]]"
    };
    assert_eq!(said(&[]), "", "our own lock files");
    assert_eq!(changed("[[package]]", "[[package]]"), "");

    let banned = changed("[[package]]", &more(&[("openssl-sys", "0.9.1")]));
    assert!(banned.contains("openssl-sys 0.9.1") && banned.contains("is banned: TLS is rustls"), "{banned}");
    let by_us = changed("\n \"serde_json\",\n \"sha2", "\n \"serde_json\",\n \"serde_yaml\",\n \"sha2");
    assert!(by_us.contains("hallgate, pingora-core, is banned: YAML"), "{by_us}");
    for (source, is) in [
        ("source = \"git+https://github.com/a/b#0\"", "from git+https://github.com/a/b#0"),
        ("source = \"registry+https://example.org/index\"", "from registry+https://example.org/index"),
        ("", "from a folder"),
    ] {
        let foreign = changed(registry, source);
        assert!(foreign.contains(is), "{foreign}");
    }
    let both = more(&[("sha2", "0.11.1")]);
    let ours = lock.replacen("[[package]]", &both, 1).replacen("\n \"sha2 0.10.9\",\n", "\n \"sha2 0.11.1\",\n", 1);
    let ours = ours.replacen("\n \"sha2\",\n \"signed_note\",\n", "\n \"sha2 0.11.1\",\n \"signed_note\",\n", 1);
    fs::write(&path, ours.replace("\n \"sha2\",\n", "\n \"sha2 0.10.9\",\n")).unwrap();
    let ours = said(&[&path]);
    assert!(ours.contains("sha2 0.11.1 is there for us alone, beside 0.10.9"), "{ours}");
    let held = changed("[[package]]", &more(&[("bytes", "99.0.0")]));
    assert!(held.contains("holds bytes in an older version"), "{held}");
    let let_go = changed("\"arrayvec 0.5.2\"", "\"arrayvec 0.7.8\"");
    assert!(let_go.contains("pretty does not hold an older arrayvec any more"), "{let_go}");

    fs::write(&path, lock.replacen("name = \"bytes\"\nversion = \"", "name = \"bytes\"\nversion = \"9", 1)).unwrap();
    let other = said(&[&root().join("Cargo.lock"), &path]);
    assert!(other.contains(": bytes 9") && other.contains("is not what"), "{other}");
}
