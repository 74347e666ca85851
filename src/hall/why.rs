//! Why: a decision made again gate by gate, and what would be decided of what, by what is in force or by a draft. Nothing is recorded, and
//! nobody is asked.
//!
//! It takes longer than a decision, so it is done on threads of its own, a few at a time, and whoever asks waits for a place no longer than
//! [`PATIENCE`].

mod has_decided;
mod judge;
mod matrix;
mod reasons;
mod short_verdict;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::Hall;
use crate::engine::{Binding, Facts, RouteInput, RuleSet, Snapshot};
use crate::ledger::ReadError;

pub use has_decided::HasDecided;
pub use judge::Judge;
pub use matrix::{MatrixCell, MatrixRequest, MatrixRow, PolicyMatrix};
pub use reasons::Reasons;
pub use short_verdict::ShortVerdict;

/// How many are told why at once.
pub(super) const AT_ONCE: usize = 2;
/// The most problems of a draft that are told.
const PROBLEMS: usize = 20;
/// How long each waits, for a place and for its answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be explained.
#[derive(Debug)]
pub enum Explainable {
    /// A decision that is on record.
    Recorded(Uuid),
    /// A request that nobody has made.
    Request(Box<RouteInput>),
    /// One in which a value means nothing; which, and what to change.
    Unacceptable(String),
}

/// Why nothing is explained.
#[derive(Debug, thiserror::Error)]
pub enum NotExplained {
    /// The ledger cannot be read.
    #[error(transparent)]
    Unread(#[from] ReadError),
    /// The draft's rules cannot be put in the place of those in force; every problem.
    #[error("the draft cannot be: {0}")]
    Draft(String),
    /// There is an entry, and it is no decision that can be explained.
    #[error("the entry {0}")]
    NoDecision(String),
    /// Too many ask, or it took too long.
    #[error("it took too long")]
    Late,
    /// It failed inside.
    #[error("it failed inside: {0}")]
    Inside(String),
}

impl Hall {
    /// Why, as far as this reader may know it; `None`: there is no such decision that it may see. A draft's rules stand in for those in force.
    ///
    /// # Errors
    /// [`NotExplained`] says which.
    pub async fn explain(
        &self,
        what: Explainable,
        reader: &Binding,
        draft: Option<&str>,
    ) -> Result<Option<Reasons>, NotExplained> {
        let (in_force, source_hashes) = (self.snapshot(), Arc::clone(&self.source_hashes));
        let names = self.named_to(&in_force, reader);
        let named = move |worker: &str| names.as_ref().is_none_or(|names| names.contains(worker));
        let draft = draft.map(str::to_owned);
        // A draft of many rules over many workers takes long: not on the thread of whoever asks.
        let judge = move || -> Result<Judge, NotExplained> {
            let drafted = draft.map(|rules| drafted(&in_force, &rules)).transpose()?;
            Ok(Judge::knowing(drafted.map_or(in_force, Arc::new), source_hashes))
        };
        match what {
            Explainable::Recorded(id) => {
                let found = tokio::time::timeout(PATIENCE, self.ledger.find(id)).await;
                let found = found.map_err(|_| NotExplained::Late)??;
                let Some(found) = found.filter(|found| found.visible_to(reader)) else { return Ok(None) };
                let work = move || Reasons::of_entry(&found.json, &judge()?, &named).map_err(NotExplained::NoDecision);
                self.explained(work).await?.map(Some)
            }
            Explainable::Unacceptable(message) => Ok(Some(Reasons::of_unacceptable(message))),
            Explainable::Request(input) => {
                let facts = Facts { binding: reader.clone(), observed: false };
                let work = move || Ok(Reasons::of_request(*input, &facts, &judge()?, &named));
                self.explained(work).await?.map(Some)
            }
        }
    }

    /// What would be decided of each capability, label and environment.
    ///
    /// # Errors
    /// It took too long, or failed.
    pub async fn policy_matrix(&self, wanted: MatrixRequest, reader: &Binding) -> Result<PolicyMatrix, NotExplained> {
        let snapshot = self.snapshot();
        let names = self.named_to(&snapshot, reader);
        let judge = Judge::knowing(snapshot, Arc::clone(&self.source_hashes));
        let reader = reader.clone();
        self.explained(move || matrix::of(&judge, &wanted, &reader, names.as_ref())).await
    }

    /// Which rules and policies have decided something since this process began, or since they are what they are.
    #[must_use]
    pub const fn has_decided(&self) -> &HasDecided {
        &self.has_decided
    }

    /// The workers that this reader may be told of; `None`: all.
    fn named_to(&self, snapshot: &Snapshot, reader: &Binding) -> Option<std::collections::BTreeSet<String>> {
        let seen = || self.workers(snapshot, reader).into_iter().map(|(worker, _)| worker.worker_id.to_string());
        reader.is_bound().then(|| seen().collect())
    }

    async fn explained<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotExplained> {
        let explained = async {
            let place = Arc::clone(&self.explaining).acquire_owned().await;
            let place = place.map_err(|error| NotExplained::Inside(error.to_string()))?;
            let work = tokio::task::spawn_blocking(move || {
                let done = work();
                drop(place);
                done
            });
            work.await.map_err(|error| NotExplained::Inside(error.to_string()))
        };
        tokio::time::timeout(PATIENCE, explained).await.map_err(|_| NotExplained::Late)?
    }
}

/// What is in force with other rules.
fn drafted(in_force: &Snapshot, rules: &str) -> Result<Snapshot, NotExplained> {
    let rules = RuleSet::parse(rules, in_force.settings.mode)
        .map_err(|problems| told(problems.iter().map(|problem| (&*problem.path, &*problem.message, &*problem.help))))?;
    in_force
        .with_rules(rules)
        .map_err(|problems| told(problems.iter().map(|problem| (&*problem.path, &*problem.message, &*problem.help))))
}

/// What is wrong with a draft: the first problems, since a short text can have very many, and how many there are besides.
fn told<'a>(problems: impl ExactSizeIterator<Item = (&'a str, &'a str, &'a str)>) -> NotExplained {
    let more = problems.len().saturating_sub(PROBLEMS);
    let first = problems.take(PROBLEMS).map(|(path, message, help)| format!("{path}: {message}; {help}"));
    let mut told = first.collect::<Vec<_>>().join(". ");
    if more > 0 {
        told += &format!(". And {more} more");
    }
    NotExplained::Draft(told)
}
