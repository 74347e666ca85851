//! The first page: whether the Hall decides, by which policy, what it decided today, and what waits for somebody.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::console::ask::Failed;
use crate::console::guard::SignedIn;
use crate::console::page::{self, PageFrame, When};
use crate::hall::Scope;

/// How wide the chart is, in its own units.
const WIDTH: u64 = 600;

#[derive(Template)]
#[template(path = "status.html", config = "src/console/askama.toml")]
struct StatusPage {
    frame: PageFrame,
    status: Status,
    health: Health,
    overall: String,
    alerts: usize,
    /// How many requests wait for a human.
    pending: usize,
    /// How wide the part of what was allowed is.
    allowed: u64,
    denials: Vec<(String, usize)>,
    /// Of how many decisions those are.
    looked_at: usize,
}

/// Of `/status`.
#[derive(Deserialize)]
struct Status {
    hall_version: String,
    decisions_today: u64,
    denials_today: u64,
    counted_since: When,
    ledger_entries: Option<u64>,
    online: bool,
    workers_enrolled: usize,
}

/// Of `/api/health`.
#[derive(Deserialize)]
struct Health {
    started_at: When,
    rules_loaded: usize,
    profile: String,
    wcp_mode: String,
}

/// Of `/api/doctor`.
#[derive(Deserialize)]
struct Doctor {
    overall: String,
}

/// Of `/api/alerts`.
#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    acknowledged: bool,
}

/// Of a list.
#[derive(Deserialize)]
struct Counted {
    count: usize,
}

/// Of `/api/decisions`.
#[derive(Deserialize)]
struct Denials {
    decisions: Vec<Denial>,
}

#[derive(Deserialize)]
struct Denial {
    deny_code: Option<String>,
}

/// `GET /console/`
pub(super) async fn page(who: SignedIn) -> Result<Response, Failed> {
    if !who.may(Scope::Read) {
        // Whoever only approves has one page.
        return Ok(Redirect::to("/console/approvals").into_response());
    }
    let status: Status = who.get("/status").await?;
    let alerts: Alerts = who.get("/api/alerts").await?;
    let pending: Counted = who.get("/wcp/approvals/pending").await?;
    let Doctor { overall } = who.get("/api/doctor").await?;
    let Denials { decisions } = who.get("/api/decisions?limit=200").await?;
    let looked_at = decisions.len();
    let mut codes = BTreeMap::<String, usize>::new();
    for code in decisions.into_iter().filter_map(|one| one.deny_code) {
        *codes.entry(code).or_default() += 1;
    }
    let mut denials: Vec<(String, usize)> = codes.into_iter().collect();
    denials.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    denials.truncate(5);
    let allowed = status.decisions_today.saturating_sub(status.denials_today);
    Ok(page::html(&StatusPage {
        frame: PageFrame::of(&who, "status"),
        allowed: (allowed * WIDTH).checked_div(status.decisions_today).unwrap_or(0),
        health: who.get("/api/health").await?,
        overall,
        alerts: alerts.alerts.iter().filter(|alert| !alert.acknowledged).count(),
        pending: pending.count,
        status,
        denials,
        looked_at,
    }))
}
