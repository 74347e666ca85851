//! Why a verdict is what it is: what each gate said, the rule that matched, and the rules that nearly did.
//!
//! Nothing here knows the order of the gates: it listens to the one decision that there is.

use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::engine::decision::{DenyCode, Verdict};
use crate::engine::gates::{GateObserver, GateWord, cell, decide_before, names};
use crate::engine::policy_gate::Policies;
use crate::engine::question::{Capability, Question};
use crate::engine::rules::Rule;
use crate::engine::snapshot::Snapshot;
use crate::ids::SupervisorLevel;

/// The gate that asks the policies.
const POLICY: &str = "policy";
/// How many rules that nearly matched are named.
const NEAREST: usize = 3;

/// Why a verdict is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Every gate, in order.
    pub gates: Vec<GateReport>,
    /// The rule that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<MatchedRule>,
    /// The policies that were asked.
    #[serde(skip)]
    pub asked: Option<Policies>,
    /// When none matched: the rules that came nearest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nearest_rules: Vec<NearRule>,
    /// What to do about a denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
}

/// A gate, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateReport {
    /// Its name.
    pub gate: &'static str,
    /// What it said.
    pub said: GateFinding,
}

/// What a gate said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateFinding {
    /// It let the request pass; what there is to say about it.
    Passed(Option<String>),
    /// It refused.
    Refused(DenyCode, String),
    /// It wants a human of this level to agree, and every gate behind it was asked.
    WantsHuman(SupervisorLevel, String),
    /// A gate before it had refused.
    NotReached,
}

/// The rule that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MatchedRule {
    /// Its id.
    pub rule_id: Arc<str>,
    /// Its place among the rules, from 1.
    pub number: usize,
    /// How many rules there are.
    pub of: usize,
    /// The values that each field may have; a field that may have any is left out.
    #[serde(rename = "match", serialize_with = "as_map")]
    pub conditions: Vec<(&'static str, Vec<Arc<str>>)>,
}

/// A rule about the capability that missed the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NearRule {
    /// Its id.
    pub rule_id: Arc<str>,
    /// Its place among the rules, from 1.
    pub number: usize,
    /// The fields in which the request misses it.
    pub differs_in: Vec<&'static str>,
    /// The values that it takes in these.
    #[serde(serialize_with = "as_map")]
    pub takes: Vec<(&'static str, Vec<Arc<str>>)>,
    /// The same with what was asked for instead, in words.
    #[serde(skip)]
    pub in_words: String,
}

/// The verdict that [`decide`](crate::engine::decide) gives, and why; with the level of whoever has agreed, that of
/// [`decide_granted`](crate::engine::decide_granted).
#[must_use]
pub fn explain(question: &Question, snapshot: &Snapshot, granted: Option<SupervisorLevel>) -> (Verdict, Explanation) {
    let mut notes = Notes { snapshot, gates: Vec::new(), rule: None, asked: None };
    let verdict = decide_before(question, snapshot, granted, &mut notes);
    let Notes { mut gates, rule, asked, .. } = notes;
    for heard in &mut gates {
        if let GateFinding::Passed(note) = &mut heard.said {
            *note = remark(heard.gate, &verdict, rule.as_ref(), asked);
        }
    }
    let asked = asked.filter(|_| gates.iter().any(|heard| heard.gate == POLICY));
    let reached = gates.len();
    gates.extend(names().skip(reached).map(|gate| GateReport { gate, said: GateFinding::NotReached }));
    let code = verdict.denial.as_ref().map(|denial| denial.code);
    let nearest_rules = if code == Some(DenyCode::NoMatchingRule) { nearest(question, snapshot) } else { Vec::new() };
    (verdict, Explanation { gates, rule, asked, nearest_rules, remedy: code.map(DenyCode::remedy) })
}

impl Explanation {
    /// Why a request that could not be described is denied: no gate was reached.
    #[must_use]
    pub fn of_unacceptable() -> Self {
        let gates = names().map(|gate| GateReport { gate, said: GateFinding::NotReached }).collect();
        Self {
            gates,
            rule: None,
            asked: None,
            nearest_rules: Vec::new(),
            remedy: Some(DenyCode::InvalidInput.remedy()),
        }
    }
}

struct Notes<'a> {
    snapshot: &'a Snapshot,
    gates: Vec<GateReport>,
    rule: Option<MatchedRule>,
    asked: Option<Policies>,
}

impl GateObserver for Notes<'_> {
    fn gate(&mut self, gate: &'static str, said: GateWord<'_>) {
        let said = match said {
            GateWord::Passed => GateFinding::Passed(None),
            GateWord::Refused(denial) => GateFinding::Refused(denial.code, denial.message.clone()),
            GateWord::WantsHuman(denial, level) => GateFinding::WantsHuman(level, denial.message.clone()),
        };
        self.gates.push(GateReport { gate, said });
    }

    fn rule(&mut self, rule: &Rule, asked: Option<Policies>) {
        self.asked = asked;
        let rules = &self.snapshot.rules.rules;
        let number = rules.iter().position(|other| std::ptr::eq(other, rule)).map_or(0, |at| at + 1);
        let (rule_id, conditions) = (Arc::clone(&rule.id), rule.conditions());
        self.rule = Some(MatchedRule { rule_id, number, of: rules.len(), conditions });
    }
}

/// What there is to say about a gate that passed.
fn remark(gate: &str, verdict: &Verdict, rule: Option<&MatchedRule>, asked: Option<Policies>) -> Option<String> {
    match gate {
        "matching" => rule.map(|rule| format!("rule `{}`, number {} of {}", rule.rule_id, rule.number, rule.of)),
        "blast" => Some(match verdict.blast_score {
            Some(score) => format!("the score is {score}"),
            None => "no score is asked for here".to_owned(),
        }),
        POLICY => {
            let policies: Vec<String> = verdict.gated.policies.iter().map(|id| format!("`{id}`")).collect();
            match asked {
                None => Some("not asked".to_owned()),
                Some(Policies::Forbids) if policies.is_empty() => Some(
                    "none forbids it; permits are not asked, since the rule does not ask for the policy gate"
                        .to_owned(),
                ),
                Some(_) => (!policies.is_empty()).then(|| format!("by {}", policies.join(", "))),
            }
        }
        "worker" => match (&verdict.worker_id, &verdict.selected_species) {
            (Some(worker), Some(species)) => Some(format!("`{worker}` of species `{species}`")),
            (None, Some(species)) => Some(format!("a worker of species `{species}`")),
            _ => None,
        },
        _ => None,
    }
}

/// The rules about the capability, those first that the request misses in the fewest fields.
fn nearest(question: &Question, snapshot: &Snapshot) -> Vec<NearRule> {
    let capability = match &question.capability {
        Capability::Known(name) => &**name,
        Capability::Other | Capability::Malformed | Capability::Unlisted => "",
    };
    let cell = cell(question);
    let about = snapshot.rules.rules.iter().enumerate().filter(|(_, rule)| rule.is_about(capability));
    let mut near: Vec<NearRule> = about
        .map(|(at, rule)| {
            let misses = rule.misses(cell);
            NearRule {
                rule_id: Arc::clone(&rule.id),
                number: at + 1,
                differs_in: misses.iter().map(|miss| miss.field).collect(),
                takes: misses.into_iter().map(|miss| (miss.field, miss.takes)).collect(),
                in_words: rule.misses_in_words(cell),
            }
        })
        .collect();
    near.sort_by_key(|rule| rule.differs_in.len());
    near.truncate(NEAREST);
    near
}

impl Serialize for GateReport {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("gate", self.gate)?;
        match &self.said {
            GateFinding::Passed(note) => {
                map.serialize_entry("said", "passed")?;
                if let Some(note) = note {
                    map.serialize_entry("note", note)?;
                }
            }
            GateFinding::Refused(code, message) => {
                map.serialize_entry("said", "refused")?;
                map.serialize_entry("code", code.as_str())?;
                map.serialize_entry("message", message)?;
            }
            GateFinding::WantsHuman(level, message) => {
                map.serialize_entry("said", "wants a human")?;
                map.serialize_entry("supervisor_level", level.as_str())?;
                map.serialize_entry("message", message)?;
            }
            GateFinding::NotReached => map.serialize_entry("said", "not reached")?,
        }
        map.end()
    }
}

fn as_map<S: Serializer>(conditions: &[(&'static str, Vec<Arc<str>>)], s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(conditions.iter().map(|(field, values)| (field, values)))
}

/// For a human: one line a gate, then the rule, and what to do.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for GateReport { gate, said } in &self.gates {
            match said {
                GateFinding::Passed(None) => writeln!(f, "  {gate:<16} passed")?,
                GateFinding::Passed(Some(note)) => writeln!(f, "  {gate:<16} passed: {note}")?,
                GateFinding::Refused(code, message) => {
                    writeln!(f, "  {gate:<16} REFUSED {}: {message}", code.as_str())?
                }
                GateFinding::WantsHuman(level, message) => {
                    writeln!(f, "  {gate:<16} WANTS A HUMAN ({level}): {message}")?
                }
                GateFinding::NotReached => writeln!(f, "  {gate:<16} not reached")?,
            }
        }
        if let Some(rule) = &self.rule {
            let fields = rule.conditions.iter().map(|(field, values)| format!("{field} {}", values.join(" | ")));
            let fields: Vec<String> = fields.collect();
            let conditions = if fields.is_empty() { "everything".to_owned() } else { fields.join("; ") };
            writeln!(f, "  rule `{}` matches {conditions}", rule.rule_id)?;
        }
        for rule in &self.nearest_rules {
            writeln!(f, "  near: rule `{}` (number {}) takes {}", rule.rule_id, rule.number, rule.in_words)?;
        }
        if let Some(remedy) = self.remedy {
            writeln!(f, "  what to do: {remedy}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
