//! A snapshot with one rule, which asks these policies.

use std::collections::BTreeSet;
use std::sync::Arc;

use hallgate::engine::{Mode, RuleSet, Settings, Snapshot};

/// Everything is asked of these policies, and of nothing else.
pub fn gated_by(policies: &str) -> Snapshot {
    let rules = r#"{"rules":[{"rule_id":"r","match":{},"decision":{
        "candidate_workers_ranked":[{"worker_species_id":"wrk.a"}],"escalation":{"policy_gate":true}}}]}"#;
    let settings = Settings {
        mode: Mode::Reference,
        require_worker_id: BTreeSet::new(),
        enforce_correlation_id: false,
        ..Settings::default()
    };
    let file = tempfile::NamedTempFile::with_suffix(".cedar").unwrap();
    std::fs::write(file.path(), policies).unwrap();
    let snapshot = Snapshot::build(settings, RuleSet::parse(rules, Mode::Reference).unwrap(), Vec::new()).unwrap();
    snapshot.gated_by(Arc::new(hallgate::policy::load(file.path()).unwrap()))
}
