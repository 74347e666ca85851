//! `k8s/monitoring`: dashboard and alerts know only metrics that there are, and each alert leads to its section of the page.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::container::root;
use crate::manifests::{list, sample};

/// The metrics that a text names and that there are not, and how many it names. `tests/tidy` holds the table against the code.
fn unknown(text: &str) -> (Vec<String>, usize) {
    let table = fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap();
    let there: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `hallgate_")?.split('`').next())
        .map(|name| name.strip_suffix("_total").unwrap_or(name))
        .collect();
    let letters = |c: &char| c.is_ascii_lowercase() || *c == '_';
    let named = text.match_indices("hallgate_").map(|(at, prefix)| &text[at + prefix.len()..]);
    let named: Vec<String> = named.map(|rest| rest.chars().take_while(letters).collect()).collect();
    let base = |name: &String| {
        let ends = ["_total", "_bucket"].iter().find_map(|end| name.strip_suffix(end));
        ends.unwrap_or(name).to_owned()
    };
    let unknown = named.iter().map(base).filter(|name| !there.contains(&name.as_str())).collect();
    (unknown, named.len())
}

#[test]
fn the_dashboard_shows_only_metrics_that_there_are() {
    let dashboard = fs::read_to_string(root().join("k8s/monitoring/hallgate.json")).unwrap();
    let (unknown, shown) = unknown(&dashboard);
    assert!(unknown.is_empty() && shown >= 25, "{unknown:?} of {shown}");
    let parsed: Value = serde_json::from_str(&dashboard).unwrap();
    let stats: Vec<&Value> = list(&parsed["panels"]).filter(|panel| panel["type"] == "stat").collect();
    assert!(stats.len() >= 6, "{stats:?}");
    let mut places = BTreeSet::new();
    for panel in list(&parsed["panels"]) {
        assert!(
            panel["description"].as_str().is_some_and(|about| about.len() > 10),
            "{}: says nothing",
            panel["title"]
        );
        assert!(places.insert(panel["gridPos"].to_string()), "{}: in another's place", panel["title"]);
        if panel["type"] == "stat" {
            let steps = &panel["fieldConfig"]["defaults"]["thresholds"]["steps"];
            assert!(list(steps).count() >= 2, "{}: without a threshold", panel["title"]);
        }
    }
}

#[test]
fn each_alert_is_of_metrics_that_there_are_and_has_its_section_and_its_trial() {
    let rule = &sample("gateway")["PrometheusRule/hallgate"];
    let alerts: Vec<&Value> = list(&rule["spec"]["groups"]).flat_map(|group| list(&group["rules"])).collect();
    assert!(alerts.len() >= 15, "{alerts:?}");
    let page = fs::read_to_string(root().join("docs/operate/alerts.md")).unwrap();
    let tried = fs::read_to_string(root().join("tests/pod/alerts.yaml")).unwrap();
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        let expr = alert["expr"].as_str().unwrap();
        let (unknown, named) = unknown(expr);
        assert!(unknown.is_empty() && (named > 0 || expr.starts_with("up{")), "{name}: {unknown:?}");
        let link = format!("docs/operate/alerts.md#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], link, "{name}");
        assert!(page.contains(&format!("\n## {name}\n")), "docs/operate/alerts.md has no section {name}");
        assert!(["critical", "warning"].iter().any(|severity| alert["labels"]["severity"] == *severity), "{name}");
        // `make alerts` has promtool run them.
        assert!(tried.contains(name), "tests/pod/alerts.yaml does not try {name}");
    }
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let names: Vec<&str> = alerts.iter().filter_map(|alert| alert["alert"].as_str()).collect();
    assert_eq!(sections, names, "the sections (left) are in the order of the alerts (right)");
}
