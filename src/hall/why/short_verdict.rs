//! A verdict in a line: as `decide` says it, and as `replay` holds one against another.

use std::fmt;

use serde_json::json;

use crate::engine::Decision;
use crate::ledger::past::PastVerdict;

/// A verdict in short: what, why, by which rule, for whom.
#[derive(PartialEq)]
pub struct ShortVerdict<'a> {
    /// DISPATCH, DENY or STEWARD_HOLD.
    pub outcome: &'a str,
    /// Why not.
    pub code: Option<&'a str>,
    /// By which rule.
    pub rule: Option<&'a str>,
    /// For whom.
    pub species: Option<&'a str>,
}

impl<'a> ShortVerdict<'a> {
    /// That of a decision.
    #[must_use]
    pub fn of(decision: &'a Decision) -> Self {
        let verdict = &decision.verdict;
        Self {
            outcome: verdict.outcome.as_str(),
            code: verdict.denial.as_ref().map(|denial| denial.code.as_str()),
            rule: Some(&verdict.matched_rule_id),
            species: verdict.selected_species.as_deref(),
        }
    }

    /// That of a decision on record.
    #[must_use]
    pub fn of_past(said: &'a PastVerdict) -> Self {
        Self {
            outcome: &said.outcome,
            code: said.deny_code.as_deref(),
            rule: said.matched_rule_id.as_deref(),
            species: said.species.as_deref(),
        }
    }

    /// As an object, in the words of answers.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "outcome": self.outcome, "deny_code": self.code, "matched_rule_id": self.rule,
            "selected_worker_species_id": self.species,
        })
    }
}

impl fmt::Display for ShortVerdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.outcome)?;
        if let Some(code) = self.code {
            write!(f, " {code}")?;
        }
        if let Some(rule) = self.rule {
            write!(f, " by rule `{rule}`")?;
        }
        if let Some(species) = self.species {
            write!(f, " to `{species}`")?;
        }
        Ok(())
    }
}
