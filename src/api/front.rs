//! Pages for whoever opens an address in a browser: at `/` what this is, and behind the link of a notice how an approval is looked at. They
//! say nothing of who uses it, and are the same for everybody and every id.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use uuid::Uuid;

use crate::api::asked::named;
use crate::api::error::ApiError;

/// Nothing is loaded, run or framed.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The page at `/`.
pub(super) async fn page() -> Response {
    html(include_str!("front.html").to_owned())
}

/// The page behind a link: the command that shows an approval. The link carries no right, and the page does not know whether there is one.
pub(super) async fn approval(id: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let id = Uuid::try_parse(&named(id)).map_err(|_| ApiError::not_found())?;
    Ok(html(include_str!("approval.html").replace("{id}", &id.to_string())))
}

/// The same where there is a console: it shows the approval to whoever signs in.
pub(super) async fn approval_in_console(id: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let id = Uuid::try_parse(&named(id)).map_err(|_| ApiError::not_found())?;
    Ok(Redirect::to(&format!("/console/approvals/{id}")).into_response())
}

fn html(page: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, page).into_response()
}
