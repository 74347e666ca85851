//! Whether all is well: the doctor's checks, and alerts until somebody says that they know.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::console::ask::{Failed, piece};
use crate::console::guard::{Form, Sent, SignedIn};
use crate::console::page::{self, PageFrame, When};
use crate::hall::Scope;

#[derive(Template)]
#[template(path = "health.html", config = "src/console/askama.toml")]
struct HealthPage {
    frame: PageFrame,
    checks: Vec<(&'static str, Check)>,
    checked_at: When,
    refused: Option<RefusedFiles>,
    registry: Option<Registry>,
    certificates: Vec<Certificate>,
    alerts: Vec<Alert>,
    may_acknowledge: bool,
}

/// Of `/api/doctor`.
#[derive(Deserialize)]
struct Doctor {
    checks: Checks,
    checked_at: When,
    refused_change: Option<RefusedFiles>,
    registry: Option<Registry>,
    certificates: Vec<Certificate>,
}

#[derive(Deserialize)]
struct RefusedFiles {
    since: When,
    count: usize,
    problems: Vec<String>,
}

#[derive(Deserialize)]
struct Registry {
    url: String,
    answered_at: Option<When>,
    error: Option<String>,
    banned_hashes: Option<usize>,
    unverified_workers: usize,
}

#[derive(Deserialize)]
struct Certificate {
    of: String,
    expires_at: Option<When>,
    days_left: Option<i64>,
    status: String,
}

#[derive(Deserialize)]
struct Checks {
    connectivity: Check,
    auth: Check,
    binary_integrity: Check,
    hall_server: Check,
    db: Check,
    config: Check,
}

#[derive(Deserialize)]
struct Check {
    status: String,
    message: String,
}

/// Of `/api/alerts`.
#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    id: String,
    severity: String,
    title: String,
    body: String,
    created_at: When,
    last_event: When,
    count: u64,
    acknowledged: bool,
    acknowledged_at: Option<When>,
}

/// `GET /console/health`
pub(super) async fn page(who: SignedIn) -> Result<Response, Failed> {
    let doctor: Doctor = who.get("/api/doctor").await?;
    let Doctor { checks, checked_at, refused_change: refused, registry, certificates } = doctor;
    let Alerts { alerts } = who.get("/api/alerts").await?;
    let Checks { connectivity, auth, binary_integrity, hall_server, db, config } = checks;
    let checks = vec![
        ("The Hall", hall_server),
        ("Ledger", db),
        ("Files and policy", config),
        ("Registry", connectivity),
        ("Tokens", auth),
        ("Program", binary_integrity),
    ];
    let may_acknowledge = who.may(Scope::Admin);
    let frame = PageFrame::of(&who, "health");
    Ok(page::html(&HealthPage { frame, checks, checked_at, refused, registry, certificates, alerts, may_acknowledge }))
}

/// `POST /console/alerts/{id}`
pub(super) async fn acknowledge(
    who: SignedIn,
    Path(id): Path<String>,
    Form(Sent {}): Form<Sent>,
) -> Result<Response, Failed> {
    let _alert: Value = who.post(&format!("/api/alerts/{}/acknowledge", piece(&id)), &json!({})).await?;
    Ok(Redirect::to("/console/health").into_response())
}
