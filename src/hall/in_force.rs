//! What is in force changes as a whole or not at all. Decisions under way finish on the snapshot that they began with.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Hall, Token, TokenBook};
use crate::engine::Snapshot;
use crate::telemetry::{ReloadLabels, SnapshotLabels};

/// A change of files that is not in force because something in it is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedChange {
    /// Since when, in microseconds since 1970 UTC.
    pub since_micros: i64,
    /// How many problems it has.
    pub problems: usize,
    /// The first of them, in one line.
    pub first: String,
}

/// What became of a change that was sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// Whether another snapshot is in force now.
    pub snapshot: bool,
    /// Whether other tokens are in force now.
    pub tokens: bool,
}

impl Hall {
    /// Whether these are in force already.
    #[must_use]
    pub fn holds(&self, snapshot: &Snapshot, tokens: &[Token]) -> bool {
        self.snapshot.load().fingerprint == snapshot.fingerprint && self.tokens.load().holds(tokens)
    }

    /// Puts a snapshot and tokens in force for every request that begins after this. What is the same as before stays.
    pub fn put_in_force(&self, snapshot: Snapshot, tokens: TokenBook) -> InForce {
        let changed = InForce {
            snapshot: snapshot.fingerprint != self.snapshot.load().fingerprint,
            tokens: tokens != **self.tokens.load(),
        };
        if changed.snapshot {
            self.source_hashes.keep(&snapshot);
            self.snapshot.store(Arc::new(snapshot));
            self.verdicts.forget();
            self.show_snapshot();
        }
        if changed.tokens {
            self.tokens.store(Arc::new(tokens));
        }
        self.refused_change.store(None);
        self.metrics.snapshot_stale.set(0);
        self.count_reload(if changed.snapshot || changed.tokens { "applied" } else { "unchanged" });
        changed
    }

    /// Notes that a change is refused: what was in force stays in force.
    pub fn refuse_change(&self, problems: usize, first: String) {
        let before = self.refused_change.load_full();
        let since_micros = before.map_or_else(now_micros, |before| before.since_micros);
        self.refused_change.store(Some(Arc::new(RefusedChange { since_micros, problems, first })));
        self.metrics.snapshot_stale.set(1);
        self.count_reload("refused");
    }

    fn count_reload(&self, result: &'static str) {
        self.metrics.reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    /// Tells the metrics which snapshot is in force.
    pub(super) fn show_snapshot(&self) {
        let snapshot = self.snapshot.load();
        let labels = SnapshotLabels {
            snapshot: snapshot.fingerprint.to_hex(),
            policy_version: Arc::clone(&snapshot.settings.version),
        };
        self.metrics.snapshot_info.clear();
        self.metrics.snapshot_info.get_or_create(&labels).set(1);
        self.metrics.snapshot_loaded.set(now_micros() / 1_000_000);
    }
}

fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
