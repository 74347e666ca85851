//! Workers: who is enrolled, for what and where, what they did today, and the forms that take the right to act from one and give it back.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::console::ask::{Failed, piece};
use crate::console::guard::{Form, SignedIn};
use crate::console::page::{self, PageFrame, When};
use crate::hall::Scope;

#[derive(Template)]
#[template(path = "workers.html", config = "src/console/askama.toml")]
struct WorkersPage {
    frame: PageFrame,
    workers: Vec<Worker>,
}

#[derive(Template)]
#[template(path = "worker.html", config = "src/console/askama.toml")]
struct WorkerPage {
    frame: PageFrame,
    one: Worker,
    may_revoke: bool,
    may_restore: bool,
}

/// Of `/workers`.
#[derive(Deserialize)]
struct Workers {
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Worker {
    worker_id: String,
    species_id: String,
    capabilities: Vec<String>,
    risk_tier: String,
    enrolled_at: Option<When>,
    standing: String,
    health: String,
    blast_score: Option<u8>,
    allowed_environments: Option<Vec<String>>,
    dispatches_today: u64,
    refusals_today: u64,
    failures_today: u64,
}

/// What is to become of a worker.
#[derive(Deserialize)]
pub(super) struct ChangeForm {
    change: String,
    #[serde(default)]
    reason: String,
}

/// `GET /console/workers`
pub(super) async fn list(who: SignedIn) -> Result<Response, Failed> {
    let Workers { workers } = who.get("/workers").await?;
    Ok(page::html(&WorkersPage { frame: PageFrame::of(&who, "workers"), workers }))
}

/// `GET /console/workers/{id}`
pub(super) async fn one(who: SignedIn, Path(id): Path<String>) -> Result<Response, Failed> {
    let Workers { workers } = who.get("/workers").await?;
    let one = workers.into_iter().find(|worker| worker.worker_id == id).ok_or_else(|| Failed {
        status: StatusCode::NOT_FOUND,
        reason: "no worker has this id that this token may see".to_owned(),
    })?;
    let (may_revoke, may_restore) = (who.may(Scope::Enroll) || who.may(Scope::Admin), who.may(Scope::Admin));
    Ok(page::html(&WorkerPage { frame: PageFrame::of(&who, "workers"), one, may_revoke, may_restore }))
}

/// `POST /console/workers/{id}`
pub(super) async fn change(
    who: SignedIn,
    Path(id): Path<String>,
    Form(ChangeForm { change, reason }): Form<ChangeForm>,
) -> Result<Response, Failed> {
    let asked = match reason.trim() {
        "" => json!({}),
        reason => json!({ "reason": reason }),
    };
    if !matches!(change.as_str(), "revoke" | "restore") {
        let reason = "a worker is revoked or restored, and nothing else".to_owned();
        return Err(Failed { status: StatusCode::BAD_REQUEST, reason });
    }
    let _state: Value = who.post(&format!("/wcp/workers/{}/{change}", piece(&id)), &asked).await?;
    Ok(Redirect::to(&format!("/console/workers/{}", piece(&id))).into_response())
}
