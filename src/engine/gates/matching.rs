//! The first rule that matches decides; no match denies. WCP_SPEC 5.1; reference router step 1.

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::question::{Capability, Question};
use crate::engine::rules::{Cells, Rule};
use crate::engine::snapshot::{Mode, Prepared, Snapshot};
use crate::ids::{DataLabel, QosClass, TenantRisk};

/// What of a question is matched besides its capability. A field that no rule reads matches with any value.
pub(crate) fn cell(question: &Question) -> Cells {
    Cells::of(
        question.env,
        question.label.unwrap_or(DataLabel::Restricted),
        question.tenant_risk.unwrap_or(TenantRisk::Critical),
        question.qos.unwrap_or(QosClass::P0),
    )
}

pub(super) fn rule<'a>(question: &Question, snapshot: &'a Snapshot) -> Result<(&'a Rule, &'a Prepared), Denial> {
    let capability = match &question.capability {
        Capability::Known(name) => Some(&**name),
        Capability::Other | Capability::Malformed | Capability::Unlisted => None,
    };
    let at = snapshot.rules.first_match(capability, cell(question));
    let found = at.and_then(|at| snapshot.rules.rules.get(at).zip(snapshot.prepared.get(at)));
    found.ok_or_else(|| Denial::new(DenyCode::NoMatchingRule, none_matches(capability, question, snapshot)))
}

/// What was asked and which rule came nearest; in reference mode what the reference says.
fn none_matches(capability: Option<&str>, question: &Question, snapshot: &Snapshot) -> String {
    if snapshot.settings.mode == Mode::Reference {
        return "no rule matches this capability_id with this env, data_label, tenant_risk and qos_class".to_owned();
    }
    let (said, cell) = (said(question, snapshot), cell(question));
    match snapshot.rules.nearest(capability, cell) {
        None => format!("no rule is about {said}"),
        Some(rule) => {
            let misses = rule.misses_in_words(cell);
            format!("no rule takes {said} like this: the nearest, `{}`, takes {misses}", rule.id)
        }
    }
}

/// The capability as a denial names it: where a rule does, so that a verdict depends on no name that nothing reads.
pub(super) fn said<'a>(question: &'a Question, snapshot: &Snapshot) -> &'a str {
    match &question.capability {
        Capability::Known(name) if snapshot.rules.names(name) => name,
        _ => "this capability",
    }
}
