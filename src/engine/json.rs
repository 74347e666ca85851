//! JSON as a decision sees it: strict to read, and with every number as it was written.

mod fields;
mod members;
mod place;
mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

pub use fields::{Fields, Finding, Members, present};
pub use place::{Elements, LineIndex, Step, path_text};

/// The deepest nesting of arrays and objects that is read.
pub const MAX_DEPTH: usize = 32;

/// The most digits of an integer that is read; as in Python.
pub const MAX_DIGITS: usize = 4300;

/// A JSON value. Unlike `serde_json::Value` it tells `1` from `1.0`, keeps integers of any size, and holds no key twice.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer: its canonical decimal digits.
    Int(Box<str>),
    /// A number with a fraction or an exponent; finite.
    Float(f64),
    /// A text.
    String(Arc<str>),
    /// An array.
    Array(Vec<Json>),
    /// An object; keys in the order of their code points.
    Object(BTreeMap<Arc<str>, Json>),
}

/// Why bytes are not the JSON that is read here, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", Place(path))]
pub struct JsonError {
    /// Where, such as `request.a[3]`; empty for the whole.
    pub path: String,
    /// The same, step by step.
    pub steps: Vec<Step>,
    /// What is wrong and what to change.
    pub message: String,
}

/// A path as the beginning of a message.
struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

impl Json {
    /// Reads one JSON value.
    ///
    /// # Errors
    /// Not UTF-8, not one JSON value, a duplicate key, deeper than [`MAX_DEPTH`], a number that is not finite or an
    /// integer of more than [`MAX_DIGITS`] digits, or a lone surrogate.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        read::document(bytes)
    }

    /// How many bytes of memory it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Null | Self::Bool(_) | Self::Float(_) => 0,
                Self::Int(digits) => digits.len(),
                Self::String(text) => text.len(),
                Self::Array(values) => values.iter().map(Self::bytes).sum(),
                Self::Object(members) => members.iter().map(|(key, value)| 32 + key.len() + value.bytes()).sum(),
            }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&Arc<str>> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The boolean, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The integer, if it is one and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(digits) = self { digits.parse().ok() } else { None }
    }

    /// The elements, if it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }

    /// The members, if it is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&BTreeMap<Arc<str>, Self>> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// What kind of value it is, for messages: `an object`, `a number`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// Whether Python counts it as true.
    #[must_use]
    pub fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(digits) => &**digits != "0",
            Self::Float(value) => *value != 0.0,
            Self::String(text) => !text.is_empty(),
            Self::Array(elements) => !elements.is_empty(),
            Self::Object(members) => !members.is_empty(),
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => s.serialize_unit(),
            Self::Bool(value) => s.serialize_bool(*value),
            // Verbatim, since an integer of any size is read.
            Self::Int(digits) => {
                RawValue::from_string(digits.to_string()).map_err(serde::ser::Error::custom)?.serialize(s)
            }
            Self::Float(value) => s.serialize_f64(*value),
            Self::String(text) => s.serialize_str(text),
            Self::Array(elements) => s.collect_seq(elements),
            Self::Object(members) => s.collect_map(members),
        }
    }
}

#[cfg(test)]
mod tests;
