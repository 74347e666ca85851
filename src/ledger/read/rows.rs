//! Entries as rows for spreadsheets (RFC 4180): one column a field, and nothing in a cell that a spreadsheet would run.

use std::io::{self, Write};

use serde_json::Value;

use crate::ids::Digest;

/// Each column's name, and where its value is in an entry.
const COLUMNS: &[(&str, &str)] = &[
    ("recorded_at", "/recorded_at"),
    ("kind", "/kind"),
    ("receipt_id", "/receipt_id"),
    ("decision_id", "/decision_id"),
    ("stream", "/stream"),
    ("door", "/door"),
    ("token", "/token"),
    ("tenant_id", "/tenant_id"),
    ("worker_id", "/worker_id"),
    ("worker_species_id", "/worker_species_id"),
    ("capability_id", "/capability_id"),
    ("data_label", "/data_label"),
    ("env", "/env"),
    ("outcome", "/outcome"),
    ("deny_code", "/deny_code"),
    ("deny_message", "/deny_message"),
    ("matched_rule_id", "/matched_rule_id"),
    ("policies", "/policies"),
    ("policy_version", "/policy_version"),
    ("blast_score", "/blast_score"),
    ("dry_run", "/dry_run"),
    ("http_method", "/http/method"),
    ("http_host", "/http/host"),
    ("http_path", "/http/path"),
    ("correlation_id", "/correlation_id"),
    ("requests", "/requests"),
    ("ending", "/ending"),
    ("status", "/status"),
    ("duration_us", "/duration_us"),
    ("request_bytes", "/request_bytes"),
    ("response_bytes", "/response_bytes"),
    ("action", "/action"),
    ("cause", "/cause"),
    ("reason", "/reason"),
];

/// The last column, which is in no entry: the SHA-256 of its bytes.
const HASH: &str = "receipt_hash";

/// Writes the names of the columns.
///
/// # Errors
/// Nothing can be written.
pub(super) fn write_names(out: &mut impl Write) -> io::Result<()> {
    for (name, _) in COLUMNS {
        write!(out, "{name},")?;
    }
    write!(out, "{HASH}\r\n")
}

/// Writes an entry as a row.
///
/// # Errors
/// It is no entry, or nothing can be written.
pub(super) fn write_row(out: &mut impl Write, json: &[u8]) -> io::Result<()> {
    let entry: Value = serde_json::from_slice(json)?;
    for (_, place) in COLUMNS {
        match entry.pointer(place) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => write_text(out, text)?,
            Some(Value::Array(values)) => {
                let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
                write_text(out, &texts.join(" "))?;
            }
            Some(other) => write!(out, "{other}")?,
        }
        out.write_all(b",")?;
    }
    write!(out, "{}\r\n", Digest::of(json))
}

/// Writes a text as a cell. What a spreadsheet would take for a formula has an apostrophe before it.
fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    let apostrophe = if is_formula(text) { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) || text.trim() != text {
        write!(out, "\"{apostrophe}{}\"", text.replace('"', "\"\""))
    } else {
        write!(out, "{apostrophe}{text}")
    }
}

/// Whether a spreadsheet may take a text for a formula: by its first character, in any width and behind any blanks.
#[must_use]
pub fn is_formula(text: &str) -> bool {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    text.starts_with(['\t', '\r', '\n'])
        || text
            .trim_start_matches(blank)
            .starts_with(['=', '+', '-', '@', '|', '%', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> String {
        let mut out = Vec::new();
        write_row(&mut out, json.as_bytes()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_cell_is_never_a_formula_and_never_two() {
        for (text, cell) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-2", "'-2"),
            ("|calc", "'|calc"),
            ("+2", "'+2"),
            ("\t=1", "\"'\t=1\""),
            (" =1", "\"' =1\""),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("\u{0}=1", "'\u{0}=1"),
            ("a=1", "a=1"),
            ("a,b", "\"a,b\""),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("", ""),
        ] {
            let mut out = Vec::new();
            write_text(&mut out, text).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), cell, "{text:?}");
        }
    }

    #[test]
    fn each_row_has_a_cell_for_each_column() {
        let mut names = Vec::new();
        write_names(&mut names).unwrap();
        let names = String::from_utf8(names).unwrap();
        let columns = names.trim_end().split(',').count();
        let json = r#"{"http":{"path":"/a"},"kind":"decision","policies":["a","=b"],"blast_score":-1,"dry_run":false}"#;
        let row = row(json);
        let cells: Vec<&str> = row.trim_end_matches("\r\n").split(',').collect();
        assert_eq!(cells.len(), columns);
        let cell = |name: &str| cells[names.trim_end().split(',').position(|column| column == name).unwrap()];
        assert_eq!(
            [cell("http_path"), cell("policies"), cell("blast_score"), cell("dry_run"), cell("status")],
            ["/a", "a =b", "-1", "false", ""]
        );
        assert_eq!(cell("receipt_hash"), Digest::of(json.as_bytes()).to_hex());
    }
}
