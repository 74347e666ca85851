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
    may_enroll: bool,
}

#[derive(Template)]
#[template(path = "worker.html", config = "src/console/askama.toml")]
struct WorkerPage {
    frame: PageFrame,
    one: Worker,
    may_revoke: bool,
    may_restore: bool,
    /// Whether it may ban and take bans back: not where it is bound.
    may_ban: bool,
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
    artifact_hash: Option<String>,
    code_hash: Option<String>,
    hash_banned: Option<String>,
    dispatches_today: u64,
    refusals_today: u64,
    failures_today: u64,
}

impl Worker {
    /// Its hashes, each by what it is of.
    fn hashes(&self) -> Vec<(&'static str, &str)> {
        let hashes = [("record", self.artifact_hash.as_deref()), ("code", self.code_hash.as_deref())];
        hashes.into_iter().filter_map(|(what, hash)| Some((what, hash?))).collect()
    }

    /// The one that is banned.
    fn banned(&self) -> Option<(&'static str, &str)> {
        let banned = self.hash_banned.as_deref()?;
        self.hashes().into_iter().find(|(what, _)| *what == banned)
    }
}

/// What is to become of a worker.
#[derive(Deserialize)]
pub(super) struct ChangeForm {
    change: String,
    /// Of a ban.
    #[serde(default)]
    hash: String,
    #[serde(default)]
    reason: String,
}

/// `GET /console/workers`
pub(super) async fn list(who: SignedIn) -> Result<Response, Failed> {
    let Workers { workers } = who.get("/workers").await?;
    let may_enroll = may_enroll(&who);
    Ok(page::html(&WorkersPage { frame: PageFrame::of(&who, "workers"), workers, may_enroll }))
}

/// `GET /console/workers/{id}`
pub(super) async fn one(who: SignedIn, Path(id): Path<String>) -> Result<Response, Failed> {
    let Workers { workers } = who.get("/workers").await?;
    let one = workers.into_iter().find(|worker| worker.worker_id == id).ok_or_else(|| Failed {
        status: StatusCode::NOT_FOUND,
        reason: "no worker has this id that this token may see".to_owned(),
    })?;
    let (may_revoke, may_restore) = (may_enroll(&who), who.may(Scope::Admin));
    let may_ban = may_restore && !who.token.binding.is_bound();
    Ok(page::html(&WorkerPage { frame: PageFrame::of(&who, "workers"), one, may_revoke, may_restore, may_ban }))
}

/// `POST /console/workers/{id}`
pub(super) async fn change(
    who: SignedIn,
    Path(id): Path<String>,
    Form(ChangeForm { change, hash, reason }): Form<ChangeForm>,
) -> Result<Response, Failed> {
    let mut asked = match reason.trim() {
        "" => json!({}),
        reason => json!({ "reason": reason }),
    };
    let worker = piece(&id);
    let path = match change.as_str() {
        "revoke" | "restore" => format!("/wcp/workers/{worker}/{change}"),
        "ban" => "/wcp/registry/ban".to_owned(),
        "unban" => "/wcp/registry/unban".to_owned(),
        _ => {
            let reason = "a worker is revoked, restored, banned or let back in, and nothing else".to_owned();
            return Err(Failed { status: StatusCode::BAD_REQUEST, reason });
        }
    };
    if let Some(asked) = asked.as_object_mut().filter(|_| change.ends_with("ban")) {
        asked.insert("hash".to_owned(), hash.into());
        if change == "unban" {
            asked.remove("reason");
        }
    }
    let _state: Value = who.post(&path, &asked).await?;
    Ok(Redirect::to(&format!("/console/workers/{worker}")).into_response())
}

/// Whether the token may enroll, and take away.
fn may_enroll(who: &SignedIn) -> bool {
    who.may(Scope::Enroll) || who.may(Scope::Admin)
}
