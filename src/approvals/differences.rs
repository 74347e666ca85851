//! How what would run differs from what else waits of the same worker and capability: who is asked often is shown what is new.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Approval, Contents, State};

/// The most lines of each side.
const LINES: usize = 20;
/// The most characters of a line.
const LONGEST: usize = 200;

/// The lines of what would run that one has and another does not, and the other way round; of JSON a line for each value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContentsDifference {
    /// What only the one that is looked at has.
    pub here: Vec<String>,
    /// How many more lines only it has.
    pub more_here: usize,
    /// What only the other has.
    pub there: Vec<String>,
    /// How many more lines only the other has.
    pub more_there: usize,
}

impl ContentsDifference {
    /// Between what is looked at and another; `None` where one of both is withheld.
    #[must_use]
    pub fn between(here: &Contents, there: &Contents) -> Option<Self> {
        if here.is_withheld || there.is_withheld {
            return None;
        }
        let (here, there) = (lines(here), lines(there));
        let (only_here, more_here) = without(&here, &there);
        let (only_there, more_there) = without(&there, &here);
        Some(Self { here: only_here, more_here, there: only_there, more_there })
    }
}

impl Approval {
    /// Whether another one waits of the same tenant, worker and capability, through the same door.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let of = |one: &Self| {
            let asked = &one.asked;
            (asked.tenant.clone(), asked.worker.clone(), asked.capability.clone(), asked.door.clone())
        };
        other.state == State::Pending && self.id != other.id && of(self) == of(other)
    }
}

/// The lines that the other does not have, as far as they are said, and how many more there are.
fn without(lines: &[String], other: &[String]) -> (Vec<String>, usize) {
    let other: BTreeSet<&String> = other.iter().collect();
    let mut only = lines.iter().filter(|line| !other.contains(line));
    let said = only.by_ref().take(LINES).map(|line| short(line)).collect();
    (said, only.count())
}

fn short(line: &str) -> String {
    let mut short: String = line.chars().take(LONGEST).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

/// What would run, line by line.
fn lines(contents: &Contents) -> Vec<String> {
    let mut lines: Vec<String> = contents.http.iter().cloned().collect();
    lines.extend(contents.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    match serde_json::from_str::<Value>(&contents.body) {
        Ok(value) if value.is_object() || value.is_array() => flat("", &value, &mut lines),
        _ => lines.extend(contents.body.split('\n').map(str::to_owned)),
    }
    // A key that is there twice is one value of what was parsed: the bytes tell.
    lines.push(format!("body of {} bytes", contents.bytes));
    lines
}

fn flat(at: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(key, value)| flat(&format!("{at}/{key}"), value, lines));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(n, value)| flat(&format!("{at}/{n}"), value, lines));
        }
        value => lines.push(format!("{at}: {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str, header: &str) -> Contents {
        Contents {
            http: Some("POST https://a/".to_owned()),
            headers: vec![("x".to_owned(), header.to_owned())],
            ..Contents::of_body(body.as_bytes())
        }
    }

    #[test]
    fn only_what_differs_is_said_and_of_json_by_value() {
        let here = of(r#"{"a": {"b": 1}, "c": [1, 2]}"#, "y");
        let said = ContentsDifference::between(&here, &of(r#"{"a": {"b": 2}, "c": [1, 2]}"#, "z")).unwrap();
        assert_eq!(
            (said.here, said.there),
            (vec!["x: y".to_owned(), "/a/b: 1".to_owned()], vec!["x: z".to_owned(), "/a/b: 2".to_owned()])
        );
        let said = ContentsDifference::between(&of("one\ntwo", "y"), &of("one\ntoo", "y")).unwrap();
        assert_eq!((said.here, said.there), (vec!["two".to_owned()], vec!["too".to_owned()]));
        assert_eq!(ContentsDifference::between(&here, &here), Some(ContentsDifference::default()));
    }

    #[test]
    fn what_is_said_has_a_bound_whatever_callers_wrote() {
        let many = (0..1000).map(|n| format!("{n}{}", "ä".repeat(1000))).collect::<Vec<_>>().join("\n");
        let said = ContentsDifference::between(&of(&many, "y"), &of("", "y")).unwrap();
        assert_eq!((said.here.len(), said.more_here), (LINES, 1001 - LINES));
        assert!(said.here.iter().all(|line| line.chars().count() == LONGEST + 1 && line.ends_with('…')));
        // The empty body, and how many bytes it has.
        assert_eq!((said.there.len(), said.more_there), (2, 0));
    }

    #[test]
    fn what_is_withheld_is_compared_with_nothing() {
        let open = of("secret", "y");
        assert_eq!(ContentsDifference::between(&open.clone().withheld(), &open), None);
        assert_eq!(ContentsDifference::between(&open, &open.clone().withheld()), None);
    }
}
