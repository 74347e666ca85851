//! Places in flight at the gate: taken before a request is decided, held until its exchange has ended.
//!
//! Whoever is decided has a place already, so no burst gets past the limit while its entries are written. Under load the least urgent
//! gives way first, and no tenant takes all.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::QosClass;

/// How many places there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlightLimits {
    /// For everyone together.
    pub in_all: NonZeroU32,
    /// For each tenant.
    pub per_tenant: NonZeroU32,
}

impl InFlightLimits {
    /// So many, of which a tenant may have half.
    #[must_use]
    pub fn of(in_all: NonZeroU32) -> Self {
        let half = in_all.get().div_ceil(2);
        Self { in_all, per_tenant: NonZeroU32::new(half).unwrap_or(in_all) }
    }
}

/// The places of a door.
#[derive(Debug)]
pub(super) struct Places {
    most: InFlightLimits,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: u32,
    /// Tenants that have a place: never more than there are places.
    tenants: HashMap<Arc<str>, u32>,
}

/// A place in flight; given back when it is dropped.
#[derive(Debug)]
pub struct InFlightPlace {
    tenant: Arc<str>,
    taken: Arc<Mutex<Taken>>,
}

/// From so many percent of load on, requests of this class give way.
pub(super) const fn gives_way_from(class: QosClass) -> u32 {
    match class {
        QosClass::P0 => 100,
        QosClass::P1 => 85,
        QosClass::P2 => 70,
        QosClass::P3 => 50,
    }
}

/// Whether so many of so many are too much for this class.
fn full(taken: u32, most: NonZeroU32, class: QosClass) -> bool {
    u64::from(taken) * 100 >= u64::from(most.get()) * u64::from(gives_way_from(class))
}

impl Places {
    pub(super) fn new(most: InFlightLimits) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// There is none for this class now, in all or for this tenant; says which, as a sentence for the caller.
    pub(super) fn take(&self, tenant: &Arc<str>, class: QosClass) -> Result<InFlightPlace, String> {
        let from = gives_way_from(class);
        let mut taken = lock(&self.taken);
        if full(taken.in_all, self.most.in_all, class) {
            let (now, most) = (taken.in_all, self.most.in_all);
            return Err(format!(
                "{now} of at most {most} exchanges are in flight, and {class} gives way from {from} % on"
            ));
        }
        let now = taken.tenants.get(tenant).copied().unwrap_or_default();
        if full(now, self.most.per_tenant, class) {
            let most = self.most.per_tenant;
            return Err(format!(
                "{now} of at most {most} exchanges of this tenant are in flight, and {class} gives way from {from} % on"
            ));
        }
        taken.in_all += 1;
        *taken.tenants.entry(Arc::clone(tenant)).or_default() += 1;
        drop(taken);
        Ok(InFlightPlace { tenant: Arc::clone(tenant), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for InFlightPlace {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.in_all = taken.in_all.saturating_sub(1);
        if let Some(mine) = taken.tenants.get_mut(&self.tenant) {
            *mine = mine.saturating_sub(1);
            if *mine == 0 {
                taken.tenants.remove(&self.tenant);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(in_all: u32) -> Places {
        Places::new(InFlightLimits::of(NonZeroU32::new(in_all).unwrap()))
    }

    fn tenant(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    #[test]
    fn the_least_urgent_gives_way_first() {
        let froms = [QosClass::P3, QosClass::P2, QosClass::P1, QosClass::P0].map(gives_way_from);
        assert!(froms.is_sorted() && froms[3] == 100, "{froms:?}");
        let places = places(10);
        let mut held = Vec::new();
        for (class, most) in [(QosClass::P3, 5), (QosClass::P2, 7), (QosClass::P1, 9), (QosClass::P0, 10)] {
            while let Ok(place) = places.take(&tenant(&held.len().to_string()), class) {
                held.push(place);
            }
            assert_eq!(held.len(), most, "{class}");
        }
        drop(held.pop());
        assert!(places.take(&tenant("x"), QosClass::P1).is_err() && places.take(&tenant("x"), QosClass::P0).is_ok());
    }

    #[test]
    fn no_tenant_takes_all_and_what_is_given_back_is_forgotten() {
        let places = places(10);
        let (greedy, other) = (tenant("greedy"), tenant("other"));
        for (class, most) in [(QosClass::P3, 3), (QosClass::P2, 4), (QosClass::P1, 5), (QosClass::P0, 5)] {
            let held: Vec<InFlightPlace> = std::iter::from_fn(|| places.take(&greedy, class).ok()).collect();
            assert_eq!(held.len(), most, "{class}");
            assert!(places.take(&greedy, class).unwrap_err().contains("this tenant"));
            assert!(places.take(&other, class).is_ok(), "{class}");
        }
        assert!(lock(&places.taken).tenants.is_empty() && lock(&places.taken).in_all == 0);
        assert!(self::places(1).take(&greedy, QosClass::P0).is_ok());
    }
}
