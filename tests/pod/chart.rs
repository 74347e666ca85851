//! `k8s/chart`: it renders what the kustomization does, and refuses values that mean nothing.

use crate::fabric::run;
use crate::manifests::{rendered, tool, valid};

/// What the chart renders with these values changed.
fn chart(set: &[&str]) -> std::process::Command {
    let mut helm = tool("helm");
    helm.args(["template", "hallgate", "k8s/chart", "--kube-version", "1.35.0"]);
    for value in set {
        helm.args(["--set", value]);
    }
    helm
}

#[test]
fn the_chart_renders_what_the_kustomization_does() {
    let (chart, kustomization) = (valid(&run(&mut chart(&[]))), valid(&rendered("gateway")));
    let names = |manifests: &std::collections::BTreeMap<String, _>| manifests.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&chart), names(&kustomization));
    for (name, manifest) in &kustomization {
        assert_eq!(&chart[name], manifest, "{name}: the chart (left) differs from the kustomization (right)");
    }
    run(tool("helm").args(["lint", "--strict", "k8s/chart"]));
}

#[test]
fn the_chart_takes_values_and_refuses_those_that_mean_nothing() {
    let manifests = valid(&run(&mut chart(&["image.tag=9.9.9", "monitoring.enabled=false", "workers.w\\.json=text"])));
    let gate = &manifests["Deployment/hallgate"]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(gate["image"], "hallgate:9.9.9");
    assert!(!manifests.contains_key("ServiceMonitor/hallgate"));
    assert_eq!(manifests["ConfigMap/hallgate-workers"]["data"], serde_json::json!({ "w.json": "text" }));
    for bad in
        ["imge.tag=1", "env=production", "replicas.min=0", "replicas.max=many", "ledger.sizeLimit=1", "workers.w=text"]
    {
        let done = chart(&[bad]).output().unwrap();
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && complaint.contains("schema"), "{bad}: {complaint}");
    }
}
