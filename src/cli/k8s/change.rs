//! What is changed in a manifest: said once, made in its text by [`super::layout`], and here in what the text means, which proves the former.

use marked_yaml::types::MarkedScalarNode;
use marked_yaml::{LoadError, LoaderOptions, Marker, Node, parse_yaml_with_options};
use serde_json::{Map, Value};

/// One step down into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestStep {
    /// Into the value of a key.
    Key(&'static str),
    /// Into an item of a list.
    Item(usize),
}

/// A way from a document's top to a place in it.
pub type ManifestPath = Vec<ManifestStep>;

/// The way with these steps behind it.
pub fn down(way: &ManifestPath, steps: &[ManifestStep]) -> ManifestPath {
    [way.as_slice(), steps].concat()
}

/// One change. What is put in is YAML, block style, without indentation.
#[derive(Debug)]
pub enum ManifestEdit {
    /// Keys come into a mapping, before the key that is named or else the first.
    PutKeys { into: ManifestPath, before: Option<&'static str>, yaml: String },
    /// Items come before the first of a list.
    PutItems { into: ManifestPath, yaml: String },
    /// Keys of a mapping go.
    DropKeys { from: ManifestPath, keys: Vec<String> },
    /// Items of a list go, by place, in rising order.
    DropItems { from: ManifestPath, items: Vec<usize> },
    /// A scalar gets another value.
    Set { at: ManifestPath, value: Value },
}

/// The same changes, with those of one kind to one mapping in one: next to each other they would be in each other's way.
pub fn merged(changes: Vec<ManifestEdit>) -> Vec<ManifestEdit> {
    let mut merged: Vec<ManifestEdit> = Vec::with_capacity(changes.len());
    for change in changes {
        let taken = merged.iter_mut().any(|before| match (before, &change) {
            (ManifestEdit::DropKeys { from, keys }, ManifestEdit::DropKeys { from: same, keys: more })
                if from == same =>
            {
                keys.extend(more.iter().cloned());
                true
            }
            (
                ManifestEdit::PutKeys { into, before, yaml },
                ManifestEdit::PutKeys { into: same, before: there, yaml: more },
            ) if into == same && before == there => {
                yaml.push_str(more);
                true
            }
            _ => false,
        });
        if !taken {
            merged.push(change);
        }
    }
    merged
}

/// Reads a document; one without content is an empty mapping.
pub fn parse(text: &str) -> Result<Node, (usize, String)> {
    let text = if is_blank(text) { "" } else { text };
    let options = LoaderOptions::default().error_on_duplicate_keys(true).prevent_coercion(true);
    parse_yaml_with_options(0, text, options).map_err(|error| {
        let at = |marker: &Marker| marker.line();
        match &error {
            LoadError::UnexpectedAnchor(marker) => {
                (at(marker), "has an anchor: write the value out in each place".to_owned())
            }
            LoadError::UnexpectedTag(marker) => (at(marker), "has a tag: leave it out".to_owned()),
            LoadError::TopLevelMustBeMapping(marker) | LoadError::TopLevelMustBeSequence(marker) => {
                (at(marker), "is no object: a manifest begins with `apiVersion`".to_owned())
            }
            LoadError::MappingKeyMustBeScalar(marker) => (at(marker), "has a key that is no text".to_owned()),
            LoadError::DuplicateKey(keys) => {
                (keys.key.span().start().map_or(1, at), format!("has `{}` twice: keep one of them", keys.key.as_str()))
            }
            LoadError::ScanError(marker, scan) => (at(marker), format!("is no YAML: {}", scan.info())),
        }
    })
}

/// Whether a document is nothing but its mark and comments, as templates leave some: YAML would read it as null.
fn is_blank(text: &str) -> bool {
    let blank = |line: &str| matches!(line.trim(), "" | "...") || line.trim_start().starts_with('#');
    text.strip_prefix("---").unwrap_or(text).lines().all(blank)
}

/// What is at the end of a way.
pub fn find<'n>(node: &'n Node, way: &[ManifestStep]) -> Option<&'n Node> {
    way.iter().try_fold(node, |node, step| match step {
        ManifestStep::Key(key) => node.as_mapping()?.get_node(key),
        ManifestStep::Item(item) => node.as_sequence()?.get_node(*item),
    })
}

/// What a node means.
pub fn value(node: &Node) -> Value {
    match node {
        Node::Scalar(scalar) => scalar_value(scalar),
        Node::Mapping(map) => map.iter().map(|(key, node)| (key.as_str().to_owned(), value(node))).collect(),
        Node::Sequence(items) => items.iter().map(value).collect(),
    }
}

fn scalar_value(scalar: &MarkedScalarNode) -> Value {
    let text = scalar.as_str();
    match text {
        _ if !scalar.may_coerce() => Value::from(text),
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        // Kubernetes reads YAML 1.1: modes of files are octal, and JSON knows none.
        _ if text.len() > 1 && text.starts_with('0') && text.bytes().all(|digit| matches!(digit, b'0'..=b'7')) => {
            u64::from_str_radix(text, 8).map_or_else(|_| Value::from(text), Value::from)
        }
        _ => text.parse::<serde_json::Number>().map_or_else(|_| Value::from(text), Value::Number),
    }
}

/// What keys in YAML mean.
pub fn keys(yaml: &str) -> Option<Map<String, Value>> {
    match value(&parse(yaml).ok()?) {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// What items in YAML mean.
pub fn items(yaml: &str) -> Option<Vec<Value>> {
    match keys(&format!("items:\n{yaml}"))?.remove("items")? {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

/// Makes a change in what a document means. `None`: the place is not there, or is something else.
pub fn make(document: &mut Value, change: &ManifestEdit) -> Option<()> {
    match change {
        ManifestEdit::PutKeys { into, yaml, .. } => place(document, into)?.as_object_mut()?.extend(keys(yaml)?),
        ManifestEdit::PutItems { into, yaml } => {
            let list = place(document, into)?.as_array_mut()?;
            list.splice(..0, items(yaml)?);
        }
        ManifestEdit::DropKeys { from, keys } => {
            let map = place(document, from)?.as_object_mut()?;
            map.retain(|key, _| !keys.contains(key));
        }
        ManifestEdit::DropItems { from, items } => {
            let mut at = 0..;
            place(document, from)?.as_array_mut()?.retain(|_| at.next().is_none_or(|at| !items.contains(&at)));
        }
        ManifestEdit::Set { at, value } => *place(document, at)? = value.clone(),
    }
    Some(())
}

fn place<'v>(document: &'v mut Value, way: &[ManifestStep]) -> Option<&'v mut Value> {
    way.iter().try_fold(document, |value, step| match step {
        ManifestStep::Key(key) => value.get_mut(key),
        ManifestStep::Item(item) => value.get_mut(item),
    })
}
