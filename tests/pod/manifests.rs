//! `k8s/`: what is rendered is valid by the published schemas, agrees with the code, and serves.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::container::{Container, root};
use crate::fabric::{Fabric, GATE_UID, run};

/// Those that put a gate beside an app.
pub const SIDECARS: [&str; 3] = ["inbound", "outbound", "outbound-redirect"];
/// The overlays, each rendered by the sample of its name.
pub const OVERLAYS: [&str; 4] = ["inbound", "outbound", "outbound-redirect", "gateway"];

/// `kubectl` or `helm`: the one that `make test` brings, else that of the PATH.
pub fn tool(name: &str) -> Command {
    let brought = root().join("target/kubectl").join(name);
    let mut command = Command::new(if brought.exists() { brought } else { PathBuf::from(name) });
    command.current_dir(root());
    command
}

/// Holds manifests against the schemas.
fn validate(yaml: &str) -> Output {
    read(yaml, &[])
}

fn read(yaml: &str, options: &[&str]) -> Output {
    let python = root().join("target/venv/bin/python");
    let mut validate = Command::new(&python);
    validate.arg(root().join("tests/pod/manifests.py")).args(options).stdin(Stdio::piped());
    let mut child = validate.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The manifests in a text that must be valid, by kind and name.
pub fn valid(yaml: &str) -> BTreeMap<String, Value> {
    by_name(&validate(yaml))
}

/// The manifests in a text that is compared with valid ones.
pub fn unchecked(yaml: &str) -> BTreeMap<String, Value> {
    by_name(&read(yaml, &["--read"]))
}

fn by_name(done: &Output) -> BTreeMap<String, Value> {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let manifests: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
    let named = |manifest: &Value| {
        format!("{}/{}", manifest["kind"].as_str().unwrap(), manifest["metadata"]["name"].as_str().unwrap())
    };
    manifests.into_iter().map(|manifest| (named(&manifest), manifest)).collect()
}

/// What a sample's kustomization renders.
fn rendered(overlay: &str) -> String {
    run(tool("kubectl").args(["kustomize", &format!("k8s/samples/{overlay}")]))
}

/// The manifests of a sample with more components of `k8s/` behind it.
pub fn sample_with(overlay: &str, components: &[&str]) -> BTreeMap<String, Value> {
    // kubectl reads what is below one folder: the kustomization stands where it finds ours.
    let folder = tempfile::tempdir_in(root().join("target")).unwrap();
    let components: Vec<String> = components.iter().map(|name| format!("../../k8s/{name}")).collect();
    let kustomization = serde_json::json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [format!("../../k8s/samples/{overlay}")],
        "components": components,
    });
    fs::write(folder.path().join("kustomization.yaml"), kustomization.to_string()).unwrap();
    valid(&run(tool("kubectl").arg("kustomize").arg(folder.path())))
}

/// The manifests of a sample; each is rendered and held against the schemas once.
pub fn sample(overlay: &str) -> BTreeMap<String, Value> {
    static SAMPLES: Mutex<BTreeMap<String, BTreeMap<String, Value>>> = Mutex::new(BTreeMap::new());
    let mut samples = SAMPLES.lock().unwrap_or_else(PoisonError::into_inner);
    samples.entry(overlay.to_owned()).or_insert_with(|| valid(&rendered(overlay))).clone()
}

/// The items of a list; none where there is none.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn named<'a>(list_of: &'a Value, name: &str) -> &'a Value {
    list(list_of).find(|one| one["name"] == name).unwrap_or_else(|| panic!("no `{name}` in {list_of:#}"))
}

/// The pod of a sample's Deployment, and its gate.
pub fn pod(manifests: &BTreeMap<String, Value>) -> (&Value, &Value) {
    let runs = |manifest: &&Value| matches!(manifest["kind"].as_str(), Some("Deployment" | "StatefulSet"));
    let deployment = manifests.values().find(runs).unwrap();
    let template = &deployment["spec"]["template"];
    let containers = ["initContainers", "containers"].into_iter().flat_map(|key| list(&template["spec"][key]));
    (template, containers.into_iter().find(|container| container["name"] == "hallgate").unwrap())
}

#[test]
fn every_sample_is_valid_and_the_validator_is_strict() {
    for overlay in OVERLAYS {
        assert!(sample(overlay).len() >= 8, "{overlay}");
    }
    let text = rendered("gateway");
    for (from, to) in [
        ("minReplicas: 2", "minReplicas: two"),
        ("minReplicas: 2", "minReplicaz: 2"),
        ("runAsNonRoot: true", "runAsNonroot: true"),
        ("path: /metrics", "paht: /metrics"),
        ("kind: PodDisruptionBudget", "kind: PodDisruption"),
    ] {
        let manifest = text.split("---\n").find(|manifest| manifest.contains(from)).unwrap();
        assert!(validate(manifest).status.success(), "{from}");
        assert!(!validate(&manifest.replacen(from, to, 1)).status.success(), "`{to}` is taken for valid");
    }
}

#[test]
fn the_gate_is_confined_and_started_before_the_app() {
    for overlay in OVERLAYS {
        let manifests = sample(overlay);
        let (template, gate) = pod(&manifests);
        let confined = &gate["securityContext"];
        assert_eq!(confined["runAsUser"].to_string(), GATE_UID);
        for (key, value) in
            [("runAsNonRoot", true), ("readOnlyRootFilesystem", true), ("allowPrivilegeEscalation", false)]
        {
            assert_eq!(confined[key], value, "{overlay} {key}");
        }
        assert_eq!(confined["capabilities"], serde_json::json!({ "drop": ["ALL"] }));
        assert_eq!(confined["seccompProfile"]["type"], "RuntimeDefault");
        assert!(gate["resources"]["limits"]["memory"].is_string() && gate["resources"]["requests"]["cpu"].is_string());
        if overlay == "gateway" {
            continue;
        }
        // Ours come first, and stay.
        let order: Vec<&str> =
            list(&template["spec"]["initContainers"]).filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(order, if overlay == "inbound" { vec!["hallgate"] } else { vec!["hallgate-redirect", "hallgate"] });
        assert_eq!(
            (&gate["restartPolicy"], &gate["startupProbe"]["httpGet"]["path"]),
            (&"Always".into(), &"/livez".into())
        );
        // The app's own container is as its team wrote it, and cannot become the gate.
        let app = valid(&fs::read_to_string(root().join("k8s/samples/app/app.yaml")).unwrap());
        let app = &app["Deployment/shop"]["spec"]["template"]["spec"]["containers"];
        assert_eq!(&template["spec"]["containers"], app, "{overlay}");
        assert_eq!(app[0]["securityContext"]["capabilities"], serde_json::json!({ "drop": ["ALL"] }));
        assert_ne!(app[0]["securityContext"]["runAsUser"].to_string(), GATE_UID);
        if overlay != "inbound" {
            let redirect = named(&template["spec"]["initContainers"], "hallgate-redirect");
            let to = if overlay == "outbound" { "refuse" } else { "8080" };
            assert_eq!(redirect["args"], serde_json::json!([GATE_UID, to]));
            // By these the script tells whether the network is the pod's own.
            let script = fs::read_to_string(root().join("k8s/redirect.sh")).unwrap();
            for (name, field) in [("POD_IP", "status.podIP"), ("HOST_IP", "status.hostIP")] {
                assert_eq!(named(&redirect["env"], name)["valueFrom"]["fieldRef"]["fieldPath"], field);
                assert!(script.contains(&format!("${{{name}:-}}")));
            }
            let capabilities = serde_json::json!({ "drop": ["ALL"], "add": ["NET_ADMIN"] });
            assert_eq!(redirect["securityContext"]["capabilities"], capabilities);
        }
    }
}

/// An app whose image runs as the gate's user would go around it.
#[test]
fn the_gates_user_is_nobody_elses() {
    // Images without a shell, the user `nobody`, the first users of distributions, nginx, Istio, and what is left out of the manifest.
    assert!(!["0", "65532", "65534", "1000", "1001", "101", "1337"].contains(&GATE_UID));
}

/// A pod that is evicted loses its ledger.
#[test]
fn a_pod_has_room_for_its_ledger() {
    let mib = |quantity: &Value| -> u64 {
        let text = quantity.as_str().unwrap();
        match text.split_at(text.len() - 2) {
            (number, "Gi") => number.parse::<u64>().unwrap() * 1024,
            (number, "Mi") => number.parse().unwrap(),
            _ => panic!("{text}"),
        }
    };
    for overlay in OVERLAYS {
        let manifests = sample(overlay);
        let (template, gate) = pod(&manifests);
        let volume = mib(&named(&template["spec"]["volumes"], "hallgate-ledger")["emptyDir"]["sizeLimit"]);
        assert!(mib(&gate["resources"]["requests"]["ephemeral-storage"]) >= volume, "{overlay}");
        // The kubelet adds all limits up, and evicts the pod when all that it has on disk, its volumes included, is more.
        for container in ["initContainers", "containers"].into_iter().flat_map(|key| list(&template["spec"][key])) {
            assert!(container["resources"]["limits"]["ephemeral-storage"].is_null(), "{overlay}: {container}");
        }
        let config = manifests["ConfigMap/hallgate-config"]["data"]["hallgate.yaml"].as_str().unwrap();
        let (_, most) = config.split_once("max_size: ").unwrap();
        let most: u64 = most.split_once("MiB").unwrap().0.parse().unwrap();
        assert!(most * 2 <= volume, "{overlay}: nothing is left for the hash tree");
    }
}

#[test]
fn no_policy_leaves_a_way_to_the_app_or_out() {
    let ports = |rules: &Value| -> Vec<u64> {
        list(rules).flat_map(|rule| list(&rule["ports"])).filter_map(|port| port["port"].as_u64()).collect()
    };
    let inbound = sample("inbound");
    let policy = &inbound["NetworkPolicy/hallgate-inbound"]["spec"];
    assert_eq!(
        (&policy["policyTypes"], ports(&policy["ingress"])),
        (&serde_json::json!(["Ingress"]), vec![8080, 8766])
    );
    assert_eq!(inbound["Service/shop"]["spec"]["ports"][0]["targetPort"], 8080);
    for overlay in ["outbound", "outbound-redirect"] {
        let policy = &sample(overlay)["NetworkPolicy/hallgate-outbound"]["spec"];
        assert_eq!(policy["policyTypes"], serde_json::json!(["Egress"]));
        assert_eq!(ports(&policy["egress"]), [53, 53, 8080, 443], "{overlay}");
        assert!(list(&policy["egress"]).all(|rule| rule["to"].is_array()), "a rule without `to` allows every host");
    }
    for overlay in SIDECARS {
        let manifests = sample(overlay);
        let (template, _) = pod(&manifests);
        for (name, policy) in manifests.iter().filter(|(name, _)| name.starts_with("NetworkPolicy/")) {
            for (label, value) in policy["spec"]["podSelector"]["matchLabels"].as_object().unwrap() {
                assert_eq!(&template["metadata"]["labels"][label], value, "{overlay}: {name} does not select the pod");
            }
        }
    }
    let gateway = sample("gateway");
    let clients = &gateway["NetworkPolicy/hallgate-clients"]["spec"];
    assert_eq!(ports(&clients["egress"]), [53, 53, 8080]);
    assert_eq!(gateway["Ingress/hallgate"]["spec"]["rules"][0]["http"]["paths"][0]["path"], "/api/route");
}

/// Puts what a pod mounts into its gate's container, as the kubelet does: root's files behind a symlink that a change swaps. `key` is
/// what the Secret of the ledger's key holds.
pub fn mount(container: &Container, manifests: &BTreeMap<String, Value>, key: &str) {
    let (template, gate) = pod(manifests);
    for mounted in list(&gate["volumeMounts"]) {
        let volume = named(&template["spec"]["volumes"], mounted["name"].as_str().unwrap());
        let files: BTreeMap<String, String> = if let Some(map) = volume["configMap"]["name"].as_str() {
            serde_json::from_value(manifests[&format!("ConfigMap/{map}")]["data"].clone()).unwrap()
        } else if let Some(secret) = volume["secret"]["secretName"].as_str() {
            match secret {
                "hallgate-ledger-key" => [("hallgate.key".to_owned(), key.to_owned())].into(),
                _ => ["hall-token", "openai-authorization"]
                    .map(|name| (name.to_owned(), "hst_0123456789abcdef".to_owned()))
                    .into(),
            }
        } else {
            assert_eq!(mounted["mountPath"], "/var/lib/hallgate", "{volume}");
            continue;
        };
        let at = container.path(mounted["mountPath"].as_str().unwrap());
        if at.exists() {
            fs::remove_dir_all(&at).unwrap();
        }
        fs::create_dir_all(at.join("..1")).unwrap();
        symlink("..1", at.join("..data")).unwrap();
        for (name, text) in files {
            let file = at.join("..1").join(&name);
            fs::write(&file, text).unwrap();
            let mode = ["configMap", "secret"].iter().find_map(|kind| volume[kind]["defaultMode"].as_u64()).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(u32::try_from(mode).unwrap())).unwrap();
            symlink(Path::new("..data").join(&name), at.join(name)).unwrap();
        }
    }
}

/// The gate's command with the pod's environment.
pub fn gate_of(container: &Container, fabric: &Fabric, manifests: &BTreeMap<String, Value>, command: &str) -> Command {
    let (template, gate) = pod(manifests);
    let arguments: Vec<&str> = list(&gate["args"]).filter_map(Value::as_str).collect();
    assert_eq!(arguments, ["serve", "--config", "/etc/hallgate/hallgate.yaml"]);
    let group = gate["securityContext"]["runAsGroup"].to_string();
    let mut gate_command = container.command_in(&group, fabric, &[command, arguments[1], arguments[2]]);
    for variable in list(&gate["env"]) {
        let field = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str();
        let value = match field.map(|field| field.split('\'').collect::<Vec<_>>()).as_deref() {
            None => variable["value"].as_str().unwrap(),
            Some(["metadata.name"]) => "shop-0",
            Some(["metadata.namespace"]) => "shops",
            Some(["metadata.annotations[", name, "]"]) => template["metadata"]["annotations"][name].as_str().unwrap(),
            Some(other) => panic!("no field {other:?} of a pod"),
        };
        gate_command.env(variable["name"].as_str().unwrap(), value);
    }
    gate_command
}

#[test]
fn every_overlay_serves_under_its_own_configuration_and_its_probes_are_answered() {
    for overlay in OVERLAYS {
        let Some(mut fabric) = Fabric::lay() else { return };
        let manifests = sample(overlay);
        let (template, gate) = pod(&manifests);
        let container = Container::lay(&fabric);
        mount(&container, &manifests, "");
        run(&mut gate_of(&container, &fabric, &manifests, "check"));
        let redirect = list(&template["spec"]["initContainers"]).find(|one| one["name"] == "hallgate-redirect");
        if let Some(redirect) = redirect {
            assert!(fabric.redirect(redirect["args"][1].as_str().unwrap()).status.success());
        }
        fabric.host("pod", &["9000"]);
        let command = gate_of(&container, &fabric, &manifests, "serve");
        let started = fabric.serve(command);

        let from = |fabric: &Fabric, host: &str, url: &str| {
            let curl = ["curl", "-gsS", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}", url];
            run(&mut fabric.command(host, &curl))
        };
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            // The kubelet asks from outside.
            let get = &gate[probe]["httpGet"];
            for pod in ["10.77.0.2", "[fd77::2]"] {
                let url = format!("http://{pod}:{}{}", get["port"], get["path"].as_str().unwrap());
                assert_eq!(from(&fabric, "other", &url), "200", "{overlay} {probe} {pod}");
            }
        }
        for port in list(&gate["ports"]) {
            let url = format!("http://127.0.0.1:{}/", port["containerPort"]);
            assert_ne!(from(&fabric, "pod", &url), "000", "{overlay}: nobody listens on {port}");
        }
        let token = ["-H", "wcp-token: hst_0123456789abcdef"];
        let asked = match overlay {
            "outbound-redirect" => fabric.curl(&["http://orders/orders/1"]),
            "outbound" => fabric.curl(&["http://127.0.0.1:8080/orders/1"]),
            _ => fabric.curl(&[&token[..], &["http://127.0.0.1:8080/orders/1"]].concat()),
        };
        let host = if overlay == "inbound" { "pod" } else { "orders" };
        assert_eq!(asked, (Some(0), format!("this is {host}\n200")), "{overlay}");
        if matches!(overlay, "inbound" | "gateway") {
            for pod in ["10.77.0.2", "[fd77::2]"] {
                assert_eq!(from(&fabric, "other", &format!("http://{pod}:8080/orders/1")), "401", "{overlay} {pod}");
            }
        } else {
            // A sidecar's gate is its app's alone.
            for pod in ["10.77.0.2", "[fd77::2]"] {
                let curl = ["curl", "-gs", "--max-time", "10", &format!("http://{pod}:8080/orders/1")];
                assert_eq!(fabric.command("other", &curl).status().unwrap().code(), Some(7), "{overlay} {pod}");
            }
        }
        fabric.kill(started);
    }
}
