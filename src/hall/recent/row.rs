//! One decision or refusal, as lists show it.

use std::sync::Arc;

use uuid::Uuid;

use crate::engine::{Binding, Decision, DenyCode, Outcome};
use crate::ids::{DataLabel, Digest, Env};
use crate::ledger::{DecisionFacts, Door, EntrySummary, Receipt, Refusal};

/// The most bytes of a text; longer ones are cut.
const TEXT: usize = 512;

/// One decision or refusal.
#[derive(Debug, Clone)]
pub struct Row {
    /// The decision's id, which is its entry's.
    pub id: Uuid,
    /// When it was recorded, in microseconds since 1970 UTC.
    pub at_micros: i64,
    /// Through which door.
    pub door: Option<Door>,
    /// For whom, as far as that is known.
    pub tenant: Option<Arc<str>>,
    /// The worker that acts or was named.
    pub worker: Option<Arc<str>>,
    /// The species that was selected.
    pub species: Option<Arc<str>>,
    /// For what; `None` when that was never described.
    pub capability: Option<Arc<str>>,
    /// How sensitive the data is.
    pub label: Option<DataLabel>,
    /// Where.
    pub env: Option<Env>,
    /// The verdict.
    pub outcome: Outcome,
    /// Why not.
    pub code: Option<DenyCode>,
    /// Why not, as a sentence.
    pub reason: Option<Arc<str>>,
    /// The blast score that counted.
    pub blast_score: Option<i64>,
    /// The hash of what was asked.
    pub artifact_hash: Option<Digest>,
    /// Whether nothing was to be dispatched.
    pub dry_run: bool,
}

impl Row {
    /// That of a decision.
    #[must_use]
    pub fn of_decision(decision: &Decision, door: Door, receipt: &Receipt) -> Self {
        let Decision { input, verdict, artifact_hash, .. } = decision;
        let denial = verdict.denial.as_ref();
        Self {
            id: receipt.id(),
            at_micros: receipt.recorded_at_micros(),
            door: Some(door),
            tenant: Some(short(&input.tenant_id)),
            worker: verdict.worker_id.as_ref().or(input.worker_id.as_ref()).map(short),
            species: verdict.selected_species.as_ref().map(short),
            capability: Some(short(&input.capability_id)),
            label: Some(input.data_label),
            env: Some(input.env),
            outcome: verdict.outcome,
            code: denial.map(|denial| denial.code),
            reason: denial.map(|denial| Arc::from(cut(&denial.message))),
            blast_score: verdict.blast_score,
            artifact_hash: Some(*artifact_hash),
            dry_run: input.dry_run,
        }
    }

    /// That of a refusal; its id and time come with the receipt.
    #[must_use]
    pub fn of_refusal(refusal: &Refusal) -> Self {
        Self {
            id: Uuid::nil(),
            at_micros: 0,
            door: Some(refusal.door),
            tenant: refusal.tenant.as_ref().map(short),
            worker: refusal.worker.as_ref().map(short),
            species: None,
            capability: None,
            label: None,
            env: None,
            outcome: Outcome::Deny,
            code: Some(refusal.code),
            reason: Some(Arc::from(cut(&refusal.message))),
            blast_score: None,
            artifact_hash: None,
            dry_run: false,
        }
    }

    /// The same under this receipt.
    #[must_use]
    pub fn recorded_as(self, receipt: &Receipt) -> Self {
        Self { id: receipt.id(), at_micros: receipt.recorded_at_micros(), ..self }
    }

    /// That of an entry of before; `None` when it is of another kind.
    #[must_use]
    pub fn recalled(past: &EntrySummary) -> Option<Self> {
        let text = |text: &Option<String>| text.as_deref().map(|text| Arc::from(cut(text)));
        let outcome = Outcome::ALL.iter().copied().find(|one| Some(one.as_str()) == past.outcome.as_deref());
        let known = |code: &str| DenyCode::ALL.iter().copied().find(|one| one.as_str() == code);
        (past.kind == "decision").then_some(Self {
            id: past.receipt_id,
            at_micros: past.recorded_at_micros(),
            door: [Door::Gate, Door::Api].into_iter().find(|door| Some(door.as_str()) == past.door.as_deref()),
            tenant: text(&past.tenant_id),
            worker: text(&past.worker_id),
            species: text(&past.worker_species_id),
            capability: text(&past.capability_id),
            label: past.data_label.as_deref().and_then(|label| label.parse().ok()),
            env: past.env.as_deref().and_then(|env| env.parse().ok()),
            outcome: outcome?,
            code: past.deny_code.as_deref().and_then(known),
            reason: text(&past.deny_message),
            blast_score: past.blast_score,
            artifact_hash: past.artifact_hash.as_deref().and_then(|hash| hash.parse().ok()),
            dry_run: past.dry_run,
        })
    }

    /// How many bytes of memory it takes at most: its texts are shared with the decision while that lasts.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.tenant, &self.worker, &self.species, &self.capability, &self.reason];
        size_of::<Self>() + texts.into_iter().flatten().map(|text| 24 + text.len()).sum::<usize>()
    }

    /// Whether it was denied, or is held.
    #[must_use]
    pub fn denied(&self) -> bool {
        self.outcome != Outcome::Dispatch
    }

    /// The tenant whose row it is. Who claims to be a tenant without being it leaves no row among that tenant's.
    #[must_use]
    pub fn owner(&self) -> Option<&Arc<str>> {
        self.tenant.as_ref().filter(|_| self.code != Some(DenyCode::UnknownTenant))
    }

    /// What filters look at.
    #[must_use]
    pub fn facts(&self) -> DecisionFacts<'_> {
        DecisionFacts {
            at_micros: self.at_micros,
            tenant: self.tenant.as_deref(),
            worker: self.worker.as_deref(),
            capability: self.capability.as_deref(),
            outcome: Some(self.outcome),
            code: self.code,
            label: self.label,
            env: self.env,
        }
    }

    /// Whether a reader who is bound like this may see it.
    #[must_use]
    pub fn visible_to(&self, reader: &Binding) -> bool {
        reader.sees(self.owner().map(|tenant| &**tenant), self.worker.as_deref(), self.env)
    }
}

/// The same text where it is short: shared, not copied.
pub(in crate::hall) fn short(text: &Arc<str>) -> Arc<str> {
    if text.len() <= TEXT { Arc::clone(text) } else { Arc::from(cut(text)) }
}

fn cut(text: &str) -> &str {
    if text.len() <= TEXT {
        return text;
    }
    let end = (0..=TEXT).rev().find(|at| text.is_char_boundary(*at));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
