//! Callbacks: whoever asks may have itself told that somebody has decided, where an operator allows it.
//!
//! A URL is compared as a text, so there is one way to write it: that of the URL standard, with nothing in it that two readers take for
//! two things. What it leads to is checked again when it is called ([`HttpClient::reaching`](crate::outbound::HttpClient::reaching)).

use std::fmt;

use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::outbound::{Reach, Url};

/// The longest URL, in bytes.
pub const LONGEST_URL: usize = 2048;
/// The most callbacks of one approval.
pub const MOST_CALLBACKS: usize = 16;

/// Where somebody who asks is told that it is decided. Its URL may hold a secret: never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The URL.
    pub url: String,
    /// What ties the request to others.
    pub correlation_id: String,
    /// Whoever asks has chosen that id, so it tells two requests apart that are the same otherwise.
    pub is_chosen: bool,
    /// It is on its way.
    #[serde(skip)]
    pub(super) is_called: bool,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("correlation_id", &self.correlation_id).finish_non_exhaustive()
    }
}

impl Callback {
    /// One of a request.
    #[must_use]
    pub fn new(url: String, correlation_id: String, is_chosen: bool) -> Self {
        Self { url, correlation_id, is_chosen, is_called: false }
    }

    /// Whether another one would say the same to the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let untold = !self.is_chosen && !other.is_chosen;
        self.url == other.url && (untold || self.correlation_id == other.correlation_id)
    }
}

/// Why a URL is not called, as the rest of a sentence that begins with it, and what to change. Neither says more of it than its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCallable {
    /// What is wrong.
    pub is: String,
    /// What to change.
    pub help: String,
}

impl NotCallable {
    fn new(is: impl Into<String>, help: impl Into<String>) -> Self {
        Self { is: is.into(), help: help.into() }
    }
}

/// What URLs that may be called begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackPrefix {
    /// Scheme, host and port.
    origin: String,
    /// The path, or its beginning where it ends in `/`.
    path: String,
    /// Where its host may be.
    pub reach: Reach,
}

impl CallbackPrefix {
    /// One as an operator writes it.
    ///
    /// # Errors
    /// It is no URL without a query that may be called.
    pub fn new(text: &str, reach: Reach) -> Result<Self, NotCallable> {
        let url = read(text)?;
        if url.query().is_some() {
            return Err(NotCallable::new("has a query", "write scheme, host and the beginning of the path"));
        }
        if reach == Reach::Public && url.scheme() != "https" {
            let help = "write https://, or name the private network that it is in, such as `private: 10.1.0.0/16`";
            return Err(NotCallable::new("is not encrypted", help));
        }
        if literal(&url).is_some_and(|address| !reach.admits(address)) {
            let help = "name the private network that it is in, such as `private: 10.1.0.0/16`, or write a name";
            return Err(NotCallable::new("is an address to which nothing is sent from here", help));
        }
        Ok(Self { origin: origin(&url), path: url.path().to_owned(), reach })
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// Whether a URL that was [read] begins so: whole segments of its path.
    fn covers(&self, url: &Url) -> bool {
        let rest = url.path().strip_prefix(&self.path);
        origin(url) == self.origin
            && rest.is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'))
    }
}

/// Who may be told.
#[derive(Debug, Clone)]
pub struct CallbackSettings {
    /// What their URLs begin with.
    pub prefixes: Vec<CallbackPrefix>,
    /// What they know us by from the start.
    pub key: CallbackKey,
}

/// By what cannot change while somebody may be called: the key can.
impl PartialEq for CallbackSettings {
    fn eq(&self, other: &Self) -> bool {
        self.prefixes == other.prefixes
    }
}

impl Eq for CallbackSettings {}

impl CallbackSettings {
    /// The number of the prefix that covers a URL.
    ///
    /// # Errors
    /// None does, or it is no URL that may be called.
    pub fn prefix_of(&self, text: &str) -> Result<usize, NotCallable> {
        let url = read(text)?;
        self.prefixes.iter().position(|prefix| prefix.covers(&url)).ok_or_else(|| not_listed(&origin(&url)))
    }
}

/// That a URL is at a host, or below a path of it, that no operator has allowed.
#[must_use]
pub fn not_listed(origin: &str) -> NotCallable {
    NotCallable::new(
        format!("begins with `{origin}/` and is not allowed here"),
        "leave it out and ask `GET /wcp/approvals/{id}`, or have whoever runs the Hall add what it begins with to `approvals.callbacks`",
    )
}

/// Scheme, host and port of a URL that somebody wants called.
///
/// # Errors
/// It is none that may be called.
pub fn origin_of(text: &str) -> Result<String, NotCallable> {
    read(text).map(|url| origin(&url))
}

/// A URL that is written in the one way.
fn read(text: &str) -> Result<Url, NotCallable> {
    let no_url = || NotCallable::new("is no URL of http or https", "write such as `https://hooks.example.org/path`");
    if text.len() > LONGEST_URL {
        return Err(NotCallable::new(format!("has more than {LONGEST_URL} bytes"), "write a shorter one"));
    }
    let url = Url::parse(text).map_err(|_| no_url())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(no_url());
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(NotCallable::new("has a user or a `#`", "write scheme, host, path and perhaps a query"));
    }
    if url.as_str() != text {
        let help = format!(
            "write scheme and host in lower case, an address in four numbers, no port that goes without saying, a path without `.` and \
             `..`, and other characters than ASCII in their encoded form: it would begin with `{}/`",
            origin(&url)
        );
        return Err(NotCallable::new("is not written as it is read", help));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte);
    let path = url.path();
    if !path.bytes().all(plain) || path.contains("//") || url.domain().is_some_and(|host| host.ends_with('.')) {
        let help = "write a host without a dot at its end, and a path without `%`, `;`, `\\` and `//`";
        return Err(NotCallable::new("has a host or a path that is not read alike everywhere", help));
    }
    Ok(url)
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The address, where the host is written as one.
fn literal(url: &Url) -> Option<std::net::IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// What receivers know a callback by: HMAC-SHA256. Never printed.
#[derive(Clone)]
pub struct CallbackKey {
    key: hmac::Key,
    /// To compare.
    tag: [u8; 32],
}

impl fmt::Debug for CallbackKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackKey").finish_non_exhaustive()
    }
}

impl PartialEq for CallbackKey {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}

impl Eq for CallbackKey {}

impl CallbackKey {
    /// Of a secret that both sides know.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&key, b"which key is it").as_ref());
        Self { key, tag }
    }

    /// The value of `wcp-callback-signature`: over the time in seconds since 1970 UTC, a dot, and the body.
    #[must_use]
    pub fn signature(&self, seconds: &str, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(seconds.as_bytes());
        context.update(b".");
        context.update(body);
        let hex: String = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("v1={hex}")
    }
}

#[cfg(test)]
#[path = "callback/tests.rs"]
mod tests;
