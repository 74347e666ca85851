//! The rules: read and checked at load, indexed by capability, first match wins (WCP_SPEC 5.1).

use std::sync::Arc;

use crate::engine::Mode;

/// A problem in a rules file, with its place and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Where, such as `rules[3].match.env`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

/// The rules of a policy, in order.
#[derive(Debug, Clone)]
pub struct RuleSet {}

impl RuleSet {
    /// Reads a rules file.
    ///
    /// # Errors
    /// Every problem at once, in the order of the file.
    pub fn parse(text: &str, mode: Mode) -> Result<Self, Vec<RuleProblem>> {
        let _ = (text, mode);
        todo!()
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there are none: then everything is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The capability as a rule names it; `None` when no rule names it.
    #[must_use]
    pub fn known_capability(&self, capability: &str) -> Option<Arc<str>> {
        let _ = capability;
        todo!()
    }
}
