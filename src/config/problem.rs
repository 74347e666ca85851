//! What is wrong with a configuration: where, what, and what to change.

use std::fmt;
use std::path::PathBuf;

use crate::registry::records::RecordProblem;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file that it is in.
    pub file: PathBuf,
    /// Line and column in characters, both from 1; `None` when it concerns the whole file.
    pub place: Option<(usize, usize)>,
    /// The dotted path of the key, such as `gate.routes[1].upstream`; empty for the whole file.
    pub key: String,
    /// What is wrong. Names the value as it is written, but never a secret.
    pub message: String,
    /// What to change; may be empty.
    pub help: String,
    /// Whether its file may be quoted: rules, records, catalogues and policies hold no secrets, and a configuration does.
    pub quotable: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.help.is_empty() {
            write!(f, "\n    help: {}", self.help)?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of the files. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub(super) Vec<Problem>);

impl From<RecordProblem> for Problem {
    fn from(found: RecordProblem) -> Self {
        let RecordProblem { file, line, column, field, message, help } = found;
        Self { file, place: (line > 0).then_some((line, column)), key: field, message, help, quotable: true }
    }
}

impl Problems {
    /// Those of a record.
    #[must_use]
    pub fn of_record(found: Vec<RecordProblem>) -> Self {
        Self(found.into_iter().map(Problem::from).collect())
    }

    /// The problems, one by one.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.0
    }

    /// `1 problem`, or how many there are.
    #[must_use]
    pub fn count_in_words(&self) -> String {
        match self.0.len() {
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        f.write_str(&self.count_in_words())
    }
}

impl std::error::Error for Problems {}

/// Something that is sound and cannot work all the same, or is not wise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is called, such as `route-without-rule`: docs/reference/warnings.md says of each what to do.
    pub name: &'static str,
    /// Where it is, what is wrong, and what to change.
    pub about: Problem,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "warning[{}]: {}", self.name, self.about)
    }
}
