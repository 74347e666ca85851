//! Where in a JSON text something is: paths, lines and columns. Worked out only when there is something to say about it.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::JsonError;
use super::members::members;

/// One step into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To a member of an object.
    Key(Arc<str>),
    /// To an element of an array, from 0.
    At(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(Arc::from(key))
    }
}

impl From<usize> for Step {
    fn from(at: usize) -> Self {
        Self::At(at)
    }
}

/// A path as it is said in messages: `request.a[3]`. Keys are cut to 40 characters and stripped of control characters.
#[must_use]
pub fn path_text(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.extend(key.chars().filter(|c| !c.is_control()).take(40));
            }
            Step::At(at) => {
                let _infallible = write!(text, "[{at}]");
            }
        }
    }
    text
}

/// A JSON text with its line beginnings, to find places in it.
#[derive(Debug)]
pub struct LineIndex<'a> {
    text: &'a str,
    beginnings: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    /// The lines of a text.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, beginnings: std::iter::once(0).chain(after).collect() }
    }

    /// Line and column (in characters), both from 1, of the value at the end of a path, or of the innermost that exists.
    #[must_use]
    pub fn place(&self, steps: &[Step]) -> (usize, usize) {
        self.place_under(self.text, steps)
    }

    /// The same, for a path that begins at `part`, which is a part of the text.
    #[must_use]
    pub fn place_under(&self, part: &str, steps: &[Step]) -> (usize, usize) {
        let mut found = part;
        for step in steps {
            match inside(found, step) {
                Some(value) => found = value,
                None => break,
            }
        }
        let found = found.trim_start();
        let offset = found.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let line = self.beginnings.partition_point(|begin| *begin <= offset);
        let begin = line.checked_sub(1).and_then(|at| self.beginnings.get(at)).copied().unwrap_or(0);
        let column = self.text.get(begin..offset).map_or(1, |before| before.chars().count() + 1);
        (line.max(1), column)
    }

    /// Line and column of what [`Json::parse`](super::Json::parse) refused this text for.
    #[must_use]
    pub fn place_of(&self, error: &JsonError) -> (usize, usize) {
        match serde_json::from_str::<&RawValue>(self.text) {
            Ok(_) => self.place(&error.steps),
            Err(syntax) => {
                let line = self.text.split('\n').nth(syntax.line().saturating_sub(1)).unwrap_or_default();
                let before = line.get(..syntax.column()).map_or(syntax.column(), |before| before.chars().count());
                (syntax.line().max(1), before.max(1))
            }
        }
    }
}

/// The elements of one array of a text, kept so that many places in it are found fast.
#[derive(Debug)]
pub struct Elements<'a> {
    key: &'static str,
    parts: Vec<&'a str>,
}

impl<'a> Elements<'a> {
    /// The elements of the array that the outermost object holds under a key.
    #[must_use]
    pub fn of(lines: &LineIndex<'a>, key: &'static str) -> Self {
        let array = inside(lines.text, &Step::from(key)).unwrap_or_default();
        let elements: Vec<&'a RawValue> = serde_json::from_str(array).unwrap_or_default();
        Self { key, parts: elements.into_iter().map(RawValue::get).collect() }
    }

    /// As [`LineIndex::place`].
    #[must_use]
    pub fn place(&self, lines: &LineIndex<'a>, steps: &[Step]) -> (usize, usize) {
        if let [Step::Key(key), Step::At(at), rest @ ..] = steps
            && **key == *self.key
            && let Some(part) = self.parts.get(*at)
        {
            return lines.place_under(part, rest);
        }
        lines.place(steps)
    }
}

fn inside<'a>(raw: &'a str, step: &Step) -> Option<&'a str> {
    match step {
        Step::Key(key) => {
            let of_object = members(raw).ok()?;
            of_object.into_iter().find(|(name, _)| **name == **key).map(|(_, value)| value.get())
        }
        Step::At(at) => {
            let elements: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
            elements.get(*at).map(|value| value.get())
        }
    }
}
