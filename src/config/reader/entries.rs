//! Mappings whose keys are the operator's own: upstreams, tenants, workloads.

use super::{Value, place};
use crate::config::yaml;
use crate::documents::InvalidValue;

/// A key that the operator chose.
pub struct Name {
    /// The key.
    pub text: String,
    /// Where it is.
    place: (usize, usize),
}

impl<'a> Value<'a> {
    /// The names and values of a mapping whose keys are the operator's own.
    pub fn entries(&self) -> Option<Vec<(Name, Self)>> {
        let map = self.map()?;
        let entries = map.node.into_iter().flat_map(|node| node.iter());
        Some(
            entries
                .filter(|(key, _)| !yaml::is_repeated(key.as_str()))
                .map(|(key, node)| {
                    let name = Name { text: key.as_str().to_owned(), place: place(key.span()) };
                    let path = format!("{}.{}", self.path, key.as_str());
                    (name, self.reading.value(node, path))
                })
                .collect(),
        )
    }

    /// The name of an entry of this value as its kind.
    pub fn read_name<T>(&self, name: &Name, kind: impl FnOnce(&str) -> Result<T, InvalidValue>) -> Option<T> {
        kind(&name.text)
            .map_err(|wrong| {
                let written: String = name.text.chars().take(80).collect();
                self.reading.note(name.place, &self.path, format!("`{written}` {}", wrong.is), wrong.help);
            })
            .ok()
    }
}
