//! What was decided: by filters that are in the address, as it happens, and as CSV; and each with why, its receipt and the proof that it is in the log.

mod live;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_DISPOSITION;
use http::{HeaderValue, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::console::ask::{Failed, Queried, piece};
use crate::console::guard::SignedIn;
use crate::console::page::{self, PageFrame, When};
use crate::console::why::WhyShown;
use crate::ids::DataLabel;
pub(super) use live::feed;

#[derive(Template)]
#[template(path = "decisions.html", config = "src/console/askama.toml")]
struct DecisionsPage {
    frame: PageFrame,
    /// Each filter that is typed: its word, its name, an example, and what is typed.
    filters: Vec<(&'static str, &'static str, &'static str, String)>,
    verdict: String,
    label: String,
    labels: Vec<&'static str>,
    decisions: Vec<Decision>,
    /// The address of what comes next.
    next: Option<String>,
    /// The address that tells of new ones; none on a page of old ones.
    feed: Option<String>,
    /// The address of the same as CSV.
    lines: String,
    /// Since when all was looked at, if that is not from the beginning on.
    complete_since: Option<When>,
    is_filtered: bool,
}

#[derive(Template)]
#[template(path = "decision.html", config = "src/console/askama.toml")]
struct DecisionPage {
    frame: PageFrame,
    id: String,
    outcome: String,
    code: Option<String>,
    message: Option<String>,
    /// What is said of it first.
    main: Vec<(&'static str, String)>,
    /// All else that its entry has.
    rest: Vec<(String, String)>,
    asked: Option<String>,
    /// Why, decided again by what is in force now.
    why: Result<WhyShown, String>,
    /// A draft to be decided by.
    rules: String,
    /// Whether a case for tests can be made of it.
    has_case: bool,
    proof: Proof,
    signed: Vec<String>,
}

/// Of `/api/decisions`.
#[derive(Deserialize)]
struct Decisions {
    decisions: Vec<Decision>,
    next: Option<String>,
    complete_since: Option<When>,
}

#[derive(Deserialize)]
struct Decision {
    decision_id: String,
    decided_at: When,
    outcome: String,
    deny_code: Option<String>,
    deny_message: Option<String>,
    capability_id: Option<String>,
    data_label: Option<String>,
    tenant_id: Option<String>,
    worker_id: Option<String>,
    env: Option<String>,
    dry_run: bool,
}

/// Of `/wcp/receipts/{id}`.
#[derive(Deserialize)]
struct Proof {
    receipt: serde_json::Map<String, Value>,
    receipt_hash: String,
    inclusion: Inclusion,
    checkpoint: String,
}

#[derive(Deserialize)]
struct Inclusion {
    leaf_index: u64,
    tree_size: u64,
    hashes: Vec<String>,
}

/// What can be typed to be asked for, how it is called, and an example where one helps.
const FILTERS: [(&str, &str, &str); 7] = [
    ("worker", "Worker", ""),
    ("capability", "Capability", ""),
    ("code", "Code", ""),
    ("tenant", "Tenant", ""),
    ("env", "Environment", ""),
    ("since", "Since (UTC)", "2026-11-29T08:00"),
    ("before", "Before (UTC)", "2026-11-30"),
];
/// The words of the feed.
const OF_FEED: [&str; 7] = ["worker", "capability", "code", "tenant", "env", "verdict", "label"];
/// The words of times.
const TIMES: [&str; 2] = ["since", "before"];
/// The most decisions of a file.
const LINES: usize = 5000;
/// What is said of a decision first, by the names in its entry.
const MAIN: [(&str, &str); 12] = [
    ("recorded_at", "When"),
    ("capability_id", "Capability"),
    ("data_label", "Data"),
    ("env", "Environment"),
    ("tenant_id", "Tenant"),
    ("worker_id", "Worker"),
    ("worker_species_id", "Species"),
    ("matched_rule_id", "Rule"),
    ("policy_decision", "Policy gate"),
    ("blast_score", "Blast score"),
    ("policy_version", "Policy"),
    ("correlation_id", "Correlation"),
];
/// What is said elsewhere on the page.
const ELSEWHERE: [&str; 4] = ["outcome", "deny_code", "deny_message", "asked"];

/// `GET /console/decisions`
pub(super) async fn list(who: SignedIn, RawQuery(query): RawQuery) -> Result<Response, Failed> {
    let asked = Queried::of(query);
    let (filters, times) = (asked.kept(OF_FEED.into_iter()), asked.kept(TIMES.into_iter()));
    let cursor = asked.kept(["cursor"].into_iter());
    let found = who.get(&format!("/api/decisions?limit=50{filters}{times}{cursor}")).await?;
    let Decisions { decisions, next, complete_since } = found;
    let said = |word: &str| asked.said(word).unwrap_or_default();
    let is_newest = cursor.is_empty() && said("before").is_empty();
    Ok(page::html(&DecisionsPage {
        frame: PageFrame::of(&who, "decisions"),
        filters: FILTERS.map(|(word, name, hint)| (word, name, hint, said(word))).into(),
        verdict: said("verdict"),
        label: said("label"),
        labels: DataLabel::ALL.iter().map(|label| label.as_str()).collect(),
        decisions,
        next: next.map(|next| format!("/console/decisions?cursor={}{filters}{times}", piece(&next))),
        feed: is_newest.then(|| format!("/console/decisions/feed?{filters}")),
        lines: format!("/console/decisions.csv?{filters}{times}{cursor}"),
        complete_since,
        is_filtered: !filters.is_empty() || !times.is_empty(),
    }))
}

/// `GET /console/decisions.csv`
pub(super) async fn lines(who: SignedIn, RawQuery(query): RawQuery) -> Result<Response, Failed> {
    let kept = Queried::of(query).kept(OF_FEED.into_iter().chain(TIMES).chain(["cursor"]));
    let asked = Request::get(format!("/api/decisions?format=csv&limit={LINES}{kept}")).body(Body::empty());
    let answer = who.answer(asked).await?;
    let file = HeaderValue::from_static("attachment; filename=\"decisions.csv\"");
    let mut lines = (page::headers("text/csv; charset=utf-8"), answer.into_body()).into_response();
    lines.headers_mut().insert(CONTENT_DISPOSITION, file);
    Ok(lines)
}

/// `GET /console/decisions/{id}`
pub(super) async fn one(who: SignedIn, Path(id): Path<String>) -> Result<Response, Failed> {
    let proof: Proof = who.get(&format!("/wcp/receipts/{}", piece(&id))).await?;
    let text = |key: &str| proof.receipt.get(key).map(written).filter(|text| !text.is_empty());
    let main = MAIN.iter().filter_map(|(key, name)| Some((*name, text(key)?)));
    let known = |key: &str| ELSEWHERE.contains(&key) || MAIN.iter().any(|(main, _)| *main == key);
    let rest = proof.receipt.iter().filter(|(key, _)| !known(key)).map(|(key, value)| (key.clone(), written(value)));
    Ok(page::html(&DecisionPage {
        frame: PageFrame::of(&who, "decisions"),
        outcome: text("outcome").unwrap_or_default(),
        code: text("deny_code"),
        message: text("deny_message"),
        main: main.collect(),
        rest: rest.collect(),
        why: who.post("/api/explain", &json!({ "decision_id": id })).await.map_err(|failed| failed.reason),
        rules: String::new(),
        has_case: proof.receipt.contains_key("asked"),
        asked: proof.receipt.get("asked").map(|asked| format!("{asked:#}")),
        signed: proof.checkpoint.lines().map(str::to_owned).collect(),
        id,
        proof,
    }))
}

/// `GET /console/decisions/{id}/receipt.json`: what `hallgate audit verify-proof` takes.
pub(super) async fn receipt(who: SignedIn, Path(id): Path<String>) -> Result<Response, Failed> {
    let proof = who.get_whole(&format!("/wcp/receipts/{}", piece(&id))).await?;
    let mut answer = (page::headers("application/json"), proof).into_response();
    // The API has shown that it is one: so it has no more than hex digits and `-`.
    if let Ok(named) = HeaderValue::try_from(format!("attachment; filename=\"receipt-{id}.json\"")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, named);
    }
    Ok(answer)
}

/// A value of an entry as text.
fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.iter().all(Value::is_string) => {
            values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
