//! Several at once: the boxes that somebody has ticked, each with the digest that was listed, and what has become of each.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Approval;
use crate::console::ask::Failed;
use crate::console::guard::{Form, SignedIn};
use crate::console::page::{self, PageFrame};
use crate::hall::approvals::visible;

/// The most characters of what would run that a list shows.
const SHORT: usize = 240;

#[derive(Template)]
#[template(path = "several.html", config = "src/console/askama.toml")]
struct SeveralPage {
    frame: PageFrame,
    decided: Decided,
}

/// Of `/wcp/approvals/resolve-several`.
#[derive(Deserialize)]
struct Decided {
    resolved: usize,
    approvals: Vec<DecidedOne>,
}

#[derive(Deserialize)]
struct DecidedOne {
    pending_approval_id: String,
    approval: Option<Approval>,
    refusal: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    reason: String,
}

impl Approval {
    /// Whether it can be decided about together with others: what is graver has a page of its own.
    pub(super) fn is_for_several(&self) -> bool {
        self.may_decide && self.supervisor_level == "gatekeeper" && self.contents.is_some()
    }

    /// The beginning of what would run in one line: where it goes, and its body.
    pub(super) fn short(&self) -> String {
        let Some(contents) = &self.contents else { return String::new() };
        let body = if contents.is_withheld { "" } else { &contents.body };
        let whole = [contents.http.as_deref().unwrap_or_default(), body].join(" ");
        let mut short = visible(&whole.trim().chars().take(SHORT).collect::<String>());
        if whole.trim().chars().nth(SHORT).is_some() {
            short.push('…');
        }
        short
    }
}

/// `POST /console/approvals`
pub(in crate::console) async fn resolve(
    who: SignedIn,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Failed> {
    let of = |name: &'static str| fields.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str());
    let chosen: Vec<Value> = of("chosen")
        .map(|chosen| {
            let (id, digest) = chosen.split_once(' ').unwrap_or((chosen, ""));
            json!({ "pending_approval_id": id, "digest": digest })
        })
        .collect();
    if chosen.is_empty() {
        let reason = "nothing was chosen, and nothing was decided: tick what you have looked at".to_owned();
        return Err(Failed { status: StatusCode::BAD_REQUEST, reason });
    }
    let note = of("note").next().map(str::trim).filter(|note| !note.is_empty());
    let asked = json!({ "resolution": of("resolution").next(), "note": note, "approvals": chosen });
    let decided = who.post("/wcp/approvals/resolve-several", &asked).await?;
    Ok(page::html(&SeveralPage { frame: PageFrame::of(&who, "approvals"), decided }))
}
