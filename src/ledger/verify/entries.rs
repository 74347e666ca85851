//! Each entry by itself and after those before it: canonical form, id, time, chain, and an outcome's decision.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use serde_json::Value;
use uuid::{Uuid, Variant};

use super::approvals::ApprovalCheck;
use super::breaks::{self, Break, VerifyError};
use super::fault::{Fault, HALL, fault, text};
use super::recovered::{Recoveries, newest};
use super::registry;
use super::signed::{PRUNED, PrunedEdge};
use super::stored::{self, EVERY, FrameReader, StoredPlace};
use super::tree::EMPTY;
use crate::ids::Digest;
use crate::ledger::format::canonical;

/// Decisions that are remembered for their outcomes; an older one is looked up in its segment.
const RECENT: usize = 1 << 16;

/// What is known of the entries so far.
pub(super) struct EntryCheck {
    /// The ledger's folder.
    folder: PathBuf,
    /// Whether the first entry that is checked is not the first of all.
    within: bool,
    pub(super) decisions: u64,
    pub(super) outcomes: u64,
    pub(super) policies: u64,
    pub(super) registry: u64,
    /// Each stream's last receipt hash.
    pub(super) streams: HashMap<String, Digest>,
    /// The last id.
    pub(super) last: Uuid,
    /// Approvals and what rests on them.
    pub(super) approvals: ApprovalCheck,
    /// Whether the hall is switched off.
    pub(super) offline: bool,
    /// Where entries were lost.
    pub(super) recoveries: Recoveries,
    /// Where every 256th entry is that is kept.
    pub(super) places: Vec<StoredPlace>,
    /// The last id that was pruned.
    pruned: Uuid,
    /// The first entry that is kept.
    edge: u64,
    /// Decisions that were pruned and have an outcome that is kept.
    ended_before: HashSet<Uuid>,
    recent: HashMap<Uuid, Decided>,
    recent_order: VecDeque<Uuid>,
    /// A bit for each entry: whether it has an outcome.
    ended: Vec<u64>,
}

/// A decision that an outcome may belong to.
#[derive(Clone)]
struct Decided {
    number: u64,
    hash: Digest,
    /// Whether it let the request through.
    allowed: bool,
    stream: String,
}

impl Decided {
    /// Reads an entry that was looked up.
    fn of(number: u64, json: &[u8]) -> Self {
        let entry: Value = serde_json::from_slice(json).unwrap_or_default();
        let stream = text(&entry, "stream").unwrap_or_default().to_owned();
        Self { number, hash: Digest::of(json), allowed: allowed(&entry).unwrap_or(false), stream }
    }
}

impl EntryCheck {
    /// Goes on after what was pruned.
    pub(super) fn after(folder: &Path, pruned: &PrunedEdge) -> Result<Self, Break> {
        let mut streams = HashMap::new();
        for (stream, hash) in &pruned.heads.streams {
            let hash = hash.parse().map_err(|_| breaks::in_file(PRUNED, "holds a bad digest"))?;
            streams.insert(stream.clone(), hash);
        }
        Ok(Self {
            folder: folder.to_owned(),
            within: false,
            decisions: 0,
            outcomes: 0,
            policies: 0,
            registry: 0,
            approvals: ApprovalCheck::default(),
            streams,
            last: pruned.heads.last,
            offline: pruned.heads.offline,
            recoveries: Recoveries { newest: newest(pruned.heads.recovered.as_ref()), losses: Vec::new() },
            places: Vec::new(),
            pruned: pruned.heads.last,
            edge: pruned.entry(),
            ended_before: HashSet::new(),
            recent: HashMap::new(),
            recent_order: VecDeque::new(),
            ended: Vec::new(),
        })
    }

    /// From somewhere within: what a stream's first entry follows cannot be told, and older decisions are looked up.
    pub(super) fn within(folder: &Path, pruned: &PrunedEdge) -> Result<Self, Break> {
        Ok(Self { within: true, streams: HashMap::new(), last: Uuid::nil(), ..Self::after(folder, pruned)? })
    }

    /// For an entry by itself.
    pub(super) fn none() -> Result<Self, Break> {
        Self::after(Path::new(""), &PrunedEdge::none(EMPTY))
    }

    /// Checks the next entry.
    pub(super) fn check(&mut self, number: u64, json: &[u8], segment: u64, offset: u64) -> Result<(), VerifyError> {
        let at = |id: Option<Uuid>| {
            move |(field, problem): Fault| {
                VerifyError::Broken(Break { entry: Some(number), id, field: field.to_owned(), problem })
            }
        };
        let entry: Value = serde_json::from_slice(json).map_err(|error| at(None)(("json", error.to_string())))?;
        let id = id(&entry).map_err(at(None))?;
        self.sound(&entry, id, json).map_err(at(Some(id)))?;
        if number.is_multiple_of(EVERY) {
            self.places.push(StoredPlace { id, segment, offset });
        }
        let hash = Digest::of(json);
        let stream = self.chained(&entry, hash).map_err(at(Some(id)))?;
        match entry.get("kind").and_then(Value::as_str) {
            Some("decision") => {
                self.approvals.decision(&entry).map_err(at(Some(id)))?;
                self.decision(&entry, number, id, hash, stream).map_err(at(Some(id)))?;
            }
            Some("approval") => self.approvals.step(&entry, hash).map_err(at(Some(id)))?,
            Some("outcome") => {
                let (of, hash) = outcome_of(&entry).map_err(at(Some(id)))?;
                if of <= self.pruned {
                    self.outcome_of_pruned(of).map_err(at(Some(id)))?;
                    self.last = id;
                    return Ok(());
                }
                let decided = match self.recent.get(&of) {
                    Some(decided) => Some(decided.clone()),
                    None => self.look_up(of)?,
                };
                self.outcome(decided, hash, &stream).map_err(at(Some(id)))?;
            }
            Some("policy") => self.policy(&entry, &stream).map_err(at(Some(id)))?,
            Some("registry") => {
                registry::sound(&entry, &stream).map_err(at(Some(id)))?;
                match entry.get("cause").and_then(Value::as_str) {
                    Some("go-offline") => self.offline = true,
                    Some("go-online") => self.offline = false,
                    _ => {}
                }
                self.registry += 1;
            }
            Some("recovered") => {
                self.recoveries.check(&self.folder, &entry, number, id).map_err(at(Some(id)))?;
            }
            _ => return Err(at(Some(id))(("kind", "is none that this program knows".to_owned()))),
        }
        self.last = id;
        Ok(())
    }

    /// The entry by itself: canonical form, rising id, its time.
    pub(super) fn sound(&self, entry: &Value, id: Uuid, json: &[u8]) -> Result<(), Fault> {
        let mut bytes = Vec::with_capacity(json.len());
        canonical::canonicalise(entry, &mut bytes).map_err(|error| ("json", error.to_string()))?;
        if bytes != json {
            return fault("json", "is not in canonical form");
        }
        if text(entry, "canon")? != canonical::NAME {
            return fault("canon", format!("is not `{}`", canonical::NAME));
        }
        if id <= self.last {
            return fault("receipt_id", format!("does not follow {}", self.last));
        }
        let recorded: jiff::Timestamp =
            text(entry, "recorded_at")?.parse().map_err(|error: jiff::Error| ("recorded_at", error.to_string()))?;
        if recorded.as_microsecond() != stored::micros(id) {
            return fault("recorded_at", "is not the time in receipt_id");
        }
        Ok(())
    }

    /// The entry follows the last of its stream. Gives the stream.
    fn chained(&mut self, entry: &Value, hash: Digest) -> Result<String, Fault> {
        let stream = text(entry, "stream")?;
        let expected = self.streams.get(stream).map(Digest::to_hex);
        let stored = entry.get("prev_receipt_hash").ok_or_else(|| ("prev_receipt_hash", "is missing".to_owned()))?;
        let unknown = expected.is_none() && self.within;
        if !unknown && (stored.as_str() != expected.as_deref() || (expected.is_none() && !stored.is_null())) {
            return fault("prev_receipt_hash", format!("is not the receipt hash of the last entry in `{stream}`"));
        }
        match self.streams.get_mut(stream) {
            Some(head) => *head = hash,
            None => drop(self.streams.insert(stream.to_owned(), hash)),
        }
        Ok(stream.to_owned())
    }

    fn decision(&mut self, entry: &Value, number: u64, id: Uuid, hash: Digest, stream: String) -> Result<(), Fault> {
        if text(entry, "decision_id")? != text(entry, "receipt_id")? {
            return fault("decision_id", "is not the receipt_id");
        }
        observed(entry)?;
        shadowed(entry)?;
        self.decisions += 1;
        let decided = Decided { number, hash, allowed: allowed(entry)?, stream };
        if decided.allowed {
            self.recent.insert(id, decided);
            self.recent_order.push_back(id);
            if self.recent_order.len() > RECENT
                && let Some(oldest) = self.recent_order.pop_front()
            {
                self.recent.remove(&oldest);
            }
        }
        Ok(())
    }

    fn policy(&mut self, entry: &Value, stream: &str) -> Result<(), Fault> {
        if stream != HALL {
            return fault("stream", format!("is not `{}`", HALL));
        }
        if let Err(error) = text(entry, "snapshot")?.parse::<Digest>() {
            return fault("snapshot", error.to_string());
        }
        self.policies += 1;
        Ok(())
    }

    fn outcome(&mut self, decided: Option<Decided>, hash: Digest, stream: &str) -> Result<(), Fault> {
        let Some(decided) = decided else { return fault("decision_id", "is of no decision before this entry") };
        if !decided.allowed {
            return fault("decision_id", "is of a decision that let nothing through");
        }
        if decided.hash != hash {
            return fault("decision_receipt_hash", "is not the hash of that decision's entry");
        }
        if decided.stream != stream {
            return fault("stream", format!("is not the decision's, `{}`", decided.stream));
        }
        let (word, bit) = (usize::try_from(decided.number / 64).unwrap_or(usize::MAX), 1 << (decided.number % 64));
        if self.ended.len() <= word {
            self.ended.resize(word + 1, 0);
        }
        if let Some(bits) = self.ended.get_mut(word) {
            if *bits & bit != 0 {
                return fault("decision_id", "is of a decision that has an outcome already");
            }
            *bits |= bit;
        }
        self.outcomes += 1;
        Ok(())
    }

    /// Of a decision that was pruned no more can be said than that it has one outcome.
    fn outcome_of_pruned(&mut self, decision: Uuid) -> Result<(), Fault> {
        if !self.ended_before.insert(decision) {
            return fault("decision_id", "is of a decision that has an outcome already");
        }
        self.outcomes += 1;
        Ok(())
    }

    /// Finds an earlier entry by its id, in segments that have been checked.
    fn look_up(&self, id: Uuid) -> Result<Option<Decided>, VerifyError> {
        let unreadable = |source| VerifyError::Unreadable { path: self.folder.clone(), source };
        let first = self.edge.div_ceil(EVERY);
        let found = if self.within {
            stored::last_record(&self.folder, first, id).map_err(unreadable)?
        } else {
            let after = self.places.partition_point(|place| place.id <= id);
            after.checked_sub(1).and_then(|n| Some((first + n as u64, *self.places.get(n)?)))
        };
        // Before the first record that is kept there may be entries of a segment that begins at the edge.
        let start = (self.edge, self.edge, stored::HEADER as u64);
        let (number, segment, offset) =
            found.map_or(start, |(record, place)| (record * EVERY, place.segment, place.offset));
        let mut walk = FrameReader::from(&self.folder, number, segment, offset).map_err(unreadable)?;
        // The newest entries may have no record yet.
        while let Some(json) = walk.next().map_err(unreadable)? {
            let entry: Value = serde_json::from_slice(&json).unwrap_or_default();
            match self::id(&entry) {
                Ok(found) if found == id => return Ok(Some(Decided::of(walk.number() - 1, &json))),
                Ok(found) if found < id => {}
                _ => break,
            }
        }
        Ok(None)
    }
}

/// The entry's id: a UUIDv7 in its usual form.
pub(super) fn id(entry: &Value) -> Result<Uuid, Fault> {
    let text = text(entry, "receipt_id")?;
    let id = Uuid::parse_str(text).ok().filter(|id| id.get_version_num() == 7 && id.get_variant() == Variant::RFC4122);
    match id {
        Some(id) if id.as_hyphenated().to_string() == text => Ok(id),
        _ => fault("receipt_id", "is no UUIDv7"),
    }
}

/// The codes, behind their `DENY_`, that are not enforced on a route that only observes its policy.
const OBSERVED: [&str; 9] = [
    "ENV_NOT_ALLOWED",
    "MISSING_REQUIRED_CONTROLS",
    "NO_MATCHING_RULE",
    "POLICY_GATE",
    "PRIVILEGE_ENVELOPE_VIOLATED",
    "REQUIRES_HUMAN",
    "REQUIRES_HUMAN_APPROVAL",
    "WORKER_CAPABILITY_MISMATCH",
    "WORKER_NOT_CANDIDATE",
];

/// What would have been said, where that was not enforced: only at the gate, of what passed, and for a reason that may be observed.
fn observed(entry: &Value) -> Result<(), Fault> {
    let Some(would_be) = entry.get("would_be") else { return Ok(()) };
    let outcome = text(would_be, "outcome")?;
    if text(entry, "policy_decision")? != "ALLOW" || text(entry, "door")? != "gate" {
        return fault("would_be", "is said of what did not pass the gate");
    }
    if !matches!(outcome, "DENY" | "STEWARD_HOLD") {
        return fault("would_be.outcome", "is not DENY or STEWARD_HOLD");
    }
    text(would_be, "reason")?;
    let code = text(would_be, "code")?.split_once('_');
    if !code.is_some_and(|(word, name)| word == "DENY" && OBSERVED.contains(&name)) {
        return fault("would_be.code", "is none that may pass, and is enforced everywhere");
    }
    Ok(())
}

/// What another policy said: an outcome with a code where it is a no, and which policy.
fn shadowed(entry: &Value) -> Result<(), Fault> {
    let Some(shadow) = entry.get("shadow") else { return Ok(()) };
    match (text(shadow, "outcome")?, shadow.get("code").map(Value::is_string)) {
        ("DISPATCH", None) | ("DENY" | "STEWARD_HOLD", Some(true)) => {}
        _ => return fault("shadow.outcome", "is not DISPATCH, nor DENY or STEWARD_HOLD with a code"),
    }
    match text(shadow, "snapshot")?.parse::<Digest>() {
        Ok(_) => Ok(()),
        Err(error) => fault("shadow.snapshot", error.to_string()),
    }
}

/// Whether a decision let a request through.
fn allowed(entry: &Value) -> Result<bool, Fault> {
    match text(entry, "policy_decision")? {
        "ALLOW" => Ok(entry.get("dry_run") == Some(&Value::Bool(false))),
        "DENY" | "REQUIRE_HUMAN" => Ok(false),
        _ => fault("policy_decision", "is not ALLOW, DENY or REQUIRE_HUMAN"),
    }
}

/// The decision that an outcome names, and its hash.
fn outcome_of(entry: &Value) -> Result<(Uuid, Digest), Fault> {
    let id = Uuid::parse_str(text(entry, "decision_id")?).map_err(|error| ("decision_id", error.to_string()))?;
    let hash = text(entry, "decision_receipt_hash")?;
    let hash = hash.parse().map_err(|error: crate::ids::InvalidId| ("decision_receipt_hash", error.to_string()))?;
    Ok((id, hash))
}
