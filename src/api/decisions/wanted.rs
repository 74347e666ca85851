//! What is asked for in the address: which decisions, which page of them, and in which form. Each word once, and none that means nothing.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use http::HeaderValue;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use utoipa::IntoParams;
use utoipa::openapi::SchemaFormat;
use utoipa::openapi::schema::{Object, Type};
use uuid::Uuid;

use crate::api::error::ApiError;
use crate::clock;
use crate::engine::{Binding, DenyCode, Outcome};
use crate::hall::{DecisionFilter, DecisionQuery, DecisionRange};
use crate::ids::{DataLabel, Env};

/// Which decisions: those that are all of what is said.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
pub(in crate::api) struct DecisionWords {
    /// The worker that acts or was named.
    #[param(inline)]
    worker: Option<String>,
    /// DISPATCH, DENY or STEWARD_HOLD.
    #[param(inline, schema_with = verdicts)]
    verdict: Option<String>,
    /// The deny code.
    #[param(inline, schema_with = codes)]
    code: Option<String>,
    /// The capability.
    #[param(inline)]
    capability: Option<String>,
    /// How sensitive the data is.
    #[param(inline, schema_with = labels)]
    label: Option<String>,
    /// The tenant.
    #[param(inline)]
    tenant: Option<String>,
    /// The environment.
    #[param(inline, schema_with = envs)]
    env: Option<String>,
}

/// Which page of them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
pub(in crate::api) struct DecisionPage {
    /// From this time on: RFC 3339, or a day, or a day and a time in UTC. The ledger's times never go back, whatever its clock does.
    #[param(inline, schema_with = a_time)]
    since: Option<String>,
    /// Before this time.
    #[param(inline, schema_with = a_time)]
    before: Option<String>,
    /// Those that come next: `next` of the answer before.
    #[param(inline, schema_with = an_id)]
    cursor: Option<String>,
    /// At most so many: from 1 to 200, 50 if it is not said; in CSV from 1 to 5,000, and 1,000.
    #[param(inline, schema_with = a_limit)]
    limit: Option<String>,
    /// json or csv.
    #[param(inline, schema_with = forms)]
    format: Option<String>,
}

/// The words of [`DecisionWords`].
const FILTERS: [&str; 7] = ["worker", "verdict", "code", "capability", "label", "tenant", "env"];
/// The words of [`DecisionPage`].
const PAGE: [&str; 5] = ["since", "before", "cursor", "limit", "format"];

pub(in crate::api) fn text(values: impl Iterator<Item = &'static str>) -> Object {
    Object::builder().schema_type(Type::String).enum_values(Some(values)).build()
}

pub(in crate::api) fn verdicts() -> Object {
    text(Outcome::ALL.iter().map(|verdict| verdict.as_str()))
}

pub(in crate::api) fn codes() -> Object {
    text(DenyCode::ALL.iter().map(|code| code.as_str()))
}

pub(in crate::api) fn labels() -> Object {
    text(DataLabel::ALL.iter().map(|label| label.as_str()))
}

fn envs() -> Object {
    text(Env::ALL.iter().map(|env| env.as_str()))
}

fn forms() -> Object {
    text(["json", "csv"].into_iter())
}

pub(in crate::api) fn a_time() -> Object {
    Object::builder().schema_type(Type::String).format(Some(SchemaFormat::Custom("date-time".to_owned()))).build()
}

fn an_id() -> Object {
    Object::builder().schema_type(Type::String).format(Some(SchemaFormat::Custom("uuid".to_owned()))).build()
}

fn a_limit() -> Object {
    Object::builder().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(super::MOST)).build()
}

/// What is asked for, word by word; each is taken out by who knows it.
pub(super) type AskedWords = BTreeMap<String, String>;

/// The words of an address as they come.
pub(in crate::api) type Words = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The words of an address: these, or those of a page, too; each once.
pub(super) fn words(words: Words, paged: bool) -> Result<AskedWords, ApiError> {
    let known: Vec<&str> = FILTERS.iter().chain(PAGE.iter().filter(|_| paged)).copied().collect();
    let unknown = || {
        let known = format!("{}, each once", known.join(", "));
        ApiError::bad_parameter("parameters", "are unknown or there twice", &known)
    };
    let mut asked = AskedWords::new();
    for (word, value) in words.map_err(|_| unknown())?.0 {
        if !known.contains(&&*word) || asked.insert(word, value).is_some() {
            return Err(unknown());
        }
    }
    Ok(asked)
}

/// The address of what comes after this decision.
pub(super) fn address(asked: &AskedWords, next: &str) -> String {
    let kept = asked.iter().filter(|(word, _)| *word != "cursor");
    let kept = kept.map(|(word, value)| format!("{word}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    format!("/api/decisions?{}cursor={next}", kept.collect::<String>())
}

/// Whether CSV is wanted.
pub(super) fn in_lines(asked: &mut AskedWords, accept: Option<&HeaderValue>) -> Result<bool, ApiError> {
    match asked.remove("format").as_deref() {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(_) => Err(ApiError::bad_parameter("format", "is none", "json or csv")),
        None => {
            let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            let mut kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
            Ok(kinds.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/csv")))
        }
    }
}

/// How many are wanted.
pub(super) fn limit(asked: &mut AskedWords, most: usize, if_not_said: usize) -> Result<usize, ApiError> {
    let Some(written) = asked.remove("limit") else { return Ok(if_not_said) };
    let limit = written.parse().ok().filter(|limit| (1..=most).contains(limit));
    let expected = format!("a number from 1 to {most}");
    limit.ok_or_else(|| ApiError::bad_parameter("limit", "is no number of decisions", &expected))
}

/// What is to be looked up, for whoever is bound like this.
pub(super) fn query(mut asked: AskedWords, reader: Binding) -> Result<DecisionQuery, ApiError> {
    let cursor = word(&mut asked, "cursor", "`next` of the answer before", |id| Uuid::try_parse(id).ok())?;
    let range = DecisionRange { before: cursor, after: None };
    let time = "a time such as 2026-11-29T08:00:00Z, or a day";
    let (since, before) =
        (word(&mut asked, "since", time, clock::parse)?, word(&mut asked, "before", time, clock::parse)?);
    let filter = DecisionFilter { since, before, ..filter(asked, reader)? };
    Ok(DecisionQuery { filter, range, most: 0, counts: false })
}

/// Which decisions, for whoever is bound like this.
pub(super) fn filter(mut asked: AskedWords, reader: Binding) -> Result<DecisionFilter, ApiError> {
    let verdict = |word: &str| Outcome::ALL.iter().copied().find(|one| one.as_str() == word);
    let code = |word: &str| DenyCode::ALL.iter().copied().find(|one| one.as_str() == word);
    Ok(DecisionFilter {
        verdict: word(&mut asked, "verdict", "DISPATCH, DENY or STEWARD_HOLD", verdict)?,
        code: word(&mut asked, "code", "a deny code, such as DENY_NO_MATCHING_RULE", code)?,
        label: word(&mut asked, "label", "PUBLIC, INTERNAL, CONFIDENTIAL or RESTRICTED", |label| label.parse().ok())?,
        env: word(&mut asked, "env", "dev, stage, prod or edge", |env| env.parse().ok())?,
        worker: asked.remove("worker"),
        capability: asked.remove("capability"),
        tenant: asked.remove("tenant"),
        since: None,
        before: None,
        reader,
    })
}

fn word<T>(
    asked: &mut AskedWords,
    key: &str,
    expected: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let written = asked.remove(key);
    let read = written.map(|written| read(&written).ok_or_else(|| ApiError::bad_parameter(key, "is none", expected)));
    read.transpose()
}
