//! Why: what each gate says of a decision or of a request that is not made, what would change it, and what a draft would say.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_DISPOSITION;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::console::ask::{Failed, Queried, piece};
use crate::console::guard::{Form, SignedIn};
use crate::console::page::{self, PageFrame};

/// Of `/api/explain`.
#[derive(Deserialize)]
pub(super) struct WhyShown {
    pub(super) was: Option<VerdictShown>,
    pub(super) now: Option<VerdictShown>,
    pub(super) reason: Option<String>,
    pub(super) same_policy: bool,
    pub(super) same: Option<bool>,
    pub(super) cannot: Option<String>,
    pub(super) explain: Option<GatesShown>,
    pub(super) changes: Vec<ChangeShown>,
}

#[derive(Deserialize)]
pub(super) struct VerdictShown {
    pub(super) outcome: String,
    pub(super) deny_code: Option<String>,
    pub(super) matched_rule_id: Option<String>,
    pub(super) selected_worker_species_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct GatesShown {
    pub(super) gates: Vec<GateShown>,
    #[serde(default)]
    pub(super) nearest_rules: Vec<NearRuleShown>,
    pub(super) remedy: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct GateShown {
    pub(super) gate: String,
    pub(super) said: String,
    pub(super) note: Option<String>,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) supervisor_level: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct NearRuleShown {
    pub(super) rule_id: String,
    pub(super) number: usize,
    takes: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct ChangeShown {
    pub(super) member: String,
    values: Vec<Option<String>>,
    pub(super) outcome: String,
    pub(super) why: String,
    pub(super) in_doubt: bool,
}

impl NearRuleShown {
    /// What the request would have to have instead.
    pub(super) fn takes(&self) -> String {
        let fields = self.takes.iter().map(|(field, values)| format!("{field} {}", values.join(" or ")));
        fields.collect::<Vec<_>>().join("; ")
    }
}

impl ChangeShown {
    /// Its values in words.
    pub(super) fn values(&self) -> String {
        let values = self.values.iter().map(|value| value.as_deref().unwrap_or("left out"));
        values.collect::<Vec<_>>().join(" or ")
    }
}

#[derive(Template)]
#[template(path = "try.html", config = "src/console/askama.toml")]
struct TryPage {
    frame: PageFrame,
    asked: TryForm,
    why: Option<WhyShown>,
    /// The line that asks the Hall itself.
    curl: Option<String>,
    envs: [&'static str; 4],
    labels: [&'static str; 4],
}

#[derive(Template)]
#[template(path = "replay.html", config = "src/console/askama.toml")]
struct ReplayPage {
    frame: PageFrame,
    id: String,
    why: WhyShown,
    rules: String,
}

/// What is tried.
#[derive(Default)]
struct TryForm {
    capability_id: String,
    env: String,
    data_label: String,
    worker_id: String,
    tenant_id: String,
    request: String,
}

impl TryForm {
    /// The request, as it would be sent.
    fn route(&self) -> Result<Value, Failed> {
        let texts = [
            ("capability_id", &self.capability_id),
            ("env", &self.env),
            ("data_label", &self.data_label),
            ("worker_id", &self.worker_id),
            ("tenant_id", &self.tenant_id),
        ];
        let said = texts.into_iter().filter(|(_, text)| !text.is_empty());
        let mut route: Map<String, Value> = said.map(|(key, text)| (key.to_owned(), text.as_str().into())).collect();
        if !self.request.is_empty() {
            let request = serde_json::from_str::<Map<String, Value>>(&self.request).map_err(|error| Failed {
                status: StatusCode::BAD_REQUEST,
                reason: format!("the request's own object is no JSON object: {error}"),
            })?;
            route.insert("request".to_owned(), request.into());
        }
        Ok(route.into())
    }
}

/// `GET /console/try`: nothing is recorded, so it is in the address.
pub(super) async fn attempt(who: SignedIn, RawQuery(query): RawQuery) -> Result<Response, Failed> {
    let queried = Queried::of(query);
    let said = |key: &'static str| queried.said(key).unwrap_or_default();
    let asked = TryForm {
        capability_id: said("capability_id"),
        env: said("env"),
        data_label: said("data_label"),
        worker_id: said("worker_id"),
        tenant_id: said("tenant_id"),
        request: said("request"),
    };
    let (mut why, mut curl) = (None, None);
    if !asked.capability_id.is_empty() {
        let route = asked.route()?;
        why = Some(who.post("/api/explain", &json!({ "route": route })).await?);
        let quoted = route.to_string().replace('\'', "'\\''");
        curl = Some(format!(
            "curl -sS {}/api/route -H \"Authorization: Bearer $HALL_SESSION_TOKEN\" -H 'Content-Type: application/json' -d '{quoted}'",
            who.address
        ));
    }
    let frame = PageFrame::of(&who, "policy");
    let (envs, labels) = (["dev", "stage", "prod", "edge"], ["PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED"]);
    Ok(page::html(&TryPage { frame, asked, why, curl, envs, labels }))
}

/// A draft.
#[derive(Deserialize)]
pub(super) struct DraftForm {
    rules: String,
}

/// `POST /console/decisions/{id}/replay`: nothing is recorded; the draft is too long for an address.
pub(super) async fn replay(
    who: SignedIn,
    Path(id): Path<String>,
    Form(DraftForm { rules }): Form<DraftForm>,
) -> Result<Response, Failed> {
    let wrong = |reason: String| Failed { status: StatusCode::BAD_REQUEST, reason };
    let draft: Value = serde_json::from_str(&rules).map_err(|error| wrong(format!("the draft is no JSON: {error}")))?;
    // A rules file, or the list in it.
    let list = draft.get("rules").unwrap_or(&draft);
    let asked = json!({ "decision_id": id, "draft": { "rules": list } });
    let why = who.post("/api/explain", &asked).await?;
    Ok(page::html(&ReplayPage { frame: PageFrame::of(&who, "decisions"), id, why, rules }))
}

/// Of `/wcp/receipts/{id}`.
#[derive(Deserialize)]
struct Receipt {
    receipt: Map<String, Value>,
}

/// `GET /console/decisions/{id}/case.json`: what `hallgate test` takes.
pub(super) async fn case(who: SignedIn, Path(id): Path<String>) -> Result<Response, Failed> {
    let Receipt { receipt } = who.get(&format!("/wcp/receipts/{}", piece(&id))).await?;
    let case = case_of(&id, &receipt).ok_or_else(|| Failed {
        status: StatusCode::NOT_FOUND,
        reason: "this was refused before any policy was asked: there is no case in it".to_owned(),
    })?;
    let text = format!("{:#}\n", Value::Array(vec![case]));
    let mut answer = (page::headers("application/json"), text).into_response();
    // The API has shown that it is one: so it has no more than hex digits and `-`.
    if let Ok(named) = HeaderValue::try_from(format!("attachment; filename=\"case-{id}.json\"")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, named);
    }
    Ok(answer)
}

/// A case: what the entry has of the request, and what was said of it.
fn case_of(id: &str, entry: &Map<String, Value>) -> Option<Value> {
    let asked = entry.get("asked")?;
    let mut input = Map::new();
    for key in ["capability_id", "env", "data_label", "tenant_id", "worker_id", "qos_class", "correlation_id"] {
        input.extend(entry.get(key).filter(|value| !value.is_null()).map(|value| (key.to_owned(), value.clone())));
    }
    for key in ["tenant_risk", "blast_score"] {
        input.extend(asked.get(key).filter(|value| !value.is_null()).map(|value| (key.to_owned(), value.clone())));
    }
    let kept = asked.get("request").and_then(Value::as_str).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut request = match kept {
        Some(Value::Object(kept)) => kept,
        _ => Map::new(),
    };
    for key in ["egress", "writes"] {
        request.extend(asked.get(key).filter(|said| **said == true).map(|said| (key.to_owned(), said.clone())));
    }
    if !request.is_empty() {
        input.insert("request".to_owned(), request.into());
    }
    let mut expect = Map::new();
    for (key, from) in [
        ("outcome", "outcome"),
        ("deny_code", "deny_code"),
        ("matched_rule_id", "matched_rule_id"),
        ("selected_worker_species_id", "worker_species_id"),
    ] {
        expect.insert(key.to_owned(), entry.get(from).cloned().unwrap_or(Value::Null));
    }
    Some(json!({ "name": format!("decision {id}"), "input": input, "expect": expect }))
}
