//! A hall for the tests of those that need one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::{Hall, RemoteRegistry, TokenBook};
use crate::cache::{self, Verdicts};
use crate::engine::snapshot::{Required, Worker};
use crate::engine::{Mode, RuleSet, Settings, Snapshot};
use crate::ledger::{self, Durability, Ledger};
use crate::registry::remote::{self, Client};
use crate::telemetry::Metrics;

/// A hall that knows nothing, and the folder of its ledger.
pub(crate) fn hall() -> (Arc<Hall>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&ledger_in(folder.path(), 8)).unwrap();
    (over(ledger), folder)
}

/// A ledger in this folder for which so many records may wait, and which signs nothing by itself.
pub(crate) fn ledger_in(folder: &Path, queue: usize) -> ledger::Settings {
    ledger::Settings {
        path: folder.join("ledger"),
        durability: Durability::Process,
        key_file: folder.join("hallgate.key"),
        origin: "hallgate.test/ledger".to_owned(),
        checkpoint_every: Duration::from_secs(3600),
        queue,
        segment_bytes: 1 << 20,
        request_attributes: true,
        retention: ledger::Retention::default(),
    }
}

/// A strict policy that asks for as little as can be.
pub(crate) fn settings() -> Settings {
    Settings { version: Arc::from("policy.test"), require_worker_id: [].into(), ..Settings::default() }
}

/// A hall that knows nothing, over this ledger.
pub(crate) fn over(ledger: Ledger) -> Arc<Hall> {
    over_workers(ledger, Vec::new())
}

/// A hall that knows these workers and nothing else, over this ledger.
pub(crate) fn over_workers(ledger: Ledger, workers: Vec<Worker>) -> Arc<Hall> {
    let rules = RuleSet::parse(r#"{"rules": []}"#, Mode::Strict).unwrap();
    let snapshot = Snapshot::build(settings(), rules, workers).unwrap();
    let verdicts = Verdicts::new(cache::Settings { max_bytes: 0 });
    Arc::new(Hall::new(snapshot, verdicts, ledger, TokenBook::default(), Arc::new(Metrics::new())))
}

/// A remote registry where nobody is, and nobody is asked: what is said comes from the tests.
pub(crate) fn remote_registry(require_standing: bool) -> RemoteRegistry {
    remote_registry_where(require_standing.then_some(Duration::from_secs(600)))
}

/// The same, where a standing matters and counts for so long.
pub(crate) fn remote_registry_where(standing_counts_for: Option<Duration>) -> RemoteRegistry {
    crate::cli::serve::one_provider();
    let client = Client::new(&remote::Settings {
        url: "http://127.0.0.1:9".into(),
        authorization: HeaderValue::from_static("Bearer key"),
        refresh: Duration::from_secs(60),
        max_stale: Duration::from_secs(600),
        required: Required::Namespaced,
    });
    RemoteRegistry::new(Arc::new(client.unwrap()), Required::Namespaced, standing_counts_for)
}
