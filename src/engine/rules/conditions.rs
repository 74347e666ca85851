//! A rule's conditions in words, and in which of them a request misses it: for explanations, never for decisions.

use std::fmt::Display;
use std::sync::Arc;

use crate::ids::{DataLabel, Env, QosClass, TenantRisk};

use super::{Capabilities, Cells, Rule};

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

    /// Whether it is about this capability.
    pub(crate) fn is_about(&self, capability: &str) -> bool {
        match &self.capabilities {
            Capabilities::Any => true,
            Capabilities::Only(names) => names.contains(capability),
        }
    }

    /// The fields in which a request of this cell misses it.
    pub(crate) fn missed_in(&self, cell: Cells) -> Vec<&'static str> {
        let fields = FIELDS.into_iter().zip(self.cells.fields().into_iter().zip(cell.fields()));
        fields.filter(|(_, (admitted, asked))| admitted & asked == 0).map(|(field, _)| field).collect()
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
