//! `POST /api/route`: identify, describe, decide, record, answer. The journey without its last step.
//!
//! Once a caller is known, every answer has its ledger entry, and the entry is committed before the answer is sent: a
//! decision, or the refusal of what could not be one. Where no entry can be had the answer is 503.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use uuid::Uuid;

use crate::api::answer;
use crate::api::credential::{self, Credential};
use crate::api::error::{NeedsBody, Refused};
use crate::api::openapi::{FullRouteRequest, RouteAnswer, RouteRequest};
use crate::engine::DenyCode;
use crate::engine::input::written::{Absent, LONGEST, Written};
use crate::hall::{Ask, Door, Hall, Refusal, Scope, Token};
use crate::ids::{Digest, TenantId, WorkerId};

/// A body over the limit but not over this is read and dropped, so that its sender, who writes before it reads, sees the 413.
const DROPPED_BYTES: usize = 1024 * 1024;
/// For the whole of a body.
const BODY_TIME: Duration = Duration::from_secs(10);
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
        Ok(()) => receive(&head.headers, body).await,
        Err(refused) => Err(refused),
    };
    match tokio::time::timeout(DECIDE_TIME, rule(hall, &token, received, form)).await {
        Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
        Err(_) => {
            hall.metrics().cannot_decide.inc();
            tracing::error!("a request was refused because it was not decided and recorded in time");
            Refused::late().into_response()
        }
    }
}

/// Decides, or refuses, and records.
async fn rule(hall: &Hall, token: &Token, received: Result<Vec<u8>, Refused>, form: Form) -> Result<Response, Refused> {
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
    let absent = Absent { tenant: bound_tenant, correlation_id: &|| Uuid::new_v4().to_string().into() };
    let read = |body: Vec<u8>| {
        let written = match form {
            Form::Any => Written::read(&body, &absent),
            Form::Full => Written::read_full(&body, &absent),
        };
        written.map_err(|why| Refused::unreadable(&why))
    };
    let mode = hall.snapshot().settings.mode;
    match received.and_then(read).map(|written| written.describe(mode)) {
        Ok(Ok(input)) => {
            if bound_tenant.is_none() {
                credential::within_rates(hall, None, Some(Arc::clone(&input.tenant_id))).await?;
            }
            let ask = Ask { caller: token.caller(), input, door: Door::Api, raw_body };
            let recorded = hall.rule(ask).await.map_err(|why| Refused::undecided(&why))?;
            Ok(answer::decided(&recorded))
        }
        Ok(Err(unacceptable)) => {
            let written = &unacceptable.written;
            let refusal = Refusal {
                tenant: bound_tenant.cloned().or_else(|| written.tenant_id.parse().ok()).map(|id| id.shared()),
                worker: written.worker_id.as_deref().and_then(|id| id.parse::<WorkerId>().ok()).map(|id| id.shared()),
                correlation_id: written.sound_correlation_id(),
                ..refusal(DenyCode::InvalidInput, &unacceptable.message)
            };
            let receipt = hall.refuse(refusal).await.map_err(|why| Refused::undecided(&why))?;
            Ok(answer::refused(&unacceptable, &receipt, &hall.snapshot()))
        }
        Err(refused) => {
            let refusal = refusal(refused.code, &refused.reason);
            let receipt = hall.refuse(refusal).await.map_err(|why| Refused::undecided(&why))?;
            Err(refused.recorded_as(receipt.id()))
        }
    }
}

/// The body, whole, of an acceptable kind and size.
pub(super) async fn receive(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refused> {
    if !is_json(headers) {
        return Err(Refused::unsupported_type());
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > DROPPED_BYTES {
        return Err(Refused::too_large(LONGEST));
    }
    match tokio::time::timeout(BODY_TIME, collect(body, announced.min(LONGEST))).await {
        Ok(collected) => collected,
        Err(_) => Err(Refused::timeout()),
    }
}

/// Reads a body up to the limits.
async fn collect(mut body: Body, announced: usize) -> Result<Vec<u8>, Refused> {
    let mut whole = Vec::with_capacity(announced);
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refused::cut_off())?;
        let Ok(data) = frame.into_data() else { continue };
        size = size.saturating_add(data.len());
        if size > DROPPED_BYTES {
            break;
        }
        if size <= LONGEST {
            whole.extend_from_slice(&data);
        }
    }
    if size > LONGEST { Err(Refused::too_large(LONGEST)) } else { Ok(whole) }
}

/// Whether the headers announce JSON in UTF-8, or nothing: some no-code platforms send no type with a raw body.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let plain =
        headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let json = match (types.next(), types.next()) {
        (None, _) => true,
        (Some(one), None) => names_json(one),
        _ => false,
    };
    plain && json
}

/// Whether a content type is `application/json` or `application/…+json`, in UTF-8 if it names a charset.
fn names_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = essence
        .strip_prefix("application/")
        .is_some_and(|kind| kind == "json" || kind.strip_suffix("+json").is_some_and(|name| !name.is_empty()));
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_utf_8_is_accepted_by_any_of_its_names() {
        for yes in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/vnd.api+json",
            "application/json; v=1",
        ] {
            assert!(names_json(&HeaderValue::from_static(yes)), "{yes}");
        }
        for no in [
            "",
            "text/plain",
            "text/json",
            "application/jsonp",
            "application/+json",
            "application/json; charset=utf-16",
            "application/x-www-form-urlencoded",
            "application/json, text/plain",
        ] {
            assert!(!names_json(&HeaderValue::from_static(no)), "{no}");
        }
    }

    #[test]
    fn two_types_or_a_compressed_body_are_refused() {
        let mut headers = HeaderMap::new();
        assert!(is_json(&headers));
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("identity"));
        assert!(is_json(&headers));
        headers.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert!(!is_json(&headers));
        headers.remove(CONTENT_TYPE);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!is_json(&headers));
    }
}
