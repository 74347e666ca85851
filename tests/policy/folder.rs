//! A policy in a folder of its own (`hallgate.yaml`, `rules.json`, `enrolled/`, `src/`), loaded as `serve` loads one and asked
//! as the hall asks.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallgate::config::Config;
use hallgate::engine::{Decision, Facts, Json, Question, RouteInput, Snapshot, decide, route_decision};
use hallgate::ids::DataLabel;
use hallgate::registry::code::SourceHashes;
use serde_json::Value;
use support::agrees;

/// A policy that loaded.
pub struct Folder {
    pub snapshot: Snapshot,
    hashes: SourceHashes,
}

impl Folder {
    /// Loads the configuration of a folder; problems name files as seen from there.
    pub fn load(folder: &Path) -> Result<Self, String> {
        match Config::load(&folder.join("hallgate.yaml"), &|_| None) {
            Ok(config) => Ok(Self { snapshot: config.snapshot, hashes: SourceHashes::default() }),
            Err(problems) => Err(problems.to_string().replace(&format!("{}/", folder.display()), "")),
        }
    }

    pub fn decide(&self, input: RouteInput) -> Decision {
        let question = Question::ask(&input, &Facts::default(), &self.snapshot);
        let question = self.hashes.know_now(question, &self.snapshot);
        Decision::new(input, Arc::new(decide(&question, &self.snapshot)), &self.snapshot, false)
    }
}

/// The folders in a folder, sorted.
pub fn folders(of: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(of);
    let mut folders: Vec<_> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// A request as the reference's RouteInput writes it, `worker_id` besides.
pub fn input(json: &Json) -> RouteInput {
    let fields = json.as_object().unwrap();
    let maybe = |key: &str| fields.get(key).filter(|value| **value != Json::Null);
    let text = |key: &str| maybe(key).map(|value| Arc::clone(value.as_str().unwrap()));
    RouteInput {
        capability_id: text("capability_id").unwrap(),
        worker_id: text("worker_id"),
        env: text("env").unwrap().parse().unwrap(),
        data_label: text("data_label").map_or(DataLabel::Restricted, |label| label.parse().unwrap()),
        data_label_defaulted: maybe("data_label").is_none(),
        tenant_id: text("tenant_id").unwrap(),
        tenant_risk: text("tenant_risk").map(|risk| risk.parse().unwrap()),
        qos_class: text("qos_class").unwrap().parse().unwrap(),
        correlation_id: text("correlation_id").unwrap(),
        request: maybe("request").cloned().unwrap_or_else(|| Json::parse(b"{}").unwrap()),
        blast_radius: maybe("blast_radius").cloned(),
        blast_score: maybe("blast_score").map(|score| score.as_i64().unwrap()),
        privilege_context: maybe("privilege_context").cloned(),
        tenant_credential: text("tenant_credential"),
        dry_run: maybe("dry_run").is_some_and(|flag| flag.as_bool().unwrap()),
        http: None,
    }
}

/// The decision as it is written, id and time fixed.
pub fn written(decision: &Decision) -> Value {
    serde_json::to_value(route_decision(decision, "id", "2026-01-01T00:00:00.000000+00:00")).unwrap()
}

/// What of the expected is not there, or has another value; ours may carry more.
pub fn differences(expected: &Value, ours: &Value) -> Vec<String> {
    let differing = |(key, value): (&String, &Value)| {
        (!agrees(value, &ours[key])).then(|| format!("{key}: expected {value}, not {}", ours[key]))
    };
    expected.as_object().unwrap().iter().filter_map(differing).collect()
}
