//! Case files: where they are, what is in them, and how `expect` is written anew without touching the rest.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::documents;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The widest line that is written.
const WIDTH: usize = 120;

/// Why a file or a case cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct CaseProblem {
    place: Option<(usize, usize)>,
    message: String,
}

impl CaseProblem {
    /// A problem of the whole file.
    pub fn of_file(message: String) -> Self {
        Self { place: None, message }
    }
}

/// `:line:column: message`, behind the file's name.
impl fmt::Display for CaseProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A case.
#[derive(Debug)]
pub struct Case {
    /// What it is about.
    name: Option<String>,
    /// The request, as it is written.
    pub input: String,
    /// What of the answer is expected.
    pub expect: Option<Value>,
    /// Where the input is.
    input_at: Range<usize>,
    /// Where the expectation is.
    expect_at: Option<Range<usize>>,
    place: (usize, usize),
}

/// A case as it is written. A key that is not known, or twice there, is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseText<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(borrow)]
    expect: Option<&'a RawValue>,
}

/// The files of these paths: a file is itself, a folder every `*.json` in it and below it.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        if path.is_dir() {
            let found = documents::inside(path, "json", true);
            let found = found.map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
            if let Some(unread) = found.unread.first() {
                return Err(format!("`{}` {}: {}", unread.path.display(), unread.is, unread.help));
            }
            files.extend(found.read);
            if files.len() == before {
                return Err(format!("there is no case in `{}`: put a `*.json` there", path.display()));
            }
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// The cases of a file: one, or a list of them.
pub fn parse(text: &str) -> Result<Vec<Case>, CaseProblem> {
    let list = text.trim_start().starts_with('[');
    let read =
        if list { serde_json::from_str(text) } else { serde_json::from_str(text).map(|case: CaseText<'_>| vec![case]) };
    let written: Vec<CaseText<'_>> = read.map_err(|error| CaseProblem {
        place: Some((error.line().max(1), error.column().max(1))),
        message: format!("{error}: write {{\"name\": …, \"input\": {{…}}, \"expect\": {{…}}}}, or a list of such"),
    })?;
    if written.is_empty() {
        return Err(CaseProblem::of_file("holds no case: a test of nothing would always pass".to_owned()));
    }
    written.into_iter().map(|case| Case::read(case, text)).collect()
}

impl Case {
    fn read(case: CaseText<'_>, text: &str) -> Result<Self, CaseProblem> {
        let input_at = place_of(case.input.get(), text);
        let place = line_and_column(text, input_at.start);
        let problem = |message: String| CaseProblem { place: Some(place), message };
        let expect = case.expect.map(|raw| serde_json::from_str::<Value>(raw.get())).transpose();
        let expect = expect.map_err(|error| problem(format!("`expect`: {error}")))?;
        if expect.as_ref().is_some_and(|expect| expect.as_object().is_none_or(serde_json::Map::is_empty)) {
            return Err(problem("`expect` must be an object of at least one key".to_owned()));
        }
        Ok(Self {
            name: case.name.map(Cow::into_owned),
            input: case.input.get().to_owned(),
            expect,
            input_at,
            expect_at: case.expect.map(|raw| place_of(raw.get(), text)),
            place,
        })
    }

    /// Its place and name, behind the file's name.
    pub fn title(&self) -> String {
        let (line, column) = self.place;
        let name = self.name.as_ref().map(|name| format!(": {name}")).unwrap_or_default();
        format!(":{line}:{column}{name}")
    }

    /// A problem of this case.
    pub fn problem(&self, message: impl Into<String>) -> CaseProblem {
        let name = self.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        CaseProblem { place: Some(self.place), message: format!("{name}{}", message.into()) }
    }

    /// Writes another expectation into the file's text, in its place or behind the input.
    pub fn put_expect(&self, text: &mut String, expect: &Value) {
        let line_start = text.get(..self.input_at.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let line = text.get(line_start..).unwrap_or_default();
        let indent: String = line.chars().take_while(|c| c.is_whitespace() && *c != '\n').collect();
        let written = laid_out(expect, &indent);
        match &self.expect_at {
            Some(at) => text.replace_range(at.clone(), &written),
            None => text.insert_str(self.input_at.end, &format!(",\n{indent}\"expect\": {written}")),
        }
    }
}

/// An object in one line where it fits, else one key a line.
fn laid_out(value: &Value, indent: &str) -> String {
    let members: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{}: {value}", Value::from(key.as_str())))
        .collect();
    let line = format!("{{ {} }}", members.join(", "));
    if indent.len() + "\"expect\": ".len() + line.len() <= WIDTH {
        return line;
    }
    format!("{{\n{indent}  {}\n{indent}}}", members.join(&format!(",\n{indent}  ")))
}

/// Where a part of a text is in it.
fn place_of(part: &str, text: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_expectation_is_written_anew() {
        let text = "[\n  { \"name\": \"é\", \"input\": { \"a\":1 },\n    \"expect\": {\"x\":  1}  },\n  {\n    \"input\": {}\n  }\n]\n";
        let cases = parse(text).unwrap();
        assert_eq!((cases[0].title(), cases[1].title()), (":2:27: é".to_owned(), ":5:14".to_owned()));
        let mut written = text.to_owned();
        cases[1].put_expect(&mut written, &json!({"y": [true]}));
        cases[0].put_expect(&mut written, &json!({"x": "two"}));
        let expected = "[\n  { \"name\": \"é\", \"input\": { \"a\":1 },\n    \"expect\": { \"x\": \"two\" }  },\n  {\n    \"input\": {},\n    \"expect\": { \"y\": [true] }\n  }\n]\n";
        assert_eq!(written, expected);
        let long = json!({"a": "x".repeat(80), "b": "y".repeat(80)});
        parse(&written).unwrap()[0].put_expect(&mut written, &long);
        assert_eq!(parse(&written).unwrap()[0].expect.as_ref(), Some(&long));
    }

    #[test]
    fn what_is_no_case_is_refused_with_its_place() {
        for (text, said) in [
            ("", ":1:1"),
            ("[]", "holds no case"),
            ("{\"input\": {}, \"expected\": {}}", "unknown field `expected`"),
            ("{\"expect\": {}}", "missing field `input`"),
            ("{\"input\": {}, \"input\": {}}", "duplicate field"),
            ("{\"input\": {}, \"expect\": {}}", "at least one key"),
            ("{\"input\": {}, \"expect\": []}", "must be an object"),
            ("[{\"input\": {}},\n 7]", ":2:"),
        ] {
            let problem = parse(text).unwrap_err().to_string();
            assert!(problem.contains(said), "{text}: {problem}");
        }
    }
}
