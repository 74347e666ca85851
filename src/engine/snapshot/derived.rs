//! A snapshot made of another: with other workers, or with other rules.

use std::sync::Arc;

use super::{RegistryOverlay, Roll, Snapshot, SnapshotProblem, Worker};
use crate::engine::RuleSet;

impl Snapshot {
    /// The same settings, rules and policies with other workers, on an open roll. What a remote registry says is heeded as before,
    /// of the others, too.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn with_workers(&self, workers: Vec<Arc<Worker>>) -> Result<Self, Vec<SnapshotProblem>> {
        let snapshot = Self::of(Arc::clone(&self.settings), Arc::clone(&self.rules), workers, Roll::Open)?;
        let snapshot = snapshot.ruled_as(self);
        let says_nothing = *self.overlay == RegistryOverlay::default();
        Ok(if says_nothing { snapshot } else { snapshot.heeding(Arc::clone(&self.overlay)) })
    }

    /// The same settings, policies and workers with other rules, and without a shadow: a draft.
    ///
    /// # Errors
    /// The rules were read in another mode.
    pub fn with_rules(&self, rules: RuleSet) -> Result<Self, Vec<SnapshotProblem>> {
        let workers = self.enrolled.to_vec();
        let drafted = Self::of(Arc::clone(&self.settings), Arc::new(rules), workers, Roll::Open)?;
        let drafted = Self { shadow: None, ..drafted.ruled_as(self) };
        let says_nothing = *self.overlay == RegistryOverlay::default();
        Ok(if says_nothing { drafted } else { drafted.heeding(Arc::clone(&self.overlay)) })
    }

    /// The same with the other's catalogue and policies, and with its shadow over these workers.
    pub(super) fn ruled_as(self, other: &Self) -> Self {
        let same = self.catalogue == other.catalogue;
        let snapshot = if same { self } else { self.catalogued_by(other.catalogue.clone()) };
        let snapshot = match &other.gate {
            Some(gate) => snapshot.gated_by(Arc::clone(gate)),
            None => snapshot,
        };
        let shadow = other.shadow.as_ref().map(|shadow| Arc::new(shadow.over(&snapshot)));
        Self { shadow, ..snapshot }
    }

    /// The same policy over the workers of another, as a remote registry has them there.
    fn over(&self, other: &Self) -> Self {
        let (settings, rules) = (Arc::clone(&self.settings), Arc::clone(&self.rules));
        let of_records =
            Self::put_together(settings, rules, Arc::clone(&other.enrolled), Arc::default()).ruled_as(self);
        if *other.overlay == RegistryOverlay::default() {
            return of_records;
        }
        of_records.heeding(Arc::clone(&other.overlay))
    }
}
