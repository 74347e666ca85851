//! `POST /api/explain` and `GET /api/policy`: why, what would change it, and what would be decided of what. Nothing is recorded or asked of
//! anybody, so both are for readers.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::asked::{read, wrong};
use crate::api::error::{ApiError, ErrorEnvelope, NeedsBody, NeedsReader};
use crate::api::reader::Reader;
use crate::api::response::json;
use crate::api::schemas::{ExplainRequest, Explained};
use crate::engine::input::written::{Absent, Written};
use crate::engine::json::present;
use crate::engine::{Binding, Json, artifact};
use crate::hall::Hall;
use crate::hall::why::{Explainable, MatrixCell, MatrixRequest, NotExplained};

/// The most rules of one answer.
const RULES: usize = 500;

/// Why a decision was made, or would be, gate by gate, and what would change it: needs the scope `read`
///
/// Of a decision that is on record (`decision_id`), or of a request that is not made (`route`): nothing is recorded, nobody is asked, and no
/// answer of this allows anything. `draft.rules` stand in for the rules in force.
#[utoipa::path(post, path = "/api/explain", tag = "hall", security(("token" = [])), request_body = ExplainRequest,
    responses((status = 200, description = "why", body = Explained),
        (status = 404, description = "no such decision that the token may see", body = ErrorEnvelope<'static>),
        (status = 503, description = "the ledger cannot be read now, or too many ask", body = ErrorEnvelope<'static>), NeedsBody))]
pub(super) async fn explain(
    State(hall): State<Arc<Hall>>,
    reader: Reader,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let body = read(&head.headers, body).await?;
    let (what, draft) = explainable(&hall, &reader.binding, &body)?;
    let explained = hall.explain(what, &reader.binding, draft.as_deref()).await;
    match explained.map_err(|error| not_explained(&error))? {
        Some(reasons) => Ok(json(StatusCode::OK, &reasons.to_json())),
        None => Err(ApiError::no_receipt()),
    }
}

/// What a body asks to be explained, and by which rules.
fn explainable(hall: &Hall, reader: &Binding, body: &Json) -> Result<(Explainable, Option<String>), ApiError> {
    let members = body.as_object().ok_or_else(|| wrong("invalid body", "the body is no object".to_owned()))?;
    if let Some((key, _)) = members.iter().find(|(key, _)| !["decision_id", "route", "draft"].contains(&&***key)) {
        let reason = format!("`{key}` is no field of this; send `decision_id` or `route`, and `draft` if you have one");
        return Err(wrong(&format!("invalid field: {key}"), reason));
    }
    let draft = present(members, "draft").map(draft_of).transpose()?;
    let what = match (present(members, "decision_id"), present(members, "route")) {
        (Some(id), None) => {
            let id = id.as_str().and_then(|id| Uuid::try_parse(id).ok());
            Explainable::Recorded(id.ok_or_else(|| {
                wrong("invalid field: decision_id", "`decision_id` is no id of a decision".to_owned())
            })?)
        }
        (None, Some(route)) => {
            let made = || Arc::from("explain");
            let absent = Absent { tenant: reader.tenant.as_ref(), correlation_id: &made };
            let written = Written::from_json(route.clone(), &absent);
            let written = written.map_err(|why| wrong("invalid field: route", why.reason("`route`")))?;
            match written.describe(hall.snapshot().settings.mode) {
                Ok(input) => Explainable::Request(Box::new(input)),
                Err(unacceptable) => Explainable::Unacceptable(unacceptable.message),
            }
        }
        _ => {
            let reason = "send either `decision_id`, of a decision that is on record, or `route`, a request as `/api/route` takes it";
            return Err(wrong("invalid body", reason.to_owned()));
        }
    };
    Ok((what, draft))
}

/// The rules of a draft as the text of a rules file.
fn draft_of(draft: &Json) -> Result<String, ApiError> {
    let rules = draft.as_object().filter(|draft| draft.len() == 1).and_then(|draft| present(draft, "rules"));
    if rules.is_none() {
        let reason = "`draft` is an object with `rules`, as in a rules file, and nothing else".to_owned();
        return Err(wrong("invalid field: draft", reason));
    }
    let mut text = String::new();
    artifact::python_json(draft, &mut text);
    Ok(text)
}

fn not_explained(error: &NotExplained) -> ApiError {
    match error {
        NotExplained::Unread(error) => ApiError::unread(error),
        NotExplained::Draft(_) => wrong("invalid field: draft", format!("{error}")),
        NotExplained::NoDecision(why) => wrong("invalid field: decision_id", format!("this entry {why}")),
        NotExplained::Late => ApiError::busy(),
        NotExplained::Inside(why) => {
            tracing::error!(%why, "what was to be explained was not");
            ApiError::internal()
        }
    }
}

/// Which part of the matrix, and for whom.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyQuery {
    /// For this tenant; the token's own where it is bound to one, else one that nobody knows.
    #[param(inline)]
    tenant: Option<String>,
    /// As this worker; if it is not said, as whoever is enrolled for the capability and gets the most.
    #[param(inline)]
    worker: Option<String>,
    /// Only capabilities whose id begins so.
    #[param(inline)]
    capability: Option<String>,
    /// Only those behind this one: `next` of the answer before.
    #[param(inline)]
    after: Option<String>,
}

/// The policy in force.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Policy)]
pub(super) struct PolicyAnswer {
    /// The operator's name of it.
    version: String,
    /// strict or reference.
    mode: &'static str,
    /// The fingerprint of all of it, as decisions have it.
    snapshot: String,
    /// The fingerprint of the policy that is asked beside it and not enforced.
    shadow: Option<String>,
    /// The first 500, in their order.
    rules: Vec<RuleRow>,
    rules_count: usize,
    /// None for a token that is bound.
    policies: Vec<PolicyRow>,
    /// For whom it is asked.
    tenant_id: String,
    tenant_risk: &'static str,
    /// As whom; null: as whoever gets the most.
    worker_id: Option<String>,
    /// By id.
    capabilities: Vec<PolicyCapability>,
    count: usize,
    /// What to send as `after` for those that come next; null: there are no more.
    next: Option<String>,
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleRow {
    rule_id: String,
    /// Its place, from 1.
    number: usize,
    /// The values that each field may have; a field that may have any is left out.
    #[serde(rename = "match")]
    #[schema(value_type = std::collections::BTreeMap<String, Vec<String>>)]
    conditions: std::collections::BTreeMap<&'static str, Vec<Arc<str>>>,
    /// Whether it has decided anything since this Hall began, or since it is what it is; null for a token that is bound.
    has_decided: Option<bool>,
}

/// A Cedar policy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyRow {
    policy_id: String,
    /// Its file and line.
    place: String,
    /// Whether it forbids, or asks for a human.
    forbids: bool,
    /// As a rule's.
    has_decided: bool,
}

/// What would be decided of a capability.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyCapability {
    capability_id: String,
    /// By environment and label, in their order.
    cells: Vec<PolicyCell>,
}

/// What would be decided there.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyCell {
    env: &'static str,
    data_label: &'static str,
    /// DISPATCH, DENY or STEWARD_HOLD.
    outcome: &'static str,
    deny_code: Option<&'static str>,
    /// Who would have to agree.
    supervisor_level: Option<&'static str>,
    matched_rule_id: String,
    worker_id: Option<String>,
    /// What of the request policies read besides: one that has it may be decided otherwise.
    depends_on: Option<String>,
    /// What the policy says that is asked beside this one, where it says otherwise.
    shadow: Option<PolicyFlip>,
}

/// Another verdict.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyFlip {
    outcome: &'static str,
    deny_code: Option<&'static str>,
}

impl From<MatrixCell> for PolicyCell {
    fn from(cell: MatrixCell) -> Self {
        let MatrixCell { env, label, outcome, code, supervisor, rule, worker, reads, shadow } = cell;
        Self {
            env: env.as_str(),
            data_label: label.as_str(),
            outcome: outcome.as_str(),
            deny_code: code.map(|code| code.as_str()),
            supervisor_level: supervisor.map(|level| level.as_str()),
            matched_rule_id: rule.to_string(),
            worker_id: worker.as_deref().map(str::to_owned),
            depends_on: reads,
            shadow: shadow.map(|(outcome, code)| PolicyFlip {
                outcome: outcome.as_str(),
                deny_code: code.map(|code| code.as_str()),
            }),
        }
    }
}

/// The policy in force, and what it decides of each capability, label and environment: needs the scope `read`
///
/// Each cell is what is decided of a request that says nothing else: 25 capabilities an answer. Nothing is recorded.
#[utoipa::path(get, path = "/api/policy", tag = "hall", params(PolicyQuery), security(("token" = [])),
    responses((status = 200, description = "the policy", body = PolicyAnswer),
        (status = 400, description = "a parameter is unknown or there twice", body = ErrorEnvelope<'static>),
        (status = 503, description = "too many ask", body = ErrorEnvelope<'static>), NeedsReader))]
pub(super) async fn policy(
    State(hall): State<Arc<Hall>>,
    reader: Reader,
    query: Result<Query<PolicyQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(PolicyQuery { tenant, worker, capability, after }) = query.map_err(|_| {
        ApiError::bad_parameter(
            "parameters",
            "are unknown or there twice",
            "tenant, worker, capability and after, each once",
        )
    })?;
    let binding = &reader.binding;
    let wanted =
        MatrixRequest { tenant: tenant.map(Arc::from), worker: worker.map(Arc::from), prefix: capability, after };
    let matrix = hall.policy_matrix(wanted, binding).await.map_err(|error| not_explained(&error))?;
    let (snapshot, decided) = (hall.snapshot(), hall.has_decided());
    let rules = snapshot.rules.listed().take(RULES).enumerate().map(|(at, (id, conditions))| RuleRow {
        number: at + 1,
        conditions: conditions.into_iter().collect(),
        has_decided: (!binding.is_bound()).then(|| decided.rule(&id)),
        rule_id: id.to_string(),
    });
    let policies = matrix.policies.iter().map(|policy| PolicyRow {
        policy_id: policy.id.to_string(),
        place: policy.place.to_string(),
        forbids: policy.forbids,
        has_decided: decided.policy(&policy.id),
    });
    let capabilities = matrix.rows.into_iter().map(|row| PolicyCapability {
        capability_id: row.capability,
        cells: row.cells.into_iter().map(PolicyCell::from).collect(),
    });
    let capabilities: Vec<PolicyCapability> = capabilities.collect();
    let answer = PolicyAnswer {
        version: snapshot.settings.version.to_string(),
        mode: snapshot.settings.mode.as_str(),
        snapshot: snapshot.fingerprint.to_string(),
        shadow: snapshot.shadow.as_ref().map(|shadow| shadow.fingerprint.to_string()),
        rules: rules.collect(),
        rules_count: snapshot.rules.len(),
        policies: policies.collect(),
        tenant_id: matrix.tenant.to_string(),
        tenant_risk: matrix.tenant_risk.as_str(),
        worker_id: matrix.worker.as_deref().map(str::to_owned),
        count: capabilities.len(),
        capabilities,
        next: matrix.next,
    };
    Ok(json(StatusCode::OK, &answer))
}
