//! `hallgate route`: ask a running Hall for a decision.

use std::io::{self, Read as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value};

use super::client::{HallAddress, HallAnswer};
use super::{CANNOT, cannot, say};
use crate::engine::input::written::LONGEST;

/// Ask a running Hall for a decision, and print its answer: from options, or without any as JSON from stdin
///
/// Exit codes: 0 allowed, 1 denied, 2 no decision.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    hall: HallAddress,
    #[command(flatten)]
    request: Request,
}

/// The fields of a request; each has the field's own name.
#[derive(Debug, Args)]
struct Request {
    /// What is to be done, such as cap.data.write.v1
    #[arg(long, requires = "env")]
    capability_id: Option<String>,
    /// Where: dev, stage, prod or edge
    #[arg(long, requires = "capability_id")]
    env: Option<String>,
    /// The registered worker that is to do it
    #[arg(long, requires = "capability_id")]
    worker_id: Option<String>,
    /// PUBLIC, INTERNAL, CONFIDENTIAL or RESTRICTED; without it, RESTRICTED
    #[arg(long, requires = "capability_id")]
    data_label: Option<String>,
    /// For whom, such as org.acme; without it, the token's tenant
    #[arg(long, requires = "capability_id")]
    tenant_id: Option<String>,
    /// low, medium, high or critical; only raises what the Hall knows
    #[arg(long, requires = "capability_id")]
    tenant_risk: Option<String>,
    /// P0 (most urgent) to P3
    #[arg(long, requires = "capability_id")]
    qos_class: Option<String>,
    /// What ties this request to others
    #[arg(long, requires = "capability_id")]
    correlation_id: Option<String>,
    /// 0 to 100; only raises what the Hall computes
    #[arg(long, requires = "capability_id", allow_negative_numbers = true)]
    blast_score: Option<i64>,
    /// The request itself, a JSON object
    #[arg(long, requires = "capability_id", value_name = "JSON", value_parser = object)]
    request: Option<Value>,
    /// Decide and record, but dispatch nothing
    #[arg(long, requires = "capability_id")]
    dry_run: bool,
}

/// A JSON object.
fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err("write a JSON object, such as `{\"writes\": true}`".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl Request {
    /// The body, when there are options.
    fn body(&self) -> Option<Vec<u8>> {
        let capability = self.capability_id.as_deref()?;
        let texts = [
            ("capability_id", Some(capability)),
            ("env", self.env.as_deref()),
            ("worker_id", self.worker_id.as_deref()),
            ("data_label", self.data_label.as_deref()),
            ("tenant_id", self.tenant_id.as_deref()),
            ("tenant_risk", self.tenant_risk.as_deref()),
            ("qos_class", self.qos_class.as_deref()),
            ("correlation_id", self.correlation_id.as_deref()),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), Value::from(text?))));
        let mut body: Map<String, Value> = texts.collect();
        body.extend(self.blast_score.map(|score| ("blast_score".to_owned(), score.into())));
        body.extend(self.request.clone().map(|request| ("request".to_owned(), request)));
        if self.dry_run {
            body.insert("dry_run".to_owned(), true.into());
        }
        Some(Value::Object(body).to_string().into_bytes())
    }
}

/// Runs the command. 0: allowed; 1: denied; 2: there is no decision.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let body = match options.request.body().map_or_else(stdin, Ok) {
        Ok(body) => body,
        Err(error) => return cannot(format_args!("stdin cannot be read: {error}")),
    };
    match options.hall.post("/api/route", body) {
        Ok(answer) => {
            say(&answer.body);
            said(&answer)
        }
        Err(error) => cannot(error),
    }
}

/// The request on stdin. The Hall refuses one that is too long: it need not be read to its end.
fn stdin() -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    io::stdin().lock().take(LONGEST as u64 + 1).read_to_end(&mut body)?;
    Ok(body)
}

/// Only an answer that says so in each of its ways allows.
fn said(answer: &HallAnswer) -> ExitCode {
    let flag = |key: &str| answer.body.get(key).and_then(Value::as_bool);
    match (answer.status, flag("denied"), flag("allowed")) {
        (200, Some(false), Some(true)) => ExitCode::SUCCESS,
        (200, Some(true), Some(false)) => ExitCode::FAILURE,
        (200, ..) => {
            let _ = cannot("the answer says neither that it allows nor that it denies");
            ExitCode::from(CANNOT)
        }
        _ => cannot(answer.refusal()),
    }
}
