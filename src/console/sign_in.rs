//! Signing in: by a token of the Hall, or by a link that was made for one and leads in once; and out.

use std::time::Instant;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use crate::console::ask::Applying;
use crate::console::guard::{Console, Form, Sent, Visitor};
use crate::console::page;
use crate::ids::Digest;

/// Where to go then.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ToQuery {
    #[serde(default)]
    to: String,
}

/// A token, as it is typed.
#[derive(Deserialize)]
pub(super) struct TokenForm {
    token: String,
    #[serde(default)]
    to: String,
}

/// A link's secret.
#[derive(Default, Deserialize)]
pub(super) struct LinkForm {
    #[serde(default)]
    link: String,
}

#[derive(Template)]
#[template(path = "sign_in.html", config = "src/console/askama.toml")]
struct SignInPage<'a> {
    to: &'a str,
    wrong: bool,
}

#[derive(Template)]
#[template(path = "enter.html", config = "src/console/askama.toml")]
struct EnterPage<'a> {
    link: &'a str,
}

/// `GET /console/sign-in`
pub(super) async fn form(_: Visitor, query: Result<Query<ToQuery>, QueryRejection>) -> Response {
    let Query(ToQuery { to }) = query.unwrap_or_default();
    page::html(&SignInPage { to: ours(&to), wrong: false })
}

/// `POST /console/sign-in`
pub(super) async fn by_token(
    State(console): State<Console>,
    visitor: Visitor,
    Form(form): Form<TokenForm>,
) -> Response {
    let TokenForm { token: secret, to } = form;
    let secret = secret.trim();
    let token = console.api.tokens().authenticate(secret.as_bytes());
    let applying = match &token {
        Some(token) => Applying::As(token.clone()),
        None => Applying::Nobody(visitor.came.peer.map(|peer| peer.ip())),
    };
    if let Err(refused) = console.api.admit(applying).await {
        return page::of_api(refused);
    }
    let Some(token) = token else {
        tracing::debug!("somebody tried to sign in to the console with a token that is none");
        let mut answer = page::html(&SignInPage { to: ours(&to), wrong: true });
        *answer.status_mut() = StatusCode::UNAUTHORIZED;
        return answer;
    };
    tracing::info!(token = %token.name, "signed in to the console");
    enter(&console, visitor, Digest::of(secret.as_bytes()), ours(&to))
}

/// `GET /console/enter?link=…`: a button. Whoever only looks, such as a chat that shows what is behind a link, uses nothing up.
pub(super) async fn door(_: Visitor, query: Result<Query<LinkForm>, QueryRejection>) -> Response {
    let Query(LinkForm { link }) = query.unwrap_or_default();
    page::html(&EnterPage { link: &link })
}

/// `POST /console/enter`
pub(super) async fn by_link(State(console): State<Console>, visitor: Visitor, Form(form): Form<LinkForm>) -> Response {
    let tokens = console.api.tokens();
    let secret = console.sessions.follow(&form.link, &tokens, Instant::now());
    let token = secret.and_then(|secret| tokens.of_secret(&secret));
    let applying = match &token {
        Some(token) => Applying::As(token.clone()),
        None => Applying::Nobody(visitor.came.peer.map(|peer| peer.ip())),
    };
    if let Err(refused) = console.api.admit(applying).await {
        return page::of_api(refused);
    }
    let (Some(secret), Some(token)) = (secret, token) else {
        let why =
            "this link was followed before, or is older than five minutes: sign in with a token, or make another link";
        return page::failed(StatusCode::UNAUTHORIZED, why);
    };
    tracing::info!(token = %token.name, "signed in to the console by a link");
    enter(&console, visitor, secret, "/console/")
}

/// `POST /console/sign-out`
pub(super) async fn out(State(console): State<Console>, visitor: Visitor, Form(Sent {}): Form<Sent>) -> Response {
    if let Some(cookie) = visitor.cookie {
        console.sessions.sign_out(&cookie);
    }
    with_cookie(&console, "", 0, "/console/sign-in")
}

/// Signs in, and out of whatever was there before: no secret that was known before somebody signed in means anything afterwards.
fn enter(console: &Console, visitor: Visitor, token: Digest, to: &str) -> Response {
    if let Some(cookie) = visitor.cookie {
        console.sessions.sign_out(&cookie);
    }
    match console.sessions.sign_in(token, Instant::now()) {
        Ok(secret) => with_cookie(console, &secret, 12 * 60 * 60, to),
        Err(error) => {
            tracing::error!(%error, "the system gives no randomness");
            page::failed(StatusCode::SERVICE_UNAVAILABLE, "the system gives no randomness")
        }
    }
}

fn with_cookie(console: &Console, secret: &str, seconds: u32, to: &str) -> Response {
    let secure = if console.tls { "; Secure" } else { "" };
    let name = console.cookie_name();
    let cookie = format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut answer = (page::headers("text/html; charset=utf-8"), Redirect::to(to)).into_response();
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

/// A page of ours to go to, or the first.
fn ours(to: &str) -> &str {
    let plain = to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if to.starts_with("/console/") && plain { to } else { "/console/" }
}

#[cfg(test)]
mod tests {
    use super::ours;

    #[test]
    fn one_goes_to_pages_of_ours_only() {
        for kept in ["/console/", "/console/approvals/0192?x=1", "/console/decisions?worker=a%20b"] {
            assert_eq!(ours(kept), kept);
        }
        for elsewhere in [
            "",
            "/",
            "//evil.example/console/",
            "https://evil.example/console/",
            "/console/\r\nx: y",
            "/console/\\",
            "console/",
        ] {
            assert_eq!(ours(elsewhere), "/console/", "{elsewhere:?}");
        }
    }
}
