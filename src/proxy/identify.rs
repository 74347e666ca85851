//! Who asks: the gate's own worker, whoever presents a session token or a certificate, or whoever a trusted peer says it is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::engine::Binding;
use crate::hall::{Caller, Scope, TokenBook};
use crate::ids::{InvalidId, SpiffeId, TenantId, WorkerId};
use crate::proxy::header_names;
use crate::proxy::settings::{Identity, TrustedHeaders, Workloads};
use crate::proxy::validate::Claims;

/// Who asks, and as which worker and for which tenant; the hall checks both against the caller's binding.
#[derive(Debug, Clone)]
pub struct Who {
    /// Who asks, as far as it is proved.
    pub caller: Caller,
    /// The worker as which it asks.
    pub worker: Option<Arc<str>>,
    /// The tenant for which it asks; empty when it named none.
    pub tenant: Arc<str>,
}

/// Where a request came from, as far as its connection shows.
#[derive(Debug, Clone, Copy)]
pub struct From<'a> {
    /// The peer's address; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// The workload that its certificate proves.
    pub workload: Option<&'a SpiffeId>,
}

/// Why it is not known who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// Nothing proves it.
    Unproved,
    /// What should say it is malformed.
    Malformed(String),
}

/// How callers are identified.
#[derive(Debug)]
pub enum Identify {
    /// All are one and the same.
    Fixed(Who),
    /// By session token.
    Token,
    /// By client certificate.
    Mtls(Workloads),
    /// By the headers of a peer that is listed.
    TrustedHeaders(TrustedHeaders),
}

impl Identify {
    /// The configured way.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        match identity {
            Identity::Fixed { worker_id, tenant_id } => Self::Fixed(one(worker_id, tenant_id)),
            Identity::Token => Self::Token,
            Identity::Mtls(workloads) => Self::Mtls(workloads),
            Identity::TrustedHeaders(trusted) => Self::TrustedHeaders(trusted),
        }
    }

    /// The headers that say who the caller is, besides those that begin with `wcp-`.
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderName> {
        match self {
            Self::TrustedHeaders(TrustedHeaders { worker, tenant, .. }) => vec![worker.clone(), tenant.clone()],
            Self::Fixed(_) | Self::Token | Self::Mtls(_) => Vec::new(),
        }
    }

    /// Whether a session token proves anything here.
    #[must_use]
    pub const fn looks_at_tokens(&self) -> bool {
        matches!(self, Self::Token)
    }

    /// The scheme of a challenge, and what a caller that is not known has to do.
    #[must_use]
    pub const fn wanted(&self) -> (&'static str, &'static str) {
        match self {
            Self::Fixed(_) | Self::Token => {
                ("wcp-token realm=\"hallgate\"", "send a session token with the scope `route` in wcp-token")
            }
            Self::Mtls(_) => (
                "mutual-tls realm=\"hallgate\"",
                "present a client certificate that has not expired, with one URI name: a SPIFFE id of `gate.identity`",
            ),
            Self::TrustedHeaders(_) => (
                "trusted-headers realm=\"hallgate\"",
                "come by way of a peer of `gate.identity.peers` that names worker and tenant",
            ),
        }
    }

    /// Who asks. Where a connection or the configuration says it, claims to another are not even looked at.
    ///
    /// # Errors
    /// That is not proved, or said in a way that could be read in two.
    pub fn who(
        &self,
        claims: &Claims<'_>,
        headers: &HeaderMap,
        from: From<'_>,
        tokens: &TokenBook,
    ) -> Result<Who, Unknown> {
        match self {
            Self::Fixed(who) => Ok(who.clone()),
            Self::Token => by_token(claims, tokens).ok_or(Unknown::Unproved),
            Self::Mtls(workloads) => {
                let named = from.workload.and_then(|id| workloads.named(id));
                named.map(|(worker, tenant)| one(worker, tenant)).ok_or(Unknown::Unproved)
            }
            Self::TrustedHeaders(TrustedHeaders { peers, worker, tenant }) => {
                // Whatever others write into these headers is not even read.
                if !peers.iter().any(|peers| peers.include(from.address)) {
                    return Err(Unknown::Unproved);
                }
                match (only(headers, worker), only(headers, tenant)) {
                    (Ok(worker), Ok(tenant)) => Ok(one(worker, tenant)),
                    (Err(why @ Unknown::Malformed(_)), _) | (_, Err(why @ Unknown::Malformed(_))) => Err(why),
                    _ => Err(Unknown::Unproved),
                }
            }
        }
    }
}

/// One worker of one tenant, and nothing else.
fn one(worker_id: WorkerId, tenant_id: TenantId) -> Who {
    Who {
        worker: Some(worker_id.shared()),
        tenant: tenant_id.shared(),
        caller: Caller {
            token: None,
            binding: Binding {
                tenant: Some(tenant_id),
                workers: Some(Arc::new(BTreeSet::from([worker_id]))),
                ..Binding::default()
            },
            owner: None,
        },
    }
}

fn by_token(claims: &Claims<'_>, tokens: &TokenBook) -> Option<Who> {
    let token = tokens.authenticate(claims.token?.as_bytes()).filter(|token| token.may(Scope::Route))?;
    let caller = token.caller();
    let binding = &caller.binding;
    // A token that is bound to one worker or tenant need not name it.
    let only = binding.workers.as_ref().filter(|workers| workers.len() == 1).and_then(|workers| workers.first());
    let worker = claims.worker.map(Arc::from).or_else(|| only.map(|worker| worker.shared()));
    let tenant = claims.tenant.map(Arc::from).or_else(|| binding.tenant.as_ref().map(|tenant| tenant.shared()));
    Some(Who { worker, tenant: tenant.unwrap_or_default(), caller })
}

/// The id in a header that is there once. Another header that some take for the same is refused, too.
fn only<Id: FromStr<Err = InvalidId>>(headers: &HeaderMap, name: &HeaderName) -> Result<Id, Unknown> {
    let alias = headers.keys().find(|other| header_names::are_one(other.as_str(), name.as_str()) && *other != name);
    if let Some(alias) = alias {
        return Err(Unknown::Malformed(format!("`{alias}` could be taken for {name}: send only that")));
    }
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(Unknown::Unproved),
        (Some(_), Some(_)) => Err(Unknown::Malformed(format!("{name} is sent more than once"))),
        // The value is not repeated: it may be anything.
        (Some(value), None) => value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            Unknown::Malformed(format!("{name} is empty, or holds more than an id of 1 to 128 characters"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hall::Token;
    use crate::ids::Digest;

    fn book() -> TokenBook {
        let token = |name: &str, scope, tenant: Option<&str>, workers: &[&str]| {
            Token::new(
                name.parse().unwrap(),
                vec![Digest::of(name.as_bytes())],
                BTreeSet::from([scope]),
                Binding {
                    tenant: tenant.map(|tenant| tenant.parse().unwrap()),
                    workers: (!workers.is_empty())
                        .then(|| Arc::new(workers.iter().map(|worker| worker.parse().unwrap()).collect())),
                    ..Binding::default()
                },
            )
        };
        TokenBook::new(vec![
            token("one", Scope::Route, Some("org.acme"), &["w1"]),
            token("two", Scope::Route, None, &["w1", "w2"]),
            token("reader", Scope::Read, Some("org.acme"), &["w1"]),
        ])
    }

    const NOWHERE: From<'static> = From { address: None, workload: None };

    fn named(who: Result<Who, Unknown>) -> Option<(Option<String>, String)> {
        who.ok().map(|who| (who.worker.map(|worker| worker.to_string()), who.tenant.to_string()))
    }

    #[test]
    fn a_fixed_identity_believes_no_claim() {
        let identity = Identity::Fixed { worker_id: "w0".parse().unwrap(), tenant_id: "org.t".parse().unwrap() };
        let claims = Claims { token: Some("one"), worker: Some("w1"), tenant: Some("org.acme"), ..Claims::default() };
        let who = Identify::new(identity).who(&claims, &HeaderMap::new(), NOWHERE, &book()).unwrap();
        assert!(who.caller.token.is_none());
        assert_eq!(named(Ok(who)), Some((Some("w0".to_owned()), "org.t".to_owned())));
    }

    #[test]
    fn a_token_says_who_asks() {
        let who = |token, worker, tenant| {
            let claims = Claims { token, worker, tenant, ..Claims::default() };
            named(Identify::Token.who(&claims, &HeaderMap::new(), NOWHERE, &book()))
        };
        for bad in [None, Some("wrong"), Some("reader"), Some("ONE"), Some("one,one")] {
            assert_eq!(who(bad, Some("w1"), None), None, "{bad:?}");
        }
        assert_eq!(who(Some("one"), None, None), Some((Some("w1".to_owned()), "org.acme".to_owned())));
        // The claim is passed on; that it is outside the binding is the hall's to deny.
        assert_eq!(who(Some("one"), Some("w9"), Some("x")), Some((Some("w9".to_owned()), "x".to_owned())));
        assert_eq!(who(Some("two"), None, None), Some((None, String::new())));
        assert_eq!(who(Some("two"), Some("w2"), None), Some((Some("w2".to_owned()), String::new())));
    }

    #[test]
    fn a_certificate_says_who_asks_and_claims_say_nothing() {
        let ids = [("spiffe://a/b".parse().unwrap(), ("w1".parse().unwrap(), "org.acme".parse().unwrap()))].into();
        let identify = Identify::new(Identity::Mtls(Workloads { ids, pattern: None }));
        let claims = Claims { token: Some("one"), worker: Some("w9"), tenant: Some("org.x"), ..Claims::default() };
        let who = |workload: Option<&str>| {
            let workload: Option<SpiffeId> = workload.map(|id| id.parse().unwrap());
            let from = From { address: None, workload: workload.as_ref() };
            identify.who(&claims, &HeaderMap::new(), from, &book())
        };
        let known = who(Some("spiffe://a/b")).unwrap();
        assert!(known.caller.token.is_none() && known.caller.binding.workers.as_ref().unwrap().contains("w1"));
        assert_eq!(named(Ok(known)), Some((Some("w1".to_owned()), "org.acme".to_owned())));
        for unknown in [None, Some("spiffe://a/c"), Some("spiffe://a")] {
            assert_eq!(who(unknown).unwrap_err(), Unknown::Unproved, "{unknown:?}");
        }
    }

    #[test]
    fn headers_are_believed_from_listed_peers_only() {
        let identify = Identify::new(Identity::TrustedHeaders(TrustedHeaders {
            peers: vec!["10.0.0.0/8".parse().unwrap()],
            worker: HeaderName::from_static("x-worker"),
            tenant: HeaderName::from_static("x-tenant"),
        }));
        let who = |address: Option<&str>, headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let from = From { address: address.map(|address| address.parse().unwrap()), workload: None };
            identify.who(&Claims::default(), &map, from, &book())
        };
        let both = [("x-worker", "w1"), ("x-tenant", "org.acme")];
        assert_eq!(named(who(Some("10.9.9.9"), &both)), Some((Some("w1".to_owned()), "org.acme".to_owned())));
        for elsewhere in [None, Some("11.0.0.1"), Some("::1")] {
            assert_eq!(who(elsewhere, &both).unwrap_err(), Unknown::Unproved, "{elsewhere:?}");
            assert_eq!(who(elsewhere, &[("x-worker", "")]).unwrap_err(), Unknown::Unproved, "{elsewhere:?}");
        }
        for missing in [&[][..], &both[..1], &both[1..]] {
            assert_eq!(who(Some("10.0.0.1"), missing).unwrap_err(), Unknown::Unproved, "{missing:?}");
        }
        let long = "w".repeat(129).leak();
        for bad in ["", " ", "w 1", "w1,w2", "w\t1", "é", long] {
            let headers = [("x-worker", bad), both[1]];
            assert!(matches!(who(Some("10.0.0.1"), &headers), Err(Unknown::Malformed(_))), "{bad:?}");
        }
        for more in [both[0], ("x-worker", "w2"), ("x_worker", "w1"), ("x.worker", "w1"), ("x~worker", "w1")] {
            let headers = [both[0], both[1], more];
            assert!(matches!(who(Some("10.0.0.1"), &headers), Err(Unknown::Malformed(_))), "{more:?}");
        }
    }
}
