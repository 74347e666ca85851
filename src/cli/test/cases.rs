//! Case files: where they are, what is in them, and how `expect` is written anew without touching the rest.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::Problem;
use crate::documents;
use crate::engine::Json;
use crate::engine::json::{Fields, Finding, LineIndex, Step, path_text, present};

/// The widest line that is written.
const WIDTH: usize = 120;

/// The keys of a case.
const KEYS: &[&str] = &["name", "input", "expect"];

/// Why a file or a case cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct CaseProblem {
    place: Option<(usize, usize)>,
    /// The case's name, or where in the file it is; empty for the whole file.
    about: String,
    message: String,
    /// What to change; may be empty.
    help: String,
}

impl CaseProblem {
    /// A problem of the whole file.
    pub fn of_file(message: impl Into<String>, help: &str) -> Self {
        Self { place: None, about: String::new(), message: message.into(), help: help.to_owned() }
    }

    /// The same as one of a file that may be quoted: cases hold no secrets.
    pub fn in_file(&self, file: &Path) -> Problem {
        let Self { place, about, message, help } = self;
        let (key, message, help) = (about.clone(), message.clone(), help.clone());
        Problem { file: file.to_owned(), place: *place, key, message, help, quotable: true }
    }
}

/// `:line:column: message`, behind the file's name.
impl fmt::Display for CaseProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, about, message, help } = self;
        if let Some((line, column)) = place {
            write!(f, ":{line}:{column}")?;
        }
        [about, message, help].iter().filter(|said| !said.is_empty()).try_for_each(|said| write!(f, ": {said}"))
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

/// A case as it is written, once it is known to be one.
#[derive(Deserialize)]
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

/// The cases of a file: one, or a list of them. Else everything that is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Case>, Vec<CaseProblem>> {
    let lines = LineIndex::of(text);
    let document = Json::parse(text.as_bytes()).map_err(|error| {
        let (about, message, help) = (error.path.clone(), error.message.clone(), "correct the file's JSON".to_owned());
        vec![CaseProblem { place: Some(lines.place_of(&error)), about, message, help }]
    })?;
    let found = faults(&document);
    if !found.is_empty() {
        let problem = |Finding { steps, message, help }: Finding| CaseProblem {
            place: Some(lines.place(&steps)),
            about: path_text(&steps),
            message,
            help,
        };
        return Err(found.into_iter().map(problem).collect());
    }
    let list = text.trim_start().starts_with('[');
    let read =
        if list { serde_json::from_str(text) } else { serde_json::from_str(text).map(|case: CaseText<'_>| vec![case]) };
    let cases = read.and_then(|written: Vec<CaseText<'_>>| {
        written.into_iter().map(|case| Case::read(case, text)).collect::<Result<Vec<_>, _>>()
    });
    cases.map_err(|error| vec![CaseProblem::of_file(error.to_string(), "correct the file's JSON")])
}

/// What is wrong with the cases of a document.
fn faults(document: &Json) -> Vec<Finding> {
    let mut fields = Fields::new(true);
    match document {
        Json::Array(cases) if cases.is_empty() => {
            fields.say("holds no case: a test of nothing would always pass", FORM);
        }
        Json::Array(cases) => {
            for (at, case) in cases.iter().enumerate() {
                fields.within(at, |fields| faults_of_case(fields, case));
            }
        }
        case => faults_of_case(&mut fields, case),
    }
    fields.findings
}

const FORM: &str = "write {\"name\": …, \"input\": {…}, \"expect\": {…}}, or a list of such";

fn faults_of_case(fields: &mut Fields, case: &Json) {
    let Some(members) = case.as_object() else {
        return fields.say(format!("is {}, not a case", case.kind()), FORM);
    };
    fields.only_known(members, KEYS);
    let _ = fields.text(members, "name");
    if present(members, "input").is_none() {
        fields.say("`input` is missing", FORM);
    }
    match present(members, "expect") {
        Some(Json::Object(expected)) if expected.is_empty() => fields.within("expect", |fields| {
            fields.say("expects nothing", "write a key at least, such as {\"denied\": true}");
        }),
        Some(Json::Object(_)) | None => {}
        Some(other) => fields.within("expect", |fields| fields.expected("an object", other)),
    }
}

impl Case {
    fn read(case: CaseText<'_>, text: &str) -> Result<Self, serde_json::Error> {
        let input_at = place_of(case.input.get(), text);
        let place = line_and_column(text, input_at.start);
        Ok(Self {
            name: case.name.map(Cow::into_owned),
            input: case.input.get().to_owned(),
            expect: case.expect.map(|raw| serde_json::from_str::<Value>(raw.get())).transpose()?,
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

    /// A problem of this case, with its input or with one field of it.
    pub fn problem(&self, field: Option<&str>, message: impl Into<String>, help: &str) -> CaseProblem {
        let within = LineIndex::of(&self.input).place(&field.map(Step::from).into_iter().collect::<Vec<_>>());
        let place = match (self.place, within) {
            ((line, column), (1, further)) => (line, column + further - 1),
            ((line, _), (further, column)) => (line + further - 1, column),
        };
        let about = self.name.clone().unwrap_or_default();
        CaseProblem { place: Some(place), about, message: message.into(), help: help.to_owned() }
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
            ("", ":1:1: "),
            ("[]", ":1:1: holds no case"),
            (
                "{\"input\": {}, \"exepct\": {\"a\": 1}}",
                ":1:25: exepct: is not a key that is known here: did you mean `expect`?",
            ),
            ("{\"expect\": {\"a\": 1}}", ":1:1: `input` is missing"),
            ("{\"input\": {}, \"input\": {}}", "twice"),
            ("{\"input\": {}, \"expect\": {}}", ":1:25: expect: expects nothing"),
            ("{\"input\": {}, \"expect\": []}", ":1:25: expect: is an array, not an object"),
            ("[{\"input\": {}},\n 7]", ":2:2: [1]: is a number, not a case"),
            ("{\"input\": {}, \"name\": 7}", ":1:23: name: is a number, not a string"),
        ] {
            let problems = parse(text).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].to_string().contains(said), "{text}: {}", problems[0]);
        }
        let all = parse("[{\"inptu\": {}}, {\"input\": {}, \"expect\": 1}]").unwrap_err();
        assert_eq!(all.len(), 3, "{all:?}");
    }

    #[test]
    fn a_problem_of_a_case_is_at_the_field_of_its_input() {
        let text = "[{ \"name\": \"é\", \"input\": {\n  \"env\": 7 } },\n  { \"input\": { \"env\": 8 } }]";
        let cases = parse(text).unwrap();
        let said = |at: usize, field| cases[at].problem(field, "is wrong", "").to_string();
        assert_eq!(said(0, Some("env")), ":2:10: é: is wrong");
        assert_eq!(said(1, Some("env")), ":3:23: is wrong");
        assert_eq!(said(1, Some("tenant_id")), ":3:14: is wrong");
        assert_eq!(said(0, None), ":1:26: é: is wrong");
    }
}
