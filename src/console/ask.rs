//! The API as the console asks it: in this process, as whoever is signed in, and answered as anybody else would be.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::{Body, Bytes, to_bytes};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::console::guard::SignedIn;
use crate::console::page;
use crate::hall::{Token, TokenBook};

/// All but what is unreserved in an address (RFC 3986 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The most bytes of an answer.
const ANSWER: usize = 8 << 20;

/// Who asks to be let in.
#[derive(Debug, Clone)]
pub enum Applying {
    /// A token that is signed in.
    As(Arc<Token>),
    /// What it presented is nobody's; from this address.
    Nobody(Option<IpAddr>),
}

/// The Hall's API.
#[async_trait]
pub trait Api: Send + Sync {
    /// The tokens in force.
    fn tokens(&self) -> Arc<TokenBook>;

    /// Whether whoever applies may ask: within the rates of the API.
    ///
    /// # Errors
    /// It may not now; the answer that says so.
    async fn admit(&self, applying: Applying) -> Result<(), Response>;

    /// Answers a request as this token's.
    async fn answer(&self, token: Arc<Token>, request: Request<Body>) -> Response;
}

/// What the API did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// With which status.
    pub status: StatusCode,
    /// Why: what is wrong and what to change.
    pub reason: String,
}

/// What all its refusals have.
#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

impl Failed {
    /// Of an answer of the API's that is no success.
    async fn of(answer: Response) -> Self {
        let status = answer.status();
        let body = to_bytes(answer.into_body(), ANSWER).await.unwrap_or_default();
        let said = serde_json::from_slice(&body).map(|Refusal { reason }| reason);
        Self { status, reason: said.unwrap_or_else(|_| status.to_string()) }
    }

    fn inside() -> Self {
        let reason = "the API answered what this page does not know; its log says more".to_owned();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, reason }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        page::failed(self.status, &self.reason)
    }
}

impl SignedIn {
    /// What the API answers to this path, as JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        read(&self.get_whole(path).await?)
    }

    /// The same to the byte.
    pub(super) async fn get_whole(&self, path: &str) -> Result<Bytes, Failed> {
        self.ask(Request::get(path).body(Body::empty())).await
    }

    /// Has the API do something.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, asked: &serde_json::Value) -> Result<T, Failed> {
        let request = Request::post(path).header(CONTENT_TYPE, "application/json").body(asked.to_string().into());
        read(&self.ask(request).await?)
    }

    /// What the API answers, if that is a success.
    pub(super) async fn answer(&self, request: http::Result<Request<Body>>) -> Result<Response, Failed> {
        let request = request.map_err(|error| {
            tracing::error!(%error, "the console asks what is no request");
            Failed::inside()
        })?;
        let answer = self.api.answer(Arc::clone(&self.token), request).await;
        if answer.status().is_success() { Ok(answer) } else { Err(Failed::of(answer).await) }
    }

    async fn ask(&self, request: http::Result<Request<Body>>) -> Result<Bytes, Failed> {
        let answer = self.answer(request).await?;
        to_bytes(answer.into_body(), ANSWER).await.map_err(|error| {
            tracing::error!(%error, "an answer of the API cannot be read");
            Failed::inside()
        })
    }
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(answer).map_err(|error| {
        tracing::error!(%error, "an answer of the API is another than the console knows");
        Failed::inside()
    })
}

/// A text as one piece of a path or of a query.
pub(super) fn piece(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// What an address asks for.
pub(super) struct Queried(String);

impl Queried {
    /// Of its query.
    pub(super) fn of(query: Option<String>) -> Self {
        Self(query.unwrap_or_default())
    }

    /// What is said under this name; `None` where that is nothing.
    pub(super) fn said(&self, key: &str) -> Option<String> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(name, _)| *name == key).map(|(_, value)| value.replace('+', " "))?;
        let text = percent_decode_str(&value).decode_utf8_lossy().trim().to_owned();
        Some(text).filter(|text| !text.is_empty())
    }

    /// What of it is said under these names, as a part of another query: `&` before each.
    pub(super) fn kept<'a>(&self, keys: impl Iterator<Item = &'a str>) -> String {
        let said = keys.filter_map(|key| Some(format!("&{key}={}", piece(&self.said(key)?))));
        said.collect()
    }
}
