//! Pages: made of templates that escape what they are given, with headers that let nothing else run, load or frame them.

use std::fmt;

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use crate::console::guard::SignedIn;
use crate::hall::Scope;

/// Everything comes from here, and nobody may show it in a page of theirs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// What is around each page of somebody who is signed in.
#[derive(Debug)]
pub(super) struct PageFrame {
    /// The token's name.
    pub(super) who: String,
    /// Which tenant it is bound to.
    pub(super) tenant: Option<String>,
    /// Which page it is.
    pub(super) at: &'static str,
    /// Whether the token may look at decisions and what else there is to be read.
    pub(super) reads: bool,
    /// Whether it may look at approvals.
    pub(super) approves: bool,
}

impl PageFrame {
    /// Around this page.
    pub(super) fn of(who: &SignedIn, at: &'static str) -> Self {
        let reads = who.may(Scope::Read);
        Self {
            who: who.token.name.to_string(),
            tenant: who.token.binding.tenant.as_ref().map(ToString::to_string),
            at,
            reads,
            approves: reads || who.may(Scope::Approve),
        }
    }
}

/// A time as the API writes it, shown to the second.
#[derive(Debug, Deserialize)]
pub(super) struct When(String);

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0.get(..19).filter(|_| self.0.ends_with("+00:00"));
        match second.and_then(|second| second.split_once('T')) {
            Some((day, time)) => write!(f, "{day} {time}Z"),
            None => f.write_str(&self.0),
        }
    }
}

/// Says what went wrong.
#[derive(Template)]
#[template(path = "failed.html", config = "src/console/askama.toml")]
struct FailedPage<'a> {
    status: u16,
    title: &'a str,
    reason: &'a str,
}

/// A page as it is sent.
pub(super) fn html(page: &impl Template) -> Response {
    sent(StatusCode::OK, page)
}

fn sent(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, headers("text/html; charset=utf-8"), text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What every answer of the console has.
pub(super) fn headers(content: &'static str) -> [(HeaderName, HeaderValue); 5] {
    [
        (CONTENT_TYPE, HeaderValue::from_static(content)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        // With no referrer at all browsers say of no form from where it is sent.
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}

/// A page that says why there is no other.
pub(super) fn failed(status: StatusCode, reason: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Failed");
    sent(status, &FailedPage { status: status.as_u16(), title, reason })
}

/// The same of what the API says before it is asked anything.
pub(super) fn of_api(answer: Response) -> Response {
    let why = match answer.status() {
        StatusCode::TOO_MANY_REQUESTS => {
            "too many requests, or too many wrong tokens from where you are: wait a minute"
        }
        _ => "the Hall cannot answer now",
    };
    failed(answer.status(), why)
}

/// No such page.
pub(super) async fn none() -> Response {
    failed(StatusCode::NOT_FOUND, "there is no such page")
}

/// The style sheet.
pub(super) async fn style() -> Response {
    (headers("text/css; charset=utf-8"), include_str!("pages/style.css")).into_response()
}

/// The script, without which everything is there as well.
pub(super) async fn script() -> Response {
    (headers("text/javascript; charset=utf-8"), include_str!("pages/script.js")).into_response()
}

#[cfg(test)]
mod tests {
    use super::When;

    #[test]
    fn times_are_shown_to_the_second_and_what_is_none_as_it_is() {
        let shown = |time: &str| When(time.to_owned()).to_string();
        assert_eq!(shown("2026-11-30T17:52:05.425065+00:00"), "2026-11-30 17:52:05Z");
        for other in ["", "soon", "2026-11-30T17:52:05.425065+01:00", "ää+00:00"] {
            assert_eq!(shown(other), other);
        }
    }
}
