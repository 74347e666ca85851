//! Which candidate of a rule dispatches when the request names no worker: the first that can, worked out at load.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::decision::Candidate;
use crate::engine::json::{Step, path_text};
use crate::engine::rules::{Rule, RuleCandidate, RuleSet};
use crate::ids::{Env, WorkerId};

use super::{Acting, Fleet, Mode, Settings, SnapshotProblem, Worker, WorkerStatus};

/// Why a worker, or all workers of a species, cannot act for a rule. In rising order of how near they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skip {
    /// No active worker of the species is enrolled.
    Unavailable,
    /// Not in production, without the word of the registry that must vouch for it.
    Unverified,
    /// Not in this environment (strict, S2).
    EnvironmentNotAllowed,
    /// A control is not implemented (strict, S1 and S2).
    MissingControls,
}

impl Skip {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Unverified => "registry_unavailable",
            Self::EnvironmentNotAllowed => "environment_not_allowed",
            Self::MissingControls => "missing_controls",
        }
    }
}

/// The candidate that is selected.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// `None`: nobody acts, where the policy is only observed and no worker is named.
    pub(crate) species: Option<Arc<str>>,
    /// The worker, when the request named it.
    pub(crate) worker: Option<Arc<str>>,
    /// The highest 0–25 blast sum of the workers that may act (strict, S6).
    pub(crate) blast_sum: u8,
    /// Who may act: the worker that was named, else every worker that may; in reference mode the species as one.
    pub(crate) acting: Arc<[Arc<Acting>]>,
}

/// What becomes of a rule's candidates.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// Each candidate, with why it was passed over.
    pub(crate) candidates: Arc<[Candidate]>,
    /// The one selected, or the nearest miss.
    pub(crate) chosen: Result<Chosen, Skip>,
}

/// What of a rule needs no request, given the workers.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Controls that the rule requires and no worker that may act implements, sorted: in production, and elsewhere.
    missing: [Vec<Arc<str>>; 2],
    /// The selection for a request that names no worker, by environment.
    unnamed: [Arc<Selection>; 4],
}

impl Prepared {
    /// Of a rule that names nobody and requires nothing.
    pub(crate) fn of_no_rule() -> Self {
        let nobody = Arc::new(Selection { candidates: Arc::from([]), chosen: Err(Skip::Unavailable) });
        Self { missing: [Vec::new(), Vec::new()], unnamed: [&nobody; 4].map(Arc::clone) }
    }

    /// Controls that the rule requires and no worker that may act there implements, sorted.
    pub(crate) const fn missing(&self, env: Env) -> &Vec<Arc<str>> {
        let [production, elsewhere] = &self.missing;
        if env.is_production() { production } else { elsewhere }
    }

    /// The selection for a request that names no worker.
    pub(crate) fn unnamed(&self, env: Env) -> &Selection {
        let [dev, stage, prod, edge] = &self.unnamed;
        match env {
            Env::Dev => dev,
            Env::Stage => stage,
            Env::Prod => prod,
            Env::Edge => edge,
        }
    }
}

/// The enrolled workers by species.
pub(super) struct Species<'a> {
    workers: BTreeMap<&'a str, Vec<&'a Worker>>,
    acting: &'a BTreeMap<Arc<str>, Arc<Acting>>,
}

impl<'a> Species<'a> {
    pub(super) fn of(
        workers: &'a BTreeMap<WorkerId, Arc<Worker>>,
        acting: &'a BTreeMap<Arc<str>, Arc<Acting>>,
    ) -> Self {
        let mut species: BTreeMap<&str, Vec<&Worker>> = BTreeMap::new();
        for worker in workers.values() {
            species.entry(worker.species.as_str()).or_default().push(worker);
        }
        Self { workers: species, acting }
    }

    pub(super) fn prepare(&self, rule: &Rule, settings: &Settings, fleet: &Fleet) -> Prepared {
        let missing =
            [Env::Prod, Env::Dev].map(|env| rule.controls.difference(fleet.within(env)).map(Arc::clone).collect());
        let select = |env| Arc::new(self.select(rule, env, settings, fleet));
        let unnamed = if settings.mode == Mode::Strict {
            [Env::Dev, Env::Stage, Env::Prod, Env::Edge].map(select)
        } else {
            // The reference's selection is the same everywhere, but for workers that nobody vouches for.
            let (elsewhere, production) = (select(Env::Dev), select(Env::Prod));
            [&elsewhere, &elsewhere, &production, &production].map(Arc::clone)
        };
        Prepared { missing, unnamed }
    }

    fn select(&self, rule: &Rule, env: Env, settings: &Settings, fleet: &Fleet) -> Selection {
        let mut chosen = Err(Skip::Unavailable);
        let candidates = rule.candidates.iter().map(|candidate| {
            let skip_reason = match (&chosen, self.able(rule, candidate, env, settings, fleet)) {
                (Ok(_), Ok(_)) => Some("already_selected"),
                (Ok(_), Err(skip)) => Some(skip.as_str()),
                (Err(_), Ok(able)) => {
                    let species = &candidate.species;
                    let blast_sum = able.iter().map(|worker| worker.blast_sum.unwrap_or(0)).max().unwrap_or(0);
                    let acting = self.acting(species, &able, settings.mode);
                    chosen = Ok(Chosen { species: Some(Arc::clone(species)), worker: None, blast_sum, acting });
                    None
                }
                (Err(nearest), Err(skip)) => {
                    chosen = Err(skip.max(*nearest));
                    Some(skip.as_str())
                }
            };
            candidate.with(skip_reason)
        });
        Selection { candidates: candidates.collect(), chosen }
    }

    /// The candidate's workers that may act, or the nearest miss.
    fn able(
        &self,
        rule: &Rule,
        candidate: &RuleCandidate,
        env: Env,
        settings: &Settings,
        fleet: &Fleet,
    ) -> Result<Vec<&'a Worker>, Skip> {
        let workers = self.workers.get(&*candidate.species).map_or(&[][..], Vec::as_slice);
        let mut able = Vec::new();
        let mut nearest = Skip::Unavailable;
        for worker in workers {
            match may_act(worker, rule, candidate, env, settings, fleet) {
                Ok(()) => able.push(*worker),
                Err(skip) => nearest = nearest.max(skip),
            }
        }
        if able.is_empty() { Err(nearest) } else { Ok(able) }
    }

    fn acting(&self, species: &Arc<str>, able: &[&Worker], mode: Mode) -> Arc<[Arc<Acting>]> {
        let find = |who: &str| self.acting.get(who).map(Arc::clone);
        match mode {
            Mode::Strict => able.iter().filter_map(|worker| find(worker.worker_id.as_str())).collect(),
            Mode::Reference => find(species).into_iter().collect(),
        }
    }
}

/// Candidates of a species that no worker has: a rule that waits for a worker that does not exist (S7).
pub(super) fn dangling(workers: &[Arc<Worker>], rules: &RuleSet) -> Vec<SnapshotProblem> {
    let species: BTreeSet<&str> = workers.iter().map(|worker| worker.species.as_str()).collect();
    let mut problems = Vec::new();
    for (at, rule) in rules.rules.iter().enumerate() {
        for (place, candidate) in rule.candidates.iter().enumerate() {
            if !species.contains(&*candidate.species) {
                let in_rules = vec![
                    Step::from("rules"),
                    Step::At(at),
                    Step::from("decision"),
                    Step::from("candidate_workers_ranked"),
                    Step::At(place),
                    Step::from("worker_species_id"),
                ];
                problems.push(SnapshotProblem {
                    path: path_text(&in_rules),
                    in_rules,
                    message: format!("rule `{}` names species `{}`, which no worker has", rule.id, candidate.species),
                    help: "enroll a worker of this species, or correct the name".into(),
                });
            }
        }
    }
    problems
}

impl RuleCandidate {
    /// The candidate as the decision shows it.
    pub(crate) fn with(&self, skip_reason: Option<&'static str>) -> Candidate {
        Candidate {
            worker_species_id: Arc::clone(&self.species),
            score_hint: self.score_hint.clone(),
            requires_controls_minimum: self.requires_controls_minimum.clone(),
            skip_reason,
        }
    }
}

fn may_act(
    worker: &Worker,
    rule: &Rule,
    candidate: &RuleCandidate,
    env: Env,
    settings: &Settings,
    fleet: &Fleet,
) -> Result<(), Skip> {
    if !worker.status.may_act(env) {
        Err(if worker.status == WorkerStatus::Unverified { Skip::Unverified } else { Skip::Unavailable })
    } else if settings.mode == Mode::Reference {
        Ok(())
    } else if worker.allowed_environments.as_ref().is_some_and(|envs| !envs.contains(&env)) {
        Err(Skip::EnvironmentNotAllowed)
    } else if missing_controls(worker, rule, candidate, settings, fleet.within(env)).is_empty() {
        Ok(())
    } else {
        Err(Skip::MissingControls)
    }
}

/// The controls that keep a worker from acting for a rule, sorted: those of the rule and the candidate that it does not
/// itself implement (S1), and those that it demands of the fleet and nobody implements (S2).
pub(crate) fn missing_controls(
    worker: &Worker,
    rule: &Rule,
    candidate: &RuleCandidate,
    settings: &Settings,
    fleet: &BTreeSet<Arc<str>>,
) -> Vec<Arc<str>> {
    let of_rule = controls_deny(rule, settings).then_some(&*rule.controls);
    let own = of_rule.into_iter().flatten().chain(&candidate.controls_minimum);
    let mut missing: BTreeSet<_> =
        own.filter(|control| !worker.implements.contains(&***control)).map(Arc::clone).collect();
    let demanded = worker.required_controls.iter().filter(|control| !fleet.contains(control.as_str()));
    missing.extend(demanded.map(crate::ids::ControlId::shared));
    missing.into_iter().collect()
}

/// Whether controls that are missing deny: by the rule's precondition, or by the policy's floor.
pub(crate) fn controls_deny(rule: &Rule, settings: &Settings) -> bool {
    rule.preconditions.deny_if_missing_required_controls || settings.enforce_required_controls
}
