//! The `approvals` section: whether humans are asked, who of them must agree, and how much may wait for them.

mod callbacks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::kinds;
use super::reader::{Map, Value};
use crate::approvals::{Settings, UnboundHeaders, WaitingLimits};
use crate::documents::InvalidValue;
use crate::engine::snapshot::Approvable;
use crate::hall::{Scope, Token};
use crate::ids::{DataLabel, SupervisorLevel};

/// How to write a token of somebody who may agree.
const APPROVER: &str =
    "add `- { name: bea, secret: \"${BEA_TOKEN}\", scopes: [approve], owner: bea }` to `hall.tokens`";
/// The longest that an approval may be open.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads the section: `Some(None)` when there is none, and what wants a human is denied.
pub fn read(section: Option<&Value<'_>>) -> Option<Option<Settings>> {
    section.map_or(Some(None), |value| value.map().and_then(self::section).map(Some))
}

/// What of it decisions depend on.
pub fn approvable(read: Option<&Option<Settings>>) -> Option<Approvable> {
    read.and_then(Option::as_ref).map(|settings| Approvable { blast: settings.blast })
}

fn section(mut map: Map<'_>) -> Option<Settings> {
    let store = map.path("store", "approvals.db");
    let ttl = map.read("ttl", "15m", ttl);
    let quorum = map.get("quorum").map_or(Some(BTreeMap::new()), |value| value.map().and_then(quorum));
    let blast = map.maybe("blast", level);
    let most = map.read("most", "1000", kinds::number(1, 10_000));
    let most_for_one = map.read("most_for_one", "32", kinds::number(1, 10_000));
    let most_a_minute = map.read("most_a_minute", "100", kinds::number(1, 10_000));
    let contents = map.section("contents").and_then(contents);
    let unbound_headers = map.list_or("unbound_headers", &UnboundHeaders::default(), header_name);
    let waiting = map.section("waiting").and_then(waiting);
    let callbacks = callbacks::read(&mut map);
    map.done(&[]);
    Some(Settings {
        store: store?,
        ttl: ttl?,
        quorum: quorum?,
        blast: blast?,
        most: most?,
        most_for_one: most_for_one?,
        most_a_minute: most_a_minute?,
        no_contents_from: contents?,
        unbound_headers: unbound_headers?,
        waiting: waiting?,
        callbacks: callbacks?,
    })
}

/// The label from which on no contents are kept; `Some(None)`: those of every label are.
fn contents(mut map: Map<'_>) -> Option<Option<DataLabel>> {
    let none_from = map.maybe("none_from", kinds::id);
    map.done(&[]);
    none_from
}

fn waiting(mut map: Map<'_>) -> Option<WaitingLimits> {
    let most = map.read("most", "1000", kinds::number(0, 100_000));
    let most_for_one = map.read("most_for_one", "100", kinds::number(0, 100_000));
    let max_mib: Option<usize> = map.read("max_mib", "64", kinds::number(1, 65_536));
    map.done(&[]);
    Some(WaitingLimits { most: most?, most_for_one: most_for_one?, bytes: max_mib? << 20 })
}

/// The name of a header, or its beginning and a `*`.
fn header_name(text: &str) -> Result<String, InvalidValue> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let is_name = !name.is_empty() && name.parse::<http::HeaderName>().is_ok_and(|parsed| parsed.as_str() == name);
    if is_name {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new(
        "is no lower-case name of a header",
        "write such as `x-request-id`, or `x-stainless-*` for all that begin so",
    ))
}

fn ttl(text: &str) -> Result<Duration, InvalidValue> {
    let ttl = kinds::some_time(text)?;
    if ttl > LONGEST {
        return Err(InvalidValue::new("is more than a day", "write a day at most, such as `15m`"));
    }
    Ok(ttl)
}

/// A level whose holder agrees to something.
fn level(text: &str) -> Result<SupervisorLevel, InvalidValue> {
    let level = kinds::id(text)?;
    if level == SupervisorLevel::Advisory {
        let help = "write gatekeeper, executor or incident_commander: advisory is told, and agrees to nothing";
        return Err(InvalidValue::new("is no level that agrees to anything", help));
    }
    Ok(level)
}

fn quorum(mut map: Map<'_>) -> Option<BTreeMap<SupervisorLevel, usize>> {
    let levels = SupervisorLevel::ALL.iter().copied().filter(|level| *level != SupervisorLevel::Advisory);
    let read: Vec<_> =
        levels.map(|level| Some((level, map.read(level.as_str(), "1", kinds::number(1, 16))?))).collect();
    map.done(&[]);
    read.into_iter().collect()
}

/// That what is held can be agreed to at all: there is a Hall, and for each level as many owners as must agree.
pub fn check(section: &Value<'_>, settings: &Settings, tokens: &[Token], has_hall: bool) {
    if !has_hall {
        let help = "add a `hall` section with a token of the scope `approve`, or remove the section";
        section.wrong("is there, and nobody can agree: there is no Hall", help);
        return;
    }
    let may = |token: &&Token| token.may(Scope::Approve);
    if !tokens.iter().any(|token| may(&token)) {
        section.wrong("is there, and nobody can agree: no token has the scope `approve`", APPROVER);
        return;
    }
    for (level, quorum) in &settings.quorum {
        let of_level = tokens.iter().filter(may).filter(|token| token.levels.contains(level));
        let owners: BTreeSet<_> = of_level.map(Token::owner).collect();
        if !owners.is_empty() && owners.len() < *quorum {
            let message = format!("wants {quorum} people of the level {level}, and has tokens of {}", owners.len());
            section.wrong(message, "give more people a token of this level, or lower the quorum");
        }
    }
}

/// That a value is somebody's name.
pub fn owner(value: &Value<'_>) -> Option<Arc<str>> {
    value.read(owner_name)
}

/// Somebody's name, who answers for a token.
///
/// # Errors
/// It is empty, has more than 128 bytes, or a control character.
pub fn owner_name(text: &str) -> Result<Arc<str>, InvalidValue> {
    let is_name = !text.is_empty() && text.len() <= 128 && text.chars().all(|c| !c.is_control());
    if is_name { Ok(text.into()) } else { Err(InvalidValue::new("is no name", "write who answers for the token")) }
}
