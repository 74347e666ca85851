//! The catalogue: which capabilities there are and how risky each is. The six of the Make page are built in; a file adds more.
//!
//! The file is in the public taxonomy's format: `{"_meta": {"version"}, "entities": [{"id", "type", "risk_tier", …}]}`. Ids are taken
//! as they are written: a version at their end is neither stripped nor guessed.

mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::artifact;
use crate::engine::json::{Elements, Json, LineIndex, path_text};
use crate::ids::{Digest, EntityKind, RiskTier};

/// A problem in a catalogue's file, with its place and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueProblem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Which value, such as `entities[2].risk_tier`; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: String,
}

/// Something that the catalogue knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// What kind of thing it is.
    pub kind: EntityKind,
    /// How risky it is, where that is said.
    pub risk_tier: Option<RiskTier>,
    /// Whether it is built in, and not of a file.
    pub built_in: bool,
    /// All that is said of it, as it is written.
    pub written: Json,
}

/// The catalogue in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue {
    entities: BTreeMap<Arc<str>, Entity>,
    version: Arc<str>,
    digest: Digest,
}

/// The Make page's capabilities: id, name, tier.
const BUILT_IN: [(&str, &str, RiskTier); 6] = [
    ("cap.auth.verify.v1", "Verify an identity", RiskTier::High),
    ("cap.data.read.v1", "Read data", RiskTier::Low),
    ("cap.data.write.v1", "Write data", RiskTier::High),
    ("cap.notify.send.v1", "Send a notification", RiskTier::Medium),
    ("cap.report.generate.v1", "Generate a report", RiskTier::Medium),
    ("cap.workflow.trigger.v1", "Trigger a workflow", RiskTier::High),
];

impl Catalogue {
    /// What is known without any file.
    #[must_use]
    pub fn built_in() -> Self {
        let entity = |(id, name, tier): (&str, &str, RiskTier)| {
            let text = |text: &str| Json::String(Arc::from(text));
            let members = [
                ("id", text(id)),
                ("type", text(EntityKind::Capability.as_str())),
                ("name", text(name)),
                ("risk_tier", text(tier.as_str())),
            ];
            let written = Json::Object(members.map(|(key, value)| (Arc::from(key), value)).into());
            let kind = EntityKind::Capability;
            (Arc::from(id), Entity { kind, risk_tier: Some(tier), built_in: true, written })
        };
        Self {
            entities: BUILT_IN.into_iter().map(entity).collect(),
            version: Arc::from("built-in"),
            digest: Digest::of(b"hallgate built-in catalogue 1"),
        }
    }

    /// The built-in capabilities and those of a file. What a file says of a built-in one counts.
    ///
    /// # Errors
    /// Every problem at once, in the order of the file.
    pub fn parse(text: &str) -> Result<Self, Vec<CatalogueProblem>> {
        let lines = LineIndex::of(text);
        let document = Json::parse(text.as_bytes()).map_err(|error| {
            let (line, column) = lines.place_of(&error);
            let help = "correct the file's JSON".to_owned();
            vec![CatalogueProblem { line, column, path: error.path, message: error.message, help }]
        })?;
        let (file, findings) = read::file(&document);
        if !findings.is_empty() {
            let elements = Elements::of(&lines, "entities");
            let placed = findings.into_iter().map(|finding| {
                let (line, column) = elements.place(&lines, &finding.steps);
                let path = path_text(&finding.steps);
                CatalogueProblem { line, column, path, message: finding.message, help: finding.help }
            });
            let mut problems: Vec<_> = placed.collect();
            problems.sort_by_key(|problem| (problem.line, problem.column));
            return Err(problems);
        }
        let mut canonical = String::new();
        artifact::python_json(&document, &mut canonical);
        let mut catalogue = Self::built_in();
        catalogue.entities.extend(file.entities);
        Ok(Self { version: file.version, digest: Digest::of(canonical.as_bytes()), ..catalogue })
    }

    /// The file's version; `built-in` where there is no file.
    #[must_use]
    pub const fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The digest of all of it.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Everything, by id.
    pub fn entities(&self) -> impl Iterator<Item = (&Arc<str>, &Entity)> {
        self.entities.iter()
    }

    /// The capability with this id.
    #[must_use]
    pub fn capability(&self, id: &str) -> Option<&Entity> {
        self.entities.get(id).filter(|entity| entity.kind == EntityKind::Capability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_make_pages_capabilities_are_there_without_a_file() {
        let catalogue = Catalogue::built_in();
        let tier = |id| catalogue.capability(id).and_then(|entity| entity.risk_tier);
        assert_eq!(tier("cap.data.read.v1"), Some(RiskTier::Low));
        assert_eq!(tier("cap.data.write.v1"), Some(RiskTier::High));
        // Never stripped, never guessed.
        assert_eq!(tier("cap.data.write"), None);
        assert_eq!(catalogue.entities().count(), 6);
    }

    #[test]
    fn a_file_adds_and_overrides() {
        let text = r#"{"_meta": {"version": "0.1.0"}, "entities": [
            {"id": "cap.db.write", "type": "capability", "risk_tier": "high", "tags": ["db"], "blast_radius_hint": {"data": 3}},
            {"id": "cap.data.read.v1", "type": "capability", "risk_tier": "critical"},
            {"id": "wrk.db.writer", "type": "worker_species"}]}"#;
        let catalogue = Catalogue::parse(text).unwrap();
        assert_eq!(&**catalogue.version(), "0.1.0");
        assert_eq!(catalogue.entities().count(), 8);
        assert_eq!(catalogue.capability("cap.data.read.v1").unwrap().risk_tier, Some(RiskTier::Critical));
        assert!(catalogue.capability("wrk.db.writer").is_none(), "a species is no capability");
        assert_ne!(catalogue.digest(), Catalogue::built_in().digest());
    }

    #[test]
    fn every_problem_of_a_file_is_reported_with_its_place() {
        let text = "{\"entities\": [\n{\"id\": \"cap.Db\", \"type\": \"capability\"},\n{\"type\": \"capability\"},\n\
                    {\"id\": \"cap.a.b\", \"type\": \"thing\"},\n{\"id\": \"cap.a.c\", \"type\": \"capability\", \"risk_tier\": \"none\"},\n\
                    {\"id\": \"ctrl.a\", \"type\": \"control\"},\n{\"id\": \"ctrl.a\", \"type\": \"control\"}]}";
        let problems = Catalogue::parse(text).unwrap_err();
        let found: Vec<_> = problems.iter().map(|problem| (problem.line, &*problem.path)).collect();
        let expected = [
            (2, "entities[0].id"),
            (3, "entities[1]"),
            (4, "entities[2].type"),
            (5, "entities[3].risk_tier"),
            (7, "entities[5].id"),
        ];
        assert_eq!(found, expected, "{problems:?}");
        assert!(Catalogue::parse("[]").is_err() && Catalogue::parse("{}").is_err() && Catalogue::parse("{").is_err());
    }
}
