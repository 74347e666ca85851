//! Admission: whoever comes to a door goes on, or is turned away before anything is decided for it. Both doors ask it, once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::limits::{OverRate, seconds};
use super::{Hall, Refusal};
use crate::engine::DenyCode;
use crate::ids::TokenName;
use crate::ledger::{Door, Receipt};

/// How long a refusal over a rate waits for its entry: it is a refusal with it and without.
const NOTE_TIME: Duration = Duration::from_secs(1);

/// Who comes to a door.
#[derive(Debug, Clone, Copy)]
pub enum Applicant<'a> {
    /// It is known: by its token, where it has one, and for a tenant, where it is known for which.
    Known {
        /// The token's name.
        token: Option<&'a TokenName>,
        /// The tenant; empty counts as none.
        tenant: Option<&'a Arc<str>>,
    },
    /// Its credential is nobody's. It came from this address; `None` for one that the socket does not say: all of them count as one.
    Unknown(Option<IpAddr>),
}

/// What a door asks.
#[derive(Debug, Clone, Copy)]
pub struct Admission<'a> {
    /// At which door.
    pub door: Door,
    /// Who comes.
    pub applicant: Applicant<'a>,
    /// What ties the request to others, where it is known already.
    pub correlation_id: Option<&'a Arc<str>>,
}

/// Why somebody does not go on. [`Hall::turn_away`] counts it.
#[derive(Debug)]
pub enum NotAdmitted {
    /// Too many credentials from its network were nobody's.
    Throttled {
        /// At which door.
        door: Door,
        /// Where it came from.
        peer: Option<IpAddr>,
        /// When the next one is worth a try.
        retry_after: Duration,
    },
    /// Over the rate of its token or tenant; the refusal is recorded once in a while.
    OverRate(OverRate, Box<Refusal>),
}

impl NotAdmitted {
    /// Seconds to wait, for `Retry-After`.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        match self {
            Self::Throttled { retry_after, .. } => seconds(*retry_after),
            Self::OverRate(over, _) => over.seconds(),
        }
    }

    /// For whom it was, where that is known.
    #[must_use]
    pub fn tenant(&self) -> Option<&Arc<str>> {
        match self {
            Self::Throttled { .. } => None,
            Self::OverRate(_, refusal) => refusal.tenant.as_ref(),
        }
    }

    /// Why, for the caller.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Throttled { .. } => "too many credentials from this network were not valid",
            Self::OverRate(over, _) => &over.message,
        }
    }
}

impl Hall {
    /// Whether a request goes on: not with a credential that is nobody's from where too many were, nor over the rate of its token or of
    /// its tenant.
    ///
    /// # Errors
    /// It does not.
    pub fn admit(&self, admission: Admission<'_>) -> Result<(), NotAdmitted> {
        let Admission { door, applicant, correlation_id } = admission;
        match applicant {
            Applicant::Unknown(peer) => {
                let throttled = self.limits.auth_throttle.failed(peer);
                throttled.map_err(|retry_after| NotAdmitted::Throttled { door, peer, retry_after })
            }
            Applicant::Known { token, tenant } => {
                let tenant = tenant.filter(|tenant| !tenant.is_empty());
                self.limits.of(door).admit(token, tenant.map(|tenant| &**tenant)).map_err(|over| {
                    let refusal = Refusal {
                        door,
                        code: DenyCode::RateLimited,
                        message: over.message.clone(),
                        tenant: tenant.cloned(),
                        worker: None,
                        token: token.cloned(),
                        correlation_id: correlation_id.cloned(),
                        raw_body: None,
                    };
                    NotAdmitted::OverRate(over, Box::new(refusal))
                })
            }
        }
    }

    /// Counts somebody who does not go on. Over a rate the first in a while is recorded: its receipt.
    pub async fn turn_away(self: &Arc<Self>, why: NotAdmitted) -> Option<Receipt> {
        match why {
            NotAdmitted::Throttled { door, peer, .. } => {
                self.count_anonymous_refusal(door, DenyCode::RateLimited, peer);
                None
            }
            NotAdmitted::OverRate(over, refusal) if over.noted => {
                tokio::time::timeout(NOTE_TIME, self.refuse(*refusal)).await.ok()?.ok()
            }
            NotAdmitted::OverRate(_, refusal) => {
                self.count_refusal(&refusal);
                None
            }
        }
    }
}
