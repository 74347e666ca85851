//! Canonical descriptions, of which digests are made: fields one after the other, so that no two descriptions run together.

use crate::ids::Digest;

/// Fields, each with its length before it.
#[derive(Debug)]
pub struct Description(Vec<u8>);

impl Description {
    /// An empty one, with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) {
        self.0.extend(number.to_be_bytes());
    }

    /// Adds a digest.
    pub fn digest(&mut self, digest: &Digest) {
        self.0.extend(digest.as_bytes());
    }

    /// Adds so many yeses and noes.
    pub fn flags<const N: usize>(&mut self, flags: [bool; N]) {
        self.0.extend(flags.map(u8::from));
    }

    /// Adds a list of texts.
    pub fn texts<T: AsRef<str>>(&mut self, texts: impl ExactSizeIterator<Item = T>) {
        self.number(texts.len() as u64);
        for text in texts {
            self.text(text.as_ref());
        }
    }

    /// Adds a text that may not be there.
    pub fn maybe(&mut self, text: Option<&str>) {
        self.flags([text.is_some()]);
        self.text(text.unwrap_or_default());
    }

    /// The digest of all of it.
    #[must_use]
    pub fn end(&self) -> Digest {
        Digest::of(&self.0)
    }
}
