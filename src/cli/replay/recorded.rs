//! Where recorded decisions come from: a ledger's folder, or JSON lines of its entries or of inputs with their decisions.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use crate::cli::lines::{InputLine, LineReader};
use crate::engine::input::written::{Absent, LONGEST, Written};
use crate::engine::json::{Members, present};
use crate::engine::{DenyCode, Json, Mode, Outcome};
use crate::ledger::LogReader;
use crate::ledger::past::{self, KnownRequest, PastDecision, PastEntry, PastVerdict};

/// The most bytes of a line: an input and its decision.
const LINE: usize = 4 * LONGEST;

/// Something that was recorded.
pub enum RecordedItem {
    /// A decision.
    Recorded(Box<RecordedDecision>),
    /// A request that was refused before any policy was asked.
    Refusal,
    /// Nothing that was decided.
    Nothing,
    /// What cannot be decided again, and why.
    Cannot(String),
}

/// A decision that was recorded.
pub enum RecordedDecision {
    /// What was asked, and what was said.
    Asked(Box<PastDecision>),
    /// What was said of a request with a value that means nothing, and what is wrong with it.
    Unacceptable(String, Box<PastVerdict>),
}

/// Reads a source to its end, and gives each thing that was recorded with its place.
pub fn read(source: &Path, mode: Mode, take: &mut impl FnMut(String, RecordedItem)) {
    let name = source.display();
    let broken = |error: &dyn std::fmt::Display| (format!("`{name}`"), RecordedItem::Cannot(error.to_string()));
    if source.is_dir() {
        if let Err(error) = read_ledger(source, mode, take) {
            let (place, found) = broken(&error);
            take(place, found);
        }
        return;
    }
    let input: io::Result<Box<dyn Read>> = if source == Path::new("-") {
        Ok(Box::new(io::stdin().lock()))
    } else {
        File::open(source).map(|file| Box::new(file) as Box<dyn Read>)
    };
    let read = input.and_then(|input| {
        let mut lines = LineReader::new(BufReader::new(input), LINE);
        let mut number = 0_u64;
        while let Some(line) = lines.next()? {
            number += 1;
            let place = format!("`{name}`, line {number}");
            match line {
                InputLine::Whole(text) => {
                    let (id, found) = of_bytes(text, mode);
                    take(id.unwrap_or(place), found);
                }
                InputLine::TooLong => take(place, RecordedItem::Cannot(format!("the line is over {LINE} bytes"))),
            }
        }
        Ok(())
    });
    if let Err(error) = read {
        let (place, found) = broken(&error);
        take(place, found);
    }
}

/// Reads a ledger's entries to their end.
fn read_ledger(folder: &Path, mode: Mode, take: &mut impl FnMut(String, RecordedItem)) -> io::Result<()> {
    let mut entries = LogReader::new(folder).entries()?;
    while let Some((number, json)) = entries.next()? {
        let (id, found) = of_bytes(json, mode);
        take(id.unwrap_or_else(|| format!("`{}`, entry {number}", folder.display())), found);
    }
    entries.ends()
}

/// What the JSON of an entry, or of an input with its decision, is; and its decision's id.
fn of_bytes(bytes: &[u8], mode: Mode) -> (Option<String>, RecordedItem) {
    let json = match Json::parse(bytes) {
        Ok(json) => json,
        Err(error) => return (None, RecordedItem::Cannot(error.to_string())),
    };
    let id = |members: &Members| present(members, "decision_id").and_then(Json::as_str).map(|id| id.to_string());
    let pair = json.as_object().and_then(|members| Some((present(members, "input")?, present(members, "decision")?)));
    if let Some((input, decision)) = pair {
        let found = of_pair(input, decision, mode)
            .map_or_else(RecordedItem::Cannot, |recorded| RecordedItem::Recorded(Box::new(recorded)));
        return (decision.as_object().and_then(id), found);
    }
    let found = match past::read(&json) {
        Ok(PastEntry::Decision(past)) => RecordedItem::Recorded(Box::new(RecordedDecision::Asked(past))),
        Ok(PastEntry::Refusal) => RecordedItem::Refusal,
        Ok(PastEntry::Other) => RecordedItem::Nothing,
        Err(why) => RecordedItem::Cannot(why),
    };
    (json.as_object().and_then(id), found)
}

/// An input, whole, with the decision on it.
fn of_pair(input: &Json, decision: &Json, mode: Mode) -> Result<RecordedDecision, String> {
    let absent = Absent { tenant: None, correlation_id: &|| Arc::from("hallgate-replay") };
    let written = Written::from_json(input.clone(), &absent).map_err(|why| why.reason("`input`"))?;
    let said = said(decision)?;
    Ok(match written.describe(mode) {
        Ok(input) => RecordedDecision::Asked(Box::new(PastDecision {
            granted: None,
            said,
            input,
            credential_refused: false,
            worker_optional: false,
            known: KnownRequest::Whole,
        })),
        Err(unacceptable) => RecordedDecision::Unacceptable(unacceptable.message, Box::new(said)),
    })
}

/// What a decision says, ours or the reference's, which has no `outcome`.
fn said(decision: &Json) -> Result<PastVerdict, String> {
    let members =
        decision.as_object().ok_or_else(|| format!("`decision` must be an object, not {}", decision.kind()))?;
    let text = |key: &str| present(members, key).and_then(Json::as_str).map(|text| text.to_string());
    let denial = present(members, "deny_reason_if_denied").and_then(Json::as_object);
    let deny_code =
        denial.and_then(|denial| present(denial, "code")).and_then(Json::as_str).map(|code| code.to_string());
    let denied = present(members, "denied").and_then(Json::as_bool).ok_or("`decision.denied` must be true or false")?;
    let outcome = text("outcome").unwrap_or_else(|| {
        let held = deny_code.as_deref() == Some(DenyCode::RequiresHumanApproval.as_str());
        let outcome = if !denied {
            Outcome::Dispatch
        } else if held {
            Outcome::Hold
        } else {
            Outcome::Deny
        };
        outcome.as_str().to_owned()
    });
    Ok(PastVerdict {
        decision_id: text("decision_id").unwrap_or_default(),
        recorded_at: text("timestamp").unwrap_or_default(),
        outcome,
        deny_code,
        matched_rule_id: text("matched_rule_id"),
        species: text("selected_worker_species_id"),
        policy_version: text("policy_version"),
        ..PastVerdict::default()
    })
}
