//! Who calls: exactly one `Authorization: Bearer` header, and nothing else. A token in a query or a cookie is not looked at.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::api::error::Refused;
use crate::engine::DenyCode;
use crate::hall::{Door, Hall, Scope, Token, limits};
use crate::ids::{TenantId, TokenName};
use crate::telemetry::RefusalLabels;

/// The token that the request presents. A failure is counted and logged but makes no ledger entry: strangers must not be
/// able to fill the ledger.
pub(super) fn present(hall: &Hall, headers: &HeaderMap) -> Result<Arc<Token>, Refused> {
    known(hall, headers).ok_or_else(|| {
        let labels = RefusalLabels { door: Door::Api.as_str(), code: DenyCode::Unauthenticated.as_str() };
        hall.metrics().refusals.get_or_create(&labels).inc();
        Refused::unauthorized()
    })
}

/// The token that the request presents, if it is one.
fn known(hall: &Hall, headers: &HeaderMap) -> Option<Arc<Token>> {
    bearer(headers).and_then(|secret| hall.tokens().authenticate(secret))
}

/// Lets a request go on: not from where too many credentials were wrong, nor over the rate of its token or of the token's tenant.
/// One without a credential goes on, and gets no further than a stranger may.
pub(super) async fn admit(hall: &Hall, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<(), Refused> {
    if !headers.contains_key(AUTHORIZATION) {
        return Ok(());
    }
    let token = known(hall, headers);
    if let Err(wait) = hall.met(peer, token.as_ref().map(|token| &token.name)) {
        let labels = RefusalLabels { door: Door::Api.as_str(), code: DenyCode::RateLimited.as_str() };
        hall.metrics().refusals.get_or_create(&labels).inc();
        return Err(Refused::slowed(wait));
    }
    let Some(token) = token else { return Ok(()) };
    within_rates(hall, Some(&token.name), token.binding.tenant.as_ref().map(TenantId::shared)).await
}

/// That one more request of this token and of this tenant is within the API's rates.
pub(super) async fn within_rates(
    hall: &Hall,
    token: Option<&TokenName>,
    tenant: Option<Arc<str>>,
) -> Result<(), Refused> {
    let Err(over) = hall.admit(Door::Api, token, tenant.as_deref()) else { return Ok(()) };
    let receipt = hall.turn_away(&over, limits::over_rate(&over, Door::Api, token.cloned(), tenant)).await;
    let refused = Refused::over_rate(&over);
    Err(match receipt {
        Some(receipt) => refused.recorded_as(receipt.id()),
        None => refused,
    })
}

/// That a token may do this.
pub(super) fn require(token: &Token, scope: Scope) -> Result<(), Refused> {
    if token.may(scope) { Ok(()) } else { Err(Refused::forbidden(scope.as_str())) }
}

/// That a token may do one of these.
pub(super) fn require_any(token: &Token, scopes: &[Scope]) -> Result<(), Refused> {
    let named: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    if scopes.iter().any(|scope| token.may(*scope)) { Ok(()) } else { Err(Refused::forbidden(&named.join("` or `"))) }
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
