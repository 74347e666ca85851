//! The reasons of a decision: decided again gate by gate, and which members of it the verdict turns on.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::judge::Judge;
use super::short_verdict::ShortVerdict;
use crate::engine::counterfactuals::counterfactuals;
use crate::engine::json::present;
use crate::engine::{Decision, DenyCode, Explanation, Facts, Json, Outcome, RouteInput};
use crate::ids::SupervisorLevel;
use crate::ledger::past::{self, KnownRequest, PastDecision, PastEntry, PastShadow, PastVerdict};

/// The most values of one member that are named.
const NAMED: usize = 4;

/// All there is to say about a decision: one that is on record, or one that would be made.
#[derive(Default)]
pub struct Reasons {
    /// What was said; empty where nothing is on record.
    said: PastVerdict,
    /// What the policy said, also where it was only observed.
    by_policy: PastVerdict,
    /// What was asked, in words; empty where nothing could be.
    asked: String,
    now: Option<(Decision, Explanation)>,
    /// What of a request means nothing, so that no gate was asked.
    means_nothing: Option<String>,
    /// Whether the policy is the one that decided.
    same_policy: bool,
    /// Why it is not known what comes out now.
    cannot: Option<String>,
    changes: Vec<Change>,
}

/// What would come out if one member were another.
struct Change {
    member: &'static str,
    values: Vec<Option<String>>,
    outcome: Outcome,
    /// The rule of a dispatch, the code of a denial.
    why: String,
    /// Whether a gate that looks at what the entry does not hold may say otherwise.
    in_doubt: bool,
}

impl Reasons {
    /// Of an entry.
    ///
    /// # Errors
    /// It is no decision, or cannot be read; which, and why.
    pub fn of_entry(json: &[u8], judge: &Judge, names: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let entry = Json::parse(json).map_err(|error| format!("cannot be read: {error}"))?;
        match past::read(&entry) {
            Ok(PastEntry::Decision(past)) => Ok(Self::of(*past, judge, names)),
            Ok(PastEntry::Refusal) => Ok(Self::of_refusal(&entry)),
            Ok(PastEntry::Other) => Err(format!("is no decision: {}", whose(&entry))),
            Err(why) => Err(format!("cannot be read: {why}")),
        }
    }

    /// Of a request that was refused before any policy was asked.
    fn of_refusal(entry: &Json) -> Self {
        let cannot = Some("it was refused before any policy was asked".to_owned());
        let said = past::said(entry).unwrap_or_default();
        Self { by_policy: said.of_policy(), said, cannot, ..Self::default() }
    }

    /// Of a request in which a value means nothing; which, and what to change.
    #[must_use]
    pub fn of_unacceptable(message: String) -> Self {
        Self { means_nothing: Some(message), same_policy: true, ..Self::default() }
    }

    /// Of a request that nobody has made yet.
    #[must_use]
    pub fn of_request(input: RouteInput, facts: &Facts, judge: &Judge, names: &dyn Fn(&str) -> bool) -> Self {
        let asking = Asking { facts, known: &KnownRequest::Whole, granted: None };
        let asked = input.in_words();
        let (decision, explanation) = judge.explain(input.clone(), facts, None);
        let changes = changes(judge, &input, asking, &decision, names);
        Self { asked, now: Some((decision, explanation)), same_policy: true, changes, ..Self::default() }
    }

    fn of(past: PastDecision, judge: &Judge, names: &dyn Fn(&str) -> bool) -> Self {
        let facts = past.facts();
        let PastDecision { said, input, credential_refused, known, granted, .. } = past;
        let asking = Asking { facts: &facts, known: &known, granted };
        let mut asked = input.in_words();
        if let Some(http) = &input.http {
            let _ = write!(asked, ", {} {} on `{}`", http.method, http.path, http.host);
        }
        let same_policy = said.snapshot.as_deref() == Some(&judge.snapshot.fingerprint.to_string());
        let recorded = Self { by_policy: said.of_policy(), said, asked, same_policy, ..Self::default() };
        let cannot = |why: &str| Some(why.to_owned());
        if credential_refused {
            let cannot = cannot("the caller's credential stood against it, which no policy changes");
            return Self { cannot, ..recorded };
        }
        if recorded.said.deny_code.as_deref() == Some(DenyCode::Overloaded.as_str()) {
            return Self { cannot: cannot("no policy was asked: there was too much to do"), ..recorded };
        }
        let (decision, explanation, doubt) = decided(judge, input.clone(), asking);
        let reason = decision.verdict.denial.as_ref().map(|denial| &*denial.message);
        let comes_out = recorded.by_policy.is(&decision) && recorded.by_policy.reason.as_deref() == reason;
        match doubt {
            // What the entry lacks may be what the verdict turned on.
            Some(doubt) if !comes_out => {
                let reached = |gate: &str| gate != doubt.gate;
                let gates = explanation.gates.into_iter().take_while(|report| reached(report.gate)).collect();
                let explanation = Explanation { gates, nearest_rules: Vec::new(), remedy: None, ..explanation };
                Self { now: Some((decision, explanation)), cannot: Some(doubt.why), ..recorded }
            }
            _ => {
                let changes = changes(judge, &input, asking, &decision, names);
                Self { now: Some((decision, explanation)), changes, ..recorded }
            }
        }
    }

    /// Whether it comes out now as it was; `None` where that is not known, or nothing is on record.
    #[must_use]
    pub fn comes_out(&self) -> Option<bool> {
        if self.said.decision_id.is_empty() {
            return None;
        }
        let (decision, _) = self.now.as_ref().filter(|_| self.cannot.is_none())?;
        Some(self.by_policy.is(decision))
    }

    /// As one object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Self { said, by_policy, asked, now, means_nothing, same_policy, cannot, changes } = self;
        let nothing = means_nothing.as_ref().map(|_| Explanation::of_unacceptable());
        let of_nothing = ShortVerdict {
            outcome: Outcome::Deny.as_str(),
            code: Some(DenyCode::InvalidInput.as_str()),
            rule: None,
            species: None,
        };
        let decided = match (now, cannot) {
            (Some((decision, _)), None) => Some(ShortVerdict::of(decision).to_json()),
            _ => means_nothing.as_ref().map(|_| of_nothing.to_json()),
        };
        let changes = changes.iter().map(|change| {
            let Change { member, values, outcome, why, in_doubt } = change;
            json!({"member": member, "values": values, "outcome": outcome.as_str(), "why": why, "in_doubt": in_doubt})
        });
        let recorded = !said.decision_id.is_empty();
        let known = |text: &str| recorded.then(|| text.to_owned());
        let reason = by_policy.reason.clone().or_else(|| {
            let denial = now.as_ref().filter(|_| !recorded).and_then(|(decision, _)| decision.verdict.denial.as_ref());
            denial.map(|denial| denial.message.clone()).or_else(|| means_nothing.clone())
        });
        json!({
            "decision_id": known(&said.decision_id), "recorded_at": known(&said.recorded_at), "asked": asked,
            "was": recorded.then(|| ShortVerdict::of_past(said).to_json()),
            "would_be": said.would_be.as_ref().map(|_| ShortVerdict::of_past(by_policy).to_json()), "reason": reason,
            "shadow": said.shadow.as_ref().map(|shadow| {
                json!({"outcome": shadow.outcome, "deny_code": shadow.deny_code, "reason": shadow.reason})
            }), "policy_version": said.policy_version, "same_policy": same_policy, "now": decided,
            "same": self.comes_out(), "cannot": cannot, "explain": now.as_ref().map(|(_, explanation)| explanation).or(nothing.as_ref()),
            "changes": changes.collect::<Vec<_>>(),
        })
    }
}

/// What an entry that is no decision is about.
fn whose(entry: &Json) -> String {
    let text = |key| entry.as_object().and_then(|members| present(members, key)).and_then(Json::as_str);
    match text("decision_id") {
        Some(decision) => format!("it is the end of the exchange of decision {decision}"),
        None => format!("its kind is `{}`", text("kind").map_or("", |kind| kind)),
    }
}

/// Why it is in doubt what a gate said.
struct Doubt {
    gate: &'static str,
    why: String,
}

/// What else is known of a request: also whether humans had agreed to it.
#[derive(Clone, Copy)]
struct Asking<'a> {
    facts: &'a Facts,
    known: &'a KnownRequest,
    granted: Option<SupervisorLevel>,
}

/// The decision on what an entry holds of a request, why, and what of it is in doubt.
fn decided(
    judge: &Judge,
    input: RouteInput,
    Asking { facts, known, granted }: Asking<'_>,
) -> (Decision, Explanation, Option<Doubt>) {
    let attests = judge.looks_at_code(&input, facts);
    let (decision, explanation) = judge.explain(input, facts, granted);
    let doubt = if let Some(why) = explanation.asked.and_then(|policies| judge.lacks(known, policies)) {
        Some(Doubt { gate: "policy", why })
    } else if attests {
        let why = "the policy attests the worker's code, and what that was then is not known";
        Some(Doubt { gate: "attestation", why: why.to_owned() })
    } else {
        None
    };
    (decision, explanation, doubt)
}

/// The members that turn a denial into a dispatch, or a dispatch into a denial, each alone; where no denial is turned by one, those
/// with which another thing stands against it. `names` says which workers may be named.
fn changes(
    judge: &Judge,
    input: &RouteInput,
    asking: Asking<'_>,
    now: &Decision,
    names: &dyn Fn(&str) -> bool,
) -> Vec<Change> {
    let denied = now.verdict.denied();
    let code = |decision: &Decision| decision.verdict.denial.as_ref().map(|denial| denial.code);
    type Kinds<'a> = BTreeMap<(&'a str, &'a str, String, bool), Vec<Option<String>>>;
    let (mut turned, mut otherwise) = (Kinds::new(), Kinds::new());
    for other in counterfactuals(input, &judge.snapshot) {
        // That another worker could not do it says nothing about this one.
        let of_worker = other.member == "worker_id";
        if of_worker && (!denied || !other.value.as_deref().is_none_or(names)) {
            continue;
        }
        let (decision, _, doubt) = decided(judge, other.input, asking);
        let verdict = &decision.verdict;
        let changes = if verdict.denied() != denied {
            &mut turned
        } else if code(&decision) != code(now) && !of_worker {
            &mut otherwise
        } else {
            continue;
        };
        let why = match &verdict.denial {
            Some(denial) => denial.code.as_str().to_owned(),
            None => format!("by rule `{}`", verdict.matched_rule_id),
        };
        let key = (other.member, verdict.outcome.as_str(), why, doubt.is_some());
        changes.entry(key).or_default().push(other.value);
    }
    let outcome =
        |name: &str| [Outcome::Dispatch, Outcome::Deny, Outcome::Hold].into_iter().find(|one| one.as_str() == name);
    let put = |((member, name, why, in_doubt), values)| {
        Some(Change { member, values, outcome: outcome(name)?, why, in_doubt })
    };
    let changes = if turned.is_empty() { otherwise } else { turned };
    changes.into_iter().filter_map(put).collect()
}

/// For a human.
impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { said, by_policy, asked, now, means_nothing: _, same_policy, cannot, changes } = self;
        writeln!(f, "decision {} of {}: {}", said.decision_id, said.recorded_at, ShortVerdict::of_past(said))?;
        if said.would_be.is_some() {
            writeln!(
                f,
                "  would be: {}, if the route did not only observe its policy",
                ShortVerdict::of_past(by_policy)
            )?;
        }
        if !asked.is_empty() {
            writeln!(f, "  asked: {asked}")?;
        }
        if let Some(PastShadow { outcome, deny_code, reason }) = said.shadow.as_deref() {
            let words = [Some(outcome), deny_code.as_ref()].into_iter().flatten();
            let words: Vec<&str> = words.map(String::as_str).collect();
            let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            writeln!(f, "  shadow: {}{why}", words.join(" "))?;
        }
        if let Some(reason) = &by_policy.reason {
            writeln!(f, "  reason: {reason}")?;
        }
        if let Some(version) = &said.policy_version {
            let since =
                if *same_policy { "the same now" } else { "rules, policies, workers or settings are others now" };
            writeln!(f, "  policy: {version}, {since}")?;
        }
        match (now, cannot) {
            (Some((decision, explanation)), None) => {
                let word = if by_policy.is(decision) { "decided again" } else { "NOW DECIDED OTHERWISE" };
                write!(f, "{word}: {}\n{explanation}", ShortVerdict::of(decision))?;
            }
            (Some((_, explanation)), Some(why)) => write!(f, "cannot be decided again: {why}\n{explanation}")?,
            (None, Some(why)) => writeln!(f, "not decided again: {why}")?,
            (None, None) => {}
        }
        let code = DenyCode::ALL.iter().find(|code| by_policy.deny_code.as_deref() == Some(code.as_str()));
        if let (Some(code), Some(_)) = (code, cannot) {
            writeln!(f, "  what to do: {}", code.remedy())?;
        }
        if !changes.is_empty() {
            writeln!(f, "what would change it:")?;
        }
        for Change { member, values, outcome, why, in_doubt } in changes {
            let named = values.iter().take(NAMED).map(|value| value.as_deref().unwrap_or("left out"));
            let more = if values.len() > NAMED { format!(" or {} more", values.len() - NAMED) } else { String::new() };
            let named = named.collect::<Vec<_>>().join(" or ");
            let unless = if *in_doubt { ", unless what the entry does not hold says otherwise" } else { "" };
            writeln!(f, "  {member} {named}{more}: {} {why}{unless}", outcome.as_str())?;
        }
        Ok(())
    }
}
