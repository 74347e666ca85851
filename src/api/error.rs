//! The error envelope: the body of every answer but a 200. It always says `denied: true` (clients that ignore the status
//! look only there), and it alone has a key `error` (clients take a decision with that key for a failure).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use uuid::Uuid;

use crate::api::access_log::AnswerSummary;
use crate::api::response::json;
use crate::engine::input::written::InvalidRequest;
use crate::engine::{DenyCode, Outcome};
use crate::hall::approvals::{NotCallable, NotResolved};
use crate::hall::{CannotDecide, NotAdmitted, NotChanged, NotDecided, ReadError};

/// Why a request gets no decision.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    status: StatusCode,
    /// For programs; stable.
    error: Cow<'static, str>,
    /// The deny code.
    pub(super) code: DenyCode,
    /// For humans: what is wrong and what to change, free of secrets.
    pub(super) reason: Cow<'static, str>,
    /// The ledger entry that records it, when one does.
    recorded: Option<Uuid>,
    /// Whether the code is also said under the name that enrolling clients look for.
    coded: bool,
    /// Seconds until another try is worth it, for a 429.
    retry_after: Option<u64>,
}

impl ApiError {
    fn new(
        status: StatusCode,
        error: impl Into<Cow<'static, str>>,
        code: DenyCode,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            error: error.into(),
            code,
            reason: reason.into(),
            recorded: None,
            retry_after: None,
            coded: false,
        }
    }

    /// The same, with the ledger entry that records it.
    pub(super) fn recorded_as(self, id: Uuid) -> Self {
        Self { recorded: Some(id), ..self }
    }

    /// The registry was not changed.
    pub(super) fn not_changed(why: &NotChanged) -> Self {
        let (status, error, code) = match why {
            NotChanged::NoStore => (StatusCode::NOT_IMPLEMENTED, "enrolment is off", DenyCode::HallOffline),
            NotChanged::Field { error, .. } => {
                return Self::new(StatusCode::BAD_REQUEST, error.clone(), DenyCode::InvalidInput, why.to_string())
                    .coded();
            }
            NotChanged::Tampered => (StatusCode::BAD_REQUEST, "artifact_hash mismatch", DenyCode::WorkerTampered),
            NotChanged::NotAllowed(_) => (StatusCode::FORBIDDEN, "forbidden", DenyCode::CredentialInvalid),
            NotChanged::Conflict(_) => (StatusCode::CONFLICT, "conflict", DenyCode::InvalidInput),
            NotChanged::Banned => (StatusCode::FORBIDDEN, "banned", DenyCode::WorkerBanned),
            NotChanged::Unknown => (StatusCode::NOT_FOUND, "not found", DenyCode::WorkerNotEnrolled),
            NotChanged::Busy => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", DenyCode::HallOffline),
            NotChanged::Record(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", DenyCode::AuditUnavailable),
            NotChanged::Inside(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal error", DenyCode::InternalError),
        };
        let reason = match why {
            // The cause is in the log, not in the answer.
            NotChanged::Record(_) | NotChanged::Inside(_) => {
                tracing::error!(error = %why, "a change of the registry failed");
                "nothing was changed; try again, and see the hall's log".to_owned()
            }
            _ => why.to_string(),
        };
        Self::new(status, error, code, reason).coded()
    }

    /// Nothing was decided about an approval.
    pub(super) fn not_decided(why: &NotDecided) -> Self {
        let (status, error, code) = match why {
            NotDecided::Nobody => (StatusCode::NOT_IMPLEMENTED, "approvals are off", DenyCode::HallOffline),
            NotDecided::NotResolved(NotResolved::Unknown) => return Self::no_approval(),
            NotDecided::NotResolved(NotResolved::Expired) => (StatusCode::GONE, "expired", DenyCode::InvalidInput),
            NotDecided::NotResolved(NotResolved::Resolved(_)) => {
                (StatusCode::CONFLICT, "resolved already", DenyCode::InvalidInput)
            }
            NotDecided::NotResolved(NotResolved::Busy) => (StatusCode::CONFLICT, "busy", DenyCode::InvalidInput),
            NotDecided::NotResolved(NotResolved::Cannot(_)) => {
                (StatusCode::CONFLICT, "conflict", DenyCode::InvalidInput)
            }
            NotDecided::NotResolved(NotResolved::MayNot(_)) => {
                (StatusCode::FORBIDDEN, "forbidden", DenyCode::CredentialInvalid)
            }
            NotDecided::Record(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", DenyCode::AuditUnavailable),
            NotDecided::NotReady | NotDecided::StoreDown => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", DenyCode::ApprovalsUnavailable)
            }
        };
        let reason = match why {
            NotDecided::Record(error) => {
                tracing::error!(%error, "what an approver decided could not be recorded");
                "it could not be recorded, so nothing was decided; try again after `retry-after` seconds".to_owned()
            }
            NotDecided::NotReady | NotDecided::StoreDown => format!("{why}; try again after `retry-after` seconds"),
            NotDecided::Nobody => format!("{why}; add the section to its configuration"),
            NotDecided::NotResolved(_) => why.to_string(),
        };
        Self::new(status, error, code, reason).coded()
    }

    /// There is no such approval that this token may know of.
    pub(super) fn no_approval() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not found",
            DenyCode::MalformedClaim,
            "no approval has this id, or not any more; send a `pending_approval_id` of the list or of your own answer",
        )
    }

    /// The same with the deny code under `code`, too.
    fn coded(self) -> Self {
        Self { coded: true, ..self }
    }

    /// With which status it is answered.
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// The body of its answer.
    pub(super) fn envelope(&self) -> ErrorEnvelope<'_> {
        ErrorEnvelope {
            error: &self.error,
            code: self.coded.then(|| self.code.as_str()),
            denied: true,
            allowed: false,
            outcome: Outcome::Deny.as_str(),
            decision_id: self.recorded.map(|id| id.to_string()),
            selected_worker_species_id: (),
            worker_id: (),
            artifact_hash: (),
            deny_reason: self.code.as_str(),
            reason: &self.reason,
        }
    }

    /// Whether it is the caller's to mend, and so to be recorded.
    pub(super) fn is_callers(&self) -> bool {
        self.status.is_client_error()
    }

    /// No credential, more than one, or one that is not known.
    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            DenyCode::Unauthenticated,
            "bearer session token missing or not valid; send exactly one `Authorization: Bearer` header",
        )
    }

    /// More than the token or the tenant may send, or a credential from where too many were wrong: it was not looked at.
    pub(super) fn not_admitted(why: &NotAdmitted) -> Self {
        let reason = match why {
            NotAdmitted::Throttled { .. } => {
                format!("{}; correct the token, and try again after `retry-after` seconds", why.message())
            }
            NotAdmitted::OverRate(..) => why.message().to_owned(),
        };
        let refused = Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests", DenyCode::RateLimited, reason);
        Self { retry_after: Some(why.seconds()), ..refused }
    }

    /// So many look on that there is no place for another; who, in a sentence.
    pub(super) fn too_many_viewers(why: &str) -> Self {
        let reason = format!("{why}; close one, or ask `/api/decisions` every now and then");
        let refused = Self::new(StatusCode::TOO_MANY_REQUESTS, "too many feeds", DenyCode::RateLimited, reason);
        Self { retry_after: Some(30), ..refused }
    }

    /// A known token that may not do this.
    pub(super) fn forbidden(scope: &str) -> Self {
        let reason = format!("the token lacks the scope `{scope}`; use another, or add it to the token's scopes");
        Self::new(StatusCode::FORBIDDEN, "forbidden", DenyCode::CredentialInvalid, reason)
    }

    /// Nothing is here. A trailing slash is another path: a redirect could turn a POST into a GET.
    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not found",
            DenyCode::MalformedClaim,
            "nothing is served at this path; decisions are at `/api/route`, without a trailing slash",
        )
    }

    /// The log has nothing of this name, not yet or no longer.
    pub(super) fn not_in_log() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not found",
            DenyCode::MalformedClaim,
            "the log has no such tile, not yet or no longer; begin with `/log/checkpoint`",
        )
    }

    /// There are no pages for people.
    pub(super) fn no_console() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "no console",
            DenyCode::HallOffline,
            "this hall has no console; set `hall.console: true`",
        )
    }

    /// There is no such receipt that this token may see.
    pub(super) fn no_receipt() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not found",
            DenyCode::MalformedClaim,
            "no receipt has this id, or not any more; send the `decision_id` of an answer",
        )
    }

    /// There is no such alert that this token may see.
    pub(super) fn no_alert() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not found",
            DenyCode::MalformedClaim,
            "no alert has this id, or not any more; send an `id` of `/api/alerts`",
        )
    }

    /// A parameter of the query means nothing.
    pub(super) fn bad_parameter(name: &str, what: &str, expected: &str) -> Self {
        let error = format!("invalid parameter: {name}");
        let reason = format!("the query's `{name}` {what}; send {expected}");
        Self::new(StatusCode::BAD_REQUEST, error, DenyCode::InvalidInput, reason)
    }

    /// A field of the body means nothing; which, and what to change.
    pub(super) fn bad_body(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid body", DenyCode::InvalidInput, why.to_owned())
    }

    /// Whoever asks cannot be told that a human has decided; why, and what to change.
    pub(super) fn bad_callback(why: &NotCallable) -> Self {
        let reason = format!("`callback_url` {}; {}", why.is, why.help);
        Self::new(StatusCode::BAD_REQUEST, "invalid field: callback_url", DenyCode::InvalidInput, reason)
    }

    /// A report of another's decision than the token is bound to.
    pub(super) fn not_its_own() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            DenyCode::CredentialInvalid,
            "the token is bound, and this decision is not of its tenant, workers and environments; use its own token",
        )
    }

    /// A known token that may see some entries, where only all can be seen.
    pub(super) fn bound() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            DenyCode::CredentialInvalid,
            "entry bundles hold all tenants' entries; use a token with the scope `read` that is bound to nothing",
        )
    }

    /// The ledger could not be read, or could not sign in time.
    pub(super) fn unread(error: &ReadError) -> Self {
        tracing::error!(%error, "a reader was refused");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            DenyCode::AuditUnavailable,
            "the ledger cannot be read now; try again after `retry-after` seconds",
        )
    }

    /// The path is right, the method is not; axum adds `Allow`.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method not allowed",
            DenyCode::MalformedClaim,
            "this path does not answer this method; the `allow` header lists those it does",
        )
    }

    /// The body did not arrive in time.
    pub(super) fn timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request timeout",
            DenyCode::MalformedClaim,
            "the body did not arrive in time; send it at once and as long as `content-length` says",
        )
    }

    /// The body is over the limit.
    pub(super) fn too_large(limit: usize) -> Self {
        let reason = format!("the body is over {limit} bytes; send ids and labels, not the data itself");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body too large", DenyCode::MalformedClaim, reason)
    }

    /// The body is of another kind.
    pub(super) fn unsupported_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported content type",
            DenyCode::MalformedClaim,
            "the body must be JSON in UTF-8, not compressed; send `content-type: application/json`",
        )
    }

    /// The body ended early or is wrongly framed.
    pub(super) fn cut_off() -> Self {
        Self::unreadable(&InvalidRequest::Malformed("the body ended early or is wrongly framed".to_owned()))
    }

    /// The body is no request.
    pub(super) fn unreadable(why: &InvalidRequest) -> Self {
        let (error, reason) = (why.error("the body"), why.reason("the body"));
        Self::new(StatusCode::BAD_REQUEST, error, DenyCode::InvalidInput, reason)
    }

    /// A panic, or an answer that could not be written. The cause is in the log, not in the answer.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error",
            DenyCode::InternalError,
            "the hall failed inside; its log says why",
        )
    }

    /// Too many readers ask for what takes long.
    pub(super) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            DenyCode::Overloaded,
            "too many ask for what takes long; try again after `retry-after` seconds",
        )
    }

    /// Nothing was decided in time.
    pub(super) fn late() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            DenyCode::AuditUnavailable,
            "the decision was not recorded in time; try again after `retry-after` seconds",
        )
    }

    /// The entry could not be committed, or the hall is offline, so there is no decision.
    pub(super) fn undecided(why: &CannotDecide) -> Self {
        if *why == CannotDecide::Offline {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "offline",
                DenyCode::HallOffline,
                "the hall is offline and decides nothing; an operator can switch it on",
            );
        }
        let (code, reason) = match why {
            CannotDecide::Approvals => (
                DenyCode::ApprovalsUnavailable,
                "a human has to agree, and what waits for one cannot be kept or read now; send the same again after `retry-after` seconds",
            ),
            _ => (
                DenyCode::AuditUnavailable,
                "the decision could not be recorded; try again after `retry-after` seconds",
            ),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", code, reason)
    }
}

/// The body of every answer but a success. It always says that the request is denied.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Envelope)]
pub(super) struct ErrorEnvelope<'a> {
    /// For programs; stable.
    error: &'a str,
    /// The deny code, where the reference has it beside `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// Always true.
    denied: bool,
    /// Always false.
    allowed: bool,
    /// Always DENY.
    outcome: &'static str,
    /// The ledger's entry, when there is one.
    decision_id: Option<String>,
    #[schema(value_type = Option<String>)]
    selected_worker_species_id: (),
    #[schema(value_type = Option<String>)]
    worker_id: (),
    #[schema(value_type = Option<String>)]
    artifact_hash: (),
    deny_reason: &'static str,
    /// For humans: what is wrong and what to change.
    reason: &'a str,
}

/// The refusals of whatever needs a token that may read.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(super) enum NeedsReader {
    /// No token, or one that is not known.
    #[response(status = 401)]
    Unauthorized(ErrorEnvelope<'static>),
    /// A token without the scope, or one that is bound where it may not be.
    #[response(status = 403)]
    Forbidden(ErrorEnvelope<'static>),
    /// Over the rate of the token or its tenant, or too many wrong credentials from there. `retry-after` says when to try again.
    #[response(status = 429)]
    TooMany(ErrorEnvelope<'static>),
}

/// The refusals of whatever needs a token and a JSON body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(super) enum NeedsBody {
    /// The body is no JSON object of the described form.
    #[response(status = 400)]
    Invalid(ErrorEnvelope<'static>),
    /// No token, or one that is not known.
    #[response(status = 401)]
    Unauthorized(ErrorEnvelope<'static>),
    /// A token without the scope, or one that is bound to something else.
    #[response(status = 403)]
    Forbidden(ErrorEnvelope<'static>),
    /// The body did not arrive in time.
    #[response(status = 408)]
    Timeout(ErrorEnvelope<'static>),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorEnvelope<'static>),
    /// The body is no JSON, or compressed.
    #[response(status = 415)]
    Unsupported(ErrorEnvelope<'static>),
    /// Over the rate of the token or its tenant, or too many wrong credentials from there. `retry-after` says when to try again.
    #[response(status = 429)]
    TooMany(ErrorEnvelope<'static>),
    /// It could not be decided or recorded: nothing is allowed. `retry-after` says when to try again.
    #[response(status = 503)]
    Unavailable(ErrorEnvelope<'static>),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &self.envelope());
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(AnswerSummary {
            code: self.code.as_str(),
            decision_id: self.recorded,
            correlation_id: None,
            decision: None,
            refusal: Some(self.reason),
            worker: None,
        });
        response
    }
}
