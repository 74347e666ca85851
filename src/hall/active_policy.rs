//! The active policy: it is swapped as a whole or not at all, and is on record first. Decisions under way finish on the snapshot that they
//! began with.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::alerts::{AlertKind, Raised};
use super::{Hall, Receipt, Token, TokenBook, activation};
use crate::clock::now_micros;
use crate::engine::Snapshot;
use crate::ids::Digest;
use crate::ledger::{ActivationCause, PolicyActivation, Record, RecordError};
use crate::registry::records::{Enrolled, RecordFormat};
use crate::registry::roster::Roster;
use crate::registry::store::Kept;
use crate::telemetry::{ReloadLabels, SnapshotLabels};

/// A policy as it was loaded: what decides, and who is enrolled.
#[derive(Debug)]
pub struct Loaded {
    /// What decides.
    pub snapshot: Snapshot,
    /// Who is enrolled, in the folder and, as far as that was read, in the store.
    pub roster: Roster,
}

impl From<(Snapshot, Roster)> for Loaded {
    fn from((snapshot, roster): (Snapshot, Roster)) -> Self {
        Self { snapshot, roster }
    }
}

/// The snapshot's workers, of whose records nothing else is known.
impl From<Snapshot> for Loaded {
    fn from(snapshot: Snapshot) -> Self {
        let folder = snapshot.workers.values().map(|worker| Enrolled::from(Arc::clone(worker))).collect();
        let roster = Roster::of(folder, RecordFormat::default(), Kept::default()).unwrap_or_default();
        Self { snapshot, roster }
    }
}

/// Why a sound change of files is not in force all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActivationError {
    /// Its entry could not be committed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It does not go with who was enrolled over the API.
    #[error("{0}")]
    Registry(String),
}

/// The most problems of a change that are kept to be shown.
pub const SHOWN: usize = 50;

/// A change of files that is not in force because something in it is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedChange {
    /// Since when, in microseconds since 1970 UTC.
    pub since_micros: i64,
    /// How many problems it has.
    pub problems: usize,
    /// The first of them, in one line.
    pub first: String,
    /// The first [`SHOWN`] of them, as they are logged.
    pub shown: Vec<String>,
}

/// What became of a change that was sound.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The receipt of its entry, when another snapshot is in force now.
    pub snapshot: Option<Receipt>,
    /// Whether other tokens are in force now.
    pub tokens: bool,
    /// Whether another shadow is asked now, or none any more.
    pub shadow: bool,
}

impl Hall {
    /// Whether these are in force already. Records count, too, where no decision reads what changed: they say whose a worker is.
    #[must_use]
    pub fn holds(&self, snapshot: &Snapshot, roster: &Roster, tokens: &[Token]) -> bool {
        let in_force = self.snapshot.load();
        in_force.local == snapshot.local
            && shadow_of(&in_force) == shadow_of(snapshot)
            && self.roster.load().has_folder_of(roster)
            && self.tokens.load().holds(tokens)
    }

    /// Records the policy with which this hall begins; to be done before its doors open. It blocks this thread. When the
    /// entry cannot be committed now, nothing is decided before it is.
    pub fn begin(&self) {
        let snapshot = self.snapshot.load();
        if let Err(error) =
            self.ledger.record_blocking(Record::Policy(policy_activation(&snapshot, ActivationCause::Start, None)))
        {
            tracing::error!(%error, "the policy could not be recorded: nothing is decided before it is");
            self.unannounced.store(true, Ordering::Release);
        }
    }

    /// Records the policy in force, if that could not be done when this hall began.
    pub(super) async fn announce(&self) -> Result<(), RecordError> {
        if !self.unannounced.load(Ordering::Acquire) {
            return Ok(());
        }
        // Boxed, as everything that requests seldom wait for: each of them moves what its own future has room for.
        Box::pin(self.announce_now()).await
    }

    async fn announce_now(&self) -> Result<(), RecordError> {
        let turn = self.activation.turn_in_time().await?;
        let Some(policy) = self.owed_policy() else { return Ok(()) };
        let (ledger, unannounced) = (self.ledger.clone(), Arc::clone(&self.unannounced));
        activation::make_in_time(async move {
            let _turn = turn;
            ledger.record_change(policy).await?;
            unannounced.store(false, Ordering::Release);
            Ok(())
        })
        .await?
    }

    /// The entry of the policy in force, if it is not on record yet. To be asked for with the activation's lock held.
    pub(super) fn owed_policy(&self) -> Option<Record> {
        let owed = self.unannounced.load(Ordering::Acquire);
        owed.then(|| Record::Policy(policy_activation(&self.snapshot.load(), ActivationCause::Start, None)))
    }

    /// Notes that what was owed is on record.
    pub(super) fn announced(&self) {
        self.unannounced.store(false, Ordering::Release);
    }

    /// Puts a snapshot and tokens in force for every request that begins after this. What is the same as before stays; another
    /// snapshot's entry is committed first. It blocks this thread, which must be no runtime's.
    ///
    /// # Errors
    /// The entry could not be committed, or the change does not go with who was enrolled over the API meanwhile: what was in
    /// force stays in force.
    pub fn activate(&self, loaded: impl Into<Loaded>, tokens: TokenBook) -> Result<Changed, ActivationError> {
        let Loaded { mut snapshot, mut roster } = loaded.into();
        let _turn = self.activation.turn_blocking();
        if self.enrolment_worker.get().is_some() {
            // What was enrolled between the loading and now is in nobody's file.
            roster = self.roster.load().on_folder_of(&roster).map_err(|problems| {
                let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
                ActivationError::Registry(told.join("; "))
            })?;
            snapshot = snapshot.with_workers(roster.workers()).map_err(|problems| {
                let told: Vec<_> =
                    problems.iter().map(|problem| format!("{} {}", problem.path, problem.message)).collect();
                ActivationError::Registry(told.join("; "))
            })?;
        }
        if self.remote_registry.is_some() {
            // Files know nothing of what a remote registry says.
            snapshot = snapshot.heeding(Arc::clone(&self.snapshot.load().overlay));
        }
        let tokens = (tokens != **self.tokens.load()).then_some(tokens);
        let replaced = self.snapshot.load().fingerprint;
        if let Some(policy) = self.owed_policy().filter(|_| snapshot.fingerprint != replaced) {
            self.ledger.record_change_blocking(policy)?;
            self.announced();
        }
        let policy = || Record::Policy(policy_activation(&snapshot, ActivationCause::Reload, Some(replaced)));
        let receipt =
            (snapshot.fingerprint != replaced).then(|| self.ledger.record_change_blocking(policy())).transpose()?;
        self.roster.store(Arc::new(roster));
        let shadow = shadow_of(&self.snapshot.load()) != shadow_of(&snapshot);
        self.succeed(snapshot);
        let changed = Changed { snapshot: receipt, tokens: tokens.is_some(), shadow };
        if let Some(tokens) = tokens {
            self.tokens.store(Arc::new(tokens));
        }
        self.refused_change.store(None);
        self.metrics.snapshot_stale.set(0);
        let applied = changed.snapshot.is_some() || changed.tokens || changed.shadow;
        self.count_reload(if applied { "applied" } else { "unchanged" });
        Ok(changed)
    }

    /// Puts a snapshot in the place of the one in force, once that is on record. Also one with the same fingerprint: a worker that
    /// may not act by a remote registry's word may have lost its own right, too, which no decision shows before that word changes.
    pub(super) fn succeed(&self, snapshot: Snapshot) {
        self.source_hashes.keep(&snapshot);
        let snapshot = Arc::new(snapshot);
        let before = self.snapshot.swap(Arc::clone(&snapshot));
        if let Some(remote_registry) =
            self.remote_registry.as_ref().filter(|_| !snapshot.workers.keys().eq(before.workers.keys()))
        {
            remote_registry.changed.notify_one();
        }
        if let Some(verdicts) = self.shadow_verdicts.get().filter(|_| shadow_of(&snapshot) != shadow_of(&before)) {
            verdicts.forget();
        }
        if snapshot.fingerprint == before.fingerprint {
            return;
        }
        self.has_decided.forget_changed(&before, &snapshot);
        self.verdicts.forget();
        self.show_snapshot();
    }

    /// Notes that a change is refused: what was in force stays in force.
    pub fn refuse_change(&self, problems: &[String]) {
        let first = problems.first().and_then(|first| first.lines().next()).unwrap_or_default().to_owned();
        let (shown, problems) = (problems.iter().take(SHOWN).cloned().collect(), problems.len());
        let before = self.refused_change.load_full();
        let since_micros = before.map_or_else(now_micros, |before| before.since_micros);
        let message = format!("what was in force stays in force; problems: {problems}, the first: {first}");
        self.alert(Raised::of_hall(AlertKind::ReloadRefused, message));
        self.refused_change.store(Some(Arc::new(RefusedChange { since_micros, problems, first, shown })));
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
        self.metrics.snapshot_loaded_timestamp.set(now_micros() / 1_000_000);
    }
}

/// Which shadow a snapshot has.
fn shadow_of(snapshot: &Snapshot) -> Option<Digest> {
    snapshot.shadow.as_ref().map(|shadow| shadow.local)
}

pub(super) fn policy_activation(
    snapshot: &Snapshot,
    cause: ActivationCause,
    replaces: Option<Digest>,
) -> PolicyActivation {
    PolicyActivation {
        cause,
        snapshot: snapshot.fingerprint,
        replaces,
        version: Arc::clone(&snapshot.settings.version),
        mode: snapshot.settings.mode,
        rules: snapshot.rules.len(),
        workers: snapshot.workers.len(),
    }
}
