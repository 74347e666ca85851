//! The artifact hash: SHA-256 over the request as the reference writes it, byte for byte (WCP_SPEC 5.7).

use std::fmt::Write as _;

use crate::engine::{Json, RouteInput};
use crate::ids::{Digest, TenantRisk};

/// The hash of a request. `decided` is the risk that is hashed when the caller gave none.
///
/// Thirteen keys in the order of their names, the worker and whatever else the caller sent left out, as in the reference.
#[must_use]
pub fn artifact_hash(input: &RouteInput, decided: TenantRisk) -> Digest {
    let mut text = String::with_capacity(512);
    text.push_str("{\"blast_radius\": ");
    optional(input.blast_radius.as_ref(), &mut text);
    text.push_str(", \"blast_score\": ");
    match input.blast_score {
        Some(score) => push(&mut text, format_args!("{score}")),
        None => text.push_str("null"),
    }
    text.push_str(", \"capability_id\": ");
    string(&input.capability_id, &mut text);
    text.push_str(", \"correlation_id\": ");
    string(&input.correlation_id, &mut text);
    text.push_str(", \"data_label\": ");
    string(input.data_label.as_str(), &mut text);
    text.push_str(", \"dry_run\": ");
    text.push_str(if input.dry_run { "true" } else { "false" });
    text.push_str(", \"env\": ");
    string(input.env.as_str(), &mut text);
    text.push_str(", \"privilege_context\": ");
    optional(input.privilege_context.as_ref(), &mut text);
    text.push_str(", \"qos_class\": ");
    string(input.qos_class.as_str(), &mut text);
    text.push_str(", \"request\": ");
    python_json(&input.request, &mut text);
    text.push_str(", \"tenant_credential\": ");
    match &input.tenant_credential {
        Some(credential) => string(credential, &mut text),
        None => text.push_str("null"),
    }
    text.push_str(", \"tenant_id\": ");
    string(&input.tenant_id, &mut text);
    text.push_str(", \"tenant_risk\": ");
    string(input.tenant_risk.unwrap_or(decided).as_str(), &mut text);
    text.push('}');
    Digest::of(text.as_bytes())
}

/// Appends a value as Python's `json.dumps(sort_keys=True)` writes it: `, ` and `: `, ASCII only, floats as `repr`.
pub fn python_json(value: &Json, into: &mut String) {
    write(value, &SPACED, into);
}

/// The same with the separators `,` and `:`, as enrolment hashes are made.
pub fn compact_python_json(value: &Json, into: &mut String) {
    write(value, &COMPACT, into);
}

/// What stands between elements, and between a key and its value.
struct Separators {
    elements: &'static str,
    key: &'static str,
}

const SPACED: Separators = Separators { elements: ", ", key: ": " };
const COMPACT: Separators = Separators { elements: ",", key: ":" };

fn write(value: &Json, separators: &Separators, into: &mut String) {
    match value {
        Json::Null => into.push_str("null"),
        Json::Bool(true) => into.push_str("true"),
        Json::Bool(false) => into.push_str("false"),
        Json::Int(digits) => into.push_str(digits),
        Json::Float(value) => float(*value, into),
        Json::String(text) => string(text, into),
        Json::Array(elements) => {
            into.push('[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    into.push_str(separators.elements);
                }
                write(element, separators, into);
            }
            into.push(']');
        }
        // The map's order is that of UTF-8 bytes, which is that of code points, which is Python's.
        Json::Object(members) => {
            into.push('{');
            for (at, (key, member)) in members.iter().enumerate() {
                if at > 0 {
                    into.push_str(separators.elements);
                }
                string(key, into);
                into.push_str(separators.key);
                write(member, separators, into);
            }
            into.push('}');
        }
    }
}

fn optional(value: Option<&Json>, into: &mut String) {
    match value {
        Some(value) => python_json(value, into),
        None => into.push_str("null"),
    }
}

fn string(text: &str, into: &mut String) {
    into.push('"');
    // Looked at to its end whatever it holds, a text is looked at sixteen bytes at a time.
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        into.push_str(text);
        into.push('"');
        return;
    }
    let mut rest = text;
    // Bytes, because almost every text is plain to its end; a plain byte is a whole character.
    while let Some(at) = rest.bytes().position(|b| !matches!(b, b' '..=b'~') || matches!(b, b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        into.push_str(plain);
        let mut chars = special.chars();
        if let Some(c) = chars.next() {
            escape(c, into);
        }
        rest = chars.as_str();
    }
    into.push_str(rest);
    into.push('"');
}

fn escape(c: char, into: &mut String) {
    match c {
        '"' => into.push_str("\\\""),
        '\\' => into.push_str("\\\\"),
        '\u{8}' => into.push_str("\\b"),
        '\u{c}' => into.push_str("\\f"),
        '\n' => into.push_str("\\n"),
        '\r' => into.push_str("\\r"),
        '\t' => into.push_str("\\t"),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                push(into, format_args!("\\u{unit:04x}"));
            }
        }
    }
}

/// The shortest digits that read back as the same number, laid out as Python's `repr` does.
fn float(value: f64, into: &mut String) {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        push(into, format_args!("{value:?}"));
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        push(into, format_args!("{digits}e{sign}{:02}", exponent.abs()));
    }
}

fn push(into: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes all that is written to it.
    let _infallible = into.write_fmt(text);
}

#[cfg(test)]
mod tests;
