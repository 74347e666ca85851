//! Session tokens: who presents which secret, and what it is bound to. Only digests are kept.

pub mod entry;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::approvals::Approver;
use crate::engine::Binding;
use crate::hall::Caller;
use crate::ids::{DataLabel, Digest, InvalidId, SupervisorLevel, TenantId, TokenName, WorkerId};

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Ask for decisions: `POST /api/route`, and the gate's `token` identity.
    Route,
    /// Read decisions, receipts, workers, metrics.
    Read,
    /// Enroll workers.
    Enroll,
    /// Ingest decisions that were made elsewhere.
    Ingest,
    /// Approve what waits for a human.
    Approve,
    /// Everything that changes the hall itself.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: &'static [Self] = &[Self::Route, Self::Read, Self::Enroll, Self::Ingest, Self::Approve, Self::Admin];

    /// The scope in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Read => "read",
            Self::Enroll => "enroll",
            Self::Ingest => "ingest",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text).ok_or_else(|| {
            let words = Self::ALL.iter().map(|scope| scope.as_str());
            InvalidId::among(text, "a scope: route, read, enroll, ingest, approve or admin", words)
        })
    }
}

/// One session token, its secrets known only by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name in records and logs.
    pub name: TokenName,
    /// SHA-256 of its secret; of two while it is rotated, the new one first.
    pub secrets: Vec<Digest>,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// What it is bound to.
    pub binding: Binding,
    /// Who answers for it; `None`: it answers for itself.
    pub owner: Option<Arc<str>>,
    /// With the scope `approve`: the levels for which it may agree.
    pub levels: BTreeSet<SupervisorLevel>,
    /// With the scope `approve`: the highest label for which it may agree.
    pub max_label: DataLabel,
}

impl Token {
    /// One that answers for itself, and agrees to nothing above a gatekeeper's.
    #[must_use]
    pub fn new(name: TokenName, secrets: Vec<Digest>, scopes: BTreeSet<Scope>, binding: Binding) -> Self {
        let levels = [SupervisorLevel::Gatekeeper].into();
        Self { name, secrets, scopes, binding, owner: None, levels, max_label: DataLabel::Restricted }
    }

    /// Whether it may be used for this.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Who asks, when this token is presented.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller { token: Some(self.name.clone()), binding: self.binding.clone(), owner: Some(self.owner()) }
    }

    /// Who answers for it.
    #[must_use]
    pub fn owner(&self) -> Arc<str> {
        self.owner.clone().unwrap_or_else(|| self.name.shared())
    }

    /// What it may agree to; `None`: nothing.
    #[must_use]
    pub fn approver(&self) -> Option<Approver> {
        self.may(Scope::Approve).then(|| Approver {
            token: self.name.clone(),
            owner: self.owner(),
            levels: self.levels.clone(),
            max_label: self.max_label,
            binding: self.binding.clone(),
        })
    }
}

/// The tokens in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenBook {
    tokens: Vec<Arc<Token>>,
}

impl TokenBook {
    /// A book of these tokens.
    #[must_use]
    pub fn new(tokens: Vec<Token>) -> Self {
        Self { tokens: tokens.into_iter().map(Arc::new).collect() }
    }

    /// Whether it is a book of these tokens.
    #[must_use]
    pub fn holds(&self, tokens: &[Token]) -> bool {
        self.tokens.iter().map(|token| &**token).eq(tokens)
    }

    /// Whether this token is in force, as it is.
    #[must_use]
    pub fn has(&self, token: &Token) -> bool {
        self.tokens.iter().any(|one| **one == *token)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The workers that tokens of this tenant are bound to.
    #[must_use]
    pub fn workers_of(&self, tenant: &TenantId) -> BTreeSet<WorkerId> {
        let of = self.tokens.iter().filter(|token| token.binding.tenant.as_ref() == Some(tenant));
        of.filter_map(|token| token.binding.workers.as_deref()).flatten().cloned().collect()
    }

    /// Who answers for the token of this name, while there is one.
    #[must_use]
    pub fn owner_of(&self, name: &TokenName) -> Option<Arc<str>> {
        self.tokens.iter().find(|token| token.name == *name).map(|token| token.owner())
    }

    /// What the token of this name may agree to; `None`: there is none, or it may not.
    #[must_use]
    pub fn approver_of(&self, name: &TokenName) -> Option<Approver> {
        self.tokens.iter().find(|token| token.name == *name).and_then(|token| token.approver())
    }

    /// The token whose secret this is. Takes the same time for every wrong secret.
    #[must_use]
    pub fn authenticate(&self, secret: &[u8]) -> Option<Arc<Token>> {
        self.of_secret(&Digest::of(secret))
    }

    /// The same by the digest of its secret.
    #[must_use]
    pub fn of_secret(&self, digest: &Digest) -> Option<Arc<Token>> {
        let mut found = None;
        for token in &self.tokens {
            for secret in &token.secrets {
                if bool::from(secret.as_bytes().ct_eq(digest.as_bytes())) {
                    found = Some(Arc::clone(token));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, secret: &str) -> Token {
        let secrets = vec![Digest::of(secret.as_bytes())];
        Token::new(name.parse().unwrap(), secrets, BTreeSet::from([Scope::Route]), Binding::default())
    }

    #[test]
    fn only_a_whole_secret_authenticates() {
        let book = TokenBook::new(vec![token("make", "hst_one"), token("n8n", "hst_two")]);
        assert_eq!(book.authenticate(b"hst_two").map(|t| t.name.to_string()), Some("n8n".to_owned()));
        for wrong in ["", "hst_", "hst_on", "hst_one ", "HST_ONE", "hst_oneX"] {
            assert!(book.authenticate(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
        assert!(TokenBook::default().authenticate(b"").is_none());
    }

    #[test]
    fn both_secrets_of_a_rotated_token_authenticate_it() {
        let mut rotated = token("make", "hst_new");
        rotated.secrets.push(Digest::of(b"hst_old"));
        let book = TokenBook::new(vec![token("n8n", "hst_two"), rotated]);
        for secret in ["hst_new", "hst_old"] {
            assert_eq!(book.authenticate(secret.as_bytes()).unwrap().name.as_str(), "make");
        }
        assert!(book.authenticate(b"hst_older").is_none());
    }

    #[test]
    fn scopes_round_trip() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(*scope));
        }
        assert!("Route".parse::<Scope>().is_err());
    }
}
