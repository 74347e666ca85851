//! `hallgate explain`: why a recorded decision was made, decided again gate by gate, and which members of it the verdict turns on.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use uuid::Uuid;

use super::decide::Judge;
use super::short_verdict::ShortVerdict;
use super::{CANNOT, ConfigFile, cannot, misconfigured, say};
use crate::engine::counterfactuals::counterfactuals;
use crate::engine::json::present;
use crate::engine::{Decision, DenyCode, Explanation, Facts, Json, Outcome, RouteInput};
use crate::ids::SupervisorLevel;
use crate::ledger::LogReader;
use crate::ledger::past::{self, KnownRequest, PastDecision, PastEntry, PastShadow, PastVerdict};

/// The most values of one member that are named.
const NAMED: usize = 4;

/// Say why a recorded decision was made, gate by gate, and what would change it
///
/// It is decided again by the policy's files as they are now; where they have changed since, that is said. Exit code 0 when it comes
/// out as it was, 1 when another verdict comes out now, 2 when it cannot be decided again or is not there.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// The ledger's folder, instead of the configuration's
    #[arg(long, value_name = "FOLDER")]
    ledger: Option<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// The decision's id: `wcp-decision-id` of an answer, `decision_id` of a denial or of a line in the log
    #[arg(value_name = "ID")]
    id: Uuid,
}

/// Runs the command.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let loaded = match &options.ledger {
        Some(folder) => options.file.load_policy().map(|snapshot| (snapshot, folder.clone())),
        None => options.file.load_policy_and_ledger(),
    };
    let (judge, folder) = match loaded {
        Ok((snapshot, folder)) => (Judge::new(snapshot), folder),
        Err(problems) => return misconfigured(&problems),
    };
    let found = match LogReader::new(&folder).find(options.id) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let (id, folder) = (options.id, folder.display());
            return cannot(format_args!("the ledger `{folder}` has no entry {id}, or not any more"));
        }
        Err(error) => return cannot(error),
    };
    let entry = match Json::parse(&found.json) {
        Ok(entry) => entry,
        Err(error) => return cannot(format_args!("entry {}: {error}", options.id)),
    };
    let account = match past::read(&entry) {
        Ok(PastEntry::Decision(past)) => Account::of(*past, &judge),
        Ok(PastEntry::Refusal) => Account::of_refusal(&entry),
        Ok(PastEntry::Other) => {
            return cannot(format_args!("entry {} is no decision: {}", options.id, whose(&entry)));
        }
        Err(why) => return cannot(format_args!("entry {} cannot be read: {why}", options.id)),
    };
    if options.json {
        say(account.to_json())
    } else {
        say(format_args!("{account}").to_string().trim_end())
    }
    account.exit_code()
}

/// What an entry that is no decision is about.
fn whose(entry: &Json) -> String {
    let text = |key| entry.as_object().and_then(|members| present(members, key)).and_then(Json::as_str);
    match text("decision_id") {
        Some(decision) => format!("it is the end of the exchange of decision {decision}"),
        None => format!("its kind is `{}`", text("kind").map_or("", |kind| kind)),
    }
}

/// All there is to say about a recorded decision.
#[derive(Default)]
struct Account {
    said: PastVerdict,
    /// What the policy said, also where it was only observed.
    by_policy: PastVerdict,
    /// What was asked, in words; empty where nothing could be.
    asked: String,
    now: Option<(Decision, Explanation)>,
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

impl Account {
    /// Of a request that was refused before any policy was asked.
    fn of_refusal(entry: &Json) -> Self {
        let cannot = Some("it was refused before any policy was asked".to_owned());
        let said = past::said(entry).unwrap_or_default();
        Self { by_policy: said.of_policy(), said, cannot, ..Self::default() }
    }

    fn of(past: PastDecision, judge: &Judge) -> Self {
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
                let changes = changes(judge, &input, asking, &decision);
                Self { now: Some((decision, explanation)), changes, ..recorded }
            }
        }
    }

    fn comes_out(&self) -> Option<bool> {
        let (decision, _) = self.now.as_ref().filter(|_| self.cannot.is_none())?;
        Some(self.by_policy.is(decision))
    }

    fn exit_code(&self) -> ExitCode {
        match self.comes_out() {
            Some(true) => ExitCode::SUCCESS,
            Some(false) => ExitCode::FAILURE,
            None => ExitCode::from(CANNOT),
        }
    }

    fn to_json(&self) -> Value {
        let Self { said, by_policy, asked, now, same_policy, cannot, changes } = self;
        let decided =
            now.as_ref().filter(|_| cannot.is_none()).map(|(decision, _)| ShortVerdict::of(decision).to_json());
        let changes = changes.iter().map(|change| {
            let Change { member, values, outcome, why, in_doubt } = change;
            json!({"member": member, "values": values, "outcome": outcome.as_str(), "why": why, "in_doubt": in_doubt})
        });
        json!({
            "decision_id": said.decision_id, "recorded_at": said.recorded_at, "asked": asked, "was": ShortVerdict::of_past(said).to_json(),
            "would_be": said.would_be.as_ref().map(|_| ShortVerdict::of_past(by_policy).to_json()), "reason": by_policy.reason,
            "shadow": said.shadow.as_ref().map(|shadow| {
                json!({"outcome": shadow.outcome, "deny_code": shadow.deny_code, "reason": shadow.reason})
            }), "policy_version": said.policy_version, "same_policy": same_policy, "now": decided,
            "same": self.comes_out(), "cannot": cannot, "explain": now.as_ref().map(|(_, explanation)| explanation),
            "changes": changes.collect::<Vec<_>>(),
        })
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
/// with which another thing stands against it.
fn changes(judge: &Judge, input: &RouteInput, asking: Asking<'_>, now: &Decision) -> Vec<Change> {
    let denied = now.verdict.denied();
    let code = |decision: &Decision| decision.verdict.denial.as_ref().map(|denial| denial.code);
    type Kinds<'a> = BTreeMap<(&'a str, &'a str, String, bool), Vec<Option<String>>>;
    let (mut turned, mut otherwise) = (Kinds::new(), Kinds::new());
    for other in counterfactuals(input, &judge.snapshot) {
        // That another worker could not do it says nothing about this one.
        if !denied && other.member == "worker_id" {
            continue;
        }
        let (decision, _, doubt) = decided(judge, other.input, asking);
        let verdict = &decision.verdict;
        let changes = if verdict.denied() != denied {
            &mut turned
        } else if code(&decision) != code(now) && other.member != "worker_id" {
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
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { said, by_policy, asked, now, same_policy, cannot, changes } = self;
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
