//! Enrolment by a form: a record is pasted, its hash is computed and the difference to the record in force shown, and only then it is sent.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::console::ask::{Failed, piece};
use crate::console::guard::{Form, SignedIn};
use crate::console::page::{self, PageFrame};

/// What a record looks like, for whoever has none yet.
const SAMPLE: &str = r#"{
  "worker_id": "wrk_NAME",
  "worker_species_id": "wrk.data.writer",
  "capabilities": ["cap.data.read.v1"],
  "risk_tier": "low",
  "allowed_environments": ["dev"]
}"#;

#[derive(Template)]
#[template(path = "enrol.html", config = "src/console/askama.toml")]
struct EnrolPage {
    frame: PageFrame,
    record: String,
    /// Why it is not to be enrolled as it is.
    refused: Option<String>,
    preview: Option<Preview>,
}

/// Of `/api/enroll/preview`.
#[derive(Deserialize)]
struct Preview {
    worker_id: String,
    would_be: String,
    artifact_hash: String,
    record: Value,
    differences: Vec<Difference>,
}

#[derive(Deserialize)]
struct Difference {
    member: String,
    was: Value,
    now: Value,
}

impl Preview {
    /// The record as the next form sends it.
    fn sent(&self) -> String {
        self.record.to_string()
    }
}

impl Difference {
    fn shown(value: &Value) -> String {
        match value {
            Value::Null => "(nothing)".to_owned(),
            other => format!("{other:#}"),
        }
    }

    fn was(&self) -> String {
        Self::shown(&self.was)
    }

    fn now(&self) -> String {
        Self::shown(&self.now)
    }
}

/// A record, and whether the difference was looked at.
#[derive(Deserialize)]
pub(super) struct RecordForm {
    record: String,
    step: String,
}

/// `GET /console/enrol`
pub(super) async fn form(who: SignedIn) -> Response {
    let frame = PageFrame::of(&who, "workers");
    page::html(&EnrolPage { frame, record: SAMPLE.to_owned(), refused: None, preview: None })
}

/// `POST /console/enrol`: shows what it would come to, or enrolls.
pub(super) async fn send(
    who: SignedIn,
    Form(RecordForm { record, step }): Form<RecordForm>,
) -> Result<Response, Failed> {
    let frame = PageFrame::of(&who, "workers");
    let parsed: Result<Value, _> = serde_json::from_str(&record);
    let asked = match parsed {
        Ok(asked) => asked,
        Err(error) => {
            let refused = Some(format!("the record is no JSON: {error}"));
            return Ok(page::html(&EnrolPage { frame, record, refused, preview: None }));
        }
    };
    match step.as_str() {
        "look" => Ok(match who.post("/api/enroll/preview", &asked).await {
            Ok(preview) => page::html(&EnrolPage { frame, record, refused: None, preview: Some(preview) }),
            // What is wrong with a record is told where it can be mended.
            Err(failed) if failed.status == StatusCode::BAD_REQUEST => {
                page::html(&EnrolPage { frame, record, refused: Some(failed.reason), preview: None })
            }
            Err(failed) => return Err(failed),
        }),
        "enrol" => {
            let _enrolled: Value = who.post("/enroll", &asked).await?;
            let worker = asked.get("worker_id").and_then(Value::as_str).unwrap_or_default();
            Ok(Redirect::to(&format!("/console/workers/{}", piece(worker))).into_response())
        }
        _ => {
            let reason = "a record is looked at or enrolled, and nothing else".to_owned();
            Err(Failed { status: StatusCode::BAD_REQUEST, reason })
        }
    }
}
