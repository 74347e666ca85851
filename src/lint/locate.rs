//! Where findings are: files are read again for that, and only when there is something to say.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::config::{Problem, Warning, place_in};
use crate::documents;
use crate::engine::json::{Step, path_text};
use crate::registry::records::RecordPlace;

use super::{At, Finding, Loaded};

/// Finds where findings are.
pub(super) struct Locator<'a> {
    loaded: &'a Loaded<'a>,
    texts: HashMap<PathBuf, Option<String>>,
}

impl<'a> Locator<'a> {
    pub(super) fn of(loaded: &'a Loaded<'a>) -> Self {
        Self { loaded, texts: HashMap::new() }
    }

    /// The finding as it is said.
    pub(super) fn put(&mut self, finding: Finding) -> Problem {
        let Finding { at, message, help } = finding;
        let (file, place, key, quotable) = match at {
            At::Key(key) => {
                let (file, place) = self.loaded.origins.keys.place(&key);
                (file.to_owned(), place, key, false)
            }
            At::Rules(steps) => {
                let file = self.loaded.origins.rules.clone();
                let place = self.within(&file, &steps);
                (file, place, path_text(&steps), true)
            }
            At::Record(worker, steps) => {
                let listed = self.loaded.roster.find(worker.as_str());
                match listed.and_then(|listed| listed.enrolled.place.clone()) {
                    Some(RecordPlace::File(file)) => {
                        let place = self.within(&file, &steps);
                        (file.to_path_buf(), place, path_text(&steps), true)
                    }
                    Some(RecordPlace::Key(record)) => {
                        let (key, file, place) = self.loaded.origins.keys.place_below(&record, &steps);
                        (file.to_owned(), place, key, false)
                    }
                    None => {
                        let (file, place) = self.loaded.origins.keys.place("policy.store");
                        (file.to_owned(), place, format!("worker `{worker}`: {}", path_text(&steps)), false)
                    }
                }
            }
            At::Policy { file, place, policy } => {
                (file, place, if policy.is_empty() { policy } else { format!("policy `{policy}`") }, true)
            }
        };
        Problem { file, place, key, message, help, quotable }
    }

    fn within(&mut self, file: &Path, steps: &[Step]) -> Option<(usize, usize)> {
        let read = || documents::text(file, documents::LARGE).ok();
        let text = self.texts.entry(file.to_owned()).or_insert_with(read);
        text.as_ref().map(|text| place_in(file, text, steps))
    }

    /// The configuration first, then the rules, then all others by name.
    pub(super) fn sort(&self, warnings: &mut [Warning]) {
        let origins = self.loaded.origins;
        warnings.sort_by(|one, other| {
            let order = |warning: &Warning| {
                let file = &warning.about.file;
                (file != origins.keys.file(), *file != origins.rules)
            };
            let (one_at, other_at) = (&one.about, &other.about);
            (order(one), &one_at.file, one_at.place).cmp(&(order(other), &other_at.file, other_at.place))
        });
    }
}
