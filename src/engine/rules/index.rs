//! The index of the rules: for each capability the few rules that can be the first to match, worked out at load.
//!
//! Besides its capability a request has one of 4 × 4 × 4 × 4 cells. A rule that adds no cell to what the rules before it
//! cover can never be first: it is left out here, and it is what shadow detection by sets looks for, unions included.
//! So the cost of a match is bounded by the cells and does not grow with the number of rules.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::engine::json::{Finding, Step};

use super::{Capabilities, Cells, Rule};

/// A rule that can be first for some cell of a capability.
#[derive(Debug, Clone, Copy)]
struct Entry {
    cells: Cells,
    rule: usize,
}

#[derive(Debug, Clone)]
pub(super) struct RuleIndex {
    named: HashMap<Arc<str>, Box<[Entry]>>,
    /// For every capability that no rule names.
    others: Box<[Entry]>,
}

/// A rule that can never match, and the first of those that take all it would match.
#[derive(Debug)]
pub(super) struct Shadow {
    pub(super) rule: usize,
    pub(super) by: Vec<usize>,
}

impl RuleIndex {
    pub(super) fn build(rules: &[Rule]) -> (Self, Vec<Shadow>) {
        let mut any = Vec::new();
        let mut by_name: BTreeMap<&Arc<str>, Vec<Entry>> = BTreeMap::new();
        for (rule, Rule { capabilities, cells, .. }) in
            rules.iter().enumerate().filter(|(_, rule)| !rule.cells.is_empty())
        {
            let entry = Entry { cells: *cells, rule };
            match capabilities {
                Capabilities::Any => any.push(entry),
                Capabilities::Only(names) => {
                    for name in names {
                        by_name.entry(name).or_default().push(entry);
                    }
                }
            }
        }
        let mut unseen: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut seen = vec![false; rules.len()];
        let others = effective(any.into_iter(), &mut seen, &mut unseen);
        let named = by_name
            .into_iter()
            .map(|(name, mut entries)| {
                entries.extend(&others);
                entries.sort_unstable_by_key(|entry| entry.rule);
                (Arc::clone(name), effective(entries.into_iter(), &mut seen, &mut unseen))
            })
            .collect();
        let shadowed = unseen.into_iter().filter(|(rule, _)| seen.get(*rule) == Some(&false));
        (Self { named, others }, shadowed.map(|(rule, by)| Shadow { rule, by }).collect())
    }

    pub(super) fn known(&self, capability: &str) -> Option<Arc<str>> {
        self.named.get_key_value(capability).map(|(name, _)| Arc::clone(name))
    }

    pub(super) fn names(&self, capability: &str) -> bool {
        self.named.contains_key(capability)
    }

    pub(super) fn first_match(&self, capability: Option<&str>, cell: Cells) -> Option<usize> {
        self.entries(capability).iter().find(|entry| entry.cells.contains(cell)).map(|entry| entry.rule)
    }

    /// The rules that can be the first to match a capability, in their order.
    pub(super) fn about(&self, capability: Option<&str>) -> impl Iterator<Item = usize> {
        self.entries(capability).iter().map(|entry| entry.rule)
    }

    fn entries(&self, capability: Option<&str>) -> &[Entry] {
        capability.and_then(|name| self.named.get(name)).unwrap_or(&self.others)
    }
}

/// Those of the entries, in rule order, that add a cell to what comes before them. Notes the others with what covers them.
fn effective(
    entries: impl Iterator<Item = Entry>,
    seen: &mut [bool],
    unseen: &mut BTreeMap<usize, Vec<usize>>,
) -> Box<[Entry]> {
    let mut covered = [0_u64; 4];
    let mut kept: Vec<Entry> = Vec::new();
    for entry in entries {
        let region = region(entry.cells);
        if region.iter().zip(&covered).any(|(new, old)| new & !old != 0) {
            covered.iter_mut().zip(region).for_each(|(old, new)| *old |= new);
            kept.push(entry);
            if let Some(seen) = seen.get_mut(entry.rule) {
                *seen = true;
            }
        } else {
            let overlaps = |other: &&Entry| self::region(other.cells).iter().zip(region).any(|(a, b)| a & b != 0);
            unseen.entry(entry.rule).or_insert_with(|| kept.iter().filter(overlaps).map(|other| other.rule).collect());
        }
    }
    kept.into_boxed_slice()
}

/// The cells as bits: one word an environment; in it label, risk and class.
fn region(cells: Cells) -> [u64; 4] {
    let [envs, labels, risks, classes] = cells.fields();
    let spread = |values: u16, width: u32, unit: u64| {
        (0..4).filter(|bit| values >> bit & 1 == 1).fold(0_u64, |word, bit| word | unit << (bit * width))
    };
    let word = spread(labels, 16, spread(risks, 4, u64::from(classes)));
    [0, 1, 2, 3].map(|env| if envs >> env & 1 == 1 { word } else { 0 })
}

impl Shadow {
    /// Says which rule never matches, and which rules take its place.
    pub(super) fn finding(&self, rules: &[Rule]) -> Finding {
        let named = |at: &usize| rules.get(*at).map_or_else(String::new, |rule| format!("`{}`", rule.id));
        let by: Vec<_> = self.by.iter().take(3).map(named).collect();
        let more = if self.by.len() > 3 { " and others" } else { "" };
        Finding {
            steps: vec![Step::from("rules"), Step::At(self.rule)],
            message: format!(
                "{} can never match: {}{more} before it take every request",
                named(&self.rule),
                by.join(", ")
            ),
            help: "remove it, move it up, or narrow the rules before it".into(),
        }
    }
}
