//! `k8s/admission`: the policy takes what the overlays make of a sound app, and refuses every pod whose app could go around its gate.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::container::root;
use crate::fabric::run;
use crate::manifests::{SIDECARS, pod, sample, sample_with, tool, valid};

/// What the policy has against each of these pods.
fn against(policy: &Value, pods: &[Value]) -> Vec<Vec<String>> {
    let mut asked = Command::new(root().join("target/venv/bin/python"));
    asked.arg(root().join("tests/pod/admission.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = asked.spawn().unwrap();
    let question = json!({ "policy": policy, "pods": pods }).to_string();
    child.stdin.take().unwrap().write_all(question.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success());
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn a_pod_whose_app_could_go_around_its_gate_is_refused() {
    let manifests = valid(&run(tool("kubectl").args(["kustomize", "k8s/admission"])));
    let policy = &manifests["ValidatingAdmissionPolicy/hallgate-sidecars"];
    let binding = &manifests["ValidatingAdmissionPolicyBinding/hallgate-sidecars"]["spec"];
    assert_eq!(
        (&binding["policyName"], &binding["validationActions"]),
        (&json!("hallgate-sidecars"), &json!(["Deny"]))
    );
    assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    let selector = &policy["spec"]["matchConstraints"]["objectSelector"]["matchLabels"];

    let mut sound: Vec<Value> = SIDECARS.iter().map(|overlay| pod(&sample(overlay)).0.clone()).collect();
    sound.push(pod(&sample_with("outbound", &["ledger-key"])).0.clone());
    for (template, complaints) in sound.iter().zip(against(policy, &sound)) {
        assert_eq!(complaints, [""; 0], "{template}");
        assert_eq!(&template["metadata"]["labels"]["hallgate/sidecar"], &selector["hallgate/sidecar"]);
    }

    let app = "/spec/containers/0/securityContext";
    let with = |path: &str, value: Value| {
        let mut changed = sound[2].clone();
        let (above, key) = path.rsplit_once('/').unwrap();
        changed.pointer_mut(above).unwrap_or_else(|| panic!("{path}"))[key] = value;
        changed
    };
    let without = |path: &str| {
        let mut changed = sound[2].clone();
        let (above, key) = path.rsplit_once('/').unwrap();
        changed.pointer_mut(above).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        changed
    };
    let mut second = sound[2].clone();
    second["spec"]["initContainers"].as_array_mut().unwrap().push(json!({ "name": "migrate", "image": "shop:1.0.0" }));
    let bad = [
        (with("/spec/containers/0/securityContext/runAsUser", json!(28765)), "the gate's user"),
        (without("/spec/containers/0/securityContext/runAsUser"), "the gate's user"),
        (with("/spec/containers/0/securityContext/allowPrivilegeEscalation", json!(true)), "with capabilities"),
        (without("/spec/containers/0/securityContext/allowPrivilegeEscalation"), "with capabilities"),
        (with("/spec/containers/0/securityContext/capabilities", json!({ "drop": ["NET_RAW"] })), "with capabilities"),
        (with(&format!("{app}/capabilities"), json!({ "drop": ["ALL"], "add": ["SETUID"] })), "with capabilities"),
        (with("/spec/hostNetwork", json!(true)), "hostNetwork"),
        (with("/spec/ephemeralContainers", json!([{ "name": "debug" }])), "ephemeral container"),
        (without("/spec/initContainers"), "no gate"),
        (with("/spec/initContainers/1/restartPolicy", json!("Never")), "no gate"),
        (with("/spec/initContainers/1/securityContext/runAsUser", json!(65532)), "no gate"),
        (without(app), "the gate's user"),
        (second, "the gate's user"),
    ];
    let pods: Vec<Value> = bad.iter().map(|(pod, _)| pod.clone()).collect();
    for ((pod, why), complaints) in bad.iter().zip(against(policy, &pods)) {
        assert!(complaints.iter().any(|complaint| complaint.contains(why)), "{why}: {complaints:?}: {pod}");
    }

    // The pod's own user counts for containers that name none, and a port below 1024 is nobody's way around.
    let mut by_pod = without("/spec/containers/0/securityContext/runAsUser");
    by_pod["spec"]["securityContext"] = json!({ "runAsUser": 1000 });
    let low_port = with(&format!("{app}/capabilities"), json!({ "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] }));
    assert_eq!(against(policy, &[by_pod.clone(), low_port]), [[""; 0], [""; 0]]);
    by_pod["spec"]["securityContext"]["runAsUser"] = json!(28765);
    assert_eq!(against(policy, &[by_pod])[0].len(), 1);
}
