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
}
