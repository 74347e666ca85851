//! Privilege envelopes: whoever acts may send no further than the policy lets it. WCP_SPEC 5.6; reference router step 6.7.
//!
//! As in the reference, destinations are held against the allow-list for RESTRICTED data in production only. Strict also
//! refuses whoever declares no envelope (S3).

use crate::engine::decision::{Denial, DenyCode};
use crate::engine::snapshot::{Acting, Mode};
use crate::ids::DataLabel;

use super::Case;

pub(super) fn is_required(case: &Case<'_>) -> bool {
    case.rule.needs_envelope || case.snapshot.settings.enforce_privilege_envelopes
}

pub(super) fn gate(case: &Case<'_>) -> Result<(), Denial> {
    let Ok(chosen) = &case.choice.chosen else { return Ok(()) };
    if !is_required(case) {
        return Ok(());
    }
    for acting in chosen.acting.iter() {
        let Err(reason) = check(case, acting) else { continue };
        let message = format!("the privilege envelope of `{}` does not hold here: {reason}", acting.who);
        return Err(Denial::new(DenyCode::PrivilegeEnvelopeViolated, message)
            .with("reason", reason)
            .with("worker_species_id", chosen.species.as_deref()));
    }
    Ok(())
}

fn check(case: &Case<'_>, acting: &Acting) -> Result<(), String> {
    let settings = &case.snapshot.settings;
    let egress = match &acting.envelope {
        Some(envelope) => &envelope.egress[..],
        None if settings.mode == Mode::Strict => return Err("no_envelope_declared".to_owned()),
        None => &[],
    };
    let env = case.question.env;
    let restricted = case.question.label == Some(DataLabel::Restricted);
    if !env.is_production() || !restricted || egress.is_empty() {
        return Ok(());
    }
    let Some(allowed) = settings.egress_allowlist.get(&env).filter(|allowed| !allowed.is_empty()) else {
        return Err("egress_denied_no_allowlist_configured".to_owned());
    };
    match egress.iter().find(|destination| !allowed.contains(&***destination)) {
        Some(destination) => Err(format!("egress_not_allowlisted:{destination}")),
        None => Ok(()),
    }
}
