//! Who acts: the worker that the request names, if it may, else the first candidate that can. WCP_SPEC 5.2 and 5.3; reference
//! router step 6. Strict: the worker itself has the controls and is allowed in the environment (S1, S2).

use std::sync::Arc;

use crate::engine::decision::{Candidate, Denial, DenyCode};
use crate::engine::question::{Capability, NamedWorker, Question};
use crate::engine::rules::Rule;
use crate::engine::snapshot::{Chosen, Mode, Prepared, Skip, Snapshot, Worker, WorkerStatus, missing_controls};

use super::{Case, matching};

/// Who was chosen, or why nobody, and what became of each candidate.
pub(super) struct Choice {
    pub(super) candidates: Arc<[Candidate]>,
    pub(super) chosen: Result<Chosen, Denial>,
}

pub(super) fn gate(case: &Case<'_>) -> Result<(), Denial> {
    case.choice.chosen.as_ref().map(|_| ()).map_err(Clone::clone)
}

/// Chooses before the gate is reached, because the blast score may depend on who acts.
pub(super) fn choose(question: &Question, snapshot: &Snapshot, rule: &Rule, prepared: &Prepared) -> Choice {
    let nobody = |denial| Choice { candidates: Arc::from([]), chosen: Err(denial) };
    match &question.worker {
        NamedWorker::Enrolled(id) => named(id, question, snapshot, rule).unwrap_or_else(nobody),
        NamedWorker::NotEnrolled => nobody(not_enrolled()),
        NamedWorker::Nobody | NamedWorker::Missing => {
            let selection = prepared.unnamed(question.env);
            Choice {
                candidates: Arc::clone(&selection.candidates),
                chosen: selection.chosen.clone().map_err(|skip| none_can(skip, rule, question)),
            }
        }
    }
}

/// Who acts where the policy is only observed: whoever it lets, else the worker that is named, else nobody; an error where more than
/// the policy stands against that.
pub(super) fn observed(question: &Question, snapshot: &Snapshot, by_policy: Option<Choice>) -> Choice {
    let named = || match &question.worker {
        NamedWorker::Enrolled(id) => active(id, question, snapshot).map(|worker| acts(worker, snapshot)),
        NamedWorker::NotEnrolled => Err(not_enrolled()),
        NamedWorker::Nobody | NamedWorker::Missing => {
            Ok(Chosen { species: None, worker: None, blast_sum: 0, acting: Arc::from([]) })
        }
    };
    let Some(Choice { candidates, chosen }) = by_policy else {
        return Choice { candidates: Arc::from([]), chosen: named() };
    };
    match chosen {
        Err(denial) if denial.code.yields_to_observing() => Choice { candidates, chosen: named() },
        chosen => Choice { candidates, chosen },
    }
}

fn not_enrolled() -> Denial {
    Denial::new(DenyCode::WorkerNotEnrolled, "worker_id names a worker that is not enrolled here")
}

/// Why no candidate was selected: the reason of the one that came nearest.
fn none_can(nearest: Skip, rule: &Rule, question: &Question) -> Denial {
    match nearest {
        Skip::Unavailable => {
            Denial::new(DenyCode::NoAvailableWorker, "no active worker of a candidate species is enrolled")
        }
        Skip::Unverified => Denial::new(
            DenyCode::RegistryUnavailable,
            "no candidate worker has the word of the registry that must vouch for it, or none of late",
        ),
        Skip::EnvironmentNotAllowed => {
            let message = format!("no candidate worker is allowed in {}", question.env);
            Denial::new(DenyCode::EnvNotAllowed, message)
        }
        Skip::MissingControls => {
            let controls: Vec<&str> = rule.controls.iter().map(|control| &**control).collect();
            let message = "no single candidate worker implements all controls that are required";
            Denial::new(DenyCode::MissingRequiredControls, message).with("missing", controls)
        }
    }
}

/// The worker of this id, if its status lets it act.
fn active<'a>(id: &str, question: &Question, snapshot: &'a Snapshot) -> Result<&'a Worker, Denial> {
    let worker = snapshot.workers.get(id).ok_or_else(not_enrolled)?;
    let refuse = |code, message: &str| Err(Denial::new(code, format!("worker `{id}` {message}")));
    match worker.status {
        WorkerStatus::Active => Ok(worker),
        WorkerStatus::Unverified if worker.status.may_act(question.env) => Ok(worker),
        WorkerStatus::Unverified => {
            refuse(DenyCode::RegistryUnavailable, "has no word of the registry that must vouch for it, or none of late")
        }
        WorkerStatus::Banned => refuse(DenyCode::WorkerBanned, "is banned"),
        WorkerStatus::Revoked => refuse(DenyCode::WorkerRevoked, "is not active"),
    }
}

/// That a worker acts which is named.
fn acts(worker: &Worker, snapshot: &Snapshot) -> Chosen {
    let who = match snapshot.settings.mode {
        Mode::Strict => worker.worker_id.as_str(),
        Mode::Reference => worker.species.as_str(),
    };
    Chosen {
        species: Some(worker.species.shared()),
        worker: Some(worker.worker_id.shared()),
        blast_sum: worker.blast_sum.unwrap_or(0),
        acting: snapshot.acting.get(who).map(Arc::clone).into_iter().collect(),
    }
}

fn named(id: &str, question: &Question, snapshot: &Snapshot, rule: &Rule) -> Result<Choice, Denial> {
    let worker = active(id, question, snapshot)?;
    let refuse = |code, message: &str| Err(Denial::new(code, format!("worker `{id}` {message}")));
    let declares = match &question.capability {
        Capability::Known(capability) => worker.capabilities.contains(&**capability),
        Capability::Other | Capability::Malformed | Capability::Unlisted => false,
    };
    if !declares {
        let message = format!("does not declare {}", matching::said(question, snapshot));
        return refuse(DenyCode::WorkerCapabilityMismatch, &message);
    }
    if worker.allowed_environments.as_ref().is_some_and(|envs| !envs.contains(&question.env)) {
        return refuse(DenyCode::EnvNotAllowed, &format!("is not allowed in {}", question.env));
    }
    let Some(place) = rule.candidates.iter().position(|candidate| *candidate.species == *worker.species.as_str())
    else {
        let message = format!("is of the species `{}`, which is no candidate of rule `{}`", worker.species, rule.id);
        return refuse(DenyCode::WorkerNotCandidate, &message);
    };
    if snapshot.settings.mode == Mode::Strict
        && let Some(candidate) = rule.candidates.get(place)
    {
        let missing =
            missing_controls(worker, rule, candidate, &snapshot.settings, snapshot.fleet.within(question.env));
        if !missing.is_empty() {
            let missing: Vec<&str> = missing.iter().map(|control| &**control).collect();
            let message = format!("worker `{id}` lacks {}", missing.join(", "));
            return Err(Denial::new(DenyCode::MissingRequiredControls, message).with("missing", missing));
        }
    }
    let shown = rule.candidates.iter().enumerate().map(|(at, candidate)| {
        candidate.with(match at.cmp(&place) {
            std::cmp::Ordering::Less => Some("not_named"),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some("already_selected"),
        })
    });
    Ok(Choice { candidates: shown.collect(), chosen: Ok(acts(worker, snapshot)) })
}
