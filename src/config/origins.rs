//! Where what a configuration comes to was written: for whoever has something to say about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::json::{Step, path_text};
use crate::policy::NamedEntity;

/// Where the keys of a configuration and of the files with tokens that it names are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    file: Arc<Path>,
    places: BTreeMap<String, (Arc<Path>, (usize, usize))>,
}

impl Keys {
    /// None yet, of this file.
    pub(super) fn of(file: &Path) -> Self {
        Self { file: Arc::from(file), places: BTreeMap::new() }
    }

    pub(super) fn insert(&mut self, key: &str, place: (usize, usize)) {
        self.places.insert(key.to_owned(), (Arc::clone(&self.file), place));
    }

    /// Those of a file that this one names, too.
    pub(super) fn extend(&mut self, others: Self) {
        self.places.extend(others.places);
    }

    /// The file, and line and column of a key's value, or of the innermost key around it that is written.
    #[must_use]
    pub fn place(&self, key: &str) -> (&Path, Option<(usize, usize)>) {
        let mut key = key;
        loop {
            if let Some((file, place)) = self.places.get(key) {
                return (file, Some(*place));
            }
            match key.rfind(['.', '[']) {
                Some(end) => key = key.get(..end).unwrap_or_default(),
                None => return (&self.file, None),
            }
        }
    }

    /// The same of what is at the end of a path below a key, and its key.
    #[must_use]
    pub fn place_below(&self, key: &str, steps: &[Step]) -> (String, &Path, Option<(usize, usize)>) {
        let key = if steps.is_empty() { key.to_owned() } else { format!("{key}.{}", path_text(steps)) };
        let (file, place) = self.place(&key);
        (key, file, place)
    }

    /// Whether no key is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether a key is written.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// The file of the configuration itself.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// Where what a configuration comes to was written.
#[derive(Debug)]
pub struct Origins {
    /// The configuration's own keys.
    pub keys: Keys,
    /// The file of the rules.
    pub rules: PathBuf,
    /// The entities that policies name.
    pub named: Vec<NamedEntity>,
    /// The files of policies that hold none.
    pub empty_policies: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_written_is_where_the_one_around_it_is() {
        let mut keys = Keys::of(Path::new("a.yaml"));
        keys.insert("gate", (2, 3));
        keys.insert("gate.routes[0]", (4, 5));
        let line = |key| keys.place(key).1.map(|(line, _)| line);
        assert_eq!(line("gate.routes[0].capability"), Some(4));
        assert_eq!(line("gate.routes[1]"), Some(2));
        assert_eq!(line("policy.gate"), None);
        assert!(keys.has("gate") && !keys.has("gate.routes"));
    }
}
