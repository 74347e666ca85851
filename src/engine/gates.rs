//! The gates, in the order in which a request passes them (WCP_SPEC 5). The first that refuses decides.

mod attestation;
mod blast;
mod caller;
mod controls;
mod correlation;
mod envelope;
mod input;
mod matching;
mod policy;
mod shadow;
mod tenant;
mod worker;
mod worker_required;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::Question;
use crate::engine::decision::{Denial, DenyCode, Escalation, Event, Gated, Outcome, Preconditions, Verdict};
use crate::engine::rules::Rule;
use crate::engine::snapshot::{Prepared, Snapshot};

pub use attestation::whose_code;
use worker::Choice;

/// The gates before a rule is looked for, each with what stands in the rule id's place when it refuses.
type Before = fn(&Question, &Snapshot) -> Result<(), Denial>;
const BEFORE: &[(Before, &str)] = &[
    (caller::gate, PRE_ROUTING),
    (tenant::gate, PRE_ROUTING),
    (input::gate, PRE_ROUTING),
    (worker_required::gate, PRE_ROUTING),
    (shadow::gate, NO_MATCH),
];

/// The gates once a rule has matched, each with how much of the rule its denial shows.
type After = fn(&Case<'_>) -> Result<(), Denial>;
const AFTER: &[(After, Shows)] = &[
    (correlation::gate, Shows::Controls),
    (controls::gate, Shows::Controls),
    (blast::gate, Shows::Escalation),
    (policy::gate, Shows::Escalation),
    (worker::gate, Shows::Candidates),
    (attestation::gate, Shows::Escalation),
    (envelope::gate, Shows::Escalation),
];

const PRE_ROUTING: &str = "PRE_ROUTING";
const NO_MATCH: &str = "NO_MATCH";

/// How much of the matched rule a denial shows, as in the reference. Its controls and preconditions always.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shows {
    Controls,
    Escalation,
    Candidates,
}

/// A question, the rule that matched it, and what follows from both.
struct Case<'a> {
    question: &'a Question,
    snapshot: &'a Snapshot,
    rule: &'a Rule,
    prepared: &'a Prepared,
    choice: Choice,
    /// The blast score that counts, when one is computed.
    score: Option<u8>,
    /// What the policy gate had to do with it, once it was passed or refused.
    gated: OnceCell<Gated>,
}

/// The verdict on a question under the snapshot of which it was asked.
#[must_use]
pub fn decide(question: &Question, snapshot: &Snapshot) -> Verdict {
    for (gate, rule_id) in BEFORE {
        if let Err(denial) = gate(question, snapshot) {
            return refused(denial, rule_id);
        }
    }
    let case = match Case::of(question, snapshot) {
        Ok(case) => case,
        Err(denial) => return refused(denial, NO_MATCH),
    };
    for (gate, shows) in AFTER {
        if let Err(denial) = gate(&case) {
            return case.denied(denial, *shows);
        }
    }
    case.permitted()
}

/// A denial before any rule matched.
fn refused(denial: Denial, rule_id: &str) -> Verdict {
    Verdict {
        outcome: Outcome::Deny,
        denial: Some(denial),
        matched_rule_id: Arc::from(rule_id),
        selected_species: None,
        worker_id: None,
        candidates: Arc::from([]),
        required_controls: Arc::new(BTreeSet::new()),
        recommended_profiles: Arc::from([]),
        escalation: Escalation::default(),
        preconditions: Preconditions::default(),
        blast_score: None,
        gated: Gated::default(),
        attestation_checked: false,
        attestation_valid: None,
        attested: None,
        events: vec![Event::TaskDenied],
    }
}

impl<'a> Case<'a> {
    /// A question with its rule and whoever would act; an error where no rule matches.
    fn of(question: &'a Question, snapshot: &'a Snapshot) -> Result<Self, Denial> {
        let (rule, prepared) = matching::rule(question, snapshot)?;
        let choice = worker::choose(question, snapshot, rule, prepared);
        let score = blast::score(question, snapshot, rule, &choice);
        Ok(Self { question, snapshot, rule, prepared, choice, score, gated: OnceCell::new() })
    }
}

impl Case<'_> {
    fn denied(&self, denial: Denial, shows: Shows) -> Verdict {
        let mut escalation = Escalation::default();
        if shows >= Shows::Escalation {
            escalation = self.rule.escalation.clone();
            // As in the reference, an envelope's reason stays with the denial.
            if denial.code != DenyCode::PrivilegeEnvelopeViolated
                && let Some(serde_json::Value::String(reason)) = denial.extras.get("reason")
            {
                escalation.rationale = Some(Arc::from(reason.as_str()));
            }
            escalation.human_required_default |=
                matches!(denial.code, DenyCode::RequiresHuman | DenyCode::RequiresHumanApproval);
        }
        let tampered = denial.code == DenyCode::WorkerTampered;
        let candidates = if shows == Shows::Candidates { Arc::clone(&self.choice.candidates) } else { Arc::from([]) };
        // What the policies let pass and a later gate refuses was not theirs to decide.
        let by_policies = matches!(denial.code, DenyCode::PolicyGate | DenyCode::RequiresHumanApproval);
        let held = denial.code == DenyCode::RequiresHumanApproval;
        Verdict {
            outcome: if held { Outcome::Hold } else { Outcome::Deny },
            candidates,
            required_controls: Arc::clone(&self.rule.controls),
            escalation,
            preconditions: self.rule.preconditions,
            blast_score: self.score.map(i64::from),
            gated: self.gated.get().filter(|_| by_policies).cloned().unwrap_or_default(),
            attestation_checked: tampered,
            attestation_valid: tampered.then_some(false),
            attested: attestation::seen(self),
            ..refused(denial, &self.rule.id)
        }
    }

    fn permitted(&self) -> Verdict {
        let Ok(chosen) = &self.choice.chosen else {
            // The worker gate has refused every case without a worker; should that ever change, this stays a no.
            return self.denied(Denial::new(DenyCode::InternalError, "no worker was chosen"), Shows::Escalation);
        };
        let attested = attestation::is_required(self);
        let mut events = Vec::with_capacity(6);
        events.extend(self.score.map(|_| Event::BlastScored));
        events.extend(envelope::is_required(self).then_some(Event::PrivilegeEnvelopeChecked));
        events.extend(attestation::is_skipped(self).then_some(Event::AttestationSkipped));
        events.extend([Event::TaskRouted, Event::WorkerSelected, Event::PolicyGated]);
        Verdict {
            outcome: Outcome::Dispatch,
            denial: None,
            matched_rule_id: Arc::clone(&self.rule.id),
            selected_species: Some(Arc::clone(&chosen.species)),
            worker_id: chosen.worker.clone(),
            candidates: Arc::clone(&self.choice.candidates),
            required_controls: Arc::clone(&self.rule.controls),
            recommended_profiles: Arc::clone(&self.rule.profiles),
            escalation: self.rule.escalation.clone(),
            preconditions: self.rule.preconditions,
            blast_score: self.score.map(i64::from),
            gated: self.gated.get().cloned().unwrap_or_default(),
            attestation_checked: attested,
            attestation_valid: attested.then_some(true),
            attested: attestation::seen(self),
            events,
        }
    }
}

impl Denial {
    fn new(code: DenyCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), extras: BTreeMap::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.extras.insert(name, value.into());
        self
    }
}

#[cfg(test)]
mod tests;
