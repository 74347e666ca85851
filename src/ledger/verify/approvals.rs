//! Approvals: each dispatch that rests on one was agreed to, by somebody who could, before it was over, for the same, and once.
//!
//! What was asked for before the first entry that is looked at, or in another log, cannot be judged here: it is counted.

use std::collections::HashMap;

use serde_json::Value;

use super::fault::{Fault, fault, text};
use crate::ids::Digest;

/// Levels and labels, from the lowest up.
const LEVELS: [&str; 4] = ["advisory", "gatekeeper", "executor", "incident_commander"];
const LABELS: [&str; 4] = ["PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED"];

/// What is known of the approvals so far.
#[derive(Default)]
pub(super) struct ApprovalCheck {
    known: HashMap<String, Known>,
    /// Steps and spendings.
    pub(super) steps: u64,
    /// Dispatches that rest on one.
    pub(super) spent: u64,
    /// Of these, those that were agreed to where it is not looked at.
    pub(super) elsewhere: u64,
}

struct Known {
    digest: String,
    basis: String,
    level: usize,
    label: usize,
    owner: Option<String>,
    expires_at: String,
    /// Who has agreed: the credential, and who answers for it.
    votes: Vec<(String, String)>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Pending,
    /// By the entry of this hash.
    Approved(String),
    /// Nothing more may become of it.
    Over(&'static str),
}

impl ApprovalCheck {
    /// Checks what a decision says of an approval, if it says anything.
    pub(super) fn decision(&mut self, entry: &Value) -> Result<(), Fault> {
        let Some(mark) = entry.get("approval") else { return Ok(()) };
        let (id, digest) = (text(mark, "id")?, digest(mark, "digest")?);
        let (basis, level) = (self::digest(mark, "basis")?, place(&LEVELS, text(mark, "level")?, "approval.level")?);
        let expires_at = text(mark, "expires_at")?;
        let spends = mark.get("receipt_hash").is_some();
        if spends != (text(entry, "policy_decision")? == "ALLOW") {
            return fault("approval", "is not spent by what was let through, or spent by what was not");
        }
        if !spends {
            if text(entry, "policy_decision")? != "REQUIRE_HUMAN" {
                return fault("approval", "is asked for by what is not held");
            }
            match self.known.get(id) {
                // Somebody may have escalated it, or agreed, before this was written.
                Some(known) if known.digest != digest || known.basis != basis => {
                    return fault("approval.digest", "is not what was asked for under this id before");
                }
                Some(_) => return Ok(()),
                None => {}
            }
            let label = place(&LABELS, text(entry, "data_label")?, "data_label")?;
            let owner = mark.get("owner").and_then(Value::as_str).map(str::to_owned);
            let (digest, basis, expires_at) = (digest.to_owned(), basis.to_owned(), expires_at.to_owned());
            let known =
                Known { digest, basis, level, label, owner, expires_at, votes: Vec::new(), state: State::Pending };
            self.known.insert(id.to_owned(), known);
            return Ok(());
        }
        self.steps += 1;
        self.spent += 1;
        let Some(known) = self.known.get_mut(id) else {
            self.elsewhere += 1;
            // From here on it is known to be spent.
            let (digest, basis) = (digest.to_owned(), basis.to_owned());
            let (owner, expires_at, votes) = (None, expires_at.to_owned(), Vec::new());
            let state = State::Over("spent");
            let known = Known { digest, basis, level, label: 0, owner, expires_at, votes, state };
            self.known.insert(id.to_owned(), known);
            return Ok(());
        };
        match &known.state {
            State::Pending => return fault("approval.id", "was not agreed to"),
            State::Over(what) => return fault("approval.id", format!("is {what} already")),
            State::Approved(entry) if entry != self::digest(mark, "receipt_hash")? => {
                return fault("approval.receipt_hash", "is not the hash of the entry that says that it was agreed to");
            }
            State::Approved(_) => {}
        }
        if known.digest != digest || known.basis != basis {
            return fault("approval.digest", "is not what was agreed to");
        }
        if known.level != level {
            return fault("approval.level", "is not the level that agreed");
        }
        if known.expires_at != expires_at || text(entry, "recorded_at")? >= known.expires_at.as_str() {
            return fault("approval.expires_at", "is another, or was over");
        }
        let by = texts(mark, "approved_by")?;
        if !known.votes.iter().map(|(token, _)| token.as_str()).eq(by) {
            return fault("approval.approved_by", "is not who agreed");
        }
        known.state = State::Over("spent");
        known.votes = Vec::new();
        Ok(())
    }

    /// Checks a step.
    pub(super) fn step(&mut self, entry: &Value, hash: Digest) -> Result<(), Fault> {
        let action = text(entry, "action")?;
        let mark = entry.get("approval").ok_or_else(|| ("approval", "is missing".to_owned()))?;
        let (id, digest) = (text(mark, "id")?, digest(mark, "digest")?);
        let level = place(&LEVELS, text(mark, "level")?, "approval.level")?;
        let label = place(&LABELS, text(entry, "data_label")?, "data_label")?;
        self.steps += 1;
        let by = match entry.get("approver") {
            Some(by) => Some(Approver::read(by)?),
            None if matches!(action, "expired" | "void") => None,
            None => return fault("approver", "is missing, and nothing but time and change moves an approval alone"),
        };
        let Some(known) = self.known.get_mut(id) else { return Ok(()) };
        if known.digest != digest || known.label != label {
            return fault("approval.digest", "is not what was asked for under this id");
        }
        if let State::Over(what) = known.state {
            return fault("action", format!("is of an approval that is {what} already"));
        }
        if let Some(by) = &by {
            let has_level = by.levels.contains(&known.level);
            if known.owner.as_deref() == Some(by.owner) {
                return fault("approver.owner", "answers for the credential that asks, too");
            }
            if known.label > by.max_label || !(has_level || action == "escalated") {
                return fault("approver", "may not decide about this");
            }
        }
        let is_pending = known.state == State::Pending;
        match (action, by) {
            ("voted" | "approved", Some(by)) if is_pending => {
                if level != known.level {
                    return fault("approval.level", "is not the level that was asked for");
                }
                if text(entry, "recorded_at")? >= known.expires_at.as_str() {
                    return fault("recorded_at", "is after the approval was over");
                }
                let agreed: Vec<&str> = texts(entry, "approved_by")?.collect();
                // A vote of a credential that could not give it any more does not count: it is named no more.
                known.votes.retain(|(token, _)| token != by.token && agreed.contains(&token.as_str()));
                if known.votes.iter().any(|(_, owner)| owner == by.owner) {
                    return fault("approver.owner", "has agreed already");
                }
                known.votes.push((by.token.to_owned(), by.owner.to_owned()));
                if !known.votes.iter().map(|(token, _)| token.as_str()).eq(agreed) {
                    return fault("approved_by", "is not who agreed");
                }
                let quorum = entry.get("quorum").and_then(Value::as_u64);
                let quorum = quorum.ok_or_else(|| ("quorum", "is missing or no count".to_owned()))?;
                if (known.votes.len() as u64 >= quorum) != (action == "approved") {
                    return fault("quorum", "is not how many have agreed");
                }
                if action == "approved" {
                    known.state = State::Approved(hash.to_hex());
                }
            }
            ("escalated", Some(_)) if is_pending => {
                if level <= known.level {
                    return fault("approval.level", "is not above the one before");
                }
                known.level = level;
                known.votes.clear();
            }
            ("denied", _) if is_pending => known.state = State::Over("denied"),
            ("done", _) if is_pending => known.state = State::Over("done"),
            ("withdrawn", _) if !is_pending => known.state = State::Over("withdrawn"),
            ("expired", None) => known.state = State::Over("expired"),
            ("void", None) => known.state = State::Over("void"),
            _ => return fault("action", "is none that this program knows, or not of an approval in this state"),
        }
        Ok(())
    }
}

/// Who takes a step.
struct Approver<'a> {
    token: &'a str,
    owner: &'a str,
    levels: Vec<usize>,
    max_label: usize,
}

impl<'a> Approver<'a> {
    fn read(by: &'a Value) -> Result<Self, Fault> {
        let levels = texts(by, "levels")?.map(|level| place(&LEVELS, level, "approver.levels"));
        Ok(Self {
            token: text(by, "token")?,
            owner: text(by, "owner")?,
            levels: levels.collect::<Result<_, _>>()?,
            max_label: place(&LABELS, text(by, "max_label")?, "approver.max_label")?,
        })
    }
}

fn place(words: &[&str], word: &str, field: &'static str) -> Result<usize, Fault> {
    let at = words.iter().position(|known| *known == word);
    at.ok_or_else(|| (field, "is none that this program knows".to_owned()))
}

fn digest<'v>(mark: &'v Value, field: &'static str) -> Result<&'v str, Fault> {
    let written = text(mark, field)?;
    match written.parse::<Digest>() {
        Ok(_) => Ok(written),
        Err(error) => fault(field, error.to_string()),
    }
}

/// The texts of a list.
fn texts<'v>(entry: &'v Value, field: &'static str) -> Result<impl Iterator<Item = &'v str>, Fault> {
    let list = entry.get(field).and_then(Value::as_array).filter(|list| list.iter().all(Value::is_string));
    Ok(list.ok_or_else(|| (field, "is no list of texts".to_owned()))?.iter().filter_map(Value::as_str))
}

#[cfg(test)]
mod tests;
