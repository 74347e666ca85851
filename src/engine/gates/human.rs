//! Holds: what a request comes to when nothing stands against it but that a human has to agree (WCP_SPEC 5.8, strict mode).

use std::sync::Arc;

use crate::engine::decision::{Denial, DenyCode, Gated, Outcome, Verdict};
use crate::engine::description::Description;
use crate::engine::question::{NamedWorker, Question};
use crate::engine::snapshot::{Acting, Mode, Snapshot, fingerprint};
use crate::ids::{DataLabel, Digest, SupervisorLevel};

use super::{Case, Shows, attestation};

/// That a human has to agree: as whoever is turned away until then is told, and of what level.
pub(super) struct Hold {
    denial: Denial,
    pub(super) level: SupervisorLevel,
}

impl Hold {
    /// The stricter of a hold and another wish for a human. Of equal ones the later, which has more to say.
    pub(super) fn stricter(before: Option<Self>, denial: Denial, level: SupervisorLevel) -> Self {
        match before {
            Some(before) if before.level > level => before,
            Some(_) | None => Self { denial, level },
        }
    }
}

/// The level of the human who may agree to what a gate has against a request; `None`: it is refused.
pub(super) fn wanted(case: &Case<'_>, denial: &Denial) -> Option<SupervisorLevel> {
    let settings = &case.snapshot.settings;
    if settings.mode == Mode::Reference {
        return None;
    }
    match denial.code {
        DenyCode::RequiresHumanApproval => case.gated.get().and_then(|gated| gated.supervisor),
        DenyCode::RequiresHuman => settings.approvals.as_ref().and_then(|approvals| approvals.blast),
        _ => None,
    }
}

/// What a hold rests on, by content: the rule, the policies that want a human, whoever would act with its record and status, the
/// level, the label and the blast score. What is agreed to while this is the same is agreed to; a change of anything else is none.
/// `None`: no rule matches any more.
#[must_use]
pub fn basis(question: &Question, snapshot: &Snapshot, label: DataLabel, held: &Verdict) -> Option<Digest> {
    let case = Case::of(question, snapshot).ok()?;
    let mut all = Description::with_capacity(512);
    all.text("hallgate basis 1");
    all.digest(&case.rule.digest);
    all.number(held.gated.policies.len() as u64);
    for id in held.gated.policies.iter() {
        all.text(id);
        if let Some(gate) = &snapshot.gate {
            all.digest(&gate.policy_digest(id));
        }
    }
    all.maybe(held.gated.supervisor.map(SupervisorLevel::as_str));
    all.maybe(held.denial.as_ref().map(|denial| denial.code.as_str()));
    all.text(label.as_str());
    all.maybe(held.blast_score.map(|score| score.to_string()).as_deref());
    if let NamedWorker::Enrolled(id) = &question.worker
        && let Some(worker) = snapshot.workers.get(&**id)
    {
        fingerprint::described(worker, &mut all);
    }
    let chosen = case.choice.chosen.as_ref().ok()?;
    all.maybe(chosen.species.as_deref());
    all.number(chosen.acting.len() as u64);
    for acting in chosen.acting.iter() {
        let Acting { who, attestation, envelope } = &**acting;
        all.text(who);
        fingerprint::attested(attestation, &mut all);
        fingerprint::enveloped(envelope.as_ref(), &mut all);
    }
    Some(all.end())
}

impl Case<'_> {
    /// Everything lets it pass but for the human who has to agree. What was checked of the worker's code is on it, because it was.
    pub(super) fn held(&self, Hold { denial, level }: Hold) -> Verdict {
        let denial = denial.with("supervisor_required", true).with("supervisor_level", level.as_str());
        let attested = attestation::is_required(self);
        Verdict {
            outcome: Outcome::Hold,
            gated: self.gated_by(level),
            attestation_checked: attested,
            attestation_valid: attested.then_some(true),
            ..self.denied(denial, Shows::Escalation)
        }
    }

    /// The dispatch of what a human of this level had to agree to, and did.
    pub(super) fn agreed_to(&self, level: SupervisorLevel) -> Verdict {
        let permitted = self.permitted();
        let gated = if permitted.denied() { permitted.gated } else { self.gated_by(level) };
        Verdict { gated, ..permitted }
    }

    fn gated_by(&self, level: SupervisorLevel) -> Gated {
        let policies = self.gated.get().map_or_else(|| Arc::from([]), |gated| Arc::clone(&gated.policies));
        Gated { policies, supervisor: Some(level), erred: false }
    }
}
