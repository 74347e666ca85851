//! What is expected against what is answered: every key that is expected must be there with the same value.

use std::fmt;

use serde_json::{Map, Value};

use crate::ids::nearest;

/// A key that differs.
#[derive(Debug, PartialEq)]
pub struct Difference {
    /// Its path, such as `deny_reason_if_denied.code`.
    pub key: String,
    /// What was expected.
    pub expected: Shown,
    /// What was answered.
    pub found: Shown,
}

/// A value of an answer, or none.
#[derive(Debug, PartialEq)]
pub enum Shown {
    /// This.
    Value(Value),
    /// None; the key of the answer that was probably meant.
    Nothing(Option<String>),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Nothing(None) => f.write_str("(not there)"),
            Self::Nothing(Some(meant)) => write!(f, "(not there; did you mean `{meant}`?)"),
        }
    }
}

/// Where an answer differs from what is expected. Objects may have more keys than are expected; lists may not differ at all.
pub fn differences(expected: &Value, answer: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", expected, Ok(answer), &mut found);
    found
}

/// `answer`: what is there, else the key that was probably meant.
fn compare(key: &str, expected: &Value, answer: Result<&Value, Option<&str>>, found: &mut Vec<Difference>) {
    match (expected, answer) {
        (Value::Object(expected), Ok(Value::Object(answer))) => {
            for (name, value) in expected {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                let there = answer.get(name).ok_or_else(|| nearest(name, answer.keys().map(String::as_str)));
                compare(&key, value, there, found);
            }
        }
        (expected, Ok(answer)) if expected == answer => {}
        (expected, answer) => found.push(Difference {
            key: key.to_owned(),
            expected: Shown::Value(expected.clone()),
            found: match answer {
                Ok(answer) => Shown::Value(answer.clone()),
                Err(meant) => Shown::Nothing(meant.map(str::to_owned)),
            },
        }),
    }
}

/// Of an answer what is expected of it: the same keys, with the values of the answer. What it does not have is left out.
pub fn projected(expected: &Value, answer: &Value) -> Value {
    match (expected, answer) {
        (Value::Object(expected), Value::Object(answer)) => {
            let kept =
                expected.iter().filter_map(|(key, value)| Some((key.clone(), projected(value, answer.get(key)?))));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        _ => answer.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_expected_key_counts_and_no_other() {
        let answer = json!({"denied": true, "deny": {"code": "A", "missing": [1]}, "rule": null});
        assert_eq!(differences(&json!({}), &answer), []);
        assert_eq!(differences(&json!({"deny": {"code": "A"}, "rule": null}), &answer), []);
        let expected = json!({"deny": {"code": "B", "missing": [1, 2]}, "none": 1, "denied": "true"});
        let mut found = differences(&expected, &answer);
        found.sort_by(|a, b| a.key.cmp(&b.key));
        let keys: Vec<_> = found.iter().map(|difference| &*difference.key).collect();
        assert_eq!(keys, ["denied", "deny.code", "deny.missing", "none"]);
        assert_eq!(found[3].found.to_string(), "(not there)");
        let found = differences(&json!({"denyed": true}), &answer);
        assert_eq!(found[0].found.to_string(), "(not there; did you mean `denied`?)");
        assert_eq!(projected(&expected, &answer), json!({"denied": true, "deny": {"code": "A", "missing": [1]}}));
    }
}
