//! What an entry keeps of the caller's object: the attributes that policies read, each whole or not at all, and which were not there.
//!
//! The rest of the object may be anyone's private data, and no verdict depends on it. What is kept is enough to make the decision
//! again by the same policies; for others it is known of each attribute whether it is: nothing is guessed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::engine::Json;

/// The most bytes of a value, as JSON. A longer one is left out whole: what is left of a value that is cut is not what was decided on.
const VALUE: usize = 512;

/// The most bytes that all values may add to an entry, and the ways to them and to what has none.
const ALL: Room = Room { values: 4096, paths: 2048 };

/// How many bytes there is room for.
struct Room {
    values: usize,
    paths: usize,
}

/// The way to an attribute, name by name from the caller's object.
pub type AttributePath = Box<[Arc<str>]>;

/// An attribute of the caller's object that policies read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadAttribute {
    /// Where it is.
    pub path: AttributePath,
    /// Whether its value is read, and not only whether it is there.
    pub value: bool,
}

/// As policies write it, without `context`.
impl fmt::Display for ReadAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.iter().try_fold(f.write_str("request")?, |(), name| write!(f, ".{name}"))
    }
}

/// What an entry keeps of the caller's object.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRequest {
    /// An object with the values that are kept, where they were.
    pub values: Json,
    /// What was read and not there, each the first name on its way that was not.
    pub absent: Vec<AttributePath>,
    /// What was there, not null, and is not kept: only that was read, or it is too long. The empty path: of nothing is anything known.
    pub unkept: Vec<AttributePath>,
}

impl KeptRequest {
    /// What is kept of this object when these attributes of it are read.
    #[must_use]
    pub fn of(request: &Json, attributes: &[ReadAttribute]) -> Self {
        let mut kept = Self { values: Json::Object(BTreeMap::new()), absent: Vec::new(), unkept: Vec::new() };
        let mut room = ALL;
        for attribute in attributes {
            if kept.take(request, attribute, &mut room).is_none() {
                return Self::nothing();
            }
        }
        kept
    }

    /// Of an object of which nothing is known.
    fn nothing() -> Self {
        Self { values: Json::Object(BTreeMap::new()), absent: Vec::new(), unkept: vec![Box::default()] }
    }

    /// Takes an attribute in; `None` where there is not even room for the way to it.
    fn take(&mut self, request: &Json, ReadAttribute { path, value }: &ReadAttribute, room: &mut Room) -> Option<()> {
        let mut found = request;
        for (at, name) in path.iter().enumerate() {
            let Json::Object(members) = found else {
                // Policies that read an object deny whatever else it is.
                return self.keep(path.get(..at)?, found, true, room);
            };
            match members.get(name) {
                Some(inner) => found = inner,
                None => {
                    let missing = path.get(..=at)?;
                    room.paths = room.paths.checked_sub(length(missing))?;
                    put(&mut self.values, path.get(..at)?, None);
                    if !self.absent.iter().any(|known| **known == *missing) {
                        self.absent.push(missing.into());
                    }
                    return Some(());
                }
            }
        }
        self.keep(path, found, *value, room)
    }

    fn keep(&mut self, path: &[Arc<str>], value: &Json, reads_value: bool, room: &mut Room) -> Option<()> {
        room.paths = room.paths.checked_sub(length(path))?;
        let kept = match value {
            // Null is no value to a policy, which it denies; and no secret.
            Json::Null => Some(Json::Null),
            _ if reads_value => flat(value),
            _ => None,
        };
        let kept = kept.and_then(|kept| Some((room.values.checked_sub(written(&kept))?, kept)));
        if let Some((left, kept)) = kept {
            room.values = left;
            put(&mut self.values, path, Some(kept));
            return Some(());
        }
        put(&mut self.values, path.split_last().map_or(&[], |(_, parents)| parents), None);
        if !self.unkept.iter().any(|known| **known == *path) {
            self.unkept.push(path.into());
        }
        Some(())
    }

    /// Whether it is not known what a policy that reads this attribute would have seen.
    #[must_use]
    pub fn lacks(&self, attribute: &ReadAttribute) -> bool {
        let ReadAttribute { path, value } = attribute;
        let is = |known: &[AttributePath], way: &[Arc<str>]| known.iter().any(|known| **known == *way);
        if is(&self.unkept, &[]) {
            return true;
        }
        let mut found = &self.values;
        for (at, name) in path.iter().enumerate() {
            let way = path.get(..=at).unwrap_or_default();
            if is(&self.absent, way) {
                return false;
            }
            if is(&self.unkept, way) {
                return *value || way.len() < path.len();
            }
            // Policies that read an object deny whatever else it is.
            let Json::Object(members) = found else { return false };
            let Some(inner) = members.get(name) else { return true };
            found = inner;
        }
        false
    }

    /// An object of which policies read the same, as far as [`Self::lacks`] does not say otherwise.
    #[must_use]
    pub fn request(&self) -> Json {
        let mut request = self.values.clone();
        for path in self.unkept.iter().filter(|path| !path.is_empty()) {
            // There, and no more than that.
            put(&mut request, path, Some(Json::Bool(false)));
        }
        request
    }

    /// How many bytes of memory it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let paths = self.absent.iter().chain(&self.unkept).map(|path| size_of::<AttributePath>() + 16 * path.len());
        size_of::<Self>() + self.values.bytes() + paths.sum::<usize>()
    }
}

/// Puts a value where a path leads, and objects on the way; without a value only these.
fn put(object: &mut Json, path: &[Arc<str>], value: Option<Json>) {
    let Some((name, rest)) = path.split_first() else {
        if let Some(value) = value {
            *object = value;
        }
        return;
    };
    if let Json::Object(members) = object {
        let inner = members.entry(Arc::clone(name)).or_insert_with(|| Json::Object(BTreeMap::new()));
        put(inner, rest, value);
    }
}

/// A value as far as a policy that reads it sees it, when it is short: of what is in objects and in lists of lists, nothing.
fn flat(value: &Json) -> Option<Json> {
    let flat = match value {
        Json::Object(_) => Json::Object(BTreeMap::new()),
        Json::Array(elements) if elements.len() > VALUE / 2 => return None,
        Json::Array(elements) => Json::Array(elements.iter().map(without_inside).collect()),
        Json::String(text) if text.len() > VALUE => return None,
        other => other.clone(),
    };
    // Whatever is longer than this in memory is not written out to be measured.
    (flat.bytes() <= 64 * VALUE && json_text(&flat).len() <= VALUE).then_some(flat)
}

fn without_inside(value: &Json) -> Json {
    match value {
        Json::Object(_) => Json::Object(BTreeMap::new()),
        Json::Array(_) => Json::Array(Vec::new()),
        other => other.clone(),
    }
}

fn json_text(value: &Json) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// How many bytes a value takes in an entry, where its JSON is a text in JSON.
fn written(value: &Json) -> usize {
    let text = json_text(value);
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

/// The most bytes that the way to an attribute takes in an entry: as names on the way to its value, and as a path of what has none.
fn length(path: &[Arc<str>]) -> usize {
    path.iter().map(|name| 2 * written(&Json::String(Arc::clone(name))) + 8).sum()
}

#[cfg(test)]
pub(crate) mod tests;
