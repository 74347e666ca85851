//! Shadow detection as the reference does it, its gaps included: pairwise, on the conditions as they are written.
//!
//! What it finds denies every request in prod and edge, so it must be found exactly as there. Known gaps, kept: a union of
//! earlier rules is not seen; an exact value does not cover a list of that value; an unknown key hides a shadow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::artifact::python_json;
use crate::engine::json::{Json, present};

/// A condition, its texts and itself replaced by numbers that are equal when they are equal.
struct Condition {
    whole: usize,
    any: bool,
    /// A text.
    exact: Option<usize>,
    within: Option<BTreeSet<usize>>,
}

/// A rule's conditions by field, and the whole match.
struct Match {
    id: Arc<str>,
    whole: usize,
    fields: BTreeMap<usize, Condition>,
}

#[derive(Default)]
struct Numbers(BTreeMap<String, usize>);

impl Numbers {
    fn of(&mut self, value: &Json) -> usize {
        let mut text = String::new();
        python_json(value, &mut text);
        let next = self.0.len();
        *self.0.entry(text).or_insert(next)
    }

    fn condition(&mut self, value: &Json) -> Condition {
        let members = value.as_object();
        let within = members.and_then(|members| members.get("in")?.as_array());
        Condition {
            whole: self.of(value),
            any: members.is_some_and(|members| members.get("any") == Some(&Json::Bool(true))),
            exact: value.as_str().map(|_| self.of(value)),
            within: within.map(|values| values.iter().map(|value| self.of(value)).collect()),
        }
    }
}

/// The ids of the shadowed rules, one for each pair: first all that the first rule shadows, then all of the second.
pub(super) fn as_the_reference_finds_them(document: &Json) -> Vec<Arc<str>> {
    let rules = document.as_object().and_then(|file| file.get("rules")?.as_array()).unwrap_or_default();
    let mut numbers = Numbers::default();
    let matches: Vec<Match> = rules
        .iter()
        .filter_map(|rule| {
            let rule = rule.as_object()?;
            let none = Json::Object(BTreeMap::new());
            let conditions = present(rule, "match").unwrap_or(&none);
            let fields = conditions.as_object()?.iter().filter(|(_, value)| **value != Json::Null);
            Some(Match {
                id: Arc::clone(rule.get("rule_id")?.as_str()?),
                whole: numbers.of(conditions),
                fields: fields
                    .map(|(key, value)| (numbers.of(&Json::String(Arc::clone(key))), numbers.condition(value)))
                    .collect(),
            })
        })
        .collect();
    let pairs = matches.iter().enumerate().flat_map(|(at, early)| {
        let late = matches.iter().skip(at + 1).filter(move |late| shadows(early, late));
        late.map(|late| Arc::clone(&late.id))
    });
    pairs.collect()
}

fn shadows(early: &Match, late: &Match) -> bool {
    if early.whole == late.whole {
        return early.id != late.id;
    }
    early.fields.iter().all(|(field, condition)| covers(condition, late.fields.get(field)))
}

fn covers(early: &Condition, late: Option<&Condition>) -> bool {
    let Some(late) = late else { return early.any };
    early.any
        || early.whole == late.whole
        || early.within.as_ref().is_some_and(|values| {
            late.exact.is_some_and(|value| values.contains(&value))
                || late.within.as_ref().is_some_and(|some| some.is_subset(values))
        })
}
