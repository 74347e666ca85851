//! Typed reading of marked YAML. Every problem is noted with its place, and reading goes on; nothing is passed over in silence.

mod entries;
mod json;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use marked_yaml::types::MarkedMappingNode;
use marked_yaml::{Node, Span};

use super::origins::Keys;
use super::problem::{Problem, Warning};
use super::variables::{Environment, Unexpanded, expand, unbraced};
use super::yaml;
use crate::documents::{self, InvalidValue};
use crate::ids::meant;
use crate::telemetry::traces::Misset;

/// A variable that looks like one to a shell, and is none here.
pub const VARIABLE_WITHOUT_BRACES: &str = "variable-without-braces";

/// What a reading has found.
pub struct Found {
    /// What is wrong, in the order of the file.
    pub problems: Vec<Problem>,
    /// What is sound and yet not wise.
    pub warnings: Vec<Warning>,
    /// Where each key is.
    pub keys: Keys,
    /// Which files the policy, the tokens and the certificates come from.
    pub files: BTreeSet<PathBuf>,
    /// The folder in which absolute paths begin.
    pub root: Option<PathBuf>,
}

/// One reading of one file: where values come from, and what was found wrong.
pub struct Reading<'a> {
    file: &'a Path,
    /// Line and column at which it ends.
    end: (usize, usize),
    environment: &'a Environment<'a>,
    /// The folder in which absolute paths begin; `None`: where they do.
    root: Option<&'a Path>,
    problems: RefCell<Vec<Problem>>,
    /// What is sound and yet not wise.
    warnings: RefCell<Vec<Warning>>,
    /// Where each key that was asked for is.
    keys: RefCell<Keys>,
    /// What a running process reads again when it changes.
    files: RefCell<BTreeSet<PathBuf>>,
    /// Keys that were asked for and are not there: for the test that the sample shows every key.
    #[cfg(test)]
    pub absent: RefCell<Vec<String>>,
}

impl<'a> Reading<'a> {
    /// Of this file with this text, in this environment.
    pub fn new(file: &'a Path, text: &str, environment: &'a Environment<'a>) -> Self {
        Self {
            file,
            end: yaml::end(text),
            environment,
            root: None,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            keys: RefCell::new(Keys::of(file)),
            files: RefCell::new(BTreeSet::from([file.to_owned()])),
            #[cfg(test)]
            absent: RefCell::default(),
        }
    }

    /// The same, with absolute paths in this folder.
    pub fn below(self, root: Option<&'a Path>) -> Self {
        Self { root, ..self }
    }

    /// Notes a problem.
    pub fn note(&self, place: (usize, usize), key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.problems.borrow_mut().push(self.found(place, key, message, help));
    }

    /// Notes what is sound and yet not wise, once.
    fn warn(
        &self,
        name: &'static str,
        place: (usize, usize),
        key: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let warning = Warning { name, about: self.found(place, key, message, help) };
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    fn found(&self, place: (usize, usize), key: &str, message: impl Into<String>, help: impl Into<String>) -> Problem {
        Problem {
            file: self.file.to_owned(),
            place: Some(place.min(self.end)),
            key: in_one_line(key.to_owned()),
            message: in_one_line(message.into()),
            help: in_one_line(help.into()),
            quotable: false,
        }
    }

    /// What was found.
    pub fn into_found(self) -> Found {
        let root = self.root.map(Path::to_owned);
        let mut problems = self.problems.into_inner();
        problems.sort_by(|one, other| {
            // Those of files that this one names come behind its own.
            let place = |problem: &Problem| (problem.file != self.file, problem.place);
            place(one).cmp(&place(other))
        });
        let (warnings, keys) = (self.warnings.into_inner(), self.keys.into_inner());
        Found { problems, warnings, keys, files: self.files.into_inner(), root }
    }

    /// A value with its place, which is noted.
    fn value(&'a self, node: &'a Node, path: String) -> Value<'a> {
        self.keys.borrow_mut().insert(&path, yaml::begin(node).min(self.end));
        Value { reading: self, node, path }
    }

    /// A path in a value of this key, relative to the folder of the configuration file.
    fn path(&self, key: &str, written: &str) -> PathBuf {
        let path = match (self.root, Path::new(written).strip_prefix("/")) {
            (Some(root), Ok(below)) => root.join(below),
            _ => self.file.parent().unwrap_or(Path::new("")).join(written),
        };
        // Workers' own code is not ours to load: it is looked at when it is about to act. The store is the process's own to write.
        let not_ours = key.starts_with("policy.allowed_worker_dirs") || key == "policy.store";
        let of_policy = key.starts_with("policy.") && !not_ours;
        let of_tls =
            ["gate.tls.", "hall.tls."].iter().any(|section| key.starts_with(section)) || key.ends_with("ca_file");
        if of_policy || of_tls || key.starts_with("hall.tokens") || key.starts_with("tokens[") {
            self.files.borrow_mut().insert(path.clone());
        }
        path
    }

    /// The whole document.
    pub fn document(&'a self, node: &'a MarkedMappingNode) -> Map<'a> {
        Map { reading: self, node: Some(node), place: (1, 1), path: String::new(), known: Vec::new() }
    }
}

/// What is quoted may hold line feeds, and characters that do something to a terminal.
fn in_one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

fn place(span: &Span) -> (usize, usize) {
    span.start().map_or((1, 1), yaml::place)
}

/// A value with its place and path.
#[derive(Clone)]
pub struct Value<'a> {
    reading: &'a Reading<'a>,
    node: &'a Node,
    path: String,
}

impl<'a> Value<'a> {
    /// Notes a problem with this value.
    pub fn wrong(&self, message: impl Into<String>, help: impl Into<String>) {
        self.reading.note(yaml::begin(self.node), &self.path, message, help);
    }

    /// The text with its variables replaced; not empty.
    pub fn text(&self) -> Option<String> {
        let Some(scalar) = self.node.as_scalar() else {
            self.wrong("is not a single value", "write one value here, not a list or a mapping");
            return None;
        };
        if let Some(name) = unbraced(scalar.as_str()) {
            // One that is set is the name of a variable; another may be a piece of a secret.
            let name = if (self.reading.environment)(name).is_some() { name } else { "NAME" };
            let message = format!("a `${name}` stays as it is written: only `${{{name}}}` is replaced");
            let help = format!("write `${{{name}}}`; a text that has a `$` of its own can be kept in a file");
            self.reading.warn(VARIABLE_WITHOUT_BRACES, place(self.node.span()), &self.path, message, help);
        }
        match expand(scalar.as_str(), self.reading.environment) {
            Ok(text) if text.is_empty() => {
                self.wrong("is empty", "write a value or remove the key");
                None
            }
            Ok(text) => Some(text),
            Err(Unexpanded::Unset(name)) => {
                self.wrong(
                    format!("the environment variable `{name}` is not set, or empty"),
                    format!("set `{name}`, or write the value itself"),
                );
                None
            }
            Err(Unexpanded::Malformed) => {
                self.wrong(
                    "a `${` is not followed by a variable's name and `}`",
                    "write `${NAME}` or `${NAME:-default}`, or `$${` for a literal `${`",
                );
                None
            }
        }
    }

    /// Whether variables leave nothing of it.
    pub fn comes_to_nothing(&self) -> bool {
        let text = self.node.as_scalar().map(|scalar| expand(scalar.as_str(), self.reading.environment));
        text.is_some_and(|text| text.is_ok_and(|text| text.is_empty()))
    }

    /// The value as its kind. Problems quote what is written, never what a variable stands for.
    pub fn read<T>(&self, kind: impl FnOnce(&str) -> Result<T, InvalidValue>) -> Option<T> {
        let text = self.text()?;
        let shown = |wrong: &InvalidValue| if wrong.may_be_secret { "the value".to_owned() } else { self.quoted() };
        kind(&text).map_err(|wrong| self.wrong(format!("{} {}", shown(&wrong), wrong.is), wrong.help)).ok()
    }

    /// The value as it is written, for a message; not when it looks like a URL with a credential in it.
    fn quoted(&self) -> String {
        let written = self.node.as_scalar().map_or("", |scalar| scalar.as_str());
        if written.contains("://") && written.contains('@') {
            return "the value".to_owned();
        }
        format!("`{}`", written.chars().take(80).collect::<String>())
    }

    /// The value as its kind, if it is a secret: problems never quote it.
    pub fn read_secret<T>(&self, kind: impl FnOnce(&str) -> Result<T, InvalidValue>) -> Option<T> {
        let text = self.text()?;
        kind(&text).map_err(|wrong| self.wrong(format!("the value {}", wrong.is), wrong.help)).ok()
    }

    /// The content of the file that this value names, without the newline at its end. Never quoted.
    pub fn read_file<T>(&self, kind: impl FnOnce(&str) -> Result<T, InvalidValue>) -> Option<T> {
        let (path, content) = self.text_of_file(documents::SMALL)?;
        let line = content.strip_suffix('\n').map_or(&*content, |line| line.strip_suffix('\r').unwrap_or(line));
        let checked =
            if line.is_empty() { Err(InvalidValue::new("is empty", "write the secret into it")) } else { kind(line) };
        checked
            .map_err(|wrong| self.wrong(format!("the content of `{}` {}", path.display(), wrong.is), wrong.help))
            .ok()
    }

    /// The file that this value names, and its text of at most so many bytes.
    fn text_of_file(&self, most: u64) -> Option<(PathBuf, String)> {
        let path = self.path()?;
        let text = documents::text(&path, most);
        let text =
            text.map_err(|why| self.wrong(format!("`{}` {why}", path.display()), "name a file that can be read"));
        Some((path, text.ok()?))
    }

    /// A path, relative to the folder of the configuration file.
    pub fn path(&self) -> Option<PathBuf> {
        Some(self.reading.path(&self.path, &self.text()?))
    }

    /// The mapping in the file that this value names. `help` says what to write into it.
    pub fn document<T>(&self, help: &str, read: impl FnOnce(Map<'_>) -> Option<T>) -> Option<T> {
        let (path, text) = self.text_of_file(documents::LARGE)?;
        let reading = Reading::new(&path, &text, self.reading.environment).below(self.reading.root);
        let (document, faults) = yaml::parse(&text);
        let whole = faults.is_empty();
        for fault in faults {
            reading.note(fault.place, "", fault.message, if document.is_none() { help } else { fault.help });
        }
        let value = document.as_ref().and_then(|document| read(reading.document(document)));
        #[cfg(test)]
        self.reading.absent.borrow_mut().append(&mut reading.absent.borrow_mut());
        let found = reading.into_found();
        self.reading.problems.borrow_mut().extend(found.problems);
        self.reading.warnings.borrow_mut().extend(found.warnings);
        self.reading.keys.borrow_mut().extend(found.keys);
        self.reading.files.borrow_mut().extend(found.files);
        value.filter(|_| whole)
    }

    /// Whether this is a list.
    pub fn is_list(&self) -> bool {
        self.node.as_sequence().is_some()
    }

    /// The values of a list.
    pub fn list(&self) -> Option<Vec<Self>> {
        let Some(sequence) = self.node.as_sequence() else {
            self.wrong("is not a list", "write `[a, b]`, or one item a line behind `- `");
            return None;
        };
        let item = |(index, node)| self.reading.value(node, format!("{}[{index}]", self.path));
        Some(sequence.iter().enumerate().map(item).collect())
    }

    /// Each value of a list as its kind; `None` when one of them is wrong.
    pub fn read_list<T, C: FromIterator<T>>(&self, kind: impl Fn(&str) -> Result<T, InvalidValue>) -> Option<C> {
        let read: Vec<Option<T>> = self.list()?.iter().map(|item| item.read(&kind)).collect();
        read.into_iter().collect()
    }

    /// A mapping with known keys.
    pub fn map(&self) -> Option<Map<'a>> {
        let Some(node) = self.node.as_mapping() else {
            self.wrong("is not a mapping", "write `key: value` pairs here");
            return None;
        };
        let place = yaml::begin(self.node);
        Some(Map { reading: self.reading, node: Some(node), place, path: self.path.clone(), known: Vec::new() })
    }

    /// Whether this is a mapping.
    pub fn is_map(&self) -> bool {
        self.node.as_mapping().is_some()
    }
}

/// A mapping with known keys. Each key that is asked for becomes known; [`Map::done`] refuses the others.
pub struct Map<'a> {
    reading: &'a Reading<'a>,
    /// `None`: the section is absent and all its defaults count.
    node: Option<&'a MarkedMappingNode>,
    place: (usize, usize),
    path: String,
    known: Vec<&'static str>,
}

impl<'a> Map<'a> {
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes a problem with a key of this mapping, at the mapping's place.
    pub fn wrong(&self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.reading.note(self.place, &self.path_of(key), message, help);
    }

    /// Notes that this mapping is sound and yet not wise.
    pub fn warn(&self, name: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.reading.warn(name, self.place, &self.path, message, help);
    }

    /// A variable of the environment; one that is empty is not set.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.reading.environment)(name).filter(|value| !value.is_empty())
    }

    /// Notes a problem with a variable of the environment that this section goes by.
    pub fn misset(&self, Misset { variable, message, help }: Misset) {
        let message = format!("the environment variable `{variable}`: {message}");
        self.reading.note(self.place, &self.path, message, help);
    }

    /// The value of a key that may be absent.
    pub fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let node = self.node.and_then(|node| node.get_node(key));
        #[cfg(test)]
        if node.is_none() {
            self.reading.absent.borrow_mut().push(self.path_of(key));
        }
        Some(self.reading.value(node?, self.path_of(key)))
    }

    /// The value of a key that may not be absent; `help` says what to add.
    pub fn need(&mut self, key: &'static str, help: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.wrong(key, "is missing", help);
        }
        value
    }

    /// The value of a key as its kind, or its default, written as in the file.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        default: &str,
        kind: impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        match self.get(key) {
            Some(value) => value.read(kind),
            None => kind(default).map_err(|wrong| self.wrong(key, wrong.is, wrong.help)).ok(),
        }
    }

    /// The value of a key as its kind, or what else counts.
    pub fn or<T: Clone>(
        &mut self,
        key: &'static str,
        otherwise: &T,
        kind: impl FnOnce(&str) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        self.get(key).map_or_else(|| Some(otherwise.clone()), |value| value.read(kind))
    }

    /// The values of a list, or what else counts; `None` when one is wrong.
    pub fn list_or<T, C: FromIterator<T> + Clone>(
        &mut self,
        key: &'static str,
        otherwise: &C,
        kind: impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<C> {
        self.get(key).map_or_else(|| Some(otherwise.clone()), |value| value.read_list(kind))
    }

    /// The value of a key as its kind, if it is there: `Some(None)` when it is absent, `None` when it is wrong.
    pub fn maybe<T>(&mut self, key: &'static str, kind: impl Fn(&str) -> Result<T, InvalidValue>) -> Option<Option<T>> {
        self.get(key).map_or(Some(None), |value| value.read(kind).map(Some))
    }

    /// The path of a key, or its default, relative to the folder of the configuration file.
    pub fn path(&mut self, key: &'static str, default: &str) -> Option<PathBuf> {
        match self.get(key) {
            Some(value) => value.path(),
            None => Some(self.reading.path(&self.path_of(key), default)),
        }
    }

    /// The values of a list that may be absent, then empty; `None` when one is wrong.
    pub fn list<T, C: FromIterator<T> + Default>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<C> {
        self.get(key).map_or_else(|| Some(C::default()), |value| value.read_list(kind))
    }

    /// A section that may be absent: then all its defaults count.
    pub fn section(&mut self, key: &'static str) -> Option<Map<'a>> {
        match self.get(key) {
            Some(value) => value.map(),
            None => Some(Map {
                reading: self.reading,
                node: None,
                place: self.place,
                path: self.path_of(key),
                known: Vec::new(),
            }),
        }
    }

    /// Refuses every key that was not asked for; `later` are those that a later version will know.
    pub fn done(self, later: &[&str]) {
        for (key, _) in self.node.into_iter().flat_map(|node| node.iter()) {
            let written = key.as_str();
            if self.known.contains(&written) || yaml::is_repeated(written) {
                continue;
            }
            let (message, help) = if later.contains(&written) {
                ("is not available yet in this version", "remove it".to_owned())
            } else {
                let otherwise = || format!("remove it; known here: {}", self.known.join(", "));
                ("is not a known key", meant(written, self.known.iter().copied(), otherwise))
            };
            self.reading.note(place(key.span()), &self.path_of(written), message, help);
        }
    }
}
