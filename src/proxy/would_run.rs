//! What would run: a held request as it would be forwarded, for the digest that is approved and for whoever approves it.

use http::Uri;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use pingora_core::Result;
use pingora_http::RequestHeader;

use crate::hall::approvals::{Contents, Subject, UnboundHeaders};
use crate::ids::Digest;
use crate::proxy::credentials::may_be_secret;
use crate::proxy::destination::Destination;
use crate::proxy::forward;
use crate::proxy::forwarded::CallerView;

/// What is of one connection and not of the request, or said by its body.
const NOT_OF_THE_REQUEST: [http::HeaderName; 8] =
    [CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

const HOST_NAME: &str = "host";

/// A request as it would be forwarded, but for what we add.
pub struct WouldRun {
    request: RequestHeader,
    upstream: String,
    /// Scheme and host of the upstream.
    origin: String,
    /// The host that the caller asks for, where the upstream is told of it.
    host: Option<String>,
}

impl WouldRun {
    /// What would run of a request.
    ///
    /// # Errors
    /// A header cannot be set.
    pub fn of(
        request: &RequestHeader,
        destination: &Destination,
        target: Option<&Uri>,
        seen: Option<&CallerView>,
    ) -> Result<Self> {
        let mut request = request.clone();
        forward::callers(&mut request, destination, target, seen, None)?;
        let upstream = &destination.upstream;
        let scheme = if upstream.tls { "https" } else { "http" };
        let host = String::from_utf8_lossy(destination.host.as_bytes());
        let origin = format!("{scheme}://{host}");
        let host = seen.and_then(CallerView::host).map(str::to_owned);
        Ok(Self { request, upstream: upstream.name.to_string(), origin, host })
    }

    fn target(&self) -> &str {
        self.request.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// The target as it is shown: of what may be a secret there is a hash.
    fn shown_target(&self) -> String {
        let Some((path, query)) = self.target().split_once('?') else { return self.target().to_owned() };
        let shown = |parameter: &str| match parameter.split_once('=') {
            Some((name, value)) if may_be_secret(name) => format!("{name}=sha256:{}", Digest::of(value.as_bytes())),
            _ => parameter.to_owned(),
        };
        let shown: Vec<String> = query.split('&').map(shown).collect();
        format!("{path}?{}", shown.join("&"))
    }

    /// The host that is told, and the caller's headers that are forwarded, sorted by name, the values of each in their order.
    fn headers(&self) -> Vec<(&str, &[u8])> {
        let headers: &HeaderMap = &self.request.headers;
        let mut names: Vec<_> = headers.keys().filter(|name| !NOT_OF_THE_REQUEST.contains(name)).collect();
        names.sort_by_key(|name| name.as_str());
        let values = |name: &'_ http::HeaderName| headers.get_all(name.as_str()).iter().collect::<Vec<_>>();
        let host = self.host.iter().map(|host| (HOST_NAME, host.as_bytes()));
        let headers = names.iter().flat_map(|name| values(name).into_iter().map(|one| (name.as_str(), one.as_bytes())));
        host.chain(headers).collect()
    }

    /// Its digest, behind what is asked.
    pub fn subject(&self, asked: Subject, unbound: &UnboundHeaders, body: &[u8]) -> Digest {
        let mut headers = self.headers();
        headers.retain(|(name, _)| !unbound.have(name));
        asked.http([self.request.method.as_str(), &self.upstream, self.target()], &headers, &Digest::of(body))
    }

    /// What an approver sees of it. A credential is there as the hash of its value, so that another one can be told.
    pub fn contents(&self, body: &[u8]) -> Contents {
        let shown = |(name, value): (&str, &[u8])| {
            let value = if may_be_secret(name) {
                format!("sha256:{}", Digest::of(value))
            } else {
                String::from_utf8_lossy(value).into_owned()
            };
            (name.to_owned(), value)
        };
        Contents {
            http: Some(format!("{} {}{}", self.request.method, self.origin, self.shown_target())),
            headers: self.headers().into_iter().map(shown).collect(),
            ..Contents::of_body(body)
        }
    }
}
