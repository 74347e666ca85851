//! `policy.workers`: the folder of registry records, or the records themselves, so that a gate needs no file for its one worker.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::origins::Keys;
use crate::config::problem::Problem;
use crate::config::reader::{Map, Value};
use crate::engine::Json;
use crate::engine::json::Finding;
use crate::registry::records::{self, Enrolled, RecordFormat};

const KEY: &str = "policy.workers";

/// A record, and its key.
type WrittenRecord = (Arc<str>, Json);

/// Where records are.
#[derive(Debug)]
pub(super) enum WorkersSection {
    /// In the files of this folder.
    Folder(PathBuf),
    /// In the configuration; `None` where one cannot be read, so that the others are read for what is wrong with them.
    Written(Vec<Option<WrittenRecord>>),
}

/// Reads the key.
pub(super) fn read(policy: &mut Map<'_>) -> Option<WorkersSection> {
    match policy.get("workers") {
        Some(value) if value.is_list() => written(&value).map(WorkersSection::Written),
        Some(value) if value.is_map() => {
            let help = "name the folder of registry records, or write a list of them: `workers: [{ worker_id: …, … }]`";
            value.wrong("is a mapping, and neither a folder nor a list", help);
            None
        }
        _ => policy.path("workers", "enrolled").map(WorkersSection::Folder),
    }
}

fn written(value: &Value<'_>) -> Option<Vec<Option<WrittenRecord>>> {
    let record = |(at, value): (usize, Value<'_>)| Some((Arc::from(format!("{KEY}[{at}]")), value.json()?));
    Some(value.list()?.into_iter().enumerate().map(record).collect())
}

impl WorkersSection {
    /// The workers. What is wrong with them is noted; then there are none.
    pub(super) fn load(
        self,
        reading: &RecordFormat,
        keys: &Keys,
        problems: &mut Vec<Problem>,
    ) -> Option<Vec<Enrolled>> {
        match self {
            Self::Folder(folder) => records::load(&folder, reading)
                .map_err(|found| problems.extend(found.into_iter().map(Problem::from)))
                .ok(),
            Self::Written(written) => {
                let is_whole = written.iter().all(Option::is_some);
                let read = records::written(written.into_iter().flatten(), reading);
                let read = read.map_err(|found| {
                    problems.extend(found.into_iter().map(|(record, finding)| at(&record, finding, keys)));
                });
                read.ok().filter(|_| is_whole)
            }
        }
    }
}

fn at(record: &str, Finding { steps, message, help }: Finding, keys: &Keys) -> Problem {
    let (key, file, place) = keys.place_below(record, &steps);
    Problem { file: file.to_owned(), place, key, message, help, quotable: false }
}
