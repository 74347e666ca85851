//! The file of rules: JSON, or YAML by its ending. Both are the same rules; what is wrong with one is said at its place in either.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use marked_yaml::Node;
use marked_yaml::types::{MarkedMappingNode, MarkedScalarNode};

use super::problem::Problem;
use super::yaml::{self, Scalar, YamlFault};
use crate::documents;
use crate::engine::json::{Elements, LineIndex, Step, path_text};
use crate::engine::snapshot::SnapshotProblem;
use crate::engine::{Mode, RuleSet};

/// A rules file that was read, so that what is found later can be placed in it.
#[derive(Debug, Clone)]
pub struct RulesFile {
    /// Where it is.
    pub path: PathBuf,
    text: RulesText,
}

/// What is in it.
#[derive(Debug, Clone)]
enum RulesText {
    Json(String),
    /// The same as JSON, and where in the YAML each value is, by its path.
    Yaml {
        json: String,
        places: BTreeMap<String, (usize, usize)>,
    },
}

impl RulesFile {
    /// Reads a file. What is wrong with it is noted; then there is none.
    pub fn read(path: PathBuf, problems: &mut Vec<Problem>) -> Option<Self> {
        let problem = |place, message, help: &str| Problem {
            file: path.clone(),
            place,
            key: String::new(),
            message,
            help: help.to_owned(),
            quotable: true,
        };
        let text = match documents::text(&path, documents::LARGE) {
            Ok(text) => text,
            Err(why) => {
                let help = "write the rules file, or name it in `policy.rules`";
                problems.push(problem(None, format!("the file of rules {why}"), help));
                return None;
            }
        };
        if !is_yaml(&path) {
            return Some(Self { path, text: RulesText::Json(text) });
        }
        let (document, faults) = yaml::parse(&text);
        let end = yaml::end(&text);
        for YamlFault { place, message, help } in &faults {
            let help = if document.is_none() && message.contains("mapping") {
                "write `rules:` and a list below it"
            } else {
                help
            };
            problems.push(problem(Some((*place).min(end)), message.clone(), help));
        }
        let document = document.filter(|_| faults.is_empty())?;
        let (json, places) = Rewritten::of(&document);
        Some(Self { path, text: RulesText::Yaml { json, places } })
    }

    /// The rules in it. What is wrong with them is noted; then there are none.
    pub fn parse(&self, mode: Mode, problems: &mut Vec<Problem>) -> Option<RuleSet> {
        let json = match &self.text {
            RulesText::Json(json) | RulesText::Yaml { json, .. } => json,
        };
        RuleSet::parse(json, mode)
            .map_err(|found| {
                let from = problems.len();
                problems.extend(found.into_iter().map(|found| {
                    let place = match &self.text {
                        RulesText::Json(_) => (found.line, found.column),
                        RulesText::Yaml { places, .. } => innermost(places, &found.path),
                    };
                    let (file, message, help) = (self.path.clone(), found.message, found.help);
                    Problem { file, place: Some(place), key: found.path, message, help, quotable: true }
                }));
                if let Some(ours) = problems.get_mut(from..) {
                    ours.sort_by_key(|problem| problem.place);
                }
            })
            .ok()
    }

    /// Problems of the whole policy: in the rules, where they are there, else in the configuration.
    pub fn placed(&self, found: Vec<SnapshotProblem>, configuration: &Path) -> Vec<Problem> {
        // Once for all of them: there may be one for each rule.
        let json = match &self.text {
            RulesText::Json(json) => json,
            RulesText::Yaml { .. } => "",
        };
        let lines = LineIndex::of(json);
        let elements = Elements::of(&lines, "rules");
        let placed = |SnapshotProblem { path, in_rules, message, help }| {
            if in_rules.is_empty() {
                let key = format!("policy: {path}");
                let file = configuration.to_owned();
                return Problem { file, place: None, key, message, help, quotable: false };
            }
            let place = match &self.text {
                RulesText::Json(_) => elements.place(&lines, &in_rules),
                RulesText::Yaml { places, .. } => innermost(places, &path_text(&in_rules)),
            };
            Problem { file: self.path.clone(), place: Some(place), key: path, message, help, quotable: true }
        };
        found.into_iter().map(placed).collect()
    }
}

/// Where in a text of rules, or of a record, something is.
#[must_use]
pub fn place_in(file: &Path, text: &str, steps: &[Step]) -> (usize, usize) {
    match yaml::parse(text) {
        (Some(document), _) if is_yaml(file) => innermost(&Rewritten::of(&document).1, &path_text(steps)),
        _ => LineIndex::of(text).place(steps),
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
}

/// The place of a path, or of the innermost that there is.
fn innermost(places: &BTreeMap<String, (usize, usize)>, path: &str) -> (usize, usize) {
    let mut path = path;
    loop {
        if let Some(place) = places.get(path) {
            return *place;
        }
        match path.rfind(['.', '[']) {
            Some(end) => path = path.get(..end).unwrap_or_default(),
            None => return places.get("").copied().unwrap_or((1, 1)),
        }
    }
}

/// YAML that is written anew as JSON.
#[derive(Default)]
struct Rewritten {
    json: String,
    places: BTreeMap<String, (usize, usize)>,
    steps: Vec<Step>,
}

impl Rewritten {
    fn of(document: &MarkedMappingNode) -> (String, BTreeMap<String, (usize, usize)>) {
        let mut rewritten = Self::default();
        rewritten.map(document);
        (rewritten.json, rewritten.places)
    }

    fn at(&mut self, begins: (usize, usize)) {
        self.places.insert(path_text(&self.steps), begins);
    }

    fn map(&mut self, map: &MarkedMappingNode) {
        self.at(yaml::begin_of_map(map));
        self.json.push('{');
        for (n, (key, value)) in map.iter().enumerate() {
            self.json.push_str(if n > 0 { "," } else { "" });
            self.text(key.as_str());
            self.json.push(':');
            self.steps.push(Step::from(key.as_str()));
            self.node(value);
            self.steps.pop();
        }
        self.json.push('}');
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Mapping(map) => self.map(map),
            Node::Sequence(list) => {
                self.at(yaml::begin(node));
                self.json.push('[');
                for (n, value) in list.iter().enumerate() {
                    self.json.push_str(if n > 0 { "," } else { "" });
                    self.steps.push(Step::from(n));
                    self.node(value);
                    self.steps.pop();
                }
                self.json.push(']');
            }
            Node::Scalar(scalar) => {
                self.at(yaml::begin(node));
                self.scalar(scalar);
            }
        }
    }

    fn scalar(&mut self, scalar: &MarkedScalarNode) {
        match yaml::scalar(scalar) {
            Scalar::Null => self.json.push_str("null"),
            Scalar::Bool(true) => self.json.push_str("true"),
            Scalar::Bool(false) => self.json.push_str("false"),
            Scalar::Number(digits) => self.json.push_str(digits),
            Scalar::Text(text) => self.text(text),
        }
    }

    fn text(&mut self, text: &str) {
        let _infallible = write!(self.json, "{}", serde_json::Value::from(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> serde_json::Value {
        let (document, faults) = yaml::parse(text);
        assert!(faults.is_empty(), "{faults:?}");
        serde_json::from_str(&Rewritten::of(&document.unwrap()).0).unwrap()
    }

    #[test]
    fn values_are_what_yaml_says_they_are() {
        let read = json(
            "a: [1, -2, 0.90, 1e3, 0x10, 1_000, 01, .5]\nb: [true, False, no, on, null, ~, \"\", 'true', \"1\"]\nc:\nd: |\n  two\n  \"lines\"\n\"e f\": {}\n",
        );
        assert_eq!(
            read,
            serde_json::json!({
                "a": [1, -2, 0.90, 1e3, "0x10", "1_000", "01", ".5"],
                "b": [true, false, "no", "on", null, null, "", "true", "1"],
                "c": null, "d": "two\n\"lines\"\n", "e f": {},
            })
        );
    }

    #[test]
    fn json_is_yaml_and_the_same() {
        let sample = include_str!("../../conf/rules.json");
        assert_eq!(json(sample), serde_json::from_str::<serde_json::Value>(sample).unwrap());
    }

    #[test]
    fn each_value_has_its_place() {
        let text = "rules:\n  - rule_id: a\n    match: { env: [dev] }\n  -\n    decision:\n      max_blast: 7\n";
        let file = Path::new("rules.yaml");
        let place = |steps: &[Step]| place_in(file, text, steps);
        assert_eq!(place(&["rules".into(), 0.into(), "match".into(), "env".into(), 0.into()]), (3, 20));
        assert_eq!(place(&["rules".into(), 1.into(), "decision".into(), "max_blast".into()]), (6, 18));
        assert_eq!(place(&["rules".into(), 0.into(), "match".into(), "qos_class".into()]), (3, 12));
        assert_eq!(place(&[]), (1, 1));
    }
}
