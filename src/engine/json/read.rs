//! Reading JSON strictly, level by level: the syntax is serde_json's, the numbers are the text's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::members::{Text, members};
use super::place::{Step, path_text};
use super::{Json, JsonError, MAX_DEPTH, MAX_DIGITS};

/// What is wrong, and the steps to it from the inside out.
struct Fault {
    steps: Vec<Step>,
    message: String,
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self { steps: Vec::new(), message: message.into() }
    }

    fn under(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

pub(super) fn document(bytes: &[u8]) -> Result<Json, JsonError> {
    whole(bytes).map_err(|Fault { mut steps, message }| {
        steps.reverse();
        JsonError { path: path_text(&steps), steps, message }
    })
}

fn whole(bytes: &[u8]) -> Result<Json, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::new("is not UTF-8: send UTF-8 text"))?;
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|error| Fault::new(format!("is not one JSON value: {error}")))?;
    value(raw.get(), MAX_DEPTH)
}

/// One value, of which serde_json has already said that its outermost level is well formed.
fn value(raw: &str, depth_left: usize) -> Result<Json, Fault> {
    let unreadable = |error: serde_json::Error| Fault::new(format!("is not sound JSON: {error}"));
    let deeper = || {
        let why = || Fault::new(format!("nests deeper than {MAX_DEPTH} levels: send a flatter value"));
        depth_left.checked_sub(1).ok_or_else(why)
    };
    match raw.as_bytes().first() {
        Some(b'n') => Ok(Json::Null),
        Some(b't') => Ok(Json::Bool(true)),
        Some(b'f') => Ok(Json::Bool(false)),
        Some(b'"') => {
            let Text(text) = serde_json::from_str(raw).map_err(unreadable)?;
            Ok(Json::String(Arc::from(text)))
        }
        Some(b'[') => {
            let depth_left = deeper()?;
            let elements: Vec<&RawValue> = serde_json::from_str(raw).map_err(unreadable)?;
            let read = |(at, element): (usize, &RawValue)| {
                value(element.get(), depth_left).map_err(|fault| fault.under(Step::At(at)))
            };
            Ok(Json::Array(elements.into_iter().enumerate().map(read).collect::<Result<_, _>>()?))
        }
        Some(b'{') => {
            let depth_left = deeper()?;
            let mut object = BTreeMap::new();
            for (key, raw) in members(raw).map_err(unreadable)? {
                let key: Arc<str> = Arc::from(key);
                let read = value(raw.get(), depth_left).map_err(|fault| fault.under(Step::Key(Arc::clone(&key))))?;
                if object.insert(Arc::clone(&key), read).is_some() {
                    return Err(Fault::new("is given twice: send each key once").under(Step::Key(key)));
                }
            }
            Ok(Json::Object(object))
        }
        _ => number(raw),
    }
}

/// A number, whose syntax serde_json has already checked.
fn number(raw: &str) -> Result<Json, Fault> {
    if raw.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        let value: f64 = raw.parse().map_err(|_| Fault::new("is not a number"))?;
        if value.is_finite() { Ok(Json::Float(value)) } else { Err(Fault::new("is a number too large to be kept")) }
    } else if raw.len() > MAX_DIGITS {
        Err(Fault::new(format!("is an integer of more than {MAX_DIGITS} digits")))
    } else {
        Ok(Json::Int(Box::from(if raw == "-0" { "0" } else { raw })))
    }
}
