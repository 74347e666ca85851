//! Lints of who is asked: sections and tokens that are there, and ask nobody or not whom they seem to.

use crate::engine::Mode;
use crate::hall::{Scope, Token};

use super::tokens::key;
use super::{At, Finding, Findings, Loaded};

fn approvers<'a>(loaded: &'a Loaded<'_>) -> impl Iterator<Item = (usize, &'a Token)> {
    loaded.tokens.iter().enumerate().filter(|(_, token)| token.may(Scope::Approve))
}

/// Humans could be asked, and in reference mode nothing is held for anybody.
pub(super) fn in_reference_mode(loaded: &Loaded<'_>) -> Findings {
    let settings = &loaded.snapshot.settings;
    if settings.approvals.is_none() || settings.mode == Mode::Strict {
        return Findings::default();
    }
    let message = "asks nobody in `policy.mode: reference`: what wants a human is denied, as the reference does";
    let help = "write `mode: strict`, or remove the section";
    Findings::one(Finding::new(At::Key("approvals".to_owned()), message, help))
}

/// A token may agree, and nobody is asked.
pub(super) fn nobody_is_asked(loaded: &Loaded<'_>) -> Findings {
    if loaded.snapshot.settings.approvals.is_some() {
        return Findings::default();
    }
    let finding = |(at, _)| {
        let message = "has `approve`, and there is no `approvals`: what wants a human is denied";
        Finding::new(
            At::Key(format!("{}.scopes", key(loaded, at))),
            message,
            "add `approvals: {}`, or remove the scope",
        )
    };
    approvers(loaded).map(finding).collect()
}

/// A token may agree, and it is not said who answers for it: whoever has two of those may be asked what they ask themselves.
pub(super) fn without_owner(loaded: &Loaded<'_>) -> Findings {
    if loaded.snapshot.settings.approvals.is_none() {
        return Findings::default();
    }
    let finding = |(at, _)| {
        let message = "may agree, and has no `owner`: it counts as somebody else than whoever asks, also where it is the same person";
        let help = "say who answers for it, here and at the tokens that ask, such as `owner: ann`";
        Finding::new(At::Key(key(loaded, at)), message, help)
    };
    approvers(loaded).filter(|(_, token)| token.owner.is_none()).map(finding).collect()
}
