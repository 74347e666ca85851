//! Credentials of the caller's: where the gate holds the upstream's own, no other goes there beside it.
//!
//! Upstreams take a key in more places than one, and SDKs send it in more than one: in a header, in the query, in a subprotocol of a
//! WebSocket. What is beside ours would be the upstream's to choose from. So it is taken out, and everything around it stays as it
//! was written; a signature over it would be a second credential, too.

use std::borrow::Cow;

use http::HeaderValue;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::uri::{PathAndQuery, Uri};
use percent_encoding::percent_decode;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;

use crate::proxy::header_names::HeaderNames;
use crate::proxy::settings::Upstream;

/// What is in the name of one of our own headers that is a credential.
const HELD: [&str; 9] = ["auth", "cookie", "credential", "jwt", "key", "passw", "secret", "session", "token"];

/// How often a name may be encoded and still be read.
const DEEPEST: usize = 4;

/// How the names of credentials end that end in this letter, of headers and of parameters, without their marks: `X-Api-Key`,
/// `api_key` and `apiKey` do.
const fn endings(last: u8) -> &'static [&'static str] {
    match last {
        b'd' => &["accessid", "accesskeyid", "password"],
        b'e' => &["amzsignature", "googsignature"],
        b'h' => &["auth"],
        b'l' => &["credential"],
        b'n' => &[
            "accesstoken",
            "apitoken",
            "authorization",
            "authorizationtoken",
            "authtoken",
            "bearertoken",
            "deploytoken",
            "jobtoken",
            "jwtassertion",
            "privatetoken",
            "securitytoken",
            "sessiontoken",
            "subscriptiontoken",
            "vaulttoken",
        ],
        b's' => &["credentials"],
        b't' => &["jwt", "secret"],
        b'y' => &[
            "accesskey",
            "apikey",
            "appkey",
            "applicationkey",
            "authkey",
            "functionskey",
            "secretkey",
            "subscriptionkey",
        ],
        _ => &[],
    }
}

/// Whole names of headers that are credentials, besides.
const HEADERS: [&str; 4] = ["key", "token", "x-key", "x-token"];

/// What is in a subprotocol that is a credential, or is followed by one.
const SUBPROTOCOLS: [&str; 8] =
    ["accesstoken", "apikey", "authorization", "bearer", "credential", "jwt", "secret", "token"];

/// What of a caller's request is a credential, for one upstream.
#[derive(Debug)]
pub struct Credentials {
    /// Whether the gate holds the upstream's.
    held: bool,
    headers: HeaderNames,
    query: HeaderNames,
}

impl Credentials {
    /// By what the gate holds for this upstream, and by what the operator lists.
    #[must_use]
    pub fn beside(upstream: &Upstream) -> Self {
        let own = || upstream.headers.iter().map(|(name, _)| name.as_str());
        let any = |words: &[&str]| own().any(|name| words.iter().any(|word| name.contains(word)));
        let ends = |word: &str| own().any(|name| ends_in(name.as_bytes(), word));
        let host = &*upstream.host;
        let google = host == "googleapis.com" || host.ends_with(".googleapis.com");
        let held = any(&HELD);
        // What these are called elsewhere, too, so they count only where the upstream is one of that kind.
        let also = [
            ("key", held && (ends("key") || google)),
            ("token", ends("token") || ends("authorization")),
            ("code", ends("functionskey")),
        ];
        let also = also.into_iter().filter_map(|(name, counts)| counts.then_some(name)).map(Cow::from);
        let listed = upstream.strip_query.iter().cloned().map(Cow::from);
        let whole = HEADERS.into_iter().filter(|_| held).map(Cow::from);
        let names = upstream.strip_headers.iter().map(|name| Cow::from(name.as_str().to_owned()));
        Self { held, headers: HeaderNames::of(whole.chain(names)), query: HeaderNames::of(also.chain(listed)) }
    }

    /// Whether a header of this name is one.
    #[must_use]
    pub fn is_header(&self, name: &str) -> bool {
        self.headers.have(name) || (self.held && ends_like_one(name.as_bytes()))
    }

    /// Takes them out of the query and the subprotocols.
    ///
    /// # Errors
    /// What is left cannot be written, which it always can.
    pub fn take_from(&self, request: &mut RequestHeader) -> Result<()> {
        if let Some(query) = request.uri.query()
            && let Some(left) = self.left_of(query)
        {
            let path = request.uri.path();
            let target = if left.is_empty() { path.to_owned() } else { format!("{path}?{left}") };
            let target = PathAndQuery::from_maybe_shared(bytes::Bytes::from(target));
            request.set_uri(Uri::from(target.map_err(|_| unwritable())?));
        }
        if self.held && request.headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            let lines = request.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(HeaderValue::as_bytes);
            let all = lines.collect::<Vec<_>>().join(&b","[..]);
            if let Some(left) = subprotocols_left_of(&all) {
                request.remove_header(&SEC_WEBSOCKET_PROTOCOL);
                if !left.is_empty() {
                    let left = HeaderValue::from_bytes(&left).map_err(|_| unwritable())?;
                    request.insert_header(SEC_WEBSOCKET_PROTOCOL, left)?;
                }
            }
        }
        Ok(())
    }

    /// What is left of a query without them; `None`: all of it. To some, `;` separates parameters as `&` does.
    fn left_of(&self, query: &str) -> Option<String> {
        if !self.held && self.query.is_empty() {
            return None;
        }
        let separates = |separator: char| matches!(separator, '&' | ';');
        if !query.split(separates).any(|parameter| self.is_parameter(parameter)) {
            return None;
        }
        let mut left = String::with_capacity(query.len());
        for piece in query.split_inclusive(separates) {
            if !self.is_parameter(piece.trim_end_matches(separates)) {
                left.push_str(piece);
            } else if !piece.ends_with(separates) && left.ends_with(separates) {
                left.pop();
            }
        }
        Some(left)
    }

    /// Whether a parameter is one, in the spelling that is the least plain to us: encoded once or more often, as one of a list
    /// (`key[]`), with a space before it.
    fn is_parameter(&self, parameter: &str) -> bool {
        let written = parameter.split('=').next().unwrap_or_default();
        let mut name = Cow::Borrowed(written.as_bytes());
        for depth in 0.. {
            let decoded: Cow<'_, [u8]> = percent_decode(&name).into();
            if *decoded == *name {
                break;
            }
            if depth == DEEPEST {
                return true;
            }
            name = Cow::Owned(decoded.into_owned());
        }
        let name = name.split(|byte| matches!(byte, b'[' | b'=' | 0)).next().unwrap_or_default();
        if self.held && ends_like_one(name) {
            return true;
        }
        std::str::from_utf8(name).is_ok_and(|name| self.query.have(name.trim_matches([' ', '+', '\t', '\r', '\n'])))
    }
}

/// Whether a name may be a secret's: whoever is shown its value is shown a hash. More are taken for one than are taken out.
pub fn may_be_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    HELD.iter().any(|word| lower.contains(word)) || ends_like_one(name.as_bytes())
}

/// Whether a name ends like that of a credential.
fn ends_like_one(name: &[u8]) -> bool {
    let last = name.iter().rev().find(|byte| byte.is_ascii_alphanumeric());
    last.is_some_and(|last| endings(last.to_ascii_lowercase()).iter().any(|ending| ends_in(name, ending)))
}

/// Whether a name without its marks ends in this, in any case.
fn ends_in(name: &[u8], ending: &str) -> bool {
    let mut name = name.iter().rev().filter(|byte| byte.is_ascii_alphanumeric());
    ending.bytes().rev().all(|byte| name.next().is_some_and(|found| found.eq_ignore_ascii_case(&byte)))
}

/// What is left of a list of subprotocols (RFC 6455 4.1); `None`: all of it. Browsers cannot set headers of a WebSocket, so APIs take
/// a key as one of them (`openai-insecure-api-key.…`), or as the one that follows a word (`bearer, …`).
fn subprotocols_left_of(all: &[u8]) -> Option<Vec<u8>> {
    let mut left: Vec<&[u8]> = Vec::new();
    let (mut taken, mut follows) = (false, false);
    for subprotocol in all.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|one| !one.is_empty()) {
        let word: String = subprotocol
            .iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .map(|byte| char::from(byte.to_ascii_lowercase()))
            .collect();
        let signed = subprotocol.starts_with(b"eyJ") && subprotocol.contains(&b'.');
        let is_one = follows || signed || SUBPROTOCOLS.into_iter().any(|known| word.contains(known));
        follows = !follows && (SUBPROTOCOLS.contains(&&*word) || matches!(&*word, "auth" | "authtoken" | "key"));
        if is_one || follows {
            taken = true;
        } else {
            left.push(subprotocol);
        }
    }
    taken.then(|| left.join(&b", "[..]))
}

fn unwritable() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "a request without the caller's credentials cannot be written")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::routes::readers;

    fn beside(host: &str, held: &[&'static str]) -> Credentials {
        Credentials::beside(&Upstream {
            host: host.to_owned(),
            headers: held.iter().map(|name| (name.parse().unwrap(), HeaderValue::from_static("ours"))).collect(),
            strip_headers: vec!["x-tenant-pass".parse().unwrap()],
            strip_query: vec!["sig".to_owned()],
            ..Upstream::clone(&readers::upstream())
        })
    }

    #[test]
    fn headers_that_are_credentials_are_known_by_their_ends() {
        let held = beside("h", &["x-api-key"]);
        for credential in [
            "authorization",
            "api-key",
            "apikey",
            "x-api-key",
            "x_api.key",
            "x-goog-api-key",
            "x-auth-token",
            "private-token",
            "ocp-apim-subscription-key",
            "xi-api-key",
            "x-rapidapi-key",
            "x-functions-key",
            "x-amz-security-token",
            "key",
            "cf-access-jwt-assertion",
            "x-goog-iam-authorization-token",
            "x-tenant_pass",
            "token",
            "x-serverless-authorization",
        ] {
            assert!(held.is_header(credential), "{credential}");
        }
        let none = beside("h", &["x-region"]);
        for other in [
            "idempotency-key",
            "sec-websocket-key",
            "x-csrf-token",
            "x-ms-continuation-token",
            "cookie",
            "accept",
            "content-type",
            "x-amz-date",
            "openai-organization",
            "surrogate-key",
            "x-goog-user-project",
            "anthropic-version",
            "author",
        ] {
            assert!(!held.is_header(other), "{other}");
        }
        assert!(none.is_header("x-tenant-pass") && !none.is_header("authorization") && !none.is_header("key"));
    }

    #[test]
    fn a_query_is_left_as_it_was_written_around_them() {
        let google = beside("h", &["x-goog-api-key"]);
        for (query, left) in [
            ("alt=sse&key=APPS", "alt=sse"),
            ("key=APPS&alt=sse", "alt=sse"),
            ("a=%2f&key=APPS&b=+", "a=%2f&b=+"),
            ("key=APPS", ""),
            ("%6B%65y=APPS&a", "a"),
            ("a;KEY=APPS;b=1", "a;b=1"),
            ("key[]=APPS&%256bey=APPS&+key=APPS&key%00x=APPS&%25252525252561=APPS&api_key=APPS&a=1", "a=1"),
            ("access_token=APPS&accessToken=APPS&X-Goog-Api-Key=APPS&apikey%5B0%5D=APPS&a&", "a&"),
            ("X-Amz-Credential=APPS&X-Amz-Signature=APPS&subscription-key=APPS&a=1", "a=1"),
            ("a=1&sig=APPS", "a=1"),
        ] {
            assert_eq!(google.left_of(query).as_deref(), Some(left), "{query}");
        }
        for kept in ["", "alt=sse", "keys=1&monkey=2&page_token=3", "a=key&b=key%3D1", "code=1", "author=1", "&&;&"] {
            assert_eq!(google.left_of(kept), None, "{kept}");
        }
        let bearer = beside("h", &["authorization"]);
        assert_eq!(bearer.left_of("key=row&token=APPS").as_deref(), Some("key=row"));
        assert_eq!(beside("eu.googleapis.com", &["authorization"]).left_of("key=APPS").as_deref(), Some(""));
        assert_eq!(beside("h", &["x-functions-key"]).left_of("code=APPS&a").as_deref(), Some("a"));
        let none = beside("h", &["x-region"]);
        assert_eq!(none.left_of("key=1&api_key=2&token=3&code=4"), None);
        assert_eq!(none.left_of("key=1&sig=2").as_deref(), Some("key=1"));
    }

    #[test]
    fn subprotocols_that_are_credentials_are_taken_out() {
        for (all, left) in [
            ("realtime, openai-insecure-api-key.sk-APPS, openai-beta.realtime-v1", "realtime, openai-beta.realtime-v1"),
            ("openai-insecure-api-key.APPS", ""),
            ("bearer, APPS,graphql-ws", "graphql-ws"),
            ("graphql-ws, access_token, APPS", "graphql-ws"),
            ("v4.channel.k8s.io,base64url.bearer.authorization.k8s.io.APPS", "v4.channel.k8s.io"),
            ("Authorization.Bearer.APPS,eyJhbGciOi.APPS.APPS, a", "a"),
        ] {
            let found = subprotocols_left_of(all.as_bytes()).map(|left| String::from_utf8(left).unwrap());
            assert_eq!(found.as_deref(), Some(left), "{all}");
        }
        for kept in ["graphql-transport-ws", "mqtt, wamp.2.json", "", "realtime"] {
            assert_eq!(subprotocols_left_of(kept.as_bytes()), None);
        }
    }

    proptest! {
        /// Whatever a reader of queries takes for the name of a parameter, what is left has no credential's; and what was none is there.
        #[test]
        fn nothing_is_left_and_nothing_else_is_lost(
            parameters in prop::collection::vec(("[a-c]{1,3}|key|api_key|api%5fkey|%6bey|Access-Token", "[a-z0-9%=?/]{0,6}", "[&;]"), 0..8)
        ) {
            let google = beside("h", &["x-goog-api-key"]);
            let query: String = parameters.iter().map(|(name, value, end)| format!("{name}={value}{end}")).collect();
            let left = google.left_of(&query).unwrap_or_else(|| query.clone());
            let names = |query: &str| {
                let pieces = query.split(['&', ';']).map(str::to_owned).filter(|piece| !piece.is_empty());
                pieces.collect::<Vec<_>>()
            };
            let innocent = |piece: &String| piece.split('=').next().unwrap().bytes().all(|byte| matches!(byte, b'a'..=b'c'));
            prop_assert_eq!(names(&left), names(&query).into_iter().filter(innocent).collect::<Vec<_>>());
        }
    }
}
