//! What holds of any JSON that a decision rests on: it is read as everybody reads it, or refused at a place of the text.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::json::{Json, LineIndex, MAX_DEPTH, MAX_DIGITS};

/// The law of the strict reader of JSON.
pub fn json(bytes: &[u8]) {
    let read = Json::parse(bytes);
    let lenient = serde_json::from_slice::<Shape>(bytes);
    match read {
        Ok(json) => {
            assert!(json.bytes() > 0);
            same(&json, bytes);
            if let Ok(shape) = lenient {
                assert!(!shape.repeats && shape.depth <= MAX_DEPTH, "{shape:?}");
            }
        }
        Err(error) => {
            assert!(!error.message.is_empty());
            if let Ok(text) = str::from_utf8(bytes) {
                let (line, column) = LineIndex::of(text).place_of(&error);
                // serde_json counts a column in bytes, and one behind the end.
                let length = text.split('\n').nth(line.saturating_sub(1)).map(str::len);
                assert!(line > 0 && length.is_some_and(|length| (1..=length + 1).contains(&column)), "{line}:{column}");
            }
            if let Ok(shape) = lenient {
                let digits = bytes.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() + 1 > MAX_DIGITS);
                assert!(shape.repeats || shape.depth > MAX_DEPTH || digits, "refused, and sound: {error}");
            }
        }
    }
}

/// What is read is what another reader reads, and writing it and reading it again changes nothing.
fn same(json: &Json, bytes: &[u8]) {
    let written = serde_json::to_vec(json).unwrap_or_default();
    assert_eq!(Json::parse(&written).as_ref(), Ok(json), "{}", String::from_utf8_lossy(&written));
    // Numbers beyond its range it refuses.
    if let Ok(other) = serde_json::from_slice::<Value>(bytes) {
        assert!(means(json, &other), "{json:?} is {other}");
    }
}

fn means(json: &Json, other: &Value) -> bool {
    match (json, other) {
        (Json::Null, Value::Null) => true,
        (Json::Bool(one), Value::Bool(other)) => one == other,
        (Json::String(one), Value::String(other)) => **one == **other,
        (Json::Int(digits), Value::Number(number)) => match number.as_i128() {
            Some(_) => **digits == *number.to_string(),
            // Minus zero, or one that it keeps as a float.
            None => digits.parse::<f64>().ok().zip(number.as_f64()).is_some_and(|(one, other)| near(one, other)),
        },
        (Json::Float(one), Value::Number(other)) => other.as_f64().is_some_and(|other| near(*one, other)),
        (Json::Array(ones), Value::Array(others)) => {
            ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| means(one, other))
        }
        (Json::Object(ones), Value::Object(others)) => {
            let means = |(key, one): (_, _)| others.get::<str>(key).is_some_and(|other| means(one, other));
            ones.len() == others.len() && ones.iter().map(|(key, one)| (&**key, one)).all(means)
        }
        _ => false,
    }
}

/// serde_json rounds the last bit of a float as it comes.
fn near(one: f64, other: f64) -> bool {
    one == other || (one - other).abs() <= one.abs() * 4.0 * f64::EPSILON || (one - other).abs() <= f64::MIN_POSITIVE
}

/// What serde_json finds in a text: how deep it nests, and whether an object has a key twice.
#[derive(Debug, Default)]
struct Shape {
    depth: usize,
    repeats: bool,
}

impl Shape {
    fn take(&mut self, inner: &Self) {
        self.depth = self.depth.max(inner.depth + 1);
        self.repeats |= inner.repeats;
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;

        impl<'de> Visitor<'de> for Look {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Shape, E> {
                Ok(Shape::default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
                Ok(Shape::default())
            }
            fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
                Ok(Shape::default())
            }
            fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
                Ok(Shape::default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
                Ok(Shape::default())
            }
            fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
                Ok(Shape::default())
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut elements: S) -> Result<Shape, S::Error> {
                let mut shape = Shape { depth: 1, repeats: false };
                while let Some(inner) = elements.next_element()? {
                    shape.take(&inner);
                }
                Ok(shape)
            }
            fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Shape, M::Error> {
                let (mut shape, mut keys) = (Shape { depth: 1, repeats: false }, std::collections::HashSet::new());
                while let Some((key, inner)) = members.next_entry::<String, Shape>()? {
                    shape.take(&inner);
                    shape.repeats |= !keys.insert(key);
                }
                Ok(shape)
            }
        }

        deserializer.deserialize_any(Look)
    }
}
