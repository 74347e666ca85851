//! `policy.shadow`: a second policy over the same workers, asked about every request and never enforced. What it does not say is as in the
//! policy in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{MODES, kinds, load_catalogue, load_gate, settings};
use crate::config::problem::Problem;
use crate::config::reader::Map;
use crate::config::rules_file::RulesFile;
use crate::engine::snapshot::{Roll, Worker};
use crate::engine::{Catalogue, Mode, RuleSet, Settings, Snapshot};
use crate::policy::CedarGate;

/// The section as it is written: what of it is other than the policy in force.
#[derive(Debug)]
pub(super) struct ShadowSection {
    settings: Settings,
    rules: Option<PathBuf>,
    gate: Option<PathBuf>,
    catalogue: Option<PathBuf>,
}

/// Its files, read and sound by themselves.
pub(super) struct ShadowParts {
    settings: Settings,
    /// Its rules with their file; `None`: those in force.
    rules: Option<(RulesFile, RuleSet)>,
    gate: Option<CedarGate>,
    catalogue: Option<Catalogue>,
}

/// Reads the section.
pub(super) fn read(mut shadow: Map<'_>, in_force: &Settings) -> Option<ShadowSection> {
    let mode = shadow.or("mode", &in_force.mode, kinds::word(MODES));
    let settings = settings(&mut shadow, mode, in_force);
    let mut path = |key| shadow.get(key).map_or(Some(None), |value| value.path().map(Some));
    let (rules, gate, catalogue) = (path("rules"), path("gate"), path("catalogue"));
    shadow.done(&[]);
    Some(ShadowSection { settings: settings?, rules: rules?, gate: gate?, catalogue: catalogue? })
}

impl ShadowSection {
    /// Reads its files. Every problem of each is noted; then there is none. Rules of its own are those in force where it reads them in
    /// another mode.
    pub(super) fn load(
        self,
        in_force: Mode,
        rules_in_force: Option<&RulesFile>,
        problems: &mut Vec<Problem>,
    ) -> Option<ShadowParts> {
        let Self { settings, rules, gate, catalogue } = self;
        let own = match rules {
            Some(path) => Some(RulesFile::read(path, problems)),
            None => (settings.mode != in_force).then(|| rules_in_force.cloned()),
        };
        let rules = own.map_or(Some(None), |file| {
            let file = file?;
            let rules = file.parse(settings.mode, problems)?;
            Some(Some((file, rules)))
        });
        let gate = gate.map_or(Some(None), |path| load_gate(&path, problems).map(Some));
        let catalogue = catalogue.map_or(Some(None), |path| load_catalogue(&path, problems).map(Some));
        Some(ShadowParts { settings, rules: rules?, gate: gate?, catalogue: catalogue? })
    }
}

impl ShadowParts {
    /// The shadow's snapshot, over these workers.
    pub(super) fn put_together(
        self,
        in_force: &Snapshot,
        workers: Vec<Arc<Worker>>,
        roll: Roll,
        rules_in_force: &RulesFile,
        file: &Path,
        problems: &mut Vec<Problem>,
    ) -> Option<Snapshot> {
        let Self { settings, rules, gate, catalogue } = self;
        let (own, rules) = match rules {
            Some((own, rules)) => (Some(own), Arc::new(rules)),
            None => (None, Arc::clone(&in_force.rules)),
        };
        let snapshot = Snapshot::of(Arc::new(settings), rules, workers, roll)
            .map_err(|found| problems.extend(own.as_ref().unwrap_or(rules_in_force).placed(found, file)))
            .ok()?;
        let other = (in_force.catalogue != snapshot.catalogue).then(|| in_force.catalogue.clone());
        let snapshot = match catalogue.or(other) {
            Some(catalogue) => snapshot.catalogued_by(catalogue),
            None => snapshot,
        };
        Some(match (gate, &in_force.gate) {
            (Some(own), _) => snapshot.gated_by(Arc::new(own)),
            (None, Some(gate)) => snapshot.gated_by(Arc::clone(gate)),
            (None, None) => snapshot,
        })
    }
}
