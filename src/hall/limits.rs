//! How much is let in: so many requests of a token and of a tenant, so many failed attempts of a network, and under load the
//! urgent before the rest.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::auth_throttle::AuthThrottle;
use super::places::{InFlightLimits, InFlightPlace, Places, gives_way_from};
use super::rate::{Buckets, Rate};
use super::{Hall, Refusal};
use crate::ids::{QosClass, TokenName};
use crate::ledger::{Door, RecordError};
use crate::telemetry::RefusalLabels;

/// From so many percent of what the ledger can queue on, only what is most urgent is queued.
const RESERVED: usize = 90;

/// What one door lets in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DoorLimits {
    /// Requests of one token; `None`: any number.
    pub per_token: Option<Rate>,
    /// Requests of one tenant; `None`: any number.
    pub per_tenant: Option<Rate>,
    /// Exchanges in flight, from before they are decided to their end; `None`: any number.
    pub in_flight: Option<InFlightLimits>,
}

/// The `limits` of both doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Those of the gate.
    pub gate: DoorLimits,
    /// Those of the Hall API.
    pub hall: DoorLimits,
    /// Credentials of one network that are none, at both doors together.
    pub failures: Rate,
}

impl Default for Settings {
    fn default() -> Self {
        let burst = NonZeroU32::MIN.saturating_add(49);
        let failures = Rate::new(NonZeroU32::MIN, Duration::from_secs(1), burst);
        Self { gate: DoorLimits::default(), hall: DoorLimits::default(), failures }
    }
}

/// A request over a rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverRate {
    /// When another one is worth a try.
    pub retry_after: Duration,
    /// Which rate, as a sentence for the caller.
    pub message: String,
    /// Whether it is recorded.
    pub(super) noted: bool,
}

impl OverRate {
    /// Seconds to wait, for `Retry-After`.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        seconds(self.retry_after)
    }
}

/// Whole seconds to wait, for `Retry-After`: at least one.
#[must_use]
pub fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// What is in force.
#[derive(Debug)]
pub(super) struct Limits {
    gate: Rates,
    hall: Rates,
    pub(super) auth_throttle: AuthThrottle,
}

#[derive(Debug)]
pub(super) struct Rates {
    tokens: Option<Buckets>,
    tenants: Option<Buckets>,
    /// One entry a second for each token and tenant says that it is over its rate: a flood must not fill the ledger.
    notes: Buckets,
    places: Option<Places>,
}

impl Rates {
    fn new(limits: DoorLimits) -> Self {
        Self {
            tokens: limits.per_token.map(Buckets::new),
            tenants: limits.per_tenant.map(Buckets::new),
            notes: Buckets::new(Rate::new(NonZeroU32::MIN, Duration::from_secs(1), NonZeroU32::MIN)),
            places: limits.in_flight.map(Places::new),
        }
    }

    pub(super) fn admit(&self, token: Option<&TokenName>, tenant: Option<&str>) -> Result<(), OverRate> {
        let tenant = tenant.filter(|tenant| !tenant.is_empty());
        // Whom the tenant's rate refuses is not charged to the token.
        if let (Some(tenants), Some(tenant)) = (&self.tenants, tenant)
            && let Some(wait) = tenants.full(tenant)
        {
            return Err(self.over("tenant", tenant, wait));
        }
        let take = |buckets: &Option<Buckets>, whose: &'static str, key: Option<&str>| {
            let (Some(buckets), Some(key)) = (buckets, key) else { return Ok(()) };
            buckets.take(key).map_err(|wait| self.over(whose, key, wait))
        };
        take(&self.tokens, "token", token.map(TokenName::as_str))?;
        take(&self.tenants, "tenant", tenant)
    }

    fn over(&self, whose: &'static str, key: &str, retry_after: Duration) -> OverRate {
        OverRate {
            retry_after,
            message: format!("the {whose} `{key}` is over its rate; send less, and again after `retry-after` seconds"),
            noted: self.notes.take((whose, key)).is_ok(),
        }
    }
}

impl Limits {
    pub(super) fn new(settings: Settings) -> Self {
        let Settings { gate, hall, failures } = settings;
        Self { gate: Rates::new(gate), hall: Rates::new(hall), auth_throttle: AuthThrottle::new(failures) }
    }

    pub(super) const fn of(&self, door: Door) -> &Rates {
        match door {
            Door::Gate => &self.gate,
            Door::Api => &self.hall,
        }
    }
}

impl Hall {
    /// The same hall with these limits.
    #[must_use]
    pub fn limited(mut self, settings: Settings) -> Self {
        self.limits = Limits::new(settings);
        self
    }

    /// A place for one more exchange, where this door has a limit: taken before it is decided, held until it has ended.
    ///
    /// # Errors
    /// It is shed: the ledger or the upstreams are behind, or its tenant has its share. Says why.
    pub(super) fn place(
        &self,
        door: Door,
        tenant: &Arc<str>,
        class: QosClass,
    ) -> Result<Option<InFlightPlace>, String> {
        let queued = u32::try_from(self.ledger.crowding()).unwrap_or(u32::MAX);
        let from = gives_way_from(class);
        // When the queue is full, nothing can be recorded, which is another answer.
        if class != QosClass::P0 && queued >= from {
            return Err(format!(
                "{queued} % of what the ledger can queue is waiting, and {class} gives way from {from} % on"
            ));
        }
        self.limits.of(door).places.as_ref().map(|places| places.take(tenant, class)).transpose()
    }

    /// Keeps the rest of the queue for what is most urgent: what is shed is recorded, too.
    pub(super) fn room_for(&self, class: Option<QosClass>) -> Result<(), RecordError> {
        let urgent = class == Some(QosClass::P0);
        if urgent || self.ledger.crowding() < RESERVED { Ok(()) } else { Err(RecordError::QueueFull) }
    }

    /// Counts a refusal.
    pub(super) fn count_refusal(&self, refusal: &Refusal) {
        let labels = RefusalLabels { door: refusal.door.as_str(), code: refusal.code.as_str() };
        self.metrics.refusals.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests;
