//! `k8s/chart`: it renders what the kustomizations do, by itself and inside of an app's own chart, and refuses values that mean nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use crate::container::root;
use crate::fabric::run;
use crate::manifests::{OVERLAYS, SIDECARS, sample, sample_with, tool, unchecked, valid};

/// Who the sample app is, and what it is.
const SHOP: [&str; 5] = [
    "identity.workerId=wrk_shop_acme_prod",
    "identity.tenantId=org.acme",
    "app.name=shop",
    "app.image=shop:1.0.0",
    "app.port=9000",
];

/// What a chart renders with these values changed.
fn template(chart: &str, set: &[&str]) -> Command {
    let mut helm = tool("helm");
    helm.args(["template", "release", chart, "--kube-version", "1.35.0"]);
    for value in set {
        helm.args(["--set", value]);
    }
    helm
}

fn chart(set: &[&str]) -> Command {
    template("k8s/chart", set)
}

/// With the values that make the chart render the sample of a mode.
fn mode(mode: &str, more: &[&str]) -> Command {
    let shop: &[&str] = if mode == "gateway" { &[] } else { &SHOP };
    chart(&[&[format!("mode={mode}").as_str()], shop, more].concat())
}

/// Object by object, and each of them whole.
#[track_caller]
fn same(chart: &BTreeMap<String, Value>, kustomization: &BTreeMap<String, Value>, what: &str) {
    let names = |manifests: &BTreeMap<String, Value>| manifests.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(chart), names(kustomization), "{what}");
    for (name, manifest) in kustomization {
        assert_eq!(&chart[name], manifest, "{what}: {name}: the chart (left) differs from the kustomization (right)");
    }
}

#[test]
fn the_chart_renders_what_the_kustomizations_do() {
    for overlay in OVERLAYS {
        same(&unchecked(&run(&mut mode(overlay, &[]))), &sample(overlay), overlay);
    }
    let key = "ledger.keySecret=hallgate-ledger-key";
    for overlay in ["inbound", "gateway"] {
        same(&unchecked(&run(&mut mode(overlay, &[key]))), &sample_with(overlay, &["ledger-key"]), overlay);
    }
    let durable = sample_with("gateway", &["ledger-key", "durable-ledger"]);
    same(&unchecked(&run(&mut mode("gateway", &[key, "ledger.claim=10Gi"]))), &durable, "durable");
    run(tool("helm").args(["lint", "--strict", "k8s/chart"]));
}

#[test]
fn an_apps_own_chart_takes_the_gate_in() {
    // `helm dependency build` writes beside the chart.
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir_all(at("tests/pod")).unwrap();
    run(Command::new("cp").arg("-R").arg(root().join("tests/pod/shop")).arg(at("tests/pod/shop")));
    symlink(root().join("k8s"), at("k8s")).unwrap();
    let shop = at("tests/pod/shop");
    run(tool("helm").args(["dependency", "build"]).arg(&shop));
    for overlay in SIDECARS {
        let set = format!("hallgate.mode={overlay}");
        same(&unchecked(&run(&mut template(shop.to_str().unwrap(), &[&set]))), &sample(overlay), overlay);
    }
    // Its values are held against the schema there, too.
    let done = template(shop.to_str().unwrap(), &["hallgate.identity.workerId="]).output().unwrap();
    assert!(!done.status.success() && String::from_utf8_lossy(&done.stderr).contains("workerId"));
}

#[test]
fn the_chart_takes_values() {
    let manifests = valid(&run(&mut chart(&["image.tag=9.9.9", "monitoring.enabled=false", "workers.w\\.json=text"])));
    let gate = &manifests["Deployment/hallgate"]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(gate["image"], "hallgate:9.9.9");
    assert!(!manifests.contains_key("ServiceMonitor/hallgate"));
    assert_eq!(manifests["ConfigMap/hallgate-workers"]["data"], serde_json::json!({ "w.json": "text" }));

    let set = ["app.replicas=3", "app.env[0].name=A", "app.env[0].value=b", "app.servicePort=8000"];
    let set =
        [&set[..], &["redirectImage.repository=here/r", "resources.requests.cpu=1", "resources.limits.memory=1Gi"]];
    let manifests = valid(&run(&mut mode("outbound", &set.concat())));
    let spec = &manifests["Deployment/shop"]["spec"];
    let pod = &spec["template"]["spec"];
    assert_eq!((&spec["replicas"], &pod["containers"][0]["env"][0]["value"]), (&3.into(), &"b".into()));
    assert_eq!(pod["initContainers"][0]["image"], "here/r:0.2.0");
    assert_eq!(pod["initContainers"][1]["resources"]["limits"], serde_json::json!({ "memory": "1Gi" }));
    assert_eq!(manifests["Service/shop"]["spec"]["ports"][0]["port"], 8000);
    assert!(!valid(&run(&mut chart(&["mode=inbound", SHOP[0], SHOP[1]]))).contains_key("Deployment/shop"));
}

#[test]
fn the_chart_refuses_values_that_mean_nothing() {
    let refused = |command: &mut Command| {
        let done = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && complaint.contains("schema"), "{command:?}: {complaint}");
    };
    for bad in [
        "imge.tag=1",
        "env=production",
        "replicas.min=0",
        "replicas.max=many",
        "ledger.sizeLimit=1",
        "workers.w=text",
        "mode=sidecar",
        "app.name=shop",
        "egress[0].ports[0].port=443",
        "resources.requests.cpu=1",
    ] {
        refused(&mut chart(&[bad]));
    }
    for bad in [
        "identity.workerId=",
        "identity.tenantId=org acme",
        "app.image=",
        "app.name=Shop",
        "app.port=8080",
        "app.port=http",
        "app.runAsUser=28765",
        "app.runAsUser=0",
        "ledger.claim=10Gi",
        "app.securityContext.privileged=true",
    ] {
        refused(&mut mode("outbound", &[bad]));
    }
}
