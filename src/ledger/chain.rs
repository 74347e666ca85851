//! The hash chains: the last receipt hash of each tenant's stream.
//!
//! Callers may choose tenant names, so the number of streams is bounded: past [`MOST`] tenants, a new one's entries join the
//! stream [`OTHER`]; what names no sound tenant is in [`HALL`]. Neither name can be a tenant's. The entry says its stream, so
//! each chain verifies by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{Digest, TenantId};

/// The stream of what belongs to no known tenant.
pub(super) const HALL: &str = ":hall";
/// The stream that tenants past the bound share.
pub(super) const OTHER: &str = ":other";
/// The most tenants with a stream of their own.
const MOST: usize = 1024;

/// The heads of all streams.
pub(super) struct Streams {
    heads: HashMap<Arc<str>, Digest>,
    undo: Vec<(Arc<str>, Option<Digest>)>,
    hall: Arc<str>,
    other: Arc<str>,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self { heads: HashMap::new(), undo: Vec::new(), hall: Arc::from(HALL), other: Arc::from(OTHER) }
    }

    /// The stream for a tenant's entry.
    pub(super) fn choose(&self, tenant: Option<&str>) -> Arc<str> {
        let Some(tenant) = tenant else { return Arc::clone(&self.hall) };
        if let Some((stream, _)) = self.heads.get_key_value(tenant).filter(|_| !tenant.starts_with(':')) {
            return Arc::clone(stream);
        }
        match tenant.parse::<TenantId>() {
            Ok(tenant) if self.heads.len() < MOST => tenant.shared(),
            Ok(_) => Arc::clone(&self.other),
            Err(_) => Arc::clone(&self.hall),
        }
    }

    /// The stream's last receipt hash.
    pub(super) fn head(&self, stream: &str) -> Option<Digest> {
        self.heads.get(stream).copied()
    }

    /// The stream goes on with this receipt hash.
    pub(super) fn advance(&mut self, stream: &Arc<str>, hash: Digest) {
        let before = self.heads.insert(Arc::clone(stream), hash);
        self.undo.push((Arc::clone(stream), before));
    }

    /// What was advanced is committed.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    /// What was advanced was not committed.
    pub(super) fn roll_back(&mut self) {
        while let Some((stream, before)) = self.undo.pop() {
            match before {
                Some(hash) => self.heads.insert(stream, hash),
                None => self.heads.remove(&stream),
            };
        }
    }

    /// The state of the chains after so many entries.
    pub(super) fn heads(&self, size: u64, last: Uuid) -> Heads {
        let streams = self.heads.iter().map(|(stream, hash)| (stream.to_string(), hash.to_hex())).collect();
        Heads { last, size, streams }
    }

    /// Goes on from a stored state.
    pub(super) fn resume(heads: &Heads) -> Option<Self> {
        let mut streams = Self::new();
        for (stream, hash) in &heads.streams {
            streams.heads.insert(Arc::from(stream.as_str()), hash.parse().ok()?);
        }
        Some(streams)
    }
}

/// The file `heads`: the chains after so many entries, so that a start need not read every entry. Derived, never evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Heads {
    /// The last id.
    pub(super) last: Uuid,
    /// Entries counted.
    pub(super) size: u64,
    /// Each stream's last receipt hash.
    pub(super) streams: BTreeMap<String, String>,
}

impl Heads {
    /// The state of an empty ledger.
    pub(super) const fn empty() -> Self {
        Self { last: Uuid::nil(), size: 0, streams: BTreeMap::new() }
    }

    /// The file's bytes: a checksum line, then JSON.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let json = serde_json::to_string(self)?;
        Ok(format!("{:08x}\n{json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
    }

    /// Reads the file; `None` when it is not exactly what was written.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (_, json) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        let heads: Self = serde_json::from_str(json).ok()?;
        heads.to_bytes().is_ok_and(|written| written == bytes).then_some(heads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_past_the_bound_share_a_stream_and_reserved_names_are_no_tenants() {
        let mut streams = Streams::new();
        for n in 0..MOST + 5 {
            let stream = streams.choose(Some(&format!("org.t{n}")));
            assert_eq!(&*stream == OTHER, n >= MOST, "{n}");
            streams.advance(&stream, Digest::of(&n.to_le_bytes()));
        }
        assert_eq!(&*streams.choose(Some("org.t7")), "org.t7");
        for none in [None, Some(""), Some(HALL), Some(OTHER), Some("a b")] {
            assert_eq!(&*streams.choose(none), HALL, "{none:?}");
        }
    }

    #[test]
    fn a_roll_back_undoes_exactly_what_was_not_kept() {
        let mut streams = Streams::new();
        let stream = streams.choose(Some("org.acme"));
        streams.advance(&stream, Digest::of(b"1"));
        streams.keep();
        let before = streams.heads(1, Uuid::nil());
        streams.advance(&stream, Digest::of(b"2"));
        streams.advance(&stream, Digest::of(b"3"));
        streams.advance(&streams.choose(None), Digest::of(b"4"));
        streams.roll_back();
        assert_eq!(streams.heads(1, Uuid::nil()), before);
        assert_eq!(Heads::from_bytes(&before.to_bytes().unwrap()), Some(before));
    }
}
