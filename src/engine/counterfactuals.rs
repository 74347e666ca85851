//! The same request with one member changed: what `explain` decides to find which of them a verdict turns on.

use std::fmt::Display;

use crate::engine::{RouteInput, Snapshot};
use crate::ids::{DataLabel, Env, QosClass, TenantRisk};

/// The most workers that are tried.
const WORKERS: usize = 256;

/// A request that differs from another in one member.
#[derive(Debug, Clone, PartialEq)]
pub struct Counterfactual {
    /// The member.
    pub member: &'static str,
    /// What it has instead; `None`: it is left out.
    pub value: Option<String>,
    /// The request.
    pub input: RouteInput,
}

/// Each request that differs from this one in one member, by the values of the closed sets and by the workers that are enrolled. What a
/// caller claims is also left out.
#[must_use]
pub fn counterfactuals(input: &RouteInput, snapshot: &Snapshot) -> Vec<Counterfactual> {
    let mut found = Vec::new();
    let mut add = |member, value: Option<String>, input| found.push(Counterfactual { member, value, input });
    for label in others(DataLabel::ALL, Some(&input.data_label)) {
        let changed = RouteInput { data_label: *label, data_label_defaulted: false, ..input.clone() };
        add("data_label", Some(label.to_string()), changed);
    }
    for env in others(Env::ALL, Some(&input.env)) {
        add("env", Some(env.to_string()), RouteInput { env: *env, ..input.clone() });
    }
    for risk in others(TenantRisk::ALL, input.tenant_risk.as_ref()) {
        add("tenant_risk", Some(risk.to_string()), RouteInput { tenant_risk: Some(*risk), ..input.clone() });
    }
    for qos in others(QosClass::ALL, Some(&input.qos_class)) {
        add("qos_class", Some(qos.to_string()), RouteInput { qos_class: *qos, ..input.clone() });
    }
    if input.tenant_risk.is_some() {
        add("tenant_risk", None, RouteInput { tenant_risk: None, ..input.clone() });
    }
    if input.blast_score.is_some() {
        add("blast_score", None, RouteInput { blast_score: None, ..input.clone() });
    }
    if input.worker_id.is_some() {
        add("worker_id", None, RouteInput { worker_id: None, ..input.clone() });
    }
    let workers = snapshot.workers.values().map(|worker| worker.worker_id.shared());
    for worker in workers.filter(|worker| Some(worker) != input.worker_id.as_ref()).take(WORKERS) {
        let named = worker.to_string();
        add("worker_id", Some(named), RouteInput { worker_id: Some(worker), ..input.clone() });
    }
    found
}

fn others<'a, T: PartialEq + Display>(all: &'a [T], one: Option<&'a T>) -> impl Iterator<Item = &'a T> {
    all.iter().filter(move |value| Some(*value) != one)
}
