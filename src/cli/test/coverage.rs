//! Coverage: which rules matched a case, which policies applied to one, and which way each of their conditions went.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::engine::policy_gate::{PolicyProbe, ProbedPolicy, Taken};
use crate::engine::{Explanation, RouteInput};
use crate::hall::why::Judge;

/// What was reached of a policy so far.
pub struct Coverage<'a> {
    judge: &'a Judge,
    probe: Option<Box<dyn PolicyProbe + 'a>>,
    /// The numbers of the rules that matched a case, from 1.
    rules: BTreeSet<usize>,
    taken: BTreeSet<Taken>,
}

/// How much there is, and how much of it was reached.
#[derive(Clone, Copy, Default)]
struct Share {
    reached: usize,
    of: usize,
}

impl Share {
    fn count(reached: impl Iterator<Item = bool>) -> Self {
        reached
            .fold(Self::default(), |Self { reached, of }, is| Self { reached: reached + usize::from(is), of: of + 1 })
    }
}

/// `3 of 4`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.reached, self.of)
    }
}

impl<'a> Coverage<'a> {
    /// Of nothing yet.
    pub fn of(judge: &'a Judge) -> Self {
        let probe = judge.snapshot.gate.as_ref().and_then(|gate| gate.probe());
        Self { judge, probe, rules: BTreeSet::new(), taken: BTreeSet::new() }
    }

    /// Takes a case in, which was decided for these reasons.
    pub fn take(&mut self, input: &RouteInput, why: &Explanation) {
        self.rules.extend(why.rule.as_ref().map(|rule| rule.number));
        // Only where the request came to the policies.
        if let (Some(probe), Some(_)) = (&self.probe, why.asked) {
            self.taken.extend(self.judge.taken(&**probe, input));
        }
    }

    /// Every rule with its number, and whether it matched a case.
    fn rules(&self) -> impl Iterator<Item = (usize, &Arc<str>, bool)> {
        let rules = self.judge.snapshot.rules.rules.iter().enumerate();
        rules.map(|(at, rule)| (at + 1, &rule.id, self.rules.contains(&(at + 1))))
    }

    /// Every policy, with whether it was asked, whether it applied, and of each condition what it never was.
    fn policies<'p>(&'p self) -> Vec<CoveredPolicy<'p>> {
        let policies: &'p [ProbedPolicy] = self.probe.as_ref().map_or(&[][..], |probe| probe.policies());
        let policy = |(at, policy): (usize, &'p ProbedPolicy)| {
            let ProbedPolicy { id, place, conditions, .. } = policy;
            let way = |number, is| self.taken.contains(&Taken::Condition(at, number, is));
            let conditions = conditions.iter().enumerate();
            let conditions = conditions.map(|(n, text)| (text, way(n, true), way(n, false))).collect();
            let [asked, applied] = [Taken::Asked(at), Taken::Applied(at)].map(|taken| self.taken.contains(&taken));
            CoveredPolicy { id, place, asked, applied, conditions }
        };
        policies.iter().enumerate().map(policy).collect()
    }

    fn shares(&self) -> [Share; 3] {
        let policies = self.policies();
        let branches = policies.iter().flat_map(|policy| &policy.conditions);
        [
            Share::count(self.rules().map(|(.., reached)| reached)),
            Share::count(policies.iter().map(|policy| policy.applied)),
            Share::count(branches.flat_map(|(_, yes, no)| [*yes, *no])),
        ]
    }

    /// How much of everything there is was reached, in whole percent; 100 only where all of it was.
    pub fn percent(&self) -> u64 {
        let (reached, of) =
            self.shares().iter().fold((0, 0), |(reached, of), share| (reached + share.reached, of + share.of));
        (100 * reached as u64).checked_div(of as u64).unwrap_or(100)
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let [rules, policies, branches] =
            self.shares().map(|Share { reached, of }| json!({ "reached": reached, "of": of }));
        let each_rule =
            self.rules().map(|(number, id, reached)| json!({ "rule_id": id, "number": number, "reached": reached }));
        let each_policy = self.policies().into_iter().map(|CoveredPolicy { id, place, asked, applied, conditions }| {
            let condition = |(text, yes, no)| json!({ "condition": text, "was_true": yes, "was_false": no });
            let conditions: Vec<Value> = conditions.into_iter().map(condition).collect();
            json!({ "policy": id, "place": place, "asked": asked, "applied": applied, "conditions": conditions })
        });
        json!({
            "percent": self.percent(), "rules": rules, "policies": policies, "branches": branches,
            "each_rule": each_rule.collect::<Vec<_>>(), "each_policy": each_policy.collect::<Vec<_>>(),
        })
    }
}

/// What was reached of a policy.
struct CoveredPolicy<'a> {
    id: &'a Arc<str>,
    place: &'a Arc<str>,
    asked: bool,
    applied: bool,
    /// Each condition, whether it was true, and whether it was false.
    conditions: Vec<(&'a Arc<str>, bool, bool)>,
}

/// For a human: what was not reached, and then how much was.
impl fmt::Display for Coverage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, id, _) in self.rules().filter(|(.., reached)| !reached) {
            writeln!(f, "not covered: rule `{id}` (number {number}) matches no case")?;
        }
        for CoveredPolicy { id, place, asked, applied, conditions } in self.policies() {
            let policy = format!("policy `{id}` ({place})");
            if !asked {
                writeln!(f, "not covered: {policy} is never asked")?;
                continue;
            }
            if !applied {
                writeln!(f, "not covered: {policy} never applies")?;
            }
            for (condition, yes, no) in conditions {
                let never = match (yes, no) {
                    (true, true) => continue,
                    (true, false) => "is never false",
                    (false, true) => "is never true",
                    (false, false) => "is never looked at",
                };
                writeln!(f, "not covered: {policy}: `{condition}` {never}")?;
            }
        }
        let [rules, policies, branches] = self.shares();
        write!(f, "{}% is covered: {rules} rules, {policies} policies, {branches} branches", self.percent())
    }
}
