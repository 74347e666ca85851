//! One call of the walk: the same request as a curl line to copy and as it is sent.

use std::fmt;
use std::time::Duration;

use http::header::CONTENT_TYPE;

use crate::cli::serve::one_provider;
use crate::outbound::{HttpClient, RequestBuilder, Url};
use crate::telemetry::causes;

/// The variable under which curl lines expect the session token.
pub const TOKEN_VARIABLE: &str = "HALL_SESSION_TOKEN";
/// The variable under which they expect an approver's.
pub const APPROVER_VARIABLE: &str = "HALL_APPROVER_TOKEN";

const JSON: &str = "application/json";

/// For one call, a stream to its end included.
const CALL_TIME: Duration = Duration::from_secs(30);

/// A client for what the demo runs.
///
/// # Errors
/// The system gives nothing to make one from, or the address is none.
pub fn client(address: &str) -> Result<HttpClient, String> {
    one_provider();
    let address = Url::parse(address).map_err(|error| error.to_string())?;
    HttpClient::to(&address, CALL_TIME, None).map_err(|error| causes(&error))
}

/// One call.
#[derive(Debug)]
pub struct Call {
    url: String,
    /// The token, and the variable in which it is.
    token: Option<(String, &'static str)>,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<String>,
}

impl Call {
    /// `GET url`
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self { url: url.into(), token: None, headers: Vec::new(), body: None }
    }

    /// `POST url` with a JSON body, sent and shown as it is written.
    #[must_use]
    pub fn post(url: impl Into<String>, body: impl Into<String>) -> Self {
        Self { body: Some(body.into()), ..Self::get(url) }
    }

    /// With the session token, which the curl line takes from the environment.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some((token.to_owned(), TOKEN_VARIABLE)), ..self }
    }

    /// The same with an approver's.
    #[must_use]
    pub fn with_approver(self, token: &str) -> Self {
        Self { token: Some((token.to_owned(), APPROVER_VARIABLE)), ..self }
    }

    /// With a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The request, ready to be sent.
    pub fn request(&self, client: &HttpClient) -> RequestBuilder {
        let mut request = if self.body.is_some() { client.post(&self.url) } else { client.get(&self.url) };
        if let Some((token, _)) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        match &self.body {
            Some(body) => request.header(CONTENT_TYPE, JSON).body(body.clone()),
            None => request,
        }
    }
}

/// The curl line. `-N` shows a stream as it comes.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "curl -sSN {}", self.url)?;
        if let Some((_, variable)) = &self.token {
            write!(f, " -H \"Authorization: Bearer ${variable}\"")?;
        }
        for (name, value) in &self.headers {
            write!(f, " -H '{name}: {value}'")?;
        }
        if let Some(body) = &self.body {
            write!(f, " -H 'Content-Type: {JSON}' -d {}", quoted(body))?;
        }
        Ok(())
    }
}

/// Text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn a_curl_line_says_what_is_sent_but_not_the_token() {
        let call =
            Call::post("http://h/x", r#"{"it":"isn't"}"#).with_token("hst_1").with_header("wcp-data-label", "PUBLIC");
        assert_eq!(
            call.to_string(),
            concat!(
                r#"curl -sSN http://h/x -H "Authorization: Bearer $HALL_SESSION_TOKEN" -H 'wcp-data-label: PUBLIC' "#,
                r#"-H 'Content-Type: application/json' -d '{"it":"isn'\''t"}'"#
            )
        );
        let sent = call.request(&client("http://h").unwrap()).build().unwrap();
        assert_eq!(sent.method(), Method::POST);
        assert_eq!(sent.headers()["authorization"], "Bearer hst_1");
        assert_eq!(sent.headers()["wcp-data-label"], "PUBLIC");
        assert_eq!(sent.body().unwrap().as_bytes().unwrap(), br#"{"it":"isn't"}"#);
    }
}
