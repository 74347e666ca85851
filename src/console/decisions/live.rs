//! Decisions as they are recorded: what the API's feed says, as rows of the page, for as long as somebody is signed in.

use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, future};
use http::HeaderValue;
use serde::Deserialize;

use super::{Decision, OF_FEED};
use crate::console::ask::{Failed, Queried};
use crate::console::guard::{Console, SignedIn};
use crate::console::page;

/// Under which id an event source was told something last.
const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Template)]
#[template(path = "decision_row.html", config = "src/console/askama.toml")]
struct DecisionRow {
    one: Decision,
}

/// How many decisions are not shown; `None`: too many to be counted.
#[derive(Deserialize)]
struct Lagged {
    skipped: Option<u64>,
}

/// `GET /console/decisions/feed`: events of the kind `row`, each with a row; `seen`: behind which decision.
pub(in crate::console) async fn feed(
    State(console): State<Console>,
    who: SignedIn,
    request: Request,
) -> Result<Response, Failed> {
    let words = Queried::of(request.uri().query().map(str::to_owned));
    let cookie = console.cookie(request.headers()).unwrap_or_default();
    let seen = words.said("seen").and_then(|seen| HeaderValue::try_from(seen).ok());
    // Whoever comes back by itself says it better.
    let seen = request.headers().get(LAST_EVENT_ID).cloned().or(seen);
    let mut asked =
        Request::get(format!("/api/decisions/feed?{}", words.kept(OF_FEED.into_iter()))).body(Body::empty());
    if let Ok(asked) = &mut asked {
        // The connection's own: it is known there whether its caller takes what is sent.
        asked.extensions_mut().clone_from(request.extensions());
        asked.headers_mut().extend(seen.map(|seen| (http::HeaderName::from_static(LAST_EVENT_ID), seen)));
    }
    let events = who.answer(asked).await?.into_body().into_data_stream();
    let is_signed_in = move || {
        let api = Arc::clone(&console.api);
        console.sessions.holds(&cookie, &api.tokens(), Instant::now())
    };
    let rows = events.take_while(move |_| future::ready(is_signed_in()));
    let rows = rows.map(|said| said.map(|said| in_rows(&said)));
    Ok((page::headers("text/event-stream; charset=utf-8"), Body::from_stream(rows)).into_response())
}

/// The API's events, of which each piece has whole ones, with rows in the places of decisions.
fn in_rows(said: &Bytes) -> Bytes {
    let said = String::from_utf8_lossy(said);
    let blocks = said.split_inclusive("\n\n").map(|block| row(block).unwrap_or_else(|| block.to_owned()));
    blocks.collect::<String>().into()
}

/// The row of one event; `None`: it is said as it is.
fn row(block: &str) -> Option<String> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = field("data")?;
    let row = match field("event")? {
        "decision" => DecisionRow { one: serde_json::from_str(data).ok()? }.render().ok()?,
        _ => {
            let Lagged { skipped } = serde_json::from_str(data).ok()?;
            let skipped = skipped.map_or("Many".to_owned(), |skipped| skipped.to_string());
            format!("<tr class=\"faint\"><td colspan=\"7\">{skipped} more, which are not shown here</td></tr>")
        }
    };
    let id = field("id").map(|id| format!("id: {id}\n")).unwrap_or_default();
    let lines: String = row.lines().map(|line| format!("data: {line}\n")).collect();
    Some(format!("{id}event: row\n{lines}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_a_row_in_which_nothing_is_markup_and_all_else_is_said_as_it_is() {
        let said = "retry: 2000\n\n: still here\n\nevent: lagged\ndata: {\"skipped\":3}\n\nid: a\nevent: decision\ndata: {\"decision_id\":\"a\",\
                    \"decided_at\":\"2026-11-30T17:52:05.425065+00:00\",\"outcome\":\"DENY\",\"deny_code\":null,\"deny_message\":null,\
                    \"capability_id\":null,\"data_label\":\"PUBLIC\",\"tenant_id\":null,\"worker_id\":\"<script>\\n\\ndata: x\",\"env\":null,\"dry_run\":false}\n\n";
        let rows = String::from_utf8(in_rows(&Bytes::from(said)).to_vec()).unwrap();
        assert!(rows.starts_with("retry: 2000\n\n: still here\n\nevent: row\ndata: <tr class=\"faint\""), "{rows}");
        let (_, row) = rows.split_once("id: a\nevent: row\n").unwrap();
        assert!(row.contains("&#60;script&#62;") && !row.contains("<script"), "{row}");
        assert!(row.trim_end().lines().all(|line| line.starts_with("data: ")), "{row}");
        assert_eq!(rows.matches("\n\n").count(), 4);
    }
}
