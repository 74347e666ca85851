//! Who asks: the gate's own worker, or whoever presents a session token.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::Binding;
use crate::hall::{Caller, Scope, TokenBook};
use crate::proxy::admit::Claims;
use crate::proxy::settings::Identity;

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

/// How callers are identified.
#[derive(Debug)]
pub enum Identify {
    /// All are one and the same.
    Fixed(Who),
    /// By session token.
    Token,
}

impl Identify {
    /// The configured way.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        match identity {
            Identity::Fixed { worker_id, tenant_id } => Self::Fixed(Who {
                worker: Some(worker_id.shared()),
                tenant: tenant_id.shared(),
                caller: Caller {
                    token: None,
                    binding: Binding {
                        tenant: Some(tenant_id),
                        workers: Some(Arc::new(BTreeSet::from([worker_id]))),
                        ..Binding::default()
                    },
                },
            }),
            Identity::Token => Self::Token,
        }
    }

    /// Who asks; `None` when that is not proved. Where the identity is fixed, claims to another are not even looked at.
    #[must_use]
    pub fn who(&self, claims: &Claims<'_>, tokens: &TokenBook) -> Option<Who> {
        let Self::Fixed(who) = self else {
            let token = tokens.authenticate(claims.token?.as_bytes()).filter(|token| token.may(Scope::Route))?;
            let caller = token.caller();
            let binding = &caller.binding;
            // A token that is bound to one worker or tenant need not name it.
            let only =
                binding.workers.as_ref().filter(|workers| workers.len() == 1).and_then(|workers| workers.first());
            let worker = claims.worker.map(Arc::from).or_else(|| only.map(|worker| worker.shared()));
            let tenant = claims.tenant.map(Arc::from).or_else(|| binding.tenant.as_ref().map(|tenant| tenant.shared()));
            return Some(Who { worker, tenant: tenant.unwrap_or_default(), caller });
        };
        Some(who.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hall::Token;
    use crate::ids::Digest;

    fn book() -> TokenBook {
        let token = |name: &str, scope, tenant: Option<&str>, workers: &[&str]| Token {
            name: name.parse().unwrap(),
            secrets: vec![Digest::of(name.as_bytes())],
            scopes: BTreeSet::from([scope]),
            binding: Binding {
                tenant: tenant.map(|tenant| tenant.parse().unwrap()),
                workers: (!workers.is_empty())
                    .then(|| Arc::new(workers.iter().map(|worker| worker.parse().unwrap()).collect())),
                ..Binding::default()
            },
        };
        TokenBook::new(vec![
            token("one", Scope::Route, Some("org.acme"), &["w1"]),
            token("two", Scope::Route, None, &["w1", "w2"]),
            token("reader", Scope::Read, Some("org.acme"), &["w1"]),
        ])
    }

    fn named(who: Option<Who>) -> Option<(Option<String>, String)> {
        who.map(|who| (who.worker.map(|worker| worker.to_string()), who.tenant.to_string()))
    }

    #[test]
    fn a_fixed_identity_believes_no_claim() {
        let identity = Identity::Fixed { worker_id: "w0".parse().unwrap(), tenant_id: "org.t".parse().unwrap() };
        let claims = Claims { token: Some("one"), worker: Some("w1"), tenant: Some("org.acme"), ..Claims::default() };
        let who = Identify::new(identity).who(&claims, &book()).unwrap();
        assert!(who.caller.token.is_none());
        assert_eq!(named(Some(who)), Some((Some("w0".to_owned()), "org.t".to_owned())));
    }

    #[test]
    fn a_token_says_who_asks() {
        let who = |token, worker, tenant| {
            named(Identify::Token.who(&Claims { token, worker, tenant, ..Claims::default() }, &book()))
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
}
