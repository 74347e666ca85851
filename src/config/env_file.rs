//! Files of variables, one `NAME=value` a line, as container engines and systemd read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::problem::{Problem, Problems};
use super::variables::is_name;
use crate::documents;

/// The variables of files. Of one that is written twice the last counts.
#[derive(Debug, Default)]
pub struct EnvFiles(BTreeMap<String, String>);

impl EnvFiles {
    /// Reads files.
    ///
    /// # Errors
    /// Each that cannot be read, and each line that is none. Nothing of a line is quoted: it may hold a secret.
    pub fn read(files: &[PathBuf]) -> Result<Self, Problems> {
        let (mut variables, mut problems) = (BTreeMap::new(), Vec::new());
        for file in files {
            match documents::text(file, documents::SMALL) {
                Ok(text) => add(&mut variables, file, &text, &mut problems),
                Err(why) => problems.push(problem(file, None, why.to_string(), "name a file of `NAME=value` lines")),
            }
        }
        if problems.is_empty() { Ok(Self(variables)) } else { Err(Problems(problems)) }
    }

    /// What a variable is, if a file says so.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

fn add(variables: &mut BTreeMap<String, String>, file: &Path, text: &str, problems: &mut Vec<Problem>) {
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        match line.split_once('=').filter(|(name, _)| is_name(name)) {
            Some((name, value)) => drop(variables.insert(name.to_owned(), unquoted(value).to_owned())),
            None => {
                let help = "write `NAME=value`, and `#` before what is no variable";
                problems.push(problem(file, Some((number, 1)), "the line is no variable".to_owned(), help));
            }
        }
    }
}

/// A value without the quotes around it.
fn unquoted(value: &str) -> &str {
    let within = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

fn problem(file: &Path, place: Option<(usize, usize)>, message: String, help: &str) -> Problem {
    let (file, key, help) = (file.to_owned(), String::new(), help.to_owned());
    Problem { file, place, key, message, help, quotable: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_variables_or_named_without_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let one = write("one", "# a comment\n\nA=1\nexport B = no\n");
        assert_eq!(EnvFiles::read(&[one]).unwrap_err().list().len(), 1, "a name has no space behind it");
        let one = write("one", "A=first\r\n  export B=\"two words\"\nC='it''s'\nD=a=b # c\nE=\nF=\"\nA=last");
        let two = write("two", "B=of the second");
        let read = EnvFiles::read(&[one.clone(), two]).unwrap();
        let expected =
            [("A", "last"), ("B", "of the second"), ("C", "it''s"), ("D", "a=b # c"), ("E", ""), ("F", "\"")];
        for (name, value) in expected {
            assert_eq!(read.get(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(read.get("G"), None);
        let bad = write("bad", "A=1\nhunter2\n=hunter2\n1A=hunter2\n");
        let said = EnvFiles::read(&[bad, folder.path().join("none"), one]).unwrap_err();
        assert_eq!(
            said.list().iter().map(|problem| problem.place.map(|place| place.0)).collect::<Vec<_>>(),
            [Some(2), Some(3), Some(4), None]
        );
        assert!(!said.to_string().contains("hunter2"), "{said}");
    }
}
