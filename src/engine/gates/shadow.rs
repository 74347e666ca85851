//! In production, a rule set with rules that can never match denies everything. Reference router step 0.5.
//!
//! In strict mode such a set does not load, so this gate has nothing to find there.

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::question::Question;
use crate::engine::snapshot::Snapshot;

pub(super) fn gate(question: &Question, snapshot: &Snapshot) -> Result<(), Denial> {
    let shadowed = &snapshot.rules.shadowed;
    if shadowed.is_empty() || !question.env.is_production() {
        return Ok(());
    }
    let ids: Vec<&str> = shadowed.iter().map(|id| &**id).collect();
    let first = ids.first().copied().unwrap_or_default();
    let message = format!("the rule set holds rules that earlier rules shadow, the first of them `{first}`");
    Err(Denial::new(DenyCode::ShadowRulesDetected, message)
        .with("shadow_count", ids.len())
        .with("shadowed_rule_ids", ids))
}
