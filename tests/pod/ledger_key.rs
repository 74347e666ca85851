//! The ledger's key from a Secret: `k8s/ledger-key` mounts it so that the gate takes it, makes no other, and nobody else can read it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::container::{Container, program};
use crate::fabric::{Fabric, GATE_UID, run};
use crate::manifests::{gate_of, mount, pod, sample_with};

/// Makes a key as an operator does, before there is a pod. What the Secret holds, and the public key.
fn made(folder: &Path, name: &str) -> (String, String) {
    let file = folder.join(name);
    let vkey = run(Command::new(program()).args(["key", "new"]).arg(&file));
    (fs::read_to_string(file).unwrap(), vkey.trim().to_owned())
}

/// The key itself in a verifier key: what is behind the log's name and the id.
fn tail(vkey: &str) -> &str {
    vkey.trim().rsplit_once('+').unwrap().1
}

fn complaint(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(2), "{done:?}");
    String::from_utf8(done.stderr).unwrap()
}

#[test]
fn a_key_from_a_secret_signs_and_no_other_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, vkey) = made(folder.path(), "hallgate.key");
    for overlay in ["inbound", "gateway"] {
        let Some(mut fabric) = Fabric::lay() else { return };
        let manifests = sample_with(overlay, &["ledger-key"]);
        let container = Container::lay(&fabric);
        mount(&container, &manifests, &secret);
        run(&mut gate_of(&container, &fabric, &manifests, "check"));
        let command = gate_of(&container, &fabric, &manifests, "serve");
        let gate = fabric.serve(command);
        fabric.kill(gate);

        assert!(!container.path("var/lib/hallgate/hallgate.key").exists(), "{overlay}: another key was made");
        // Where nothing can be written beside the key, the public key is beside the ledger, under this log's name.
        let public = fs::read_to_string(container.path("var/lib/hallgate/hallgate.key.pub")).unwrap();
        assert!(public.starts_with("shop-0.shops/ledger+"), "{public}");
        assert_eq!(tail(&public), tail(&vkey));
        run(&mut container.command(&fabric, &["audit", "verify"]));
    }
}

/// A pod with a key from a Secret, and what it mounts.
fn keyed(fabric: &Fabric, secret: &str) -> (Container, BTreeMap<String, Value>) {
    let manifests = sample_with("inbound", &["ledger-key"]);
    let container = Container::lay(fabric);
    mount(&container, &manifests, secret);
    (container, manifests)
}

#[test]
fn a_key_that_others_could_read_is_refused_and_one_that_only_they_could_is_not_read() {
    let Some(fabric) = Fabric::lay() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (secret, _) = made(folder.path(), "hallgate.key");
    let (container, manifests) = keyed(&fabric, &secret);
    let (_, gate) = pod(&manifests);
    assert_eq!(gate["securityContext"]["runAsGroup"], 0, "the group of a Secret's files");
    let file = "/etc/hallgate-ledger-key/hallgate.key";
    let set = |mode| fs::set_permissions(container.path(file), fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o444, 0o460, 0o450] {
        set(mode);
        let said = complaint(&mut container.command_in("0", &fabric, &["key", "show", file]));
        assert!(said.contains(&format!("mode {mode:03o}")) && said.contains("with mode 440"), "{said}");
    }
    set(0o440);
    run(&mut container.command_in("0", &fabric, &["key", "show", file]));
    let said = complaint(&mut container.command_in(GATE_UID, &fabric, &["key", "show", file]));
    assert!(said.contains("cannot be read"), "{said}");
}

#[test]
fn another_key_in_the_secret_is_refused_until_the_old_one_has_signed_it() {
    let Some(mut fabric) = Fabric::lay() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (old, old_vkey) = made(folder.path(), "old.key");
    let (new, new_vkey) = made(folder.path(), "new.key");
    let (container, manifests) = keyed(&fabric, &old);
    let command = gate_of(&container, &fabric, &manifests, "serve");
    let gate = fabric.serve(command);
    fabric.kill(gate);

    mount(&container, &manifests, &new);
    let said = complaint(&mut gate_of(&container, &fabric, &manifests, "serve"));
    assert!(said.contains("hallgate key rotate"), "{said}");

    // As docs/operate/kubernetes.md says: a pod that mounts both Secrets and the ledger's claim.
    let at = container.path("old");
    fs::create_dir(&at).unwrap();
    fs::write(at.join("hallgate.key"), old).unwrap();
    fs::set_permissions(at.join("hallgate.key"), fs::Permissions::from_mode(0o440)).unwrap();
    let (before, after) = ("/old/hallgate.key", "/etc/hallgate-ledger-key/hallgate.key");
    let rotate = ["key", "rotate", "--origin", "shop-0.shops/ledger", "--old", before, "--new", after];
    run(&mut container.command_in("0", &fabric, &rotate));
    let command = gate_of(&container, &fabric, &manifests, "serve");
    let gate = fabric.serve(command);
    fabric.kill(gate);
    let public = fs::read_to_string(container.path("var/lib/hallgate/hallgate.key.pub")).unwrap();
    assert_eq!(tail(&public), tail(&new_vkey));
    assert_ne!(tail(&new_vkey), tail(&old_vkey));
    run(&mut container.command(&fabric, &["audit", "verify"]));
}
