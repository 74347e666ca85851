//! The worked examples of docs/operate/kubernetes.md: what they render is valid, and a gate loads it as it would in its pod.

use std::fs;
use std::process::Command;

use crate::container::{Container, root};
use crate::fabric::{Fabric, run};
use crate::manifests::{gate_of, mount, valid};

#[test]
fn what_the_worked_examples_render_loads_in_the_pod() {
    let Some(fabric) = Fabric::lay() else { return };
    let folder = fabric.path("worked");
    fs::create_dir(&folder).unwrap();
    run(Command::new("cp").arg("-R").args([root().join("k8s"), root().join("conf")]).arg(&folder));
    let page = fs::read_to_string(root().join("docs/operate/kubernetes.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("\n```")).map(|(block, _)| block);
    let tools = root().join("target/kubectl").display().to_string();
    let ours = std::path::Path::new(env!("CARGO_BIN_EXE_hallgate")).parent().unwrap().display().to_string();
    for block in blocks {
        // A reader's shell stops at nothing; ours does.
        let script = format!("set -eu; PATH=\"$PATH:{tools}:{ours}\"\n{block}");
        run(Command::new("bash").args(["-c", &script]).current_dir(&folder));
    }
    for (rendered, expected) in
        [("kustomized.yaml", "rr_shop_orders"), ("gateway.yaml", "rr_shop_orders"), ("shop.yaml", "rr_orders")]
    {
        let text = fs::read_to_string(folder.join(rendered)).unwrap();
        assert!(text.contains(expected), "{rendered} has other rules");
        let manifests = valid(&text);
        let container = Container::lay(&fabric);
        mount(&container, &manifests, "");
        let checked = gate_of(&container, &fabric, &manifests, "check").output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && said.contains("is sound"), "{rendered}: {said}");
        // The token that is mounted here is a short one.
        let warned: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("warning") && !line.starts_with("warning[weak-secret]"))
            .collect();
        assert!(warned.is_empty(), "{rendered}: {said}");
        fs::remove_dir_all(container.path("/")).unwrap();
    }
}
