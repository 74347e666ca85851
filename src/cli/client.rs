//! A client of a running Hall: where it is, the session token, one request and its answer.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::cli::serve::one_provider;
use crate::cli::{cannot, say};
use crate::outbound::{self, HttpClient, Url};
use crate::telemetry::causes;

/// For a whole call.
const CALL_TIME: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes.
const LONGEST: usize = 64 << 20;
/// The variable with the session token. It is no option: others can read a process's arguments.
const TOKEN: &str = "HALL_SESSION_TOKEN";

/// Which Hall. The session token is `HALL_SESSION_TOKEN` in the environment.
#[derive(Debug, Args)]
pub struct HallAddress {
    /// The Hall's address
    #[arg(long, value_name = "URL", env = "PYHALL_HALL_URL", default_value = "http://localhost:8765")]
    hall_url: String,
}

/// What the Hall answered.
#[derive(Debug)]
pub struct HallAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

/// Why there is no answer of a Hall.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is none.
    #[error("`{0}` is not a Hall's address: write such as `http://localhost:8765` in --hall-url or PYHALL_HALL_URL")]
    Address(String),
    /// No token.
    #[error("the environment variable HALL_SESSION_TOKEN is not set: set it to a session token of this Hall")]
    NoToken,
    /// Nobody answers, or not in time.
    #[error("the Hall at {0} does not answer: {1}")]
    Unreachable(Url, String),
    /// Something answers that is no Hall.
    #[error("what answers at {0} is no Hall: {1}")]
    Strange(Url, String),
}

impl HallAddress {
    /// The Hall's address, as it is written.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.hall_url
    }

    /// Gets a path, such as `/workers`.
    ///
    /// # Errors
    /// There is no answer of a Hall.
    pub fn get(&self, path: &str) -> Result<HallAnswer, CallError> {
        self.call(Method::GET, path, Some(&token()?), None)
    }

    /// Gets a path that needs no token and says more with one, such as `/readyz`.
    ///
    /// # Errors
    /// There is no answer of a Hall.
    pub fn get_openly(&self, path: &str) -> Result<HallAnswer, CallError> {
        self.call(Method::GET, path, token().ok().as_deref(), None)
    }

    /// Posts JSON as it is written.
    ///
    /// # Errors
    /// There is no answer of a Hall.
    pub fn post(&self, path: &str, body: Vec<u8>) -> Result<HallAnswer, CallError> {
        self.call(Method::POST, path, Some(&token()?), Some(body))
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Vec<u8>>,
    ) -> Result<HallAnswer, CallError> {
        let address = || CallError::Address(self.hall_url.clone());
        let base = Url::parse(&self.hall_url).map_err(|_| address())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(address());
        }
        let url = format!("{}{path}", self.hall_url.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| address())?;
        let unreachable = |error: &dyn std::error::Error| CallError::Unreachable(url.clone(), causes(error));
        one_provider();
        let client = HttpClient::to(&base, CALL_TIME, None).map_err(|error| unreachable(&error))?;
        let mut request = client.request(method, url.clone());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| unreachable(&error))?.block_on(async {
            let response = request.send().await.map_err(|error| unreachable(&error.without_url()))?;
            let status = response.status().as_u16();
            let bytes = outbound::body(response, LONGEST).await.map_err(|error| unreachable(&error.without_url()))?;
            let strange = |why: String| CallError::Strange(url.clone(), why);
            let bytes = bytes.ok_or_else(|| strange(format!("its answer is longer than {LONGEST} bytes")))?;
            let body = serde_json::from_slice(&bytes)
                .map_err(|error| strange(format!("its answer {status} is not JSON: {error}")))?;
            Ok(HallAnswer { status, body })
        })
    }
}

/// The session token.
fn token() -> Result<String, CallError> {
    std::env::var(TOKEN).ok().filter(|token| !token.is_empty()).ok_or(CallError::NoToken)
}

impl HallAnswer {
    /// A text of the body, such as `worker_id`.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.body.get(key)?.as_str()
    }

    /// Whether the Hall did what it was asked.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// What the Hall said instead of doing it.
    #[must_use]
    pub fn refusal(&self) -> String {
        let error = self.text("error").unwrap_or("no reason given");
        let reason = self.text("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("the Hall refuses ({}): {error}{reason}", self.status)
    }
}

/// Says what the Hall has done, or why it has not, and gives the exit code: 0 done, 1 the Hall refuses, 2 it could not be asked.
pub fn told(answer: Result<HallAnswer, CallError>, done: impl FnOnce(&HallAnswer) -> String) -> ExitCode {
    match answer {
        Ok(answer) if answer.is_success() => {
            say(done(&answer));
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            let _ = cannot(answer.refusal());
            ExitCode::FAILURE
        }
        Err(error) => cannot(error),
    }
}

/// One segment of a path, with everything that would end it escaped.
#[must_use]
pub fn segment(id: &str) -> String {
    let mut segment = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => segment.push(char::from(byte)),
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// The body of a request with these texts, those that are there.
#[must_use]
pub fn body(texts: &[(&str, Option<&str>)]) -> Vec<u8> {
    let members: serde_json::Map<String, serde_json::Value> =
        texts.iter().filter_map(|(key, text)| Some(((*key).to_owned(), (*text)?.into()))).collect();
    serde_json::Value::Object(members).to_string().into_bytes()
}
