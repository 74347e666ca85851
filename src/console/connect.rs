//! Connect: what an app or a platform needs to ask this Hall, with its own address in it; a token made here, and a test request.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_DISPOSITION;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::console::ask::Failed;
use crate::console::guard::{Form, SignedIn};
use crate::console::page::{self, PageFrame};
use crate::hall::Scope;

/// Samples of the documentation, which tests execute: of whom, in which page, behind which line.
const SAMPLES: [(&str, &str, &str); 3] = [
    ("Python", include_str!("../../docs/integrate/python.md"), "```python\n"),
    ("TypeScript and JavaScript", include_str!("../../docs/integrate/typescript.md"), "```ts\n"),
    ("Pipedream, a code step", include_str!("../../docs/integrate/pipedream.md"), "```js step\n"),
];
/// What platforms import.
const IMPORTS: [(&str, &str, &str); 5] = [
    (
        "make-blueprint.json",
        "Make: a scenario that asks before its step",
        include_str!("../../docs/integrate/import/make-blueprint.json"),
    ),
    (
        "make-hold-blueprint.json",
        "Make: the same, where a human may have to agree",
        include_str!("../../docs/integrate/import/make-hold-blueprint.json"),
    ),
    (
        "make-resume-blueprint.json",
        "Make: what goes on when one has",
        include_str!("../../docs/integrate/import/make-resume-blueprint.json"),
    ),
    (
        "n8n-workflow.json",
        "n8n: a workflow that asks before its step",
        include_str!("../../docs/integrate/import/n8n-workflow.json"),
    ),
    (
        "n8n-hold-workflow.json",
        "n8n: the same, where a human may have to agree",
        include_str!("../../docs/integrate/import/n8n-hold-workflow.json"),
    ),
];
/// What stands in samples and files for the Hall's address.
const ADDRESSES: [&str; 4] = [
    "https://hall.example.org",
    "http://localhost:8765",
    "{{var.organization.PYHALL_HALL_URL}}",
    "${process.env.PYHALL_HALL_URL}",
];

#[derive(Template)]
#[template(path = "connect.html", config = "src/console/askama.toml")]
struct ConnectPage {
    frame: PageFrame,
    curl: String,
    samples: Vec<(&'static str, String)>,
    imports: Vec<(&'static str, &'static str)>,
    may_route: bool,
    may_make: bool,
    tenant: String,
    address: String,
}

#[derive(Template)]
#[template(path = "made.html", config = "src/console/askama.toml")]
struct MadePage {
    frame: PageFrame,
    made: Made,
}

#[derive(Template)]
#[template(path = "tested.html", config = "src/console/askama.toml")]
struct TestedPage {
    frame: PageFrame,
    outcome: String,
    id: String,
    answer: String,
}

/// Of `/api/tokens/draft`.
#[derive(Deserialize)]
struct Made {
    secret: String,
    entry: String,
}

/// What the token is to be.
#[derive(Deserialize)]
pub(super) struct NewTokenForm {
    name: String,
    scope: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    worker: String,
}

/// What is asked.
#[derive(Deserialize)]
pub(super) struct TestForm {
    capability_id: String,
    env: String,
    data_label: String,
    worker_id: String,
    tenant_id: String,
}

/// `GET /console/connect`
pub(super) async fn page(who: SignedIn) -> Response {
    let address = &who.address;
    let curl = format!(
        "curl -sS {address}/api/route -H \"Authorization: Bearer $HALL_SESSION_TOKEN\" -H 'Content-Type: application/json' \\\n  -d \
         '{{\"capability_id\":\"cap.data.read.v1\",\"worker_id\":\"WORKER\",\"env\":\"dev\",\"data_label\":\"PUBLIC\"}}'"
    );
    let sample = |(name, page, line): &(&'static str, &str, &str)| {
        let code = page.split_once(line).and_then(|(_, rest)| rest.split_once("```"));
        Some((*name, addressed(code?.0, address)))
    };
    page::html(&ConnectPage {
        curl,
        samples: SAMPLES.iter().filter_map(sample).collect(),
        imports: IMPORTS.iter().map(|(file, what, _)| (*file, *what)).collect(),
        may_route: who.may(Scope::Route),
        may_make: who.may(Scope::Admin),
        tenant: who.token.binding.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
        address: who.address.clone(),
        frame: PageFrame::of(&who, "connect"),
    })
}

/// `GET /console/connect/{file}`: what a platform imports, with this Hall's address in it.
pub(super) async fn import(who: SignedIn, Path(file): Path<String>) -> Result<Response, Failed> {
    let found = IMPORTS.iter().find(|(name, ..)| *name == file);
    let (name, _, text) = found.ok_or_else(|| Failed {
        status: StatusCode::NOT_FOUND,
        reason: "there is no such file to import".to_owned(),
    })?;
    let mut answer = (page::headers("application/json"), addressed(text, &who.address)).into_response();
    if let Ok(named) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, named);
    }
    Ok(answer)
}

/// `POST /console/connect/token`: shown this once.
pub(super) async fn make_token(who: SignedIn, Form(asked): Form<NewTokenForm>) -> Result<Response, Failed> {
    let NewTokenForm { name, scope, tenant, worker } = asked;
    let mut members = Map::from_iter([("name".to_owned(), name.into()), ("scopes".to_owned(), json!([scope]))]);
    if !tenant.trim().is_empty() {
        members.insert("tenant_id".to_owned(), tenant.trim().into());
    }
    if !worker.trim().is_empty() {
        members.insert("worker_ids".to_owned(), json!([worker.trim()]));
    }
    let made = who.post("/api/tokens/draft", &Value::Object(members)).await?;
    Ok(page::html(&MadePage { frame: PageFrame::of(&who, "connect"), made }))
}

/// `POST /console/connect/test`: a dry run, which is on record as one.
pub(super) async fn test(who: SignedIn, Form(asked): Form<TestForm>) -> Result<Response, Failed> {
    let TestForm { capability_id, env, data_label, worker_id, tenant_id } = asked;
    let texts = [
        ("capability_id", capability_id),
        ("env", env),
        ("data_label", data_label),
        ("worker_id", worker_id),
        ("tenant_id", tenant_id),
    ];
    let said = texts.into_iter().filter(|(_, text)| !text.trim().is_empty());
    let mut route: Map<String, Value> = said.map(|(key, text)| (key.to_owned(), text.trim().into())).collect();
    route.insert("dry_run".to_owned(), true.into());
    let answer: Value = who.post("/api/route", &Value::Object(route)).await?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (outcome, id) = (text("outcome"), text("decision_id"));
    let answer = format!("{answer:#}");
    Ok(page::html(&TestedPage { frame: PageFrame::of(&who, "connect"), outcome, id, answer }))
}

/// A text with this Hall's address where another stands for it.
fn addressed(text: &str, address: &str) -> String {
    ADDRESSES.iter().fold(text.to_owned(), |text, other| text.replace(other, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_is_there_and_has_the_address() {
        for (name, page, line) in SAMPLES {
            let (code, _) = page.split_once(line).unwrap().1.split_once("```").unwrap();
            assert!(addressed(code, "https://hall.test").contains("https://hall.test"), "{name}");
        }
        for (name, _, text) in IMPORTS {
            let text = addressed(text, "https://hall.test");
            assert!(text.contains("https://hall.test/api/route"), "{name}");
            serde_json::from_str::<Value>(&text).unwrap();
        }
    }
}
