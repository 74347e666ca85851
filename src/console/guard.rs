//! Who may look, and who may change something: over TLS or on this machine alone, signed in, and from a page of ours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{COOKIE, HOST, HeaderMap};
use http::request::Parts;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::connections::is_of_this_machine;
use crate::console::ask::{Api, Applying, piece};
use crate::console::session::Sessions;
use crate::console::{CameFrom, page};
use crate::hall::{Scope, Token};

/// The most bytes of a form.
const FORM: usize = 64 * 1024;
/// How long a form may take to arrive.
const FORM_TIME: Duration = Duration::from_secs(10);

/// What the pages share.
#[derive(Clone)]
pub(super) struct Console {
    /// What they ask.
    pub(super) api: Arc<dyn Api>,
    /// Who is signed in.
    pub(super) sessions: Arc<Sessions>,
    /// Whether the listener speaks TLS.
    pub(super) tls: bool,
}

impl Console {
    /// The cookie's name. A browser lets nobody but this host, over TLS, set one of the first kind.
    pub(super) const fn cookie_name(&self) -> &'static str {
        if self.tls { "__Host-hallgate" } else { "hallgate" }
    }

    /// The secret of a request's cookie.
    pub(super) fn cookie(&self, headers: &HeaderMap) -> Option<String> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut ours = lines.flat_map(|line| line.split(';')).filter_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            (name == self.cookie_name()).then_some(value)
        });
        // Of two of one name nobody can say which is ours.
        let cookie = ours.next().map(str::to_owned);
        cookie.filter(|_| ours.next().is_none())
    }

    /// The Hall's address, as a browser has it that asks so. People paste it into shells: one that is none is left open.
    fn address(&self, parts: &Parts) -> String {
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let is_one = |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", host.filter(is_one).unwrap_or("HALL"))
    }

    /// That nobody on the way reads along.
    fn is_private(&self, parts: &Parts) -> bool {
        self.tls || is_of_this_machine(parts, parts.extensions.get::<CameFrom>().and_then(|came| came.peer))
    }

    /// That a form was sent from a page of ours: browsers say so of each form, and a page elsewhere cannot.
    fn is_ours(&self, parts: &Parts) -> bool {
        let origin = parts.extensions.get::<CameFrom>().and_then(|came| came.origin.as_ref()?.to_str().ok());
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let scheme = if self.tls { "https" } else { "http" };
        match (origin, host) {
            (Some(origin), Some(host)) => origin
                .strip_prefix(scheme)
                .and_then(|origin| origin.strip_prefix("://"))
                .is_some_and(|origin| origin.eq_ignore_ascii_case(host)),
            _ => false,
        }
    }
}

/// Somebody who may be shown a page, signed in or not.
pub(super) struct Visitor {
    /// What its cookie says, if it has one.
    pub(super) cookie: Option<String>,
    /// From where.
    pub(super) came: CameFrom,
}

impl FromRequestParts<Console> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        if !console.is_private(parts) {
            let why = "the console is there over TLS, or on the machine of the Hall itself: set `hall.tls`, or open it by \
                       `ssh -L 8765:127.0.0.1:8765 HOST` as http://127.0.0.1:8765/console/";
            return Err(page::failed(StatusCode::FORBIDDEN, why));
        }
        let came = parts.extensions.get().cloned().unwrap_or_default();
        Ok(Self { cookie: console.cookie(&parts.headers), came })
    }
}

/// Somebody who is signed in.
pub(super) struct SignedIn {
    /// As which token.
    pub(super) token: Arc<Token>,
    pub(super) api: Arc<dyn Api>,
    /// The Hall's address, as the browser has it.
    pub(super) address: String,
}

impl SignedIn {
    /// Whether the token may be used for this.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.token.may(scope)
    }
}

impl FromRequestParts<Console> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        let Visitor { cookie, .. } = Visitor::from_request_parts(parts, console).await?;
        let token = cookie
            .and_then(|cookie| console.sessions.find(&cookie, &console.api.tokens(), Instant::now()))
            .ok_or_else(|| sign_in(parts))?;
        console.api.admit(Applying::As(Arc::clone(&token))).await.map_err(page::of_api)?;
        Ok(Self { token, api: Arc::clone(&console.api), address: console.address(parts) })
    }
}

/// To the form, and back from there to the page that was asked for.
fn sign_in(parts: &Parts) -> Response {
    if parts.method != Method::GET {
        return page::failed(
            StatusCode::FORBIDDEN,
            "you are signed out, and nothing was changed: sign in, and send it again",
        );
    }
    let to = parts.uri.path_and_query().map_or("/console/", |to| to.as_str());
    Redirect::to(&format!("/console/sign-in?to={}", piece(to))).into_response()
}

/// A form that was sent from a page of ours.
pub(super) struct Form<T>(pub(super) T);

/// What is in a form that says nothing but that it was sent.
#[derive(Deserialize)]
pub(super) struct Sent {}

impl<T: DeserializeOwned> FromRequest<Console> for Form<T> {
    type Rejection = Response;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        if !console.is_ours(&parts) {
            let why = "this was not sent from a page of this console: nothing was changed";
            return Err(page::failed(StatusCode::FORBIDDEN, why));
        }
        let wrong = |status, why: &str| page::failed(status, why);
        let body = tokio::time::timeout(FORM_TIME, to_bytes(body, FORM)).await;
        let body = body.map_err(|_| wrong(StatusCode::REQUEST_TIMEOUT, "the form did not arrive in time"))?;
        let body = body.map_err(|_| wrong(StatusCode::PAYLOAD_TOO_LARGE, "the form has more than 64 KiB"))?;
        let request = Request::from_parts(parts, body.into());
        let form = axum::extract::Form::from_request(request, &()).await;
        form.map(|axum::extract::Form(form)| Self(form))
            .map_err(|error| wrong(StatusCode::BAD_REQUEST, &error.body_text()))
    }
}
