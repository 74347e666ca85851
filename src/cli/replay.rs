//! `hallgate replay`: recorded decisions against another policy, and which verdicts flip.

mod recorded;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::{CANNOT, ConfigFile, cannot, misconfigured, say};
use crate::engine::policy_gate::Policies;
use crate::engine::{DenyCode, Outcome};
use crate::hall::why::{Judge, ShortVerdict};
use crate::ledger::past::{PastDecision, PastVerdict};
use recorded::{RecordedDecision, RecordedItem};

/// Decide recorded decisions again, by another policy, and show which verdicts flip
///
/// Exit code 0 when none flips, 1 when one does, 2 when one cannot be decided again. An entry of the ledger holds of the caller's
/// `request` what policies read then; what it lacks is never guessed.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object a line for each verdict that flips, instead of text
    #[arg(long)]
    json: bool,
    /// Decide by the configuration's `policy.shadow`, which is asked and not in force
    #[arg(long)]
    shadow: bool,
    /// Show what has the same verdict for another reason, too
    #[arg(long)]
    all: bool,
    /// Ledger folders, and files of one entry or one `{"input": …, "decision": …}` a line; `-` is stdin
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<PathBuf>,
}

/// Runs the command.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let judge = match options.file.load_policy() {
        Ok(snapshot) if options.shadow => match snapshot.shadow.and_then(Arc::into_inner) {
            Some(shadow) => Judge::new(shadow),
            None => {
                let path = options.file.path().display();
                return cannot(format_args!("{path} has no `policy.shadow`: add one, or leave out `--shadow`"));
            }
        },
        Ok(snapshot) => Judge::new(snapshot),
        Err(problems) => return misconfigured(&problems),
    };
    let snapshot = &judge.snapshot;
    let mut replay = Replay { options, judge: &judge, count: Count::default() };
    for source in &options.sources {
        recorded::read(source, snapshot.settings.mode, &mut |place, found| replay.take(&place, found));
    }
    let count = replay.count;
    let which = if options.shadow { "the shadow of " } else { "" };
    let summary = format!("{count} by {which}{}, snapshot {}", options.file.path().display(), snapshot.fingerprint);
    if options.json {
        let _ = writeln!(io::stderr(), "{summary}");
    } else {
        say(summary);
    }
    if count.flips.values().sum::<u64>() > 0 {
        ExitCode::FAILURE
    } else if count.cannot > 0 {
        ExitCode::from(CANNOT)
    } else {
        ExitCode::SUCCESS
    }
}

#[derive(Default)]
struct Count {
    replayed: u64,
    /// By what it was and what it is.
    flips: BTreeMap<(String, String), u64>,
    otherwise: u64,
    refusals: u64,
    cannot: u64,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flips: u64 = self.flips.values().sum();
        write!(f, "{} decisions replayed: {flips} flip", self.replayed)?;
        let kinds = self.flips.iter().map(|((was, now), n)| format!("{n} {was} -> {now}"));
        let kinds: Vec<String> = kinds.collect();
        if !kinds.is_empty() {
            write!(f, " ({})", kinds.join(", "))?;
        }
        write!(f, ", {} have the same verdict for another reason", self.otherwise)?;
        if self.refusals > 0 {
            write!(f, "; {} were refused before any policy was asked", self.refusals)?;
        }
        if self.cannot > 0 {
            write!(f, "; {} cannot be decided again", self.cannot)?;
        }
        Ok(())
    }
}

struct Replay<'a> {
    options: &'a Options,
    judge: &'a Judge,
    count: Count,
}

impl Replay<'_> {
    /// Takes the next of what was recorded.
    fn take(&mut self, place: &str, found: RecordedItem) {
        match found {
            RecordedItem::Recorded(recorded) => self.decide(place, *recorded),
            RecordedItem::Refusal => self.count.refusals += 1,
            RecordedItem::Nothing => {}
            RecordedItem::Cannot(why) => self.cannot(place, &why),
        }
    }

    fn cannot(&mut self, place: &str, why: &str) {
        self.count.cannot += 1;
        let _ = writeln!(io::stderr(), "{place} cannot be decided again: {why}");
    }

    fn decide(&mut self, place: &str, recorded: RecordedDecision) {
        let past = match recorded {
            RecordedDecision::Asked(past) => *past,
            RecordedDecision::Unacceptable(message, said) => {
                let code = Some(DenyCode::InvalidInput.as_str());
                let now =
                    ShortVerdict { outcome: Outcome::Deny.as_str(), code, rule: Some("PRE_ROUTING"), species: None };
                self.count.replayed += 1;
                return self.compare(place, &said, &now, Some(&message));
            }
        };
        // What the credential refuses, no policy lets through.
        if past.credential_refused {
            self.count.replayed += 1;
            return;
        }
        // No policy was asked: there was too much to do.
        if past.said.deny_code.as_deref() == Some(DenyCode::Overloaded.as_str()) {
            self.count.refusals += 1;
            return;
        }
        let facts = past.facts();
        let PastDecision { said, input, known, granted, .. } = past;
        // What was only observed is compared as if it had been enforced: that is what the other policy would do.
        let said = said.of_policy();
        if self.judge.looks_at_code(&input, &facts) {
            return self.cannot(place, "the policy attests the worker's code, and what that was then is not known");
        }
        let unsure = self.judge.lacks(&known, Policies::All).is_some();
        let (decision, why) = self.judge.decide(input, &facts, granted, unsure);
        if let Some(why) = why.and_then(|why| self.judge.lacks(&known, why.asked?)) {
            return self.cannot(place, &why);
        }
        self.count.replayed += 1;
        let (verdict, input) = (&decision.verdict, &decision.input);
        let now = ShortVerdict::of(&decision);
        let about = format!(
            "{place}: {} for {} in {} on {}, worker {}",
            input.capability_id,
            input.tenant_id,
            input.env,
            input.data_label,
            input.worker_id.as_deref().unwrap_or("not named"),
        );
        self.compare(&about, &said, &now, verdict.denial.as_ref().map(|denial| &*denial.message));
    }

    fn compare(&mut self, about: &str, said: &PastVerdict, now: &ShortVerdict<'_>, reason: Option<&str>) {
        let was = ShortVerdict::of_past(said);
        let flips = was.outcome != now.outcome;
        if flips {
            let kind = (was.outcome.to_owned(), now.outcome.to_owned());
            *self.count.flips.entry(kind).or_default() += 1;
        } else if was == *now {
            return;
        } else {
            self.count.otherwise += 1;
        }
        if !flips && !self.options.all {
            return;
        }
        if self.options.json {
            say(json!({
                "flips": flips, "decision_id": said.decision_id, "recorded_at": said.recorded_at, "about": about,
                "was": was.to_json(), "now": now.to_json(), "reason": reason,
            }));
            return;
        }
        let under = said.policy_version.as_ref().map(|version| format!(" under {version}")).unwrap_or_default();
        let word = if flips { "flips" } else { "differs" };
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        say(format_args!("{word} {about}\n    was  {was}{under}\n    now  {now}{why}"));
    }
}
