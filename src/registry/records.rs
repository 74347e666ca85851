//! Registry records: one JSON object a worker, as files of one folder or in the configuration itself (WCP_SPEC 6).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hash;
use super::sources::Sources;
use crate::documents;
use crate::engine::Mode;
use crate::engine::json::{Fields, Finding, Json, LineIndex, Members, path_text, present};
use crate::engine::snapshot::{Attestation, Envelope, Worker, WorkerStatus};
use crate::ids::{CapabilityId, ControlId, Digest, Env, RiskTier, WorkerId, meant};

/// A problem in a registry record, with its place and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordProblem {
    /// The file, or the folder when it cannot be read.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Which field, such as `capabilities[2]`; empty for the whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

impl RecordProblem {
    fn of_file(file: &Path, message: String, help: &str) -> Self {
        let (file, help) = (file.to_owned(), help.to_owned());
        Self { file, line: 1, column: 1, field: String::new(), message, help }
    }
}

/// How records are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFormat {
    /// How the specification is read.
    pub mode: Mode,
    /// Where source files of workers may be.
    pub sources: Sources,
}

impl Default for RecordFormat {
    fn default() -> Self {
        Self { mode: Mode::Strict, sources: Sources::default() }
    }
}

impl RecordFormat {
    /// How records of others are read, which come over the API: none of them names a file that no configuration lists.
    #[must_use]
    pub fn of_others(&self) -> Self {
        Self { mode: self.mode, sources: self.sources.listed() }
    }
}

/// A worker with the record that enrolled it.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The worker, as far as decisions look at it.
    pub worker: Arc<Worker>,
    /// The hash of the record.
    pub hash: Digest,
    /// The whole record; null where nothing but the worker is known.
    pub record: Arc<Json>,
    /// Where it is written; `None` when it came over the API, or from nowhere.
    pub place: Option<RecordPlace>,
}

/// Where a record is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordPlace {
    /// In a file of its own.
    File(Arc<Path>),
    /// In the configuration, below this key, such as `policy.workers[0]`.
    Key(Arc<str>),
}

impl fmt::Display for RecordPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(f),
            Self::Key(key) => f.write_str(key),
        }
    }
}

impl From<Arc<Worker>> for Enrolled {
    fn from(worker: Arc<Worker>) -> Self {
        Self { worker, hash: hash::of_record(&BTreeMap::new()), record: Arc::new(Json::Null), place: None }
    }
}

impl Enrolled {
    /// A text of the record, such as `risk_tier`.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&Arc<str>> {
        present(self.record.as_object()?, key)?.as_str()
    }
}

/// Reads every `*.json` of a folder as a registry record, in the order of their names.
///
/// Reference mode drops what the reference drops: control ids and hashes of another form, and fields that it does not read.
/// There, a folder that does not exist holds no workers.
///
/// # Errors
/// Every problem of every record at once.
pub fn load(folder: &Path, reading: &RecordFormat) -> Result<Vec<Enrolled>, Vec<RecordProblem>> {
    let mode = reading.mode;
    let found = match documents::inside(folder, "json", false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && mode == Mode::Reference => return Ok(Vec::new()),
        Err(error) => {
            let message = format!("the folder of registry records cannot be read: {error}");
            return Err(vec![RecordProblem::of_file(
                folder,
                message,
                "make the folder readable, correct `policy.workers`, or write the records there: `workers: [{ worker_id: …, \
                 worker_species_id: …, capabilities: […] }]`",
            )]);
        }
        Ok(found) => found,
    };
    let unread = found.unread.into_iter();
    let mut problems: Vec<_> =
        unread.map(|unread| RecordProblem::of_file(&unread.path, unread.is.to_owned(), &unread.help)).collect();
    let mut workers = Vec::with_capacity(found.read.len());
    let mut seen = Seen::default();
    for file in found.read {
        match read(&file).and_then(|text| record(&file, &text, reading)) {
            Err(found) => problems.extend(found),
            Ok(enrolled) => match seen.before(&enrolled) {
                Some((message, help)) => problems.push(RecordProblem::of_file(&file, message, help)),
                None => workers.push(enrolled),
            },
        }
    }
    if problems.is_empty() { Ok(workers) } else { Err(problems) }
}

/// The workers whose records were read, with their places.
#[derive(Default)]
struct Seen(BTreeMap<WorkerId, Option<RecordPlace>>);

impl Seen {
    /// What is wrong with a second record of one worker, and what to change.
    fn before(&mut self, enrolled: &Enrolled) -> Option<(String, &'static str)> {
        let id = &enrolled.worker.worker_id;
        let first = self.0.get(id).map(|first| first.as_ref().map_or_else(String::new, RecordPlace::to_string));
        if first.is_none() {
            self.0.insert(id.clone(), enrolled.place.clone());
        }
        first.map(|first| (format!("`{id}` is enrolled in {first}, too"), "give each worker one record"))
    }
}

/// Reads records that are written in the configuration, each below its key.
///
/// # Errors
/// Everything that is wrong with each, with its key.
pub fn written(
    records: impl IntoIterator<Item = (Arc<str>, Json)>,
    reading: &RecordFormat,
) -> Result<Vec<Enrolled>, Vec<(Arc<str>, Finding)>> {
    let (mut workers, mut problems, mut seen) = (Vec::new(), Vec::new(), Seen::default());
    for (key, json) in records {
        match enrolled(json, reading) {
            Err(found) => problems.extend(found.into_iter().map(|finding| (Arc::clone(&key), finding))),
            Ok(enrolled) => {
                let enrolled = Enrolled { place: Some(RecordPlace::Key(Arc::clone(&key))), ..enrolled };
                match seen.before(&enrolled) {
                    Some((message, help)) => {
                        problems
                            .push((key, Finding { steps: vec!["worker_id".into()], message, help: help.to_owned() }));
                    }
                    None => workers.push(enrolled),
                }
            }
        }
    }
    if problems.is_empty() { Ok(workers) } else { Err(problems) }
}

fn read(file: &Path) -> Result<String, Vec<RecordProblem>> {
    documents::text(file, documents::SMALL)
        .map_err(|why| vec![RecordProblem::of_file(file, why.to_string(), "make it a readable UTF-8 file")])
}

/// Reads one registry record, which is in this file.
///
/// # Errors
/// Everything that is wrong with it, with its places.
pub fn record(file: &Path, text: &str, reading: &RecordFormat) -> Result<Enrolled, Vec<RecordProblem>> {
    let lines = LineIndex::of(text);
    let document = Json::parse(text.as_bytes()).map_err(|error| {
        let (line, column) = lines.place_of(&error);
        let help = "correct the file's JSON".to_owned();
        vec![RecordProblem { file: file.to_owned(), line, column, field: error.path, message: error.message, help }]
    })?;
    let enrolled = enrolled(document, reading);
    let place = Some(RecordPlace::File(Arc::from(file)));
    enrolled.map(|enrolled| Enrolled { place, ..enrolled }).map_err(|findings| {
        let problem = |finding: Finding| {
            let (line, column) = lines.place(&finding.steps);
            let field = path_text(&finding.steps);
            RecordProblem { file: file.to_owned(), line, column, field, message: finding.message, help: finding.help }
        };
        let mut problems: Vec<_> = findings.into_iter().map(problem).collect();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    })
}

/// Reads a record wherever it comes from.
///
/// # Errors
/// Everything that is wrong with it.
pub fn enrolled(record: Json, reading: &RecordFormat) -> Result<Enrolled, Vec<Finding>> {
    let mut fields = Fields::new(reading.mode == Mode::Strict);
    match worker(&mut fields, &record, &reading.sources) {
        Some(worker) if fields.findings.is_empty() => {
            let hash = record.as_object().map(hash::of_record).unwrap_or_else(|| hash::of_record(&BTreeMap::new()));
            Ok(Enrolled { worker: Arc::new(worker), hash, record: Arc::new(record), place: None })
        }
        _ => Err(fields.findings),
    }
}

/// `None` only when something has been said.
fn worker(fields: &mut Fields, document: &Json, sources: &Sources) -> Option<Worker> {
    let record = fields.object(document)?;
    let worker_id = identifier(fields, record, "worker_id");
    let species = identifier(fields, record, "worker_species_id");
    let capabilities = identifiers::<CapabilityId>(fields, record, "capabilities");
    if fields.strict && capabilities.is_empty() {
        fields.say("`capabilities` is missing or empty", "name what the worker can do");
    }
    let implements = identifiers::<ControlId>(fields, record, "currently_implements");
    let required_controls = identifiers::<ControlId>(fields, record, "required_controls");
    let allowed_environments = present(record, "allowed_environments").is_some();
    let allowed_environments = allowed_environments.then(|| identifiers::<Env>(fields, record, "allowed_environments"));
    let status = match fields.text(record, "status").map(|status| &**status) {
        None | Some("active") => WorkerStatus::Active,
        Some("banned") => WorkerStatus::Banned,
        Some(_) => WorkerStatus::Revoked,
    };
    let blast_sum = present(record, "blast_radius").and_then(|radius| {
        if fields.strict || radius.as_object().is_some() {
            fields.within("blast_radius", |fields| blast_sum(fields, radius))
        } else {
            None
        }
    });
    artifact_hash(fields, record);
    let attestation = attestation(fields, record, sources);
    let envelope = envelope(fields, record);
    let risk_tier = risk_tier(fields, record);
    Some(Worker {
        worker_id: worker_id?,
        species: species?,
        capabilities: capabilities.into_iter().collect(),
        implements: implements.into_iter().collect(),
        required_controls: required_controls.into_iter().collect(),
        allowed_environments: allowed_environments.map(|envs| envs.into_iter().collect()),
        blast_sum,
        status,
        attestation,
        envelope,
        risk_tier,
    })
}

/// The risk tier. A word that is none is a problem in strict mode; the reference reads none at all.
fn risk_tier(fields: &mut Fields, record: &Members) -> Option<RiskTier> {
    if !fields.strict {
        return present(record, "risk_tier")?.as_str()?.parse().ok();
    }
    let text = fields.text(record, "risk_tier").filter(|text| !text.is_empty())?;
    fields.within("risk_tier", |fields| fields.parsed(text))
}

fn identifier<T>(fields: &mut Fields, record: &Members, key: &str) -> Option<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = fields.required_text(record, key)?;
    fields.within(key, |fields| fields.parsed(text))
}

/// A list of identifiers. One of another form is a problem in strict mode; the reference drops it.
fn identifiers<T>(fields: &mut Fields, record: &Members, key: &str) -> Vec<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let written = fields.list(record, key);
    fields.within(key, |fields| {
        let read = |(at, value): (usize, &Json)| match value {
            Json::String(text) if fields.strict => fields.within(at, |fields| fields.parsed(text)),
            Json::String(text) => text.parse().ok(),
            other => {
                fields.within(at, |fields| fields.expected("a string", other));
                None
            }
        };
        written.iter().enumerate().filter_map(read).collect()
    })
}

/// The words of `blast_radius.reversibility`.
const REVERSIBILITY: [&str; 4] = ["reversible", "partial", "partially-reversible", "irreversible"];

/// The sum of the five dimensions, each 0 to 5. One that is not given counts as 0.
fn blast_sum(fields: &mut Fields, radius: &Json) -> Option<u8> {
    let dimensions = fields.object(radius)?;
    fields.only_known(dimensions, &["data", "network", "financial", "time", "reversibility"]);
    let mut sum = 0;
    for (name, value) in dimensions {
        sum += fields.within(&**name, |fields| {
            let score = match value {
                Json::String(text) if **name == *"reversibility" => match &**text {
                    "reversible" => Some(0),
                    "partial" | "partially-reversible" => Some(3),
                    "irreversible" => Some(5),
                    _ => None,
                },
                other => other.as_i64().and_then(|score| u8::try_from(score).ok()).filter(|score| *score <= 5),
            };
            if score.is_none() && fields.strict {
                let words: &[&str] = if **name == *"reversibility" { &REVERSIBILITY } else { &[] };
                let written = value.as_str().map_or("", |text| text);
                let help = meant(written, words.iter().copied(), || {
                    "write an integer from 0 to 5 (or, for reversibility, `irreversible`)".to_owned()
                });
                fields.say("is no blast dimension", help);
            }
            score.unwrap_or(0)
        });
    }
    Some(sum)
}

/// The record's own hash, where it has one, is the hash of the rest: it says which record was looked at and enrolled.
fn artifact_hash(fields: &mut Fields, record: &Members) {
    if fields.strict
        && let Some(text) = fields.text(record, hash::ARTIFACT_HASH)
    {
        fields.within(hash::ARTIFACT_HASH, |fields| {
            let actual = hash::of_record(record);
            if digest(fields, text).is_some_and(|written| written != actual) {
                fields.say(
                    "is not the hash of this record: somebody changed one of them",
                    format!(
                        "look at the record; if it is as it should be, write `sha256:{actual}`, or leave the hash out"
                    ),
                );
            }
        });
    }
}

/// A hash, with `sha256:` before it or not; the reference drops one of another form, that one included.
fn digest(fields: &mut Fields, text: &str) -> Option<Digest> {
    if !fields.strict {
        return text.parse().ok();
    }
    let parsed = text.strip_prefix("sha256:").unwrap_or(text).parse();
    parsed
        .map_err(|error: crate::ids::InvalidId| {
            fields.say(error.to_string(), "write 64 lower-case hex digits, with `sha256:` before them or not");
        })
        .ok()
}

fn attestation(fields: &mut Fields, record: &Members, sources: &Sources) -> Attestation {
    let Some(written) = declared(fields, record, "attestation") else { return Attestation::default() };
    fields.within("attestation", |fields| {
        let Some(written) = fields.object(written) else { return Attestation::default() };
        let text = fields.text(written, "code_hash").filter(|text| !text.is_empty());
        let registered = text.and_then(|text| fields.within("code_hash", |fields| digest(fields, text)));
        let file = fields.text(written, "source_file").filter(|text| !text.is_empty());
        let source = file.and_then(|file| sources.source(file));
        if fields.strict && file.is_some() && source.is_none() {
            let (is, help) = sources.refusal();
            fields.within("source_file", |fields| fields.say(is, help));
        }
        Attestation { registered, source }
    })
}

/// The envelope's destinations: what a decision looks at. An empty envelope declares nothing, as in the reference.
fn envelope(fields: &mut Fields, record: &Members) -> Option<Envelope> {
    const KEYS: &[&str] = &["secrets_access", "network_egress", "filesystem_writes", "tools", "egress"];
    let written = declared(fields, record, "privilege_envelope")?;
    fields.within("privilege_envelope", |fields| {
        let written = fields.object(written)?;
        fields.only_known(written, KEYS);
        let Some(egress) = declared(fields, written, "egress") else { return Some(Envelope::default()) };
        fields.within("egress", |fields| {
            let egress = fields.object(egress)?;
            fields.only_known(egress, &["allowlist"]);
            let written = fields.list(egress, "allowlist");
            let egress = fields.within("allowlist", |fields| {
                let read = |(at, value): (usize, &Json)| {
                    fields.within(at, |fields| match value {
                        Json::String(text) => Some(Arc::clone(text)),
                        other => {
                            fields.expected("a string", other);
                            None
                        }
                    })
                };
                written.iter().enumerate().filter_map(read).collect()
            });
            Some(Envelope { egress })
        })
    })
}

/// A member that says something. What Python counts as false says nothing; in strict mode only an empty object does.
fn declared<'j>(fields: &Fields, members: &'j Members, key: &str) -> Option<&'j Json> {
    let says = |value: &&Json| match value {
        Json::Object(members) => !members.is_empty(),
        other => fields.strict || other.truthy(),
    };
    present(members, key).filter(says)
}

#[cfg(test)]
mod tests;
