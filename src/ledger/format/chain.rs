//! The hash chains: the last receipt hash of each tenant's stream. With them goes what else the entries add up to: whether the hall
//! is switched off, and whether the log was recovered.
//!
//! Callers may choose tenant names, so the number of streams is bounded: past [`MOST`] tenants, a new one's entries join the
//! stream [`OTHER`]; what names no sound tenant is in [`HALL`]. Neither name can be a tenant's. The entry says its stream, so
//! each chain verifies by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{Digest, TenantId};
use crate::ledger::format::recovered::{self, Recovered};
use crate::ledger::format::status;

/// The stream of what belongs to no known tenant.
pub(crate) const HALL: &str = ":hall";
/// The stream that tenants past the bound share.
pub(crate) const OTHER: &str = ":other";
/// The most tenants with a stream of their own.
const MOST: usize = 1024;

/// What links an entry to those before it.
#[derive(Deserialize)]
pub(crate) struct Link {
    pub(crate) receipt_id: Uuid,
    prev_receipt_hash: Option<String>,
    stream: String,
    kind: String,
    cause: Option<String>,
    lost_file: Option<String>,
}

impl Link {
    /// Reads an entry.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| format!("which cannot be read: {error}"))
    }
}

/// What else the entries add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    /// Whether the hall is switched off.
    offline: bool,
    /// The newest recovery.
    recovered: Option<Recovered>,
}

/// The heads of all streams.
pub(crate) struct Streams {
    heads: HashMap<Arc<str>, Digest>,
    undo: Vec<(Arc<str>, Option<Digest>)>,
    state: State,
    /// What it was at the last commit.
    was: State,
    hall: Arc<str>,
    other: Arc<str>,
}

impl Streams {
    pub(crate) fn new() -> Self {
        let (hall, other) = (Arc::from(HALL), Arc::from(OTHER));
        Self { heads: HashMap::new(), undo: Vec::new(), state: State::default(), was: State::default(), hall, other }
    }

    /// The stream for a tenant's entry.
    pub(crate) fn choose(&self, tenant: Option<&str>) -> Arc<str> {
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
    pub(crate) fn head(&self, stream: &str) -> Option<Digest> {
        self.heads.get(stream).copied()
    }

    /// The stream goes on with this receipt hash.
    pub(crate) fn advance(&mut self, stream: &Arc<str>, hash: Digest) {
        let before = self.heads.insert(Arc::clone(stream), hash);
        self.undo.push((Arc::clone(stream), before));
    }

    /// Goes on with the next entry after this id, as it is stored. Gives its id.
    pub(crate) fn follow(&mut self, json: &[u8], last: Uuid) -> Result<Uuid, String> {
        let link = Link::read(json)?;
        if link.receipt_id <= last {
            return Err(format!("whose receipt_id {} does not follow {last}", link.receipt_id));
        }
        let expected = self.head(&link.stream).map(|hash| hash.to_hex());
        if link.prev_receipt_hash != expected {
            return Err(format!("whose prev_receipt_hash does not follow in the stream `{}`", link.stream));
        }
        if let Some(online) = status::switched(&link.kind, link.cause.as_deref()) {
            self.switch(online);
        }
        if link.kind == recovered::KIND {
            self.recover(link.receipt_id, link.cause.as_deref(), link.lost_file.as_deref());
        }
        self.advance(&Arc::from(link.stream), Digest::of(json));
        self.keep();
        Ok(link.receipt_id)
    }

    /// An entry switches the hall on or off.
    pub(crate) const fn switch(&mut self, online: bool) {
        self.state.offline = !online;
    }

    /// An entry says that the log was recovered, or that somebody knows.
    pub(crate) fn recover(&mut self, id: Uuid, cause: Option<&str>, file: Option<&str>) {
        self.state.recovered = Recovered::after(self.state.recovered.take(), id, cause, file);
    }

    /// The newest recovery.
    pub(crate) const fn recovered(&self) -> Option<&Recovered> {
        self.state.recovered.as_ref()
    }

    /// Whether the hall is switched off by the last entry that says so.
    pub(crate) const fn is_offline(&self) -> bool {
        self.state.offline
    }

    /// What was advanced is committed.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
        if self.was != self.state {
            self.was = self.state.clone();
        }
    }

    /// What was advanced was not committed.
    pub(crate) fn roll_back(&mut self) {
        self.state = self.was.clone();
        while let Some((stream, before)) = self.undo.pop() {
            match before {
                Some(hash) => self.heads.insert(stream, hash),
                None => self.heads.remove(&stream),
            };
        }
    }

    /// The state of the chains after so many entries.
    pub(crate) fn heads(&self, size: u64, last: Uuid) -> Heads {
        let streams = self.heads.iter().map(|(stream, hash)| (stream.to_string(), hash.to_hex())).collect();
        let State { offline, recovered } = self.state.clone();
        Heads { last, offline, recovered, size, streams }
    }

    /// Goes on from a stored state.
    pub(crate) fn resume(heads: &Heads) -> Option<Self> {
        let state = State { offline: heads.offline, recovered: heads.recovered.clone() };
        let mut streams = Self { was: state.clone(), state, ..Self::new() };
        for (stream, hash) in &heads.streams {
            streams.heads.insert(Arc::from(stream.as_str()), hash.parse().ok()?);
        }
        Some(streams)
    }
}

/// The file `heads`: the chains after so many entries, so that a start need not read every entry. Derived, never evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Heads {
    /// The last id.
    pub(crate) last: Uuid,
    /// Whether the hall is switched off. Not in the files of those who knew of no switch.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) offline: bool,
    /// The newest recovery. Not in the files of those who knew of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recovered: Option<Recovered>,
    /// Entries counted.
    pub(crate) size: u64,
    /// Each stream's last receipt hash.
    pub(crate) streams: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Heads {
    /// The state of an empty ledger.
    pub(crate) const fn empty() -> Self {
        Self { last: Uuid::nil(), offline: false, recovered: None, size: 0, streams: BTreeMap::new() }
    }

    /// The file's bytes: a checksum line, then JSON.
    pub(crate) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let json = serde_json::to_string(self)?;
        Ok(format!("{:08x}\n{json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
    }

    /// Reads the file; `None` when it is not exactly what was written.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
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
        streams.switch(false);
        streams.roll_back();
        assert_eq!(streams.heads(1, Uuid::nil()), before);
        assert_eq!(Heads::from_bytes(&before.to_bytes().unwrap()), Some(before));
    }

    #[test]
    fn a_switch_is_kept_and_heads_without_one_are_written_as_ever() {
        let mut streams = Streams::new();
        let text = |streams: &Streams| String::from_utf8(streams.heads(1, Uuid::nil()).to_bytes().unwrap()).unwrap();
        assert!(!text(&streams).contains("offline"));
        streams.switch(false);
        streams.keep();
        streams.roll_back();
        assert!(streams.is_offline() && text(&streams).contains(r#""offline":true"#));
        let heads = Heads::from_bytes(text(&streams).as_bytes()).unwrap();
        let mut streams = Streams::resume(&heads).unwrap();
        assert!(streams.is_offline());
        streams.switch(true);
        assert!(!streams.is_offline());
        streams.roll_back();
        assert!(streams.is_offline());
    }
}
