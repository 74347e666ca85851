//! The `limits` of a door: how much of a token, of a tenant, and at once is let in.

use std::num::NonZeroU32;
use std::time::Duration;

use super::kinds;
use super::reader::{Map, Value};
use crate::connections::ConnectionLimits;
use crate::documents::InvalidValue;
use crate::hall::limits::DoorLimits;
use crate::hall::places;
use crate::hall::rate::Rate;

/// Reads `gate.limits`; `None` when something in it is wrong. `one_tenant`: all callers are the same one's, who may take every place.
pub fn of_gate(mut map: Map<'_>, one_tenant: bool) -> Option<DoorLimits> {
    let rates = rates(&mut map);
    let in_flight = map.maybe("in_flight", count);
    let per_tenant = map.maybe("in_flight_per_tenant", count);
    map.done(&[]);
    let in_flight = in_flight?.map(|in_all| {
        let most = places::InFlightLimits::of(in_all);
        places::InFlightLimits {
            per_tenant: per_tenant.flatten().unwrap_or(if one_tenant { in_all } else { most.per_tenant }),
            ..most
        }
    });
    Some(DoorLimits { in_flight, ..rates? })
}

/// Reads `hall.limits`: the door's, and how often a network may fail to prove who it is.
pub fn of_hall(mut map: Map<'_>) -> Option<(DoorLimits, Rate)> {
    let rates = rates(&mut map);
    let failures = match map.get("failures") {
        Some(value) => rate(&value),
        None => Some(crate::hall::limits::Settings::default().failures),
    };
    map.done(&[]);
    rates.zip(failures)
}

/// Reads `connections` of a door that has so many when it does not say; `None` when something in it is wrong.
pub fn connections(mut map: Map<'_>, usual: u32) -> Option<ConnectionLimits> {
    let mut read = |key| map.maybe(key, count);
    let (in_all, per_network, unknown) = (read("most")?, read("per_network")?, read("unknown")?);
    let in_all = in_all.map_or(usual, NonZeroU32::get);
    let within = |key, given: Option<NonZeroU32>, usual: u32| {
        let number = given.map_or(usual, NonZeroU32::get);
        if number > in_all {
            map.wrong(key, format!("is more than `most`, {in_all}"), "write at most as many");
            return None;
        }
        usize::try_from(number).ok()
    };
    let per_network = within("per_network", per_network, in_all.div_ceil(2));
    let unknown = within("unknown", unknown, in_all.min(512));
    map.done(&[]);
    Some(ConnectionLimits { in_all: usize::try_from(in_all).ok()?, per_network: per_network?, unknown: unknown? })
}

fn rates(map: &mut Map<'_>) -> Option<DoorLimits> {
    let mut read = |key| map.get(key).map_or(Some(None), |value| rate(&value).map(Some));
    let (per_token, per_tenant) = (read("per_token"), read("per_tenant"));
    Some(DoorLimits { per_token: per_token?, per_tenant: per_tenant?, in_flight: None })
}

/// `{ rate: 100/s, burst: 200 }`, or only `100/s`; without a burst, it is the rate's number.
fn rate(value: &Value<'_>) -> Option<Rate> {
    if !value.is_map() {
        return value.read(per_time).map(|(number, span)| Rate::new(number, span, number));
    }
    let mut map = value.map()?;
    let rate = map.need("rate", "write such as `{ rate: 100/s, burst: 200 }`").and_then(|value| value.read(per_time));
    let burst = map.maybe("burst", count);
    map.done(&[]);
    let (number, span) = rate?;
    Some(Rate::new(number, span, burst?.unwrap_or(number)))
}

fn count(text: &str) -> Result<NonZeroU32, InvalidValue> {
    let number = kinds::number(1, 1_000_000_u32)(text)?;
    NonZeroU32::new(number).ok_or_else(|| InvalidValue::new("is zero", "write a number above zero"))
}

/// A number for each second, minute or hour.
fn per_time(text: &str) -> Result<(NonZeroU32, Duration), InvalidValue> {
    let spans = [("/s", 1), ("/m", 60), ("/h", 3600)];
    let found = spans.iter().find_map(|(unit, seconds)| {
        Some((count(text.strip_suffix(unit)?.trim_end()).ok()?, Duration::from_secs(*seconds)))
    });
    found.ok_or_else(|| {
        InvalidValue::new(
            "is not a rate",
            "write a number from 1 to 1000000 for each second, minute or hour: `100/s`, `30/m` or `5/h`",
        )
    })
}
