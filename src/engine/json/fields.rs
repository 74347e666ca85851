//! Reading the fields of a document that a human wrote: goes on after a problem, so that all are found at once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use super::{Json, Step};
use crate::ids::meant;

/// A problem in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The steps to the value.
    pub steps: Vec<Step>,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

/// The members of an object.
pub type Members = BTreeMap<Arc<str>, Json>;

/// Reads fields and collects what is wrong with them. `null` counts as absent.
#[derive(Debug)]
pub struct Fields {
    /// Whether what would otherwise be ignored is a problem, too.
    pub strict: bool,
    at: Vec<Step>,
    /// What is wrong, in the order in which it was read.
    pub findings: Vec<Finding>,
}

impl Fields {
    /// Nothing read yet.
    #[must_use]
    pub const fn new(strict: bool) -> Self {
        Self { strict, at: Vec::new(), findings: Vec::new() }
    }

    /// Reads what is one step further in.
    pub fn within<T>(&mut self, step: impl Into<Step>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.at.push(step.into());
        let value = read(self);
        self.at.pop();
        value
    }

    /// Says what is wrong here, and what to change.
    pub fn say(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.findings.push(Finding { steps: self.at.clone(), message: message.into(), help: help.into() });
    }

    /// Says that this is of the wrong kind.
    pub fn expected(&mut self, what: &str, found: &Json) {
        self.say(format!("is {}, not {what}", found.kind()), format!("write {what}"));
    }

    /// The members, if this is an object.
    pub fn object<'j>(&mut self, value: &'j Json) -> Option<&'j Members> {
        if value.as_object().is_none() {
            self.expected("an object", value);
        }
        value.as_object()
    }

    /// The elements of a list; of none when it is absent.
    pub fn list<'j>(&mut self, members: &'j Members, key: &str) -> &'j [Json] {
        match present(members, key) {
            None => &[],
            Some(Json::Array(elements)) => elements,
            Some(other) => {
                self.within(key, |this| this.expected("a list", other));
                &[]
            }
        }
    }

    /// A boolean; the default when it is absent.
    pub fn flag(&mut self, members: &Members, key: &str, default: bool) -> bool {
        match present(members, key) {
            None => default,
            Some(Json::Bool(value)) => *value,
            Some(other) => {
                self.within(key, |this| this.expected("true or false", other));
                default
            }
        }
    }

    /// A text that must be there and not blank.
    pub fn required_text<'j>(&mut self, members: &'j Members, key: &str) -> Option<&'j Arc<str>> {
        let text = self.text(members, key);
        if present(members, key).is_none() {
            self.say(format!("`{key}` is missing"), format!("add `{key}`"));
        } else if text.is_some_and(|text| text.trim().is_empty()) {
            self.within(key, |this| this.say("is blank", "write a name"));
            return None;
        }
        text
    }

    /// A text, if it is there.
    pub fn text<'j>(&mut self, members: &'j Members, key: &str) -> Option<&'j Arc<str>> {
        match present(members, key) {
            None => None,
            Some(Json::String(text)) => Some(text),
            Some(other) => {
                self.within(key, |this| this.expected("a string", other));
                None
            }
        }
    }

    /// A text of a certain form, such as an identifier.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, text: &str) -> Option<T> {
        text.parse().map_err(|error: T::Err| self.say(error.to_string(), "correct the value")).ok()
    }

    /// Says which keys are not among the known ones, if that is a problem.
    pub fn only_known(&mut self, members: &Members, known: &[&str]) {
        if !self.strict {
            return;
        }
        for key in members.keys().filter(|key| !known.contains(&&***key)) {
            let help =
                meant(key, known.iter().copied(), || format!("remove it, or write one of: {}", known.join(", ")));
            self.within(Step::Key(Arc::clone(key)), |this| this.say("is not a key that is known here", help));
        }
    }
}

/// A member that is there and not `null`.
#[must_use]
pub fn present<'j>(members: &'j Members, key: &str) -> Option<&'j Json> {
    members.get(key).filter(|value| **value != Json::Null)
}
