//! What is expected against what is answered: every key that is expected must be there with the same value.

use std::fmt;

use serde_json::{Map, Value};

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
pub struct Shown(Option<Value>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("(not there)"),
        }
    }
}

/// Where an answer differs from what is expected. Objects may have more keys than are expected; lists may not differ at all.
pub fn differences(expected: &Value, answer: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", expected, Some(answer), &mut found);
    found
}

fn compare(key: &str, expected: &Value, answer: Option<&Value>, found: &mut Vec<Difference>) {
    match (expected, answer) {
        (Value::Object(expected), Some(Value::Object(answer))) => {
            for (name, value) in expected {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                compare(&key, value, answer.get(name), found);
            }
        }
        _ if Some(expected) == answer => {}
        _ => found.push(Difference {
            key: key.to_owned(),
            expected: Shown(Some(expected.clone())),
            found: Shown(answer.cloned()),
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
        assert_eq!(projected(&expected, &answer), json!({"denied": true, "deny": {"code": "A", "missing": [1]}}));
    }
}
