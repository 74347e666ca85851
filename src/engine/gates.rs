//! The gates, in the order in which a request passes them (WCP_SPEC 5). The first that refuses decides.
//!
//! In strict mode a gate that wants a human refuses nothing: the gates behind it are asked all the same, and what they deny is denied.
//! A hold is what is left when nothing else says no; whoever agrees to it cannot have agreed to what is denied anyhow.

mod attestation;
mod blast;
mod caller;
mod catalogue;
mod controls;
mod correlation;
mod envelope;
mod human;
mod input;
mod matching;
mod observe;
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
use crate::engine::policy_gate::{Asked, Policies};
use crate::engine::rules::Rule;
use crate::engine::snapshot::{Prepared, Snapshot};
use crate::ids::SupervisorLevel;
use human::Hold;

pub use attestation::whose_code;
pub use human::basis;
pub(crate) use matching::cell;
use worker::Choice;

/// The gates before a rule is looked for, each with what stands in the rule id's place when it refuses.
type Before = fn(&Question, &Snapshot) -> Result<(), Denial>;
const BEFORE: &[(&str, Before, &str)] = &[
    ("caller", caller::gate, PRE_ROUTING),
    ("tenant", tenant::gate, PRE_ROUTING),
    ("input", input::gate, PRE_ROUTING),
    ("catalogue", catalogue::gate, PRE_ROUTING),
    ("worker_required", worker_required::gate, PRE_ROUTING),
    ("shadow", shadow::gate, NO_MATCH),
];

/// The gate that looks for the rule.
const MATCHING: &str = "matching";

/// The gates once a rule has matched, each with how much of the rule its denial shows.
type After = fn(&Case<'_>) -> Result<(), Denial>;
const AFTER: &[(&str, After, Shows)] = &[
    ("correlation", correlation::gate, Shows::Controls),
    ("controls", controls::gate, Shows::Controls),
    ("blast", blast::gate, Shows::Escalation),
    ("policy", policy::gate, Shows::Escalation),
    ("worker", worker::gate, Shows::Candidates),
    ("attestation", attestation::gate, Shows::Escalation),
    ("envelope", envelope::gate, Shows::Escalation),
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
    decide_before(question, snapshot, None, &mut ())
}

/// The verdict now that a human of this level has agreed: a dispatch, unless anything but the wish for a human stands against it, or
/// somebody above them is wanted. In reference mode nothing is agreed to.
#[must_use]
pub fn decide_granted(question: &Question, snapshot: &Snapshot, granted: SupervisorLevel) -> Verdict {
    decide_before(question, snapshot, Some(granted), &mut ())
}

/// Who hears what each gate says. [`decide`] has `()` listen, which is compiled away.
pub(crate) trait GateObserver {
    /// A gate was reached.
    fn gate(&mut self, name: &'static str, said: GateWord<'_>);
    /// This rule matched, and these policies are asked unless a gate before them refuses.
    fn rule(&mut self, rule: &Rule, asked: Option<Policies>);
}

/// What a gate said.
#[derive(Debug, Clone, Copy)]
pub(crate) enum GateWord<'a> {
    /// It let the request pass.
    Passed,
    /// It refused.
    Refused(&'a Denial),
    /// It wants a human of this level to agree.
    WantsHuman(&'a Denial, SupervisorLevel),
}

impl<'a> GateWord<'a> {
    /// Of a gate that can only pass or refuse.
    fn of<T>(said: &'a Result<T, Denial>) -> Self {
        said.as_ref().err().map_or(Self::Passed, Self::Refused)
    }
}

impl GateObserver for () {
    fn gate(&mut self, _: &'static str, _: GateWord<'_>) {}
    fn rule(&mut self, _: &Rule, _: Option<Policies>) {}
}

/// The names of all gates, in order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    BEFORE.iter().map(|gate| gate.0).chain([MATCHING]).chain(AFTER.iter().map(|gate| gate.0))
}

/// The verdict, with somebody listening; `granted` is the level of whoever has agreed.
pub(crate) fn decide_before(
    question: &Question,
    snapshot: &Snapshot,
    granted: Option<SupervisorLevel>,
    listener: &mut impl GateObserver,
) -> Verdict {
    for (name, gate, rule_id) in BEFORE {
        let said = gate(question, snapshot);
        listener.gate(name, GateWord::of(&said));
        if let Err(denial) = said {
            return refused(denial, rule_id);
        }
    }
    let found = Case::of(question, snapshot);
    listener.gate(MATCHING, GateWord::of(&found));
    let case = match found {
        Ok(case) => case,
        Err(denial) => return observe::verdict(question, snapshot, None, 0, refused(denial, NO_MATCH), listener),
    };
    listener.rule(case.rule, policy::asked(&case));
    let mut hold: Option<Hold> = None;
    for (at, (name, gate, shows)) in AFTER.iter().enumerate() {
        let said = gate(&case);
        let Err(denial) = said else {
            listener.gate(name, GateWord::Passed);
            continue;
        };
        let Some(level) = human::wanted(&case, &denial) else {
            listener.gate(name, GateWord::Refused(&denial));
            let denied = case.denied(denial, *shows);
            return observe::verdict(question, snapshot, Some(case), at + 1, denied, listener);
        };
        listener.gate(name, GateWord::WantsHuman(&denial, level));
        hold = Some(Hold::stricter(hold, denial, level));
    }
    match hold {
        Some(hold) if granted.is_none_or(|granted| granted < hold.level) => {
            let held = case.held(hold);
            observe::verdict(question, snapshot, Some(case), AFTER.len(), held, listener)
        }
        Some(hold) => case.agreed_to(hold.level),
        None => case.permitted(),
    }
}

/// Gives what the policies are asked about a question, when a rule matches it and asks them.
pub fn with_asked<T>(
    question: &Question,
    snapshot: &Snapshot,
    to: impl FnOnce(Policies, &Asked<'_>) -> T,
) -> Option<T> {
    let case = Case::of(question, snapshot).ok()?;
    policy::asked(&case).map(|policies| policy::put(&case, |asked| to(policies, asked)))
}

/// The verdict on a request that no gate is asked about, because there is too much to do.
#[must_use]
pub fn shed(why: String) -> Verdict {
    refused(Denial::new(DenyCode::Overloaded, why), PRE_ROUTING)
}

/// A denial before any rule matched.
fn refused(denial: Denial, rule_id: &str) -> Verdict {
    Verdict {
        outcome: Outcome::Deny,
        denial: Some(denial),
        would_be: None,
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
        Ok(Self::with(question, snapshot, rule, prepared, choice))
    }

    fn with(
        question: &'a Question,
        snapshot: &'a Snapshot,
        rule: &'a Rule,
        prepared: &'a Prepared,
        choice: Choice,
    ) -> Self {
        let score = blast::score(question, snapshot, rule, &choice);
        Self { question, snapshot, rule, prepared, choice, score, gated: OnceCell::new() }
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
        // As in the reference, where nobody can agree: in strict mode no gate denies so.
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
            would_be: None,
            matched_rule_id: Arc::clone(&self.rule.id),
            selected_species: chosen.species.clone(),
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
