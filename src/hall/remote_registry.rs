//! The remote registry, as the hall has it: what it says is heeded by the snapshot in force, and is on record before that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::activation::{self, Turn};
use super::{CannotDecide, Hall};
use crate::engine::Snapshot;
use crate::engine::snapshot::{RegistryOverlay, Required, WorkerStatus};
use crate::ids::WorkerId;
use crate::ledger::{ActivationCause, MOST_WORKERS, Record, RecordError, StatusChange};
use crate::registry::remote::{Client, RegistryView};

/// The remote registry that this hall asks.
#[derive(Debug)]
pub struct RemoteRegistry {
    /// How it is asked. Never on a request's path.
    pub client: Arc<Client>,
    pub(super) required: Required,
    /// Where the hall decides only in good standing: how long what was heard of it counts.
    pub(super) standing_counts_for: Option<Duration>,
    seen: ArcSwap<RegistryView>,
    /// Dispatches by worker that the registry has not been told of.
    dispatched: Mutex<BTreeMap<Arc<str>, u64>>,
    /// Other workers may be enrolled.
    pub(super) changed: Notify,
    began: Instant,
}

/// How the remote registry stands, for `/readyz`.
#[derive(Debug, Clone)]
pub struct RemoteRegistryState {
    /// Its address.
    pub url: Arc<str>,
    /// When it last gave an answer, in microseconds since 1970 UTC.
    pub answered_micros: Option<i64>,
    /// Why the last round did not get all answers.
    pub error: Option<String>,
    /// Hashes on its ban list, once there is one.
    pub banned_hashes: Option<usize>,
    /// Why its ban list could not be read whole, while it cannot.
    pub unread_bans: Option<String>,
    /// Enrolled workers that do not act in prod and edge without its word.
    pub unverified_workers: usize,
}

impl RemoteRegistry {
    /// A registry of which nothing is known yet. With `standing_counts_for` the hall decides only while the account's standing is
    /// `ok`, and was heard of within this time.
    #[must_use]
    pub fn new(client: Arc<Client>, required: Required, standing_counts_for: Option<Duration>) -> Self {
        Self {
            client,
            required,
            standing_counts_for,
            seen: ArcSwap::default(),
            dispatched: Mutex::default(),
            changed: Notify::new(),
            began: Instant::now(),
        }
    }

    /// What is known of it.
    #[must_use]
    pub fn seen(&self) -> Arc<RegistryView> {
        self.seen.load_full()
    }

    /// Says what is known of it.
    pub fn see(&self, seen: RegistryView) {
        self.seen.store(Arc::new(seen));
    }

    /// Waits until other workers may be enrolled than before.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Counts a dispatch.
    pub(super) fn count(&self, worker: &Arc<str>) {
        let mut dispatched = self.dispatched.lock().unwrap_or_else(PoisonError::into_inner);
        match dispatched.get_mut(worker) {
            Some(count) => *count = count.saturating_add(1),
            None => drop(dispatched.insert(Arc::clone(worker), 1)),
        }
    }

    /// Takes the counts, to report them.
    #[must_use]
    pub fn take_counts(&self) -> BTreeMap<Arc<str>, u64> {
        std::mem::take(&mut *self.dispatched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many dispatches the registry has not been told of.
    pub(super) fn unreported(&self) -> u64 {
        let dispatched = self.dispatched.lock().unwrap_or_else(PoisonError::into_inner);
        dispatched.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Takes counts back that could not be reported.
    pub fn keep_counts(&self, counts: BTreeMap<Arc<str>, u64>) {
        let mut dispatched = self.dispatched.lock().unwrap_or_else(PoisonError::into_inner);
        for (worker, more) in counts {
            let count = dispatched.entry(worker).or_default();
            *count = count.saturating_add(more);
        }
    }

    /// Seconds since it last gave an answer; since the start, while it has given none.
    pub(super) fn age_seconds(&self) -> i64 {
        let since = self.seen.load().answered.map_or(self.began, |moment| moment.instant);
        i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    pub(super) fn state(&self, snapshot: &Snapshot) -> RemoteRegistryState {
        let seen = self.seen.load();
        RemoteRegistryState {
            url: Arc::clone(self.client.url()),
            answered_micros: seen.answered.map(|moment| moment.micros),
            error: seen.failure.as_ref().map(ToString::to_string),
            banned_hashes: seen.bans.as_ref().map(|(list, _)| list.hashes.len()),
            unread_bans: seen.unread_bans().map(ToString::to_string),
            unverified_workers: unverified(snapshot),
        }
    }
}

/// Workers that do not act in prod and edge without the registry's word.
pub(super) fn unverified(snapshot: &Snapshot) -> usize {
    snapshot.workers.values().filter(|worker| worker.status == WorkerStatus::Unverified).count()
}

impl Hall {
    /// The same hall, asking a remote registry. To be said before it begins: until the registry has vouched for them, the
    /// workers for which it must are unverified.
    #[must_use]
    pub fn asking(mut self, remote_registry: RemoteRegistry) -> Self {
        let overlay = RegistryOverlay { required: remote_registry.required, ..RegistryOverlay::default() };
        let silent = self.snapshot.load().heeding(Arc::new(overlay));
        self.snapshot.store(Arc::new(silent));
        self.in_good_standing
            .store(remote_registry.standing_counts_for.is_none(), std::sync::atomic::Ordering::Release);
        self.remote_registry = Some(remote_registry);
        self.show_snapshot();
        self
    }

    /// The remote registry, when this hall asks one.
    #[must_use]
    pub const fn remote_registry(&self) -> Option<&RemoteRegistry> {
        self.remote_registry.as_ref()
    }

    /// Puts what a remote registry says in force for every request that begins after this. Whose standing it changes is on
    /// record first, and so is the snapshot that heeds it. Whether anything has changed.
    ///
    /// # Errors
    /// The entries could not be committed: what was in force stays in force.
    pub async fn heed(self: &Arc<Self>, registry: &Arc<str>, overlay: RegistryOverlay) -> Result<bool, CannotDecide> {
        self.announce().await?;
        let turn = self.activation.turn().await;
        if *self.snapshot.load().overlay == overlay {
            return Ok(false);
        }
        let (hall, registry) = (Arc::clone(self), Arc::clone(registry));
        Ok(activation::make(async move { hall.activate_overlay(&turn, registry, overlay).await }).await??)
    }

    async fn activate_overlay(
        &self,
        _: &Turn,
        registry: Arc<str>,
        overlay: RegistryOverlay,
    ) -> Result<bool, RecordError> {
        let before = self.snapshot.load_full();
        let snapshot = before.heeding(Arc::new(overlay));
        let mut records = Vec::new();
        for (standing, workers) in changes(&before, &snapshot) {
            for workers in workers.chunks(MOST_WORKERS) {
                let (registry, workers) = (Arc::clone(&registry), workers.to_vec());
                tracing::warn!(
                    standing = standing.as_str(),
                    workers = workers.len(),
                    first = workers.first().map(WorkerId::as_str),
                    "the standing of workers changes by what the remote registry says, or no longer says"
                );
                records.push(Record::Status(StatusChange::Workers { registry, standing, workers }));
            }
        }
        let changed = snapshot.fingerprint != before.fingerprint;
        if changed {
            let policy =
                super::active_policy::policy_activation(&snapshot, ActivationCause::Registry, Some(before.fingerprint));
            records.push(Record::Policy(policy));
        }
        // All of it or nothing: half of it on record would be in force by half.
        if !records.is_empty() {
            self.ledger.record_changes(records).await?;
        }
        // Also where it has changed for nobody who is enrolled now.
        self.succeed(snapshot);
        Ok(changed)
    }
}

/// Whose standing differs, by what it is now.
fn changes(before: &Snapshot, after: &Snapshot) -> BTreeMap<WorkerStatus, Vec<WorkerId>> {
    let mut changes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (id, worker) in &after.workers {
        if before.workers.get(id).is_none_or(|before| before.status != worker.status) {
            changes.entry(worker.status).or_default().push(id.clone());
        }
    }
    changes
}
