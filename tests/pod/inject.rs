//! `hallgate k8s inject`: it makes of an app's manifests what the kustomizations make of them, for every kind that has pods.

use std::fs;
use std::process::Command;

use serde_json::Value;
use support::run;

use crate::container::root;
use crate::manifests::{SIDECARS, sample, unchecked, valid};

/// What the command writes; its warnings are not looked at.
fn k8s(arguments: &[&str], manifests: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallgate"));
    let (code, out, err) = run(command.arg("k8s").args(arguments), manifests);
    assert_eq!(code, Some(0), "{arguments:?}: {err}");
    out
}

#[test]
fn it_makes_of_the_sample_app_what_the_kustomizations_do() {
    let app = fs::read_to_string(root().join("k8s/samples/app/app.yaml")).unwrap();
    for overlay in SIDECARS {
        let injected = k8s(&["inject", "--mode", overlay], &app);
        let mut made = unchecked(&injected);
        let expected = sample(overlay);
        if overlay == "inbound" {
            // To find back; the kustomization keeps the app's own.
            let annotations =
                made.get_mut("Service/shop").unwrap()["metadata"].as_object_mut().unwrap().remove("annotations");
            assert_eq!(annotations, Some(serde_json::json!({ "hallgate/target-port": "9000" })));
        }
        for (name, made) in made {
            assert_eq!(
                made, expected[&name],
                "{overlay}: {name}: inject (left) differs from the kustomization (right)"
            );
        }
        // Its comments are there.
        for comment in app.lines().filter(|line| line.trim().starts_with('#')) {
            assert!(injected.contains(comment), "{overlay}: {comment} is lost");
        }
    }
}

/// An app in each kind, without what is not asked about.
const KINDS: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db }
spec:
  serviceName: db
  selector: { matchLabels: { app: db } }
  template:
    metadata: { labels: { app: db } }
    spec:
      initContainers: [{ name: first, image: a }]
      containers: [{ name: db, image: a }]
      volumes: [{ name: data, emptyDir: {} }]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: agent }
spec:
  selector: { matchLabels: { app: agent } }
  template:
    metadata: { labels: { app: agent } }
    spec:
      containers:
      - name: agent
        image: a
---
apiVersion: batch/v1
kind: Job
metadata: { name: once }
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - { name: once, image: a }
---
apiVersion: batch/v1
kind: CronJob
metadata: { name: nightly }
spec:
  schedule: "0 3 * * *"
  jobTemplate: { spec: { template: { spec: { restartPolicy: Never, containers: [{ name: nightly, image: a }] } } } }
---
{ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "alone" }, "spec": { "containers": [{ "name": "alone", "image": "a" }] } }
"#;

#[test]
fn every_kind_that_has_pods_gets_the_gate_before_its_own_and_is_valid() {
    let who =
        ["inject", "--mode", "outbound", "--worker", "wrk_shop_acme_prod", "--tenant", "org.acme", "--env", "prod"];
    let with = k8s(&who, KINDS);
    let manifests = valid(&with);
    for (name, template) in [
        ("StatefulSet/db", "/spec/template"),
        ("DaemonSet/agent", "/spec/template"),
        ("Job/once", "/spec/template"),
        ("CronJob/nightly", "/spec/jobTemplate/spec/template"),
        ("Pod/alone", ""),
    ] {
        let pod = manifests[name].pointer(template).unwrap();
        assert_eq!(pod["metadata"]["labels"]["hallgate/sidecar"], "enabled", "{name}");
        assert_eq!(pod["metadata"]["annotations"]["hallgate/worker-id"], "wrk_shop_acme_prod", "{name}");
        let names = |key: &str| -> Vec<&str> {
            let all = pod["spec"][key].as_array().unwrap();
            all.iter().map(|one: &Value| one["name"].as_str().unwrap()).collect()
        };
        let own: &[&str] = if name == "StatefulSet/db" { &["first"] } else { &[] };
        assert_eq!(names("initContainers"), [&["hallgate-redirect", "hallgate"], own].concat(), "{name}");
        assert_eq!(names("volumes").len(), if name == "StatefulSet/db" { 6 } else { 5 }, "{name}");
        // As for a Deployment.
        let sample = sample("outbound");
        assert_eq!(
            pod["spec"]["initContainers"][1],
            sample["Deployment/shop"]["spec"]["template"]["spec"]["initContainers"][1]
        );
    }
    assert_eq!(k8s(&who, &with), with, "twice is as once");
    assert_eq!(k8s(&["uninject"], &with), KINDS);
}

#[test]
fn where_anything_is_wrong_nothing_is_written() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallgate"));
    let (code, out, err) =
        run(command.args(["k8s", "inject", "--mode", "outbound"]), &KINDS.replace("image: a\n", "image: &a b\n"));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("-: line 25: has an anchor: write the value out"), "{err}");
}
