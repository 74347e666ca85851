//! Canonical JSON: RFC 8785, restricted to strings, integers, booleans, null, arrays and objects.
//!
//! Two ways to the same bytes: [`Object`] writes an entry straight into the batch, its keys in order by the caller's care;
//! [`canonicalise`] writes any parsed value. The tests hold them equal, and `verify` holds every stored entry to the second.

use std::io::Write as _;

use crate::ids::Digest;

/// The name of this form, pinned in every entry (WCP_SPEC 5.7).
pub(crate) const NAME: &str = "wcp-0.1/jcs";

/// The largest integer that every JSON reader keeps exactly (RFC 8785 6, I-JSON); larger counts are written as this.
pub(crate) const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Appends a JSON string: escaped where JSON demands it and nowhere else.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    // Looked at to its end whatever it holds, a text is looked at many bytes at a time.
    if text.bytes().fold(true, |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\')) {
        out.extend_from_slice(text.as_bytes());
    } else {
        for byte in text.bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                0x08 => out.extend_from_slice(b"\\b"),
                b'\t' => out.extend_from_slice(b"\\t"),
                b'\n' => out.extend_from_slice(b"\\n"),
                0x0c => out.extend_from_slice(b"\\f"),
                b'\r' => out.extend_from_slice(b"\\r"),
                0..0x20 => {
                    // A Vec takes every write.
                    let _ = write!(out, "\\u{byte:04x}");
                }
                _ => out.push(byte),
            }
        }
    }
    out.push(b'"');
}

/// Appends an integer, cut to [`MAX_INTEGER`] either way.
fn push_integer(out: &mut Vec<u8>, value: i64) {
    const MOST: i64 = MAX_INTEGER.cast_signed();
    // A Vec takes every write.
    let _ = write!(out, "{}", value.clamp(-MOST, MOST));
}

/// A JSON object that is being written. The caller gives the keys in order.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    last: &'static str,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, last: "" }
    }

    fn key(&mut self, key: &'static str) -> &mut Vec<u8> {
        debug_assert!(self.last < key, "`{key}` does not follow `{}`", self.last);
        if !self.last.is_empty() {
            self.out.push(b',');
        }
        self.last = key;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(crate) fn string(&mut self, key: &'static str, value: &str) {
        push_string(self.key(key), value);
    }

    /// An optional string: left out when there is none.
    pub(crate) fn maybe(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.string(key, value);
        }
    }

    pub(crate) fn boolean(&mut self, key: &'static str, value: bool) {
        self.key(key).extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Written only when it holds.
    pub(crate) fn mark(&mut self, key: &'static str, holds: bool) {
        if holds {
            self.boolean(key, true);
        }
    }

    pub(crate) fn integer(&mut self, key: &'static str, value: i64) {
        push_integer(self.key(key), value);
    }

    pub(crate) fn count(&mut self, key: &'static str, value: u64) {
        self.integer(key, i64::try_from(value).unwrap_or(i64::MAX));
    }

    pub(crate) fn digest(&mut self, key: &'static str, value: &Digest) {
        let out = self.key(key);
        out.push(b'"');
        out.extend_from_slice(&value.hex_digits());
        out.push(b'"');
    }

    pub(crate) fn null(&mut self, key: &'static str) {
        self.key(key).extend_from_slice(b"null");
    }

    pub(crate) fn strings(&mut self, key: &'static str, values: impl Iterator<Item = impl AsRef<str>>) {
        let out = self.key(key);
        out.push(b'[');
        for (at, value) in values.enumerate() {
            if at > 0 {
                out.push(b',');
            }
            push_string(out, value.as_ref());
        }
        out.push(b']');
    }

    pub(crate) fn object(&mut self, key: &'static str) -> Object<'_> {
        Object::begin(self.key(key))
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

/// A value outside of the canonical subset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no integer of at most 2^53 - 1")]
pub(crate) struct NotAnInteger(String);

/// Appends the canonical form of a parsed value.
pub(crate) fn canonicalise(value: &serde_json::Value, out: &mut Vec<u8>) -> Result<(), NotAnInteger> {
    use serde_json::Value;
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::String(text) => push_string(out, text),
        Value::Number(number) => {
            let integer = number.as_i64().filter(|n| n.unsigned_abs() <= MAX_INTEGER);
            push_integer(out, integer.ok_or_else(|| NotAnInteger(number.to_string()))?);
        }
        Value::Array(values) => {
            out.push(b'[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                canonicalise(value, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push_string(out, key);
                out.push(b':');
                canonicalise(value, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> Result<String, NotAnInteger> {
        let mut out = Vec::new();
        canonicalise(&serde_json::from_str(json).unwrap(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn keys_are_sorted_by_utf16_and_strings_escaped_as_rfc_8785_says() {
        // RFC 8785 3.2.3: U+1F600 begins with the surrogate D83D and so sorts before U+FB33.
        let rfc = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        assert_eq!(
            canonical(rfc).unwrap(),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
        assert_eq!(
            canonical(r#" [ "\u000f\u0008\n\"\\\/\u007f" , null ] "#).unwrap(),
            "[\"\\u000f\\b\\n\\\"\\\\/\u{7f}\",null]"
        );
    }

    #[test]
    fn only_integers_that_every_reader_keeps_are_numbers() {
        assert_eq!(
            canonical("[9007199254740991,-9007199254740991,0]").unwrap(),
            "[9007199254740991,-9007199254740991,0]"
        );
        for other in ["1.5", "1.0", "1e3", "9007199254740992", "18446744073709551615", "-9007199254740992"] {
            assert!(canonical(other).is_err(), "{other}");
        }
    }
}
