//! What an approver sees of what would run. It is kept in the store until somebody has decided, and nowhere else.

use serde::{Deserialize, Serialize};

/// What would run, in words that a human can read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The request line, such as `POST https://api.example.org/v1/rows?x=1`; none at the Hall.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http: Option<String>,
    /// The headers that are forwarded, in their order. A credential is there as the hash of its value.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub headers: Vec<(String, String)>,
    /// The body, or the caller's object; bytes that are no text are written as hex digits.
    pub body: String,
    /// Whether the body is written as hex digits.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_hex: bool,
    /// How many bytes the body has.
    pub bytes: usize,
    /// Whether headers, body and the values of the query are left out, because of the label of the data.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_withheld: bool,
}

impl Contents {
    /// Of a body.
    #[must_use]
    pub fn of_body(body: &[u8]) -> Self {
        let (text, is_hex) = match std::str::from_utf8(body) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (body.iter().map(|byte| format!("{byte:02x}")).collect(), true),
        };
        Self { body: text, is_hex, bytes: body.len(), ..Self::default() }
    }

    /// Of the same what says where it goes and how much it is, and no more.
    #[must_use]
    pub fn withheld(self) -> Self {
        Self { http: self.request_line(), bytes: self.bytes, is_withheld: true, ..Self::default() }
    }

    /// The request line without its query, such as `POST https://api.example.org/v1/rows?…`; none at the Hall.
    #[must_use]
    pub fn request_line(&self) -> Option<String> {
        let http = self.http.as_deref()?;
        Some(http.split_once('?').map_or_else(|| http.to_owned(), |(line, _)| format!("{line}?…")))
    }
}

/// A text of which every character can be seen, and says what it is: all others, and what begins an escape, are escapes.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' => visible.push(c),
            _ => visible.extend(c.escape_debug()),
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withheld_says_where_it_goes_and_how_much_it_is() {
        let http = |line: &str| Contents {
            http: Some(line.to_owned()),
            headers: vec![("x".to_owned(), "secret".to_owned())],
            ..Contents::of_body(b"secret")
        };
        let line = "POST https://a/b";
        assert_eq!(http("POST https://a/b?c=secret&d").withheld().http.unwrap(), "POST https://a/b?…");
        let expected = Contents { http: Some(line.to_owned()), bytes: 6, is_withheld: true, ..Contents::default() };
        assert_eq!(http(line).withheld(), expected);
        assert!(Contents::of_body(b"secret").withheld().http.is_none());
    }

    #[test]
    fn nothing_but_what_can_be_seen_is_shown() {
        // Colours, a title, another direction of writing, a width of nothing, a line of its own, an escape that is none.
        let hostile = "a\u{1b}[31m\u{9b}2J\u{7}\u{202e}\u{200b}\u{2028}\r\tb\\u{1b}\"'é";
        let shown = visible(hostile);
        assert_eq!(shown, "a\\u{1b}[31m\\u{9b}2J\\u{7}\\u{202e}\\u{200b}\\u{2028}\\r\\tb\\\\u{1b}\"'é");
        assert!(shown.chars().all(|c| !c.is_control()));
    }
}
