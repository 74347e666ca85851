//! The rules: read and checked at load, indexed by capability, first match wins (WCP_SPEC 5.1).

mod conditions;
mod index;
mod read;
mod shadows;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::decision::{Escalation, Preconditions};
use crate::engine::json::{Elements, Finding, Json, LineIndex, path_text};
use crate::engine::{Mode, artifact};
use crate::ids::{DataLabel, Digest, Env, QosClass, TenantRisk};

use index::RuleIndex;

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

/// A candidate of a rule, as the rule writes it.
#[derive(Debug, Clone)]
pub(crate) struct RuleCandidate {
    pub(crate) species: Arc<str>,
    pub(crate) score_hint: Option<Json>,
    /// The controls that its worker must implement, whatever the rule requires (strict, S1).
    pub(crate) controls_minimum: BTreeSet<Arc<str>>,
    /// The same, verbatim.
    pub(crate) requires_controls_minimum: Option<Json>,
}

/// The values that each field of a request may have.
pub type FieldValues = Vec<(&'static str, Vec<Arc<str>>)>;

/// Which capabilities a rule is about.
#[derive(Debug, Clone)]
pub(crate) enum Capabilities {
    Any,
    Only(BTreeSet<Arc<str>>),
}

/// What of a request a rule is matched with besides its capability: one bit for each value of four fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cells(u16);

impl Cells {
    /// Nothing.
    const NONE: Self = Self(0);

    /// The one cell of a request.
    pub(crate) fn of(env: Env, label: DataLabel, risk: TenantRisk, qos: QosClass) -> Self {
        Self(1 << env as u16 | 16 << label as u16 | 256 << risk as u16 | 4096 << qos as u16)
    }

    /// From the admitted values of environment, label, risk and class, one bit each.
    const fn from_fields([env, label, risk, qos]: [u16; 4]) -> Self {
        Self(env | label << 4 | risk << 8 | qos << 12)
    }

    /// Whether environment, label, risk and class are constrained at all.
    pub(crate) fn constrains(self) -> [bool; 4] {
        self.fields().map(|values| values != 15)
    }

    const fn fields(self) -> [u16; 4] {
        [self.0 & 15, self.0 >> 4 & 15, self.0 >> 8 & 15, self.0 >> 12]
    }

    const fn contains(self, cell: Self) -> bool {
        self.0 & cell.0 == cell.0
    }

    /// Whether one of the fields has no value left, so that nothing matches.
    fn is_empty(self) -> bool {
        self.fields().contains(&0)
    }
}

/// One rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: Arc<str>,
    pub(crate) capabilities: Capabilities,
    pub(crate) cells: Cells,
    /// The blast score is computed in every environment.
    pub(crate) scores_blast: bool,
    /// A privilege envelope is required.
    pub(crate) needs_envelope: bool,
    pub(crate) candidates: Vec<RuleCandidate>,
    pub(crate) controls: Arc<BTreeSet<Arc<str>>>,
    pub(crate) profiles: Arc<[Json]>,
    pub(crate) escalation: Escalation,
    pub(crate) preconditions: Preconditions,
    /// The highest blast score that the rule lets pass, in every environment (strict, S6).
    pub(crate) max_blast: Option<u8>,
    /// The digest of the rule as a value, however the file lays it out.
    pub(crate) digest: Digest,
}

impl Rule {
    /// What stands in the place of a rule where none matches: it demands nothing, and nobody is its candidate.
    pub(crate) fn none(id: &str) -> Self {
        Self {
            id: Arc::from(id),
            capabilities: Capabilities::Any,
            cells: Cells(u16::MAX),
            scores_blast: false,
            needs_envelope: false,
            candidates: Vec::new(),
            controls: Arc::default(),
            profiles: Arc::from([]),
            escalation: Escalation::default(),
            preconditions: Preconditions { must_have_correlation_id: false, ..Preconditions::default() },
            max_blast: None,
            digest: Digest::of(id.as_bytes()),
        }
    }
}

/// The rules of a policy, in order.
#[derive(Debug, Clone)]
pub struct RuleSet {
    pub(crate) mode: Mode,
    pub(crate) rules: Vec<Rule>,
    /// The rules that can never match, as the reference finds them. In strict mode such a set does not load.
    pub(crate) shadowed: Vec<Arc<str>>,
    /// The digest of the rules as values, however the file lays them out.
    pub(crate) digest: Digest,
    index: RuleIndex,
}

impl RuleSet {
    /// Reads a rules file: `{"rules": [{"rule_id", "match", "decision"}]}`.
    ///
    /// # Errors
    /// Every problem at once, in the order of the file.
    pub fn parse(text: &str, mode: Mode) -> Result<Self, Vec<RuleProblem>> {
        let lines = LineIndex::of(text);
        let document = Json::parse(text.as_bytes()).map_err(|error| {
            let (line, column) = lines.place_of(&error);
            let help = "correct the file's JSON".to_owned();
            vec![RuleProblem { line, column, path: error.path, message: error.message, help }]
        })?;
        let (rules, mut findings) = read::rules(&document, mode);
        let (index, never_matching) = RuleIndex::build(&rules);
        let shadowed = match mode {
            Mode::Reference => shadows::as_the_reference_finds_them(&document),
            Mode::Strict => {
                findings.extend(never_matching.iter().map(|shadow| shadow.finding(&rules)));
                Vec::new()
            }
        };
        if !findings.is_empty() {
            return Err(placed(&lines, findings));
        }
        let mut canonical = String::new();
        artifact::python_json(
            document.as_object().and_then(|file| file.get("rules")).unwrap_or(&Json::Null),
            &mut canonical,
        );
        Ok(Self { mode, rules, shadowed, digest: Digest::of(canonical.as_bytes()), index })
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none: then everything is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules in their order: the id of each, and the values that each field may have; a field that may have any is left out.
    pub fn listed(&self) -> impl Iterator<Item = (Arc<str>, FieldValues)> {
        self.rules.iter().map(|rule| (Arc::clone(&rule.id), rule.conditions()))
    }

    /// The capability as a rule names it; `None` when no rule names it.
    #[must_use]
    pub fn known_capability(&self, capability: &str) -> Option<Arc<str>> {
        self.index.known(capability)
    }

    /// Whether a rule names this capability.
    pub(crate) fn names(&self, capability: &str) -> bool {
        self.index.names(capability)
    }

    /// Where in the rules the first match is. `None` as capability is one that no rule names.
    pub(crate) fn first_match(&self, capability: Option<&str>, cell: Cells) -> Option<usize> {
        self.index.first_match(capability, cell)
    }
}

/// Findings with their places, in the order of the file.
fn placed(lines: &LineIndex<'_>, findings: Vec<Finding>) -> Vec<RuleProblem> {
    let elements = Elements::of(lines, "rules");
    let place = |finding: Finding| {
        let (line, column) = elements.place(lines, &finding.steps);
        RuleProblem { line, column, path: path_text(&finding.steps), message: finding.message, help: finding.help }
    };
    let mut problems: Vec<_> = findings.into_iter().map(place).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

#[cfg(test)]
mod tests;
