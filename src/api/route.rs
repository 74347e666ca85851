//! `POST /api/route`: authenticate, describe, decide, record, answer. The pipeline without its last step.
//!
//! Once a caller is known, every answer has its ledger entry, and the entry is committed before the answer is sent: a
//! decision, or the refusal of what could not be one. Where no entry can be had the answer is 503.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::api::body;
use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, NeedsBody};
use crate::api::route_response;
use crate::api::schemas::{FullRouteRequest, RouteAnswer, RouteRequest};
use crate::engine::DenyCode;
use crate::engine::artifact::python_json;
use crate::engine::input::written::{Absent, Written, sound_correlation_id};
use crate::hall::approvals::{Callback, Contents, Subject};
use crate::hall::{
    Applicant, Ask, CannotDecide, Door, Hall, HeldContents, HeldRequest, Recorded, Refusal, Ruled, Scope, Token,
};
use crate::ids::{Digest, TenantId, WorkerId};

/// From the end of the body to the answer. The most impatient client gives up after two seconds. When it passes, the
/// ledger may still commit the entry: then an outcome behind it says that nobody was given the decision.
const DECIDE_TIME: Duration = Duration::from_millis(1500);

/// How much of a request has to be there.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// What a no-code platform sends; defaults never lower a risk.
    Any,
    /// A whole RouteInput (WCP_SPEC 4.1).
    Full,
}

/// Ask for a decision
///
/// A denial is a 200 with `denied: true`. The entry in the ledger is committed before the answer.
#[utoipa::path(post, path = "/api/route", tag = "route", security(("token" = [])), request_body = RouteRequest,
    responses((status = 200, description = "the decision, allowed or denied", body = RouteAnswer), NeedsBody))]
pub(super) async fn route(State(hall): State<Arc<Hall>>, request: Request) -> Response {
    answer(&hall, request, Form::Any).await
}

/// Ask for a decision on a whole RouteInput
///
/// The same as `/api/route`, but what WCP_SPEC 4.1 demands has to be there.
#[utoipa::path(post, path = "/wcp/route", tag = "wcp", security(("token" = [])), request_body = FullRouteRequest,
    responses((status = 200, description = "the decision, allowed or denied", body = RouteAnswer), NeedsBody))]
pub(super) async fn full(State(hall): State<Arc<Hall>>, request: Request) -> Response {
    answer(&hall, request, Form::Full).await
}

/// Answers one routing request.
async fn answer(hall: &Arc<Hall>, request: Request, form: Form) -> Response {
    let (head, body) = request.into_parts();
    let token = match Credential::of(&head.extensions).present(hall) {
        Ok(token) => token,
        Err(refused) => return refused.into_response(),
    };
    let received = match credential::require(&token, Scope::Route) {
        Ok(()) => body::receive(&head.headers, body).await,
        Err(refused) => Err(refused),
    };
    match tokio::time::timeout(DECIDE_TIME, rule(hall, &token, received, form)).await {
        Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
        Err(_) => {
            hall.metrics().cannot_decide.inc();
            tracing::error!("a request was refused because it was not decided and recorded in time");
            ApiError::late().into_response()
        }
    }
}

/// What waits for a human, or spends what one agreed to. Here the caller's object is what would run.
async fn hold(hall: &Arc<Hall>, held: HeldRequest, callback: Option<Callback>) -> Result<Recorded, CannotDecide> {
    let subject = Subject::of(held.input(), held.caller().token.as_ref(), Door::Api.as_str()).request(held.input());
    let mut written = String::new();
    python_json(&held.input().request, &mut written);
    let contents = || Contents::of_body(written.as_bytes());
    hall.hold(held, HeldContents { subject, contents: &contents, returning: None, callback }).await
}

/// Decides, or refuses, and records.
async fn rule(
    hall: &Arc<Hall>,
    token: &Token,
    received: Result<Vec<u8>, ApiError>,
    form: Form,
) -> Result<Response, ApiError> {
    let raw_body = received.as_ref().ok().map(|body| Digest::of(body));
    let bound_tenant = token.binding.tenant.as_ref();
    let refusal = |code, message: &str| Refusal {
        door: Door::Api,
        code,
        message: message.to_owned(),
        tenant: bound_tenant.map(TenantId::shared),
        worker: None,
        token: Some(token.name.clone()),
        correlation_id: None,
        raw_body,
    };
    let made = OnceLock::new();
    let correlation_id = || Arc::clone(made.get_or_init(|| Uuid::new_v4().to_string().into()));
    let absent = Absent { tenant: bound_tenant, correlation_id: &correlation_id };
    let read = |body: Vec<u8>| {
        let written = match form {
            Form::Any => Written::read(&body, &absent),
            Form::Full => Written::read_full(&body, &absent),
        };
        written.map_err(|why| ApiError::unreadable(&why))
    };
    let mode = hall.snapshot().settings.mode;
    let described = received.and_then(read).map(|mut written| (written.callback_url.take(), written.describe(mode)));
    match described {
        Ok((callback_url, Ok(input))) => {
            if bound_tenant.is_none() {
                // Only its body says for whom it asks.
                let tenant = Some(&input.tenant_id);
                credential::admit(hall, Applicant::Known { token: None, tenant }).await?;
            }
            let ask = Ask { caller: token.caller(), input, door: Door::Api, raw_body, observed_until: None };
            let undecided = |why| ApiError::undecided(&why);
            let held = match hall.rule(ask).await.map_err(undecided)? {
                Ruled::Recorded(recorded) => return Ok(route_response::decided(&recorded)),
                Ruled::Held(held) => *held,
            };
            // Nobody is asked where whoever asks waits for a word that never comes.
            if let Some(Err(why)) = callback_url.as_ref().map(|url| hall.may_call_back(url)) {
                let refused = ApiError::bad_callback(&why);
                let of_input = Refusal {
                    tenant: Some(Arc::clone(&held.input().tenant_id)).filter(|tenant| !tenant.is_empty()),
                    worker: held.input().worker_id.clone(),
                    correlation_id: sound_correlation_id(&held.input().correlation_id),
                    ..refusal(refused.code, &refused.reason)
                };
                let receipt = hall.refuse(of_input).await.map_err(undecided)?;
                return Err(refused.recorded_as(receipt.id()));
            }
            let callback = callback_url.map(|url| {
                Callback::new(url.to_string(), held.input().correlation_id.to_string(), made.get().is_none())
            });
            let recorded = hold(hall, held, callback).await.map_err(undecided)?;
            Ok(route_response::decided(&recorded))
        }
        Ok((_, Err(unacceptable))) => {
            let written = &unacceptable.written;
            let refusal = Refusal {
                tenant: bound_tenant.cloned().or_else(|| written.tenant_id.parse().ok()).map(|id| id.shared()),
                worker: written.worker_id.as_deref().and_then(|id| id.parse::<WorkerId>().ok()).map(|id| id.shared()),
                correlation_id: written.sound_correlation_id(),
                ..refusal(DenyCode::InvalidInput, &unacceptable.message)
            };
            let receipt = hall.refuse(refusal).await.map_err(|why| ApiError::undecided(&why))?;
            Ok(route_response::refused(&unacceptable, &receipt, &hall.snapshot()))
        }
        Err(refused) => {
            let refusal = refusal(refused.code, &refused.reason);
            let receipt = hall.refuse(refusal).await.map_err(|why| ApiError::undecided(&why))?;
            Err(refused.recorded_as(receipt.id()))
        }
    }
}
