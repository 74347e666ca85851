//! A rule's conditions in words, and in which of them a request misses it: for explanations, never for decisions.

use std::fmt::Display;
use std::sync::Arc;

use crate::ids::{DataLabel, Env, QosClass, TenantRisk};

use super::{Capabilities, Cells, Rule, RuleSet};

/// The fields that a rule is matched with besides the capability, in the order of [`Cells`].
const FIELDS: [&str; 4] = ["env", "data_label", "tenant_risk", "qos_class"];

impl Rule {
    /// The values that each field may have. A field that may have any is left out.
    pub(crate) fn conditions(&self) -> Vec<(&'static str, Vec<Arc<str>>)> {
        let mut conditions = Vec::new();
        if let Capabilities::Only(names) = &self.capabilities {
            conditions.push(("capability_id", names.iter().map(Arc::clone).collect()));
        }
        for (field, (bits, constrained)) in
            FIELDS.into_iter().zip(self.cells.fields().into_iter().zip(self.cells.constrains()))
        {
            if constrained {
                conditions.push((field, admitted(field, bits)));
            }
        }
        conditions
    }

    /// The capabilities that it names; none when it is for any.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Arc<str>> {
        let named = match &self.capabilities {
            Capabilities::Any => None,
            Capabilities::Only(names) => Some(names),
        };
        named.into_iter().flatten()
    }

    /// Whether it matches anything in an environment.
    pub(crate) fn is_for(&self, env: Env) -> bool {
        let [envs, ..] = self.cells.fields();
        envs >> env as u16 & 1 == 1
    }

    /// Whether it is about this capability.
    pub(crate) fn is_about(&self, capability: &str) -> bool {
        match &self.capabilities {
            Capabilities::Any => true,
            Capabilities::Only(names) => names.contains(capability),
        }
    }

    /// The fields in which a request of this cell misses it, in words: `data_label PUBLIC or INTERNAL, not RESTRICTED`.
    pub(crate) fn misses_in_words(&self, cell: Cells) -> String {
        let words = self.misses(cell).into_iter().map(|Miss { field, takes, asked }| {
            let asked: Vec<String> = asked.iter().map(|value| format!("not {value}")).collect();
            format!("{field} {}, {}", takes.join(" or "), asked.join(", "))
        });
        words.collect::<Vec<_>>().join("; ")
    }

    /// The fields in which a request of this cell misses it.
    pub(crate) fn misses(&self, cell: Cells) -> Vec<Miss> {
        let fields = FIELDS.into_iter().zip(self.cells.fields().into_iter().zip(cell.fields()));
        let missed = fields.filter(|(_, (admitted, asked))| admitted & asked == 0);
        missed
            .map(|(field, (takes, asked))| Miss { field, takes: admitted(field, takes), asked: admitted(field, asked) })
            .collect()
    }

    /// In how many fields a request of this cell misses it.
    fn distance(&self, cell: Cells) -> usize {
        self.cells.fields().into_iter().zip(cell.fields()).filter(|(admitted, asked)| admitted & asked == 0).count()
    }
}

/// A field in which a request misses a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Miss {
    pub(crate) field: &'static str,
    /// The values that the rule takes.
    pub(crate) takes: Vec<Arc<str>>,
    /// The one that is asked for.
    pub(crate) asked: Vec<Arc<str>>,
}

impl RuleSet {
    /// The rule about a capability that a request of this cell misses in the fewest fields. `None` as capability is one that no
    /// rule names. What the index leaves out is no nearer than what it covers.
    pub(crate) fn nearest(&self, capability: Option<&str>, cell: Cells) -> Option<&Rule> {
        let about = self.index.about(capability).filter_map(|at| self.rules.get(at));
        about.min_by_key(|rule| rule.distance(cell))
    }
}

fn admitted(field: &str, bits: u16) -> Vec<Arc<str>> {
    fn named<T: Display>(all: &[T], bits: u16) -> Vec<Arc<str>> {
        let set = all.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
        set.map(|(_, value)| Arc::from(value.to_string())).collect()
    }
    match field {
        "env" => named(Env::ALL, bits),
        "data_label" => named(DataLabel::ALL, bits),
        "tenant_risk" => named(TenantRisk::ALL, bits),
        _ => named(QosClass::ALL, bits),
    }
}
