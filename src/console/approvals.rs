//! What waits for a human: exactly what would run, and the form that says yes or no to that and nothing else.

pub(super) mod several;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::console::ask::{Failed, piece};
use crate::console::guard::{Form, SignedIn};
use crate::console::page::{self, PageFrame, When};

/// The most that are listed with what would run, to be decided together: the oldest.
const TOGETHER: usize = 20;

#[derive(Template)]
#[template(path = "approvals.html", config = "src/console/askama.toml")]
struct ApprovalsPage {
    frame: PageFrame,
    pending: Vec<Approval>,
    approved: Vec<Approval>,
}

#[derive(Template)]
#[template(path = "approval.html", config = "src/console/askama.toml")]
struct ApprovalPage {
    frame: PageFrame,
    one: Approval,
}

/// Of `/wcp/approvals/…`.
#[derive(Deserialize)]
struct Approvals {
    approvals: Vec<Approval>,
}

#[derive(Deserialize)]
struct Approval {
    pending_approval_id: String,
    state: String,
    supervisor_level: String,
    requested_by: Option<String>,
    tenant_id: String,
    worker_id: Option<String>,
    capability_id: String,
    env: String,
    data_label: String,
    matched_rule_id: String,
    policies: Vec<String>,
    blast_score: Option<i64>,
    reason: String,
    correlation_id: String,
    digest: String,
    opened_at: When,
    expires_at: When,
    votes: Vec<String>,
    quorum: usize,
    may_decide: bool,
    why_not: Option<String>,
    note: Option<String>,
    resolved_by: Option<String>,
    contents: Option<Contents>,
    similar: Option<Similar>,
}

/// What else waits of the same worker and capability.
#[derive(Deserialize)]
struct Similar {
    count: usize,
    compared: Vec<Compared>,
}

/// How it differs from this one.
#[derive(Deserialize)]
struct Compared {
    pending_approval_id: String,
    opened_at: When,
    only_here: Vec<String>,
    more_here: usize,
    only_there: Vec<String>,
    more_there: usize,
}

#[derive(Deserialize)]
struct Contents {
    http: Option<String>,
    headers: Vec<Header>,
    body: String,
    is_hex: bool,
    bytes: usize,
    is_withheld: bool,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

impl Compared {
    /// Whether no line differs but by its place.
    const fn is_alike(&self) -> bool {
        self.only_here.is_empty() && self.only_there.is_empty()
    }
}

/// What somebody says to it.
#[derive(Deserialize)]
pub(super) struct ResolutionForm {
    resolution: String,
    /// What was looked at.
    digest: String,
    #[serde(default)]
    note: String,
}

/// `GET /console/approvals`
pub(super) async fn list(who: SignedIn) -> Result<Response, Failed> {
    let Approvals { approvals: mut pending } = who.get("/wcp/approvals/pending").await?;
    let theirs = pending.iter_mut().filter(|one| one.may_decide && one.supervisor_level == "gatekeeper");
    for one in theirs.take(TOGETHER) {
        // What was decided meanwhile is not there any more.
        if let Ok(whole) = who.get(&format!("/wcp/approvals/{}", piece(&one.pending_approval_id))).await {
            *one = whole;
        }
    }
    let Approvals { approvals: approved } = who.get("/wcp/approvals/pending?state=approved").await?;
    Ok(page::html(&ApprovalsPage { frame: PageFrame::of(&who, "approvals"), pending, approved }))
}

/// `GET /console/approvals/{id}`
pub(super) async fn one(who: SignedIn, Path(id): Path<String>) -> Result<Response, Failed> {
    let one: Approval = who.get(&format!("/wcp/approvals/{}", piece(&id))).await?;
    Ok(page::html(&ApprovalPage { frame: PageFrame::of(&who, "approvals"), one }))
}

/// `POST /console/approvals/{id}`
pub(super) async fn resolve(
    who: SignedIn,
    Path(id): Path<String>,
    Form(ResolutionForm { resolution, digest, note }): Form<ResolutionForm>,
) -> Result<Response, Failed> {
    let note = Some(note.trim()).filter(|note| !note.is_empty());
    // Whoever agrees agrees to what the page showed.
    let digest = Some(digest).filter(|_| resolution == "approve");
    let asked = json!({ "pending_approval_id": id, "resolution": resolution, "note": note, "digest": digest });
    let _approval: Value = who.post("/wcp/approvals/resolve", &asked).await?;
    Ok(Redirect::to(&format!("/console/approvals/{}", piece(&id))).into_response())
}
