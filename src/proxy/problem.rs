//! What a no says to programs: RFC 9457 problem details, and all of them again in `error`, where the SDKs of model APIs look.
//!
//! OpenAI's take the `error` object for the whole answer and show its `message`; Anthropic's show the `message` beside it. Vercel's
//! client for Anthropic reads no more than that API's own envelope, `type: error`.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::clock::timestamp;
use crate::engine::ApprovalMark;
use crate::ids::SupervisorLevel;

/// What callers of Anthropic's API send, whichever client they use.
const ANTHROPIC: &str = "anthropic-version";

/// A no, but for its status, its code and the sentence that sums it up.
#[derive(Debug)]
pub struct ProblemDetails {
    /// What the code means, and what to do.
    pub detail: String,
    /// The entry that has it.
    pub decision_id: Option<String>,
    /// Why, in this case.
    pub reason: String,
    /// Of the request that was decided.
    pub artifact_hash: Option<String>,
    /// What ties it to others.
    pub correlation_id: Option<Arc<str>>,
    /// That a human is asked.
    pub pending: Option<PendingApproval>,
}

/// That a human is asked: under which id, of which level, until when, and where its state can be read.
#[derive(Debug, Serialize)]
pub struct PendingApproval {
    pending_approval_id: Arc<str>,
    approval_expires_at: String,
    supervisor_required: bool,
    supervisor_level: SupervisorLevel,
    /// At the Hall.
    poll: String,
}

impl PendingApproval {
    /// What is said of an approval that waits; `None` for one that was given.
    #[must_use]
    pub fn of(mark: &ApprovalMark) -> Option<Self> {
        mark.granted.is_none().then(|| Self {
            pending_approval_id: Arc::clone(&mark.id),
            approval_expires_at: timestamp(mark.expires_at_micros),
            supervisor_required: true,
            supervisor_level: mark.level,
            poll: format!("/wcp/approvals/{}", mark.id),
        })
    }
}

/// The fields that callers of the Hall API know, with those of RFC 9457 but `type`.
#[derive(Serialize)]
struct Members<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    /// All that a client shows that knows no problems, as most SDKs do.
    message: &'a str,
    decision_id: Option<&'a str>,
    denied: bool,
    code: &'a str,
    reason: &'a str,
    artifact_hash: Option<&'a str>,
    correlation_id: Option<&'a str>,
    #[serde(flatten)]
    pending: Option<&'a PendingApproval>,
}

impl ProblemDetails {
    /// The body of an answer with this status and code to a request with these headers; `message` sums it up.
    pub fn json(&self, status: StatusCode, code: &str, message: &str, request: &HeaderMap) -> Vec<u8> {
        let members = Members {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: &self.detail,
            message,
            decision_id: self.decision_id.as_deref(),
            denied: true,
            code,
            reason: &self.reason,
            artifact_hash: self.artifact_hash.as_deref(),
            correlation_id: self.correlation_id.as_deref(),
            pending: self.pending.as_ref(),
        };
        // Written once, and put twice. Texts and numbers always make JSON.
        let mut written = Vec::with_capacity(1024);
        let _infallible = serde_json::to_writer(&mut written, &members);
        let members = written.strip_prefix(b"{").and_then(|inner| inner.strip_suffix(b"}")).unwrap_or_default();
        // `code` tells problems apart.
        let r#type = if request.contains_key(ANTHROPIC) { "error" } else { "about:blank" };
        let mut body = Vec::with_capacity(2 * members.len() + 128);
        for piece in [
            &b"{\"type\":\""[..],
            r#type.as_bytes(),
            b"\",",
            members,
            b",\"error\":{\"type\":\"",
            error_type(status).as_bytes(),
            b"\",\"param\":null,",
            members,
            b"}}",
        ] {
            body.extend_from_slice(piece);
        }
        body
    }
}

/// The words of the model APIs themselves, which apps branch on.
fn error_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_once_more_where_sdks_look() {
        let problem = ProblemDetails {
            detail: "what to do".to_owned(),
            decision_id: Some("0192".to_owned()),
            reason: "why".to_owned(),
            artifact_hash: None,
            correlation_id: Some("c".into()),
            pending: None,
        };
        for (sent, status, of_problem, of_error) in [
            (&[][..], StatusCode::FORBIDDEN, "about:blank", "permission_error"),
            (&[], StatusCode::REQUEST_TIMEOUT, "about:blank", "invalid_request_error"),
            (&[(ANTHROPIC, "2023-06-01")], StatusCode::SERVICE_UNAVAILABLE, "error", "api_error"),
        ] {
            let sent = sent.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let body: serde_json::Value =
                serde_json::from_slice(&problem.json(status, "DENY_X", "in short", &sent)).unwrap();
            let error = body["error"].as_object().unwrap();
            for (name, value) in
                body.as_object().unwrap().iter().filter(|(name, _)| *name != "type" && *name != "error")
            {
                assert_eq!(error.get(name), Some(value), "{name}");
            }
            assert_eq!((&body["type"], &error["type"]), (&of_problem.into(), &of_error.into()));
            assert_eq!((&error["message"], &error["param"]), (&"in short".into(), &serde_json::Value::Null));
        }
    }
}
