//! Who calls: exactly one `Authorization: Bearer` header, and nothing else. A token in a query or a cookie is not looked at.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Extensions, HeaderMap};

use crate::api::error::ApiError;
use crate::api::listener::Peer;
use crate::engine::DenyCode;
use crate::hall::{Admission, Applicant, Door, Hall, Scope, Token};
use crate::ids::{Digest, TenantId};

/// What a request proves of its caller. The secret is looked up once, before anything else is done for the request.
#[derive(Debug, Clone, Default)]
pub(super) struct Credential {
    token: Option<Arc<Token>>,
    /// The digest of the secret that proved it, where one was presented.
    secret: Option<Digest>,
    peer: Option<IpAddr>,
}

impl Credential {
    /// Lets a request go on: not one with a credential that is none from where too many were, nor one over the rate of its token or
    /// of the token's tenant. One without a credential goes on, and gets no further than a stranger may.
    pub(super) async fn authenticate(
        hall: &Arc<Hall>,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<Self, ApiError> {
        if !headers.contains_key(AUTHORIZATION) {
            return Ok(Self { token: None, secret: None, peer });
        }
        let secret = bearer(headers).map(Digest::of);
        let token = secret.and_then(|secret| hall.tokens().of_secret(&secret));
        let applicant = match &token {
            Some(token) => {
                let tenant = token.binding.tenant.as_ref().map(TenantId::shared);
                admit(hall, Applicant::Known { token: Some(&token.name), tenant: tenant.as_ref() }).await
            }
            None => admit(hall, Applicant::Unknown(peer)).await,
        };
        applicant.map(|()| Self { secret: secret.filter(|_| token.is_some()), token, peer })
    }

    /// That of somebody who is signed in to the console as this token, and was let in there.
    pub(super) fn of_token(token: Arc<Token>) -> Self {
        Self { token: Some(token), secret: None, peer: None }
    }

    /// The digest of the secret that proves it.
    pub(super) const fn secret(&self) -> Option<Digest> {
        self.secret
    }

    /// The token that proves it.
    pub(super) fn token(&self) -> Option<Arc<Token>> {
        self.token.clone()
    }

    /// That of a request; nothing is proved by one that did not come through [`Self::authenticate`].
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// The token that the request presents. A failure is counted and logged but makes no entry of its own: strangers must not be able
    /// to fill the ledger.
    pub(super) fn present(self, hall: &Arc<Hall>) -> Result<Arc<Token>, ApiError> {
        self.token.ok_or_else(|| {
            hall.count_anonymous_refusal(Door::Api, DenyCode::Unauthenticated, self.peer);
            ApiError::unauthorized()
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Credential {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// Whether a probe carries a token that may know of the hall's own matters: one that is bound to nothing, as others may be a tenant's.
/// A probe is answered whatever it carries, and a wrong token counts as one.
pub(super) fn knows_the_hall(hall: &Hall, request: &Request) -> bool {
    if !request.headers().contains_key(AUTHORIZATION) {
        return false;
    }
    let token = bearer(request.headers()).and_then(|secret| hall.tokens().authenticate(secret));
    if token.is_none() {
        let peer = request.extensions().get().and_then(|Peer(peer)| *peer);
        let applicant = Applicant::Unknown(peer.map(|peer| peer.ip()));
        // Once there are too many, they are not even looked at elsewhere.
        let _too_many = hall.admit(Admission { door: Door::Api, applicant, correlation_id: None });
    }
    token.is_some_and(|token| !token.binding.is_bound())
}

/// That whoever calls goes on: within the API's rates if it is known, and else not from where too many credentials were nobody's.
pub(super) async fn admit(hall: &Arc<Hall>, applicant: Applicant<'_>) -> Result<(), ApiError> {
    let admission = Admission { door: Door::Api, applicant, correlation_id: None };
    let Err(why) = hall.admit(admission) else { return Ok(()) };
    let refused = ApiError::not_admitted(&why);
    Err(match hall.turn_away(why).await {
        Some(receipt) => refused.recorded_as(receipt.id()),
        None => refused,
    })
}

/// That a token may do this.
pub(super) fn require(token: &Token, scope: Scope) -> Result<(), ApiError> {
    if token.may(scope) { Ok(()) } else { Err(ApiError::forbidden(scope.as_str())) }
}

/// That a token may do one of these.
pub(super) fn require_any(token: &Token, scopes: &[Scope]) -> Result<(), ApiError> {
    let named: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    if scopes.iter().any(|scope| token.may(*scope)) { Ok(()) } else { Err(ApiError::forbidden(&named.join("` or `"))) }
}

/// The secret of the one `Authorization` header, if there is exactly one and its scheme is Bearer in any case.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, secret) = value.as_bytes().split_at_checked("bearer ".len())?;
    let secret = secret.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !secret.is_empty()).then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn secret_of(values: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer(&headers).map(|secret| String::from_utf8_lossy(secret).into_owned())
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        for value in ["Bearer hst_a", "bearer hst_a", "BEARER   hst_a"] {
            assert_eq!(secret_of(&[value]).as_deref(), Some("hst_a"), "{value}");
        }
    }

    #[test]
    fn anything_but_one_bearer_header_is_no_credential() {
        for values in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer\thst_a"],
            &["Basic aHN0X2E="],
            &["hst_a"],
            &["Bearerhst_a"],
            &["Bearer hst_a", "Bearer hst_a"],
            &["Bearer hst_a", "Basic x"],
        ] {
            assert_eq!(secret_of(values), None, "{values:?}");
        }
    }
}
