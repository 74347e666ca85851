//! The `policy` section, and the snapshot that it makes of its rules and workers.

mod shadow;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::origins::Origins;
use super::problem::{Problem, Warning};
use super::reader::{Found, Map, Value};
use super::rules_file::RulesFile;
use super::{approvals, kinds};
use crate::documents;
use crate::engine::snapshot::{Approvable, Roll};
use crate::engine::{Catalogue, Mode, Settings, Snapshot};
use crate::ids::{Env, TenantId, TenantRisk};
use crate::policy::{self, CedarGate};
use crate::registry::records::{Enrolled, RecordFormat};
use crate::registry::roster::Roster;
use crate::registry::sources::Sources;
use crate::registry::store::{Kept, Store};

/// The `policy` section as it is written: where its parts are and how to read them.
#[derive(Debug)]
pub struct Policy {
    /// How the specification is read; strict when that is not known.
    mode: Mode,
    /// The switches; `None` when one of them is wrong.
    settings: Option<Settings>,
    rules: Option<PathBuf>,
    workers: Option<workers::WorkersSection>,
    /// The Cedar policies; `Some(None)` when there are none.
    gate: Option<Option<PathBuf>>,
    /// The catalogue's file; `Some(None)` when there is none.
    catalogue: Option<Option<PathBuf>>,
    /// What the API has enrolled; `Some(None)`: nothing is enrolled over the API.
    store: Option<Option<PathBuf>>,
    /// The folders outside of which no source file of a worker is read; none: anywhere.
    allowed_worker_dirs: Option<Vec<PathBuf>>,
    /// What is asked beside it; `Some(None)`: nothing.
    shadow: Option<Option<shadow::ShadowSection>>,
}

const MODES: &[(&str, Mode)] = &[("strict", Mode::Strict), ("reference", Mode::Reference)];

/// Reads the section of a whole configuration, with what the section `approvals` says of what it holds.
pub fn alone(top: &mut Map<'_>) -> Option<Policy> {
    let approvals = approvals::read(top.get("approvals").as_ref());
    of(top, approvals.as_ref())
}

/// The same, where that section was read.
pub fn of(top: &mut Map<'_>, approvals: Option<&Option<crate::approvals::Settings>>) -> Option<Policy> {
    let approvable = approvals::approvable(approvals);
    top.section("policy").map(|map| read(map, approvable))
}

fn read(mut policy: Map<'_>, approvals: Option<Approvable>) -> Policy {
    let mode = policy.read("mode", "strict", kinds::word(MODES));
    let rules = policy.path("rules", "rules.json");
    let workers = workers::read(&mut policy);
    let base = Settings { approvals, ..defaults() };
    let settings = settings(&mut policy, mode, &base);
    let gate = policy.get("gate").map_or(Some(None), |value| value.path().map(Some));
    let catalogue = policy.get("catalogue").map_or(Some(None), |value| value.path().map(Some));
    let mode = mode.unwrap_or(Mode::Strict);
    let allowed_worker_dirs = policy.get("allowed_worker_dirs").map_or(Some(Vec::new()), |dirs| folders(&dirs, mode));
    let store = policy.get("store").map_or(Some(None), |value| value.path().map(Some));
    let shadow = policy.get("shadow").map_or(Some(None), |value| {
        let in_force = settings.clone().unwrap_or_else(|| Settings { mode, ..base.clone() });
        value.map().and_then(|map| shadow::read(map, &in_force)).map(Some)
    });
    policy.done(&[]);
    Policy { mode, settings, rules, workers, gate, catalogue, store, allowed_worker_dirs, shadow }
}

/// A policy whose section says nothing.
fn defaults() -> Settings {
    let egress_allowlist = Env::ALL.iter().map(|env| (*env, BTreeSet::new())).collect();
    Settings { egress_allowlist, ..Settings::default() }
}

/// The switches; what is not written is as in `base`.
fn settings(policy: &mut Map<'_>, mode: Option<Mode>, base: &Settings) -> Option<Settings> {
    let version = policy.or("version", &base.version, kinds::shared);
    let require_worker_id = policy.list_or("require_worker_id", &base.require_worker_id, kinds::id);
    let require_signatory = policy.or("require_signatory", &base.require_signatory, kinds::flag);
    let allowed_tenants = policy.list_or("allowed_tenants", &base.allowed_tenants, kinds::shared);
    let require_worker_attestation =
        policy.or("require_worker_attestation", &base.require_worker_attestation, kinds::flag);
    let enforce_correlation_id = policy.or("enforce_correlation_id", &base.enforce_correlation_id, kinds::flag);
    let enforce_required_controls =
        policy.or("enforce_required_controls", &base.enforce_required_controls, kinds::flag);
    let enforce_blast_scoring_in_prod =
        policy.or("enforce_blast_scoring_in_prod", &base.enforce_blast_scoring_in_prod, kinds::flag);
    let enforce_privilege_envelopes =
        policy.or("enforce_privilege_envelopes", &base.enforce_privilege_envelopes, kinds::flag);
    let require_known_capability = policy.or("require_known_capability", &base.require_known_capability, kinds::flag);
    let egress_allowlist = policy
        .get("egress_allowlist")
        .map_or_else(|| Some(base.egress_allowlist.clone()), |value| value.map().and_then(egress));
    let tenants = policy.get("tenants").map_or_else(|| Some(base.tenants.clone()), |value| tenants(&value));
    Some(Settings {
        mode: mode?,
        version: version?,
        require_worker_id: require_worker_id?,
        require_signatory: require_signatory?,
        allowed_tenants: allowed_tenants?,
        require_worker_attestation: require_worker_attestation?,
        enforce_correlation_id: enforce_correlation_id?,
        enforce_required_controls: enforce_required_controls?,
        enforce_blast_scoring_in_prod: enforce_blast_scoring_in_prod?,
        enforce_privilege_envelopes: enforce_privilege_envelopes?,
        require_known_capability: require_known_capability?,
        egress_allowlist: egress_allowlist?,
        tenants: tenants?,
        approvals: base.approvals,
    })
}

/// Folders. The reference takes one that does not exist, too; nothing is inside of it.
fn folders(dirs: &Value<'_>, mode: Mode) -> Option<Vec<PathBuf>> {
    let folder = |value: Value<'_>| {
        let path = value.path()?;
        if mode == Mode::Strict && !path.is_dir() {
            value.wrong(format!("`{}` is no folder", path.display()), "name the folder of the workers' source files");
            return None;
        }
        Some(path)
    };
    let read: Vec<_> = dirs.list()?.into_iter().map(folder).collect();
    read.into_iter().collect()
}

fn egress(mut map: Map<'_>) -> Option<BTreeMap<Env, BTreeSet<String>>> {
    let read: Vec<_> =
        Env::ALL.iter().map(|env| Some((*env, map.list(env.as_str(), |text| Ok(text.to_owned()))?))).collect();
    map.done(&[]);
    read.into_iter().collect()
}

fn tenants(value: &Value<'_>) -> Option<BTreeMap<TenantId, TenantRisk>> {
    let tenant = |(name, entry): (_, Value<'_>)| {
        let tenant = entry.read_name(&name, kinds::id);
        let mut map = entry.map()?;
        let risk = map.read("risk", TenantRisk::High.as_str(), kinds::id);
        map.done(&[]);
        tenant.zip(risk)
    };
    let read: Vec<_> = value.entries()?.into_iter().map(tenant).collect();
    read.into_iter().collect()
}

/// A policy that was read: what decides, and who is enrolled.
#[derive(Debug)]
pub struct LoadedPolicy {
    /// What decides.
    pub snapshot: Snapshot,
    /// Who is enrolled.
    pub roster: Roster,
    /// The file of the store, when workers are enrolled over the API.
    pub store: Option<PathBuf>,
    /// What of the text is not wise.
    pub warnings: Vec<Warning>,
    /// Where all of it was written.
    pub origins: Origins,
}

impl Policy {
    /// Reads rules and workers and puts the snapshot together. Every problem of every file is noted; then there is none.
    pub fn load(self, file: &Path, found: &mut Found) -> Option<LoadedPolicy> {
        let (problems, root) = (&mut found.problems, found.root.clone());
        let Self { mode, settings, rules, workers, gate, catalogue, store, allowed_worker_dirs, shadow } = self;
        let rules = rules.and_then(|path| RulesFile::read(path, problems));
        let parsed = rules.as_ref().and_then(|rules| rules.parse(mode, problems));
        // Where a folder is wrong, the records are read all the same, for what else is wrong with them.
        let folder = file.parent().unwrap_or(Path::new(""));
        let sources = Sources::new(folder, allowed_worker_dirs.as_deref().unwrap_or(&[])).below(root);
        let reading = RecordFormat { mode, sources };
        let workers = workers.and_then(|workers| workers.load(&reading, &found.keys, problems));
        let kept = store.as_ref().and_then(|path| load_store(path.as_deref(), file, problems));
        let roster = workers.zip(kept).and_then(|(workers, kept)| roster(workers, reading, kept, file, problems));
        let gate = gate.and_then(|path| path.map_or(Some(None), |path| load_gate(&path, problems).map(Some)));
        let catalogue =
            catalogue.and_then(|path| path.map_or(Some(None), |path| load_catalogue(&path, problems).map(Some)));
        let shadow = shadow.and_then(|shadow| {
            shadow.map_or(Some(None), |shadow| shadow.load(mode, rules.as_ref(), problems).map(Some))
        });
        allowed_worker_dirs?;
        let (rules, roster, store) = (rules?, roster?, store?);
        let roll = if store.is_some() { Roll::Open } else { Roll::Closed };
        let snapshot = Snapshot::of(Arc::new(settings?), Arc::new(parsed?), roster.workers(), roll)
            .map_err(|found| problems.extend(rules.placed(found, file)))
            .ok()?;
        let snapshot = match catalogue? {
            Some(catalogue) => snapshot.catalogued_by(catalogue),
            None => snapshot,
        };
        let gate = gate?;
        let named = gate.as_ref().map_or(&[][..], CedarGate::named).to_vec();
        let empty_policies = gate.as_ref().map_or(&[][..], CedarGate::empty_files).to_vec();
        let snapshot = match gate {
            Some(gate) => snapshot.gated_by(Arc::new(gate)),
            None => snapshot,
        };
        let snapshot = match shadow? {
            Some(shadow) => {
                let shadow = shadow.put_together(&snapshot, roster.workers(), roll, &rules, file, problems)?;
                snapshot.shadowed_by(shadow)
            }
            None => snapshot,
        };
        let origins = Origins { keys: found.keys.clone(), rules: rules.path, named, empty_policies };
        Some(LoadedPolicy { snapshot, roster, store, warnings: std::mem::take(&mut found.warnings), origins })
    }
}

fn load_catalogue(path: &Path, problems: &mut Vec<Problem>) -> Option<Catalogue> {
    let problem =
        |place, key, message, help| Problem { file: path.to_owned(), place, key, message, help, quotable: true };
    let text = documents::text(path, documents::LARGE).map_err(|why| {
        let help = "write the catalogue, or correct `policy.catalogue`".to_owned();
        problems.push(problem(None, String::new(), format!("the catalogue {why}"), help));
    });
    Catalogue::parse(&text.ok()?)
        .map_err(|found| {
            problems.extend(
                found
                    .into_iter()
                    .map(|found| problem(Some((found.line, found.column)), found.path, found.message, found.help)),
            );
        })
        .ok()
}

/// A problem with `policy.store`.
fn of_store(file: &Path, message: String, help: &str) -> Problem {
    let (key, help) = ("policy.store".to_owned(), help.to_owned());
    Problem { file: file.to_owned(), place: None, key, message, help, quotable: false }
}

fn load_store(path: Option<&Path>, file: &Path, problems: &mut Vec<Problem>) -> Option<Kept> {
    let Some(path) = path else { return Some(Kept::default()) };
    Store::read(path)
        .map_err(|error| {
            problems.push(of_store(file, error.to_string(), "mend it, or name another file in `policy.store`"))
        })
        .ok()
}

fn roster(
    workers: Vec<Enrolled>,
    reading: RecordFormat,
    kept: Kept,
    file: &Path,
    problems: &mut Vec<Problem>,
) -> Option<Roster> {
    Roster::of(workers, reading, kept)
        .map_err(|found| {
            problems.extend(found.into_iter().map(|problem| {
                of_store(file, format!("worker `{}` {}", problem.worker_id, problem.message), &problem.help)
            }));
        })
        .ok()
}

fn load_gate(path: &Path, problems: &mut Vec<Problem>) -> Option<CedarGate> {
    policy::load(path)
        .map_err(|found| {
            problems.extend(found.into_iter().map(|problem| Problem {
                file: problem.file,
                place: problem.place,
                key: if problem.policy.is_empty() { String::new() } else { format!("policy `{}`", problem.policy) },
                message: problem.message,
                help: problem.help,
                quotable: true,
            }));
        })
        .ok()
}
