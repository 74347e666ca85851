//! A recorded decision, read back as the request that it was, so that it can be decided again.
//!
//! An entry does not hold the request whole, and on purpose. It holds all that a verdict can depend on, or it is said of it that
//! it cannot be decided again: nothing is guessed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use crate::engine::input::HttpFacts;
use crate::engine::json::{Members, present};
use crate::engine::{Binding, Decision, DenyCode, Facts, Json, KeptRequest, Outcome, ReadAttribute, RouteInput};
use crate::ids::SupervisorLevel;
use crate::ledger::format::asked;

/// The most attributes that are named.
const NAMED: usize = 4;

/// What an entry is to somebody who wants it decided again.
#[derive(Debug, Clone, PartialEq)]
pub enum PastEntry {
    /// A decision.
    Decision(Box<PastDecision>),
    /// A request that was refused before it could be described: no policy was asked.
    Refusal,
    /// The end of an exchange, a policy that came into force, a change of the registry, a recovery: nothing was decided.
    Other,
}

/// A decision that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct PastDecision {
    /// What was said.
    pub said: PastVerdict,
    /// What was asked. Of the caller's object there is what is known of it.
    pub input: RouteInput,
    /// Whether the caller's credential stood against it, which no policy changes.
    pub credential_refused: bool,
    /// Whether the caller's credential need not name a worker.
    pub worker_optional: bool,
    /// What is known of the caller's object.
    pub known: KnownRequest,
    /// The level of the humans who had agreed; `None`: nobody had to.
    pub granted: Option<SupervisorLevel>,
}

/// What is known of the caller's object.
#[derive(Debug, Clone, PartialEq)]
pub enum KnownRequest {
    /// All of it: it is as it was sent.
    Whole,
    /// What policies read of it then.
    Kept(Box<KeptRequest>),
    /// Whether it declares egress and writes, and no more.
    Declared,
}

impl KnownRequest {
    /// Which of these attributes are not known, in words.
    #[must_use]
    pub fn lacks(&self, attributes: &[ReadAttribute]) -> Option<String> {
        let lacks = |attribute: &&ReadAttribute| match self {
            Self::Whole => false,
            Self::Kept(kept) => kept.lacks(attribute),
            Self::Declared => true,
        };
        let mut named: Vec<String> =
            attributes.iter().filter(lacks).map(|attribute| format!("`{attribute}`")).collect();
        let more = named.len().saturating_sub(NAMED);
        named.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!named.is_empty()).then(|| format!("{}{more}", named.join(", ")))
    }
}

impl PastVerdict {
    /// What the policy said, also where that was only observed.
    #[must_use]
    pub fn of_policy(&self) -> Self {
        match self.would_be.as_deref() {
            None => self.clone(),
            Some(PastWouldBe { outcome, deny_code, reason }) => Self {
                outcome: outcome.clone(),
                deny_code: Some(deny_code.clone()),
                reason: Some(reason.clone()),
                species: None,
                would_be: None,
                ..self.clone()
            },
        }
    }

    /// Whether a decision says the same, by the same rule and to the same species.
    #[must_use]
    pub fn is(&self, decision: &Decision) -> bool {
        let verdict = &decision.verdict;
        let rule = self.matched_rule_id.as_deref() == Some(&*verdict.matched_rule_id);
        // What became of a hold is no matter of the policy.
        if self.deny_code.as_deref().is_some_and(is_about_a_hold) {
            return rule && verdict.outcome == Outcome::Hold;
        }
        self.outcome == verdict.outcome.as_str()
            && self.deny_code.as_deref() == verdict.denial.as_ref().map(|denial| denial.code.as_str())
            && rule
            && self.species.as_deref() == verdict.selected_species.as_deref()
    }
}

/// Whether a code says what became of a hold.
fn is_about_a_hold(code: &str) -> bool {
    [DenyCode::RefusedByHuman, DenyCode::TooManyPending, DenyCode::CannotBeHeld]
        .into_iter()
        .any(|known| known.as_str() == code)
}

impl PastDecision {
    /// What was known of the request.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts { binding: Binding { worker_optional: self.worker_optional, ..Binding::default() }, observed: false }
    }
}

/// What was said of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PastVerdict {
    /// The decision's id.
    pub decision_id: String,
    /// When.
    pub recorded_at: String,
    /// `DISPATCH`, `DENY` or `STEWARD_HOLD`.
    pub outcome: String,
    /// The deny code.
    pub deny_code: Option<String>,
    /// The rule that matched.
    pub matched_rule_id: Option<String>,
    /// The species that was selected.
    pub species: Option<String>,
    /// The operator's name of the policy in force.
    pub policy_version: Option<String>,
    /// Why it was denied.
    pub reason: Option<String>,
    /// The fingerprint of what was in force.
    pub snapshot: Option<String>,
    /// What would have been said, where the policy was only observed.
    pub would_be: Option<Box<PastWouldBe>>,
    /// What a policy said that was not in force.
    pub shadow: Option<Box<PastShadow>>,
}

/// What a policy said of a request that was not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastShadow {
    /// `DISPATCH`, `DENY` or `STEWARD_HOLD`.
    pub outcome: String,
    /// The deny code.
    pub deny_code: Option<String>,
    /// Why, where it said otherwise.
    pub reason: Option<String>,
}

/// What would have been said of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastWouldBe {
    /// `DENY` or `STEWARD_HOLD`.
    pub outcome: String,
    /// The deny code.
    pub deny_code: String,
    /// Why.
    pub reason: String,
}

/// Reads an entry of the ledger.
///
/// # Errors
/// It is none, or does not hold what is needed: why.
pub fn read(entry: &Json) -> Result<PastEntry, String> {
    let members = entry.as_object().ok_or_else(|| format!("an entry is an object, not {}", entry.kind()))?;
    match text(members, "kind")? {
        "outcome" | "policy" | "registry" | "recovered" | "approval" => return Ok(PastEntry::Other),
        "decision" => {}
        other => return Err(format!("an entry of the kind `{other}` is no decision")),
    }
    if !members.contains_key("capability_id") {
        return Ok(PastEntry::Refusal);
    }
    let asked = present(members, "asked").and_then(Json::as_object);
    let asked = asked.ok_or("the entry does not hold what else was asked (`asked`): an older version wrote it")?;
    let kept = asked::kept(asked)?;
    let input = RouteInput {
        capability_id: whole(members, "capability_id")?.into(),
        worker_id: present(members, "worker_id").map(|_| whole(members, "worker_id")).transpose()?.map(Arc::from),
        env: word(members, "env")?,
        data_label: word(members, "data_label")?,
        data_label_defaulted: flag(members, "data_label_defaulted")?,
        tenant_id: whole(members, "tenant_id")?.into(),
        tenant_risk: present(asked, "tenant_risk").map(|_| word(asked, "tenant_risk")).transpose()?,
        qos_class: word(members, "qos_class")?,
        // Only whether it is blank counts, and a text that was cut is not.
        correlation_id: text(members, "correlation_id")?.into(),
        request: declared(asked, kept.as_ref())?,
        blast_radius: None,
        blast_score: present(asked, "blast_score")
            .map(|score| score.as_i64().ok_or("`asked.blast_score` is no integer"))
            .transpose()?,
        privilege_context: None,
        tenant_credential: None,
        dry_run: flag(members, "dry_run")?,
        http: present(members, "http").and_then(Json::as_object).map(http).transpose()?,
    };
    Ok(PastEntry::Decision(Box::new(PastDecision {
        said: said(entry)?,
        input,
        credential_refused: flag(asked, "credential_refused")?,
        worker_optional: flag(asked, "worker_optional")?,
        known: kept.map_or(KnownRequest::Declared, |kept| KnownRequest::Kept(Box::new(kept))),
        granted: granted(members)?,
    })))
}

/// The level of those on whose agreement a decision rests.
fn granted(members: &Members) -> Result<Option<SupervisorLevel>, String> {
    let Some(approval) = present(members, "approval").and_then(Json::as_object) else { return Ok(None) };
    present(approval, "receipt_hash").map(|_| word(approval, "level")).transpose()
}

/// What an entry says was said, of a refusal, too.
///
/// # Errors
/// It is neither a decision nor a refusal: why.
pub fn said(entry: &Json) -> Result<PastVerdict, String> {
    let members = entry.as_object().ok_or_else(|| format!("an entry is an object, not {}", entry.kind()))?;
    let optional = |key: &str| present(members, key).and_then(Json::as_str).map(|text| text.to_string());
    Ok(PastVerdict {
        decision_id: text(members, "decision_id")?.to_owned(),
        recorded_at: text(members, "recorded_at")?.to_owned(),
        outcome: text(members, "outcome")?.to_owned(),
        deny_code: optional("deny_code"),
        matched_rule_id: optional("matched_rule_id"),
        species: optional("worker_species_id"),
        policy_version: optional("policy_version"),
        reason: optional("deny_message"),
        snapshot: optional("snapshot"),
        would_be: present(members, "would_be").map(would_be).transpose()?.map(Box::new),
        shadow: present(members, "shadow").map(shadow).transpose()?.map(Box::new),
    })
}

fn would_be(said: &Json) -> Result<PastWouldBe, String> {
    let said = said.as_object().ok_or_else(|| format!("`would_be` is {}, not an object", said.kind()))?;
    let part = |key: &str| text(said, key).map(str::to_owned);
    Ok(PastWouldBe { outcome: part("outcome")?, deny_code: part("code")?, reason: part("reason")? })
}

fn shadow(said: &Json) -> Result<PastShadow, String> {
    let said = said.as_object().ok_or_else(|| format!("`shadow` is {}, not an object", said.kind()))?;
    let optional = |key: &str| present(said, key).map(|_| text(said, key).map(str::to_owned)).transpose();
    Ok(PastShadow {
        outcome: text(said, "outcome")?.to_owned(),
        deny_code: optional("code")?,
        reason: optional("reason")?,
    })
}

fn text<'m>(members: &'m Members, key: &str) -> Result<&'m str, String> {
    let found = present(members, key).ok_or_else(|| format!("`{key}` is missing"))?;
    found.as_str().map(|text| &**text).ok_or_else(|| format!("`{key}` is {}, not a string", found.kind()))
}

/// A text that was not cut: a cut one is not what was decided on.
fn whole<'m>(members: &'m Members, key: &str) -> Result<&'m str, String> {
    let found = text(members, key)?;
    if crate::ledger::format::stamp::is_cut(found) {
        Err(format!("`{key}` was too long to be kept whole"))
    } else {
        Ok(found)
    }
}

fn word<T: FromStr<Err: Display>>(members: &Members, key: &str) -> Result<T, String> {
    text(members, key)?.parse().map_err(|error| format!("`{key}`: {error}"))
}

/// A flag; absent is false.
fn flag(members: &Members, key: &str) -> Result<bool, String> {
    match present(members, key) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| format!("`{key}` is {}, not true or false", value.kind())),
    }
}

/// The caller's object as far as it was kept, declaring what it declared.
fn declared(asked: &Members, kept: Option<&KeptRequest>) -> Result<Json, String> {
    let mut request = kept.map_or_else(|| Json::Object(BTreeMap::new()), KeptRequest::request);
    for keys in [["egress", "external_call"], ["writes", "mutates_state"]] {
        let [first, _] = keys;
        if !flag(asked, first)? {
            continue;
        }
        let Json::Object(members) = &mut request else { continue };
        if keys.iter().any(|key| members.get(*key).is_some_and(Json::truthy)) {
            continue;
        }
        // What is known not to declare it stays as it is known.
        let unknown = |key: &str| {
            let attribute = ReadAttribute { path: [Arc::from(key)].into(), value: true };
            kept.is_none_or(|kept| kept.lacks(&attribute))
        };
        let key = keys.into_iter().find(|key| unknown(key)).unwrap_or(first);
        members.insert(Arc::from(key), Json::Bool(true));
    }
    Ok(request)
}

fn http(members: &Members) -> Result<HttpFacts, String> {
    let part = |key: &str| whole(members, key).map(Arc::from);
    Ok(HttpFacts { method: part("method")?, host: part("host")?, path: part("path")? })
}

#[cfg(test)]
mod tests;
