//! Headers that are forwarded and are no part of what is approved: they differ each time that the same is sent.

/// What is not bound unless something else is said.
const USUAL: &str = "user-agent accept-encoding accept-language traceparent tracestate baggage x-request-id idempotency-key date \
                     x-amz-date x-stainless-*";

/// Names of headers, and beginnings of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnboundHeaders {
    names: Vec<String>,
    beginnings: Vec<String>,
}

impl Default for UnboundHeaders {
    fn default() -> Self {
        USUAL.split_ascii_whitespace().map(str::to_owned).collect()
    }
}

/// Of lower-case names; one that ends in `*` is all that begin so.
impl FromIterator<String> for UnboundHeaders {
    fn from_iter<T: IntoIterator<Item = String>>(names: T) -> Self {
        let (mut whole, mut beginnings) = (Vec::new(), Vec::new());
        for name in names {
            match name.strip_suffix('*') {
                Some(beginning) => beginnings.push(beginning.to_owned()),
                None => whole.push(name),
            }
        }
        Self { names: whole, beginnings }
    }
}

impl UnboundHeaders {
    /// Whether a header of this lower-case name is not bound.
    #[must_use]
    pub fn have(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name) || self.beginnings.iter().any(|begin| name.starts_with(begin))
    }
}
