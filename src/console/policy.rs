//! The policy: what is decided of each capability, label and environment, which rules and policies have decided nothing, and where the
//! shadow says otherwise.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::RawQuery;
use axum::response::Response;
use serde::Deserialize;

use crate::console::ask::{Failed, Queried, piece};
use crate::console::guard::SignedIn;
use crate::console::page::{self, PageFrame};

#[derive(Template)]
#[template(path = "policy.html", config = "src/console/askama.toml")]
struct PolicyPage {
    frame: PageFrame,
    policy: Policy,
    filters: Vec<(&'static str, &'static str, String)>,
    /// The environments, each with how many labels are shown of it.
    envs: Vec<(String, usize)>,
    /// The labels, as often as there are environments.
    labels: Vec<String>,
    /// What the address of a cell has besides.
    asked_as: String,
    /// How many cells the shadow decides otherwise.
    flips: usize,
    next: Option<String>,
}

/// Of `/api/policy`.
#[derive(Deserialize)]
struct Policy {
    version: String,
    mode: String,
    snapshot: String,
    shadow: Option<String>,
    rules: Vec<Rule>,
    rules_count: usize,
    policies: Vec<CedarPolicy>,
    tenant_id: String,
    tenant_risk: String,
    capabilities: Vec<Capability>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Rule {
    rule_id: String,
    number: usize,
    #[serde(rename = "match")]
    conditions: BTreeMap<String, Vec<String>>,
    has_decided: Option<bool>,
}

#[derive(Deserialize)]
struct CedarPolicy {
    policy_id: String,
    place: String,
    forbids: bool,
    has_decided: bool,
}

#[derive(Deserialize)]
struct Capability {
    capability_id: String,
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    env: String,
    data_label: String,
    outcome: String,
    deny_code: Option<String>,
    supervisor_level: Option<String>,
    matched_rule_id: String,
    worker_id: Option<String>,
    depends_on: Option<String>,
    shadow: Option<Flip>,
}

#[derive(Deserialize)]
struct Flip {
    outcome: String,
    deny_code: Option<String>,
}

impl Cell {
    /// What it says, in words: what the sign in it stands for.
    fn in_words(&self) -> String {
        let mut words = match self.outcome.as_str() {
            "DISPATCH" => "allowed".to_owned(),
            "STEWARD_HOLD" => format!("held for a {}", self.supervisor_level.as_deref().unwrap_or("human")),
            _ => format!("denied, {}", self.deny_code.as_deref().unwrap_or_default()),
        };
        words += &format!(", by rule {}", self.matched_rule_id);
        if let Some(reads) = &self.depends_on {
            words += &format!("; policies read {reads} besides");
        }
        if let Some(Flip { outcome, deny_code }) = &self.shadow {
            words += &format!("; the shadow says {outcome} {}", deny_code.as_deref().unwrap_or_default());
        }
        words
    }

    /// How it is drawn.
    fn kind(&self) -> &'static str {
        match self.outcome.as_str() {
            "DISPATCH" => "yes",
            "STEWARD_HOLD" => "wait",
            _ => "no",
        }
    }

    /// The sign in it, for whoever sees no colours.
    fn sign(&self) -> &'static str {
        match (self.outcome.as_str(), self.shadow.is_some()) {
            ("DISPATCH", false) => "✓",
            ("DISPATCH", true) => "✓*",
            ("STEWARD_HOLD", false) => "?",
            ("STEWARD_HOLD", true) => "?*",
            (_, false) => "✕",
            (_, true) => "✕*",
        }
    }

    /// What has to be in the address to try it.
    fn query(&self) -> String {
        let worker = self.worker_id.as_deref().map(|id| format!("&worker_id={}", piece(id))).unwrap_or_default();
        format!("&env={}&data_label={}{worker}", piece(&self.env), piece(&self.data_label))
    }
}

/// What can be asked for, and how it is called.
const FILTERS: [(&str, &str); 3] =
    [("capability", "Capability begins with"), ("worker", "As worker"), ("tenant", "For tenant")];

/// `GET /console/policy`
pub(super) async fn page(who: SignedIn, RawQuery(query): RawQuery) -> Result<Response, Failed> {
    let asked = Queried::of(query);
    let kept = asked.kept(FILTERS.iter().map(|(key, _)| *key));
    let after = asked.kept(["after"].into_iter());
    let policy: Policy = who.get(&format!("/api/policy?{}", format!("{kept}{after}").trim_start_matches('&'))).await?;
    let mut envs: Vec<(String, usize)> = Vec::new();
    let mut labels = Vec::new();
    for cell in policy.capabilities.first().map_or(&[][..], |first| &first.cells) {
        match envs.last_mut().filter(|(env, _)| *env == cell.env) {
            Some((_, labels)) => *labels += 1,
            None => envs.push((cell.env.clone(), 1)),
        }
        labels.push(cell.data_label.clone());
    }
    let cells = policy.capabilities.iter().flat_map(|one| &one.cells);
    Ok(page::html(&PolicyPage {
        frame: PageFrame::of(&who, "policy"),
        filters: FILTERS.map(|(key, name)| (key, name, asked.said(key).unwrap_or_default())).into(),
        envs,
        labels,
        asked_as: format!("&tenant_id={}", piece(&policy.tenant_id)),
        flips: cells.filter(|cell| cell.shadow.is_some()).count(),
        next: policy.next.as_ref().map(|next| format!("/console/policy?after={}{kept}", piece(next))),
        policy,
    }))
}
