//! Evidence: entries by range and filter, to be downloaded in the form that somebody needs, and the whole ledger checked in place.

use askama::Template;
use axum::body::Body;
use axum::extract::{RawQuery, Request};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::console::ask::{Failed, Queried};
use crate::console::guard::{Form, SignedIn};
use crate::console::page::{self, PageFrame, When};

#[derive(Template)]
#[template(path = "evidence.html", config = "src/console/askama.toml")]
struct EvidencePage {
    frame: PageFrame,
    filters: Vec<(&'static str, &'static str, &'static str)>,
    /// How the last check stands, for whoever sees the whole ledger.
    check: Option<Check>,
}

/// Of `/api/evidence/check`.
#[derive(Deserialize)]
struct Check {
    found: String,
    words: String,
    began_at: Option<When>,
    ended_at: Option<When>,
    key: String,
    own_key: String,
}

/// What can be asked for, how it is called, and such as what.
const FILTERS: [(&str, &str, &str); 6] = [
    ("since", "From (UTC)", "2026-11-29"),
    ("until", "Before (UTC)", "2026-11-30T08:00:00Z"),
    ("worker", "Worker", ""),
    ("capability", "Capability", ""),
    ("code", "Code", ""),
    ("tenant", "Tenant", ""),
];

/// `GET /console/evidence`
pub(super) async fn page(who: SignedIn) -> Result<Response, Failed> {
    let check = if who.token.binding.is_bound() { None } else { Some(who.get("/api/evidence/check").await?) };
    Ok(page::html(&EvidencePage { frame: PageFrame::of(&who, "evidence"), filters: FILTERS.into(), check }))
}

/// `GET /console/evidence/entries`: as the API gives them.
pub(super) async fn entries(who: SignedIn, RawQuery(query): RawQuery, request: Request) -> Result<Response, Failed> {
    let asked = Queried::of(query);
    let keys = FILTERS.iter().map(|(key, ..)| *key).chain(["label", "verdict", "format"]);
    let path = format!("/api/evidence?{}", asked.kept(keys).trim_start_matches('&'));
    let mut asked = Request::get(path).body(Body::empty());
    if let Ok(asked) = &mut asked {
        // The connection's own: it is known there whether its caller takes what is sent.
        asked.extensions_mut().clone_from(request.extensions());
    }
    let (head, body) = who.answer(asked).await?.into_parts();
    let mut answer = (page::headers("application/octet-stream"), body).into_response();
    for name in [CONTENT_TYPE, CONTENT_DISPOSITION] {
        if let Some(value) = head.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    Ok(answer)
}

/// Under which key.
#[derive(Deserialize)]
pub(super) struct CheckForm {
    #[serde(default)]
    key: String,
}

/// `POST /console/evidence/check`
pub(super) async fn check(who: SignedIn, Form(CheckForm { key }): Form<CheckForm>) -> Result<Response, Failed> {
    let asked = match key.trim() {
        "" => json!({}),
        key => json!({ "key": key }),
    };
    let _begun: Value = who.post("/api/evidence/check", &asked).await?;
    Ok(Redirect::to("/console/evidence").into_response())
}
