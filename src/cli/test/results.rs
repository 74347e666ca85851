//! What became of the cases: told to a human one by one, and as JSON and JUnit XML for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::cases::{Case, CaseProblem};
use super::differences::Difference;
use crate::cli::say;
use crate::config::Excerpts;
use crate::engine::Explanation;

/// What became of a case.
pub enum CaseOutcome {
    /// It is answered as it expects.
    Agreed,
    /// It is not, in these keys, and for this reason.
    Differed(Vec<Difference>, Explanation),
    /// It was not, and expects now what is answered.
    Updated(Vec<Difference>),
    /// It expected nothing, and expects now what is answered.
    Written,
    /// It, or its file, cannot be read.
    Unreadable(CaseProblem),
}

/// A case, and what became of it.
pub struct CaseResult {
    file: PathBuf,
    /// Its place and name, behind the file's name.
    title: String,
    outcome: CaseOutcome,
}

impl CaseResult {
    /// Of a case.
    pub fn of(file: &Path, case: &Case, outcome: CaseOutcome) -> Self {
        Self { file: file.to_owned(), title: case.title(), outcome }
    }

    /// Of a whole file that cannot be read.
    pub fn of_file(file: &Path, problem: CaseProblem) -> Self {
        Self { file: file.to_owned(), title: String::new(), outcome: CaseOutcome::Unreadable(problem) }
    }

    /// Tells a human.
    pub fn tell(&self, update: bool, excerpts: &mut Excerpts) {
        let Self { file, title, outcome } = self;
        let place = format!("{}{title}", file.display());
        match outcome {
            CaseOutcome::Agreed => {}
            CaseOutcome::Written => say(format_args!("{place}: written")),
            CaseOutcome::Unreadable(problem) => {
                let _ = writeln!(io::stderr(), "{}", excerpts.of(&problem.in_file(file)));
            }
            CaseOutcome::Updated(found) | CaseOutcome::Differed(found, _) => {
                say(place);
                for Difference { key, expected, found } in found {
                    say(format_args!("    {key}\n      - {expected}\n      + {found}"));
                }
            }
        }
        if let (CaseOutcome::Differed(_, why), false) = (outcome, update) {
            say(format_args!("  why:\n{why}"));
        }
    }

    const fn word(&self) -> &'static str {
        match self.outcome {
            CaseOutcome::Agreed => "agrees",
            CaseOutcome::Differed(..) => "differs",
            CaseOutcome::Updated(_) | CaseOutcome::Written => "updated",
            CaseOutcome::Unreadable(_) => "cannot be read",
        }
    }

    fn to_json(&self) -> Value {
        let Self { file, title, outcome } = self;
        let mut said = json!({ "case": format!("{}{title}", file.display()), "result": self.word() });
        let Value::Object(members) = &mut said else { return said };
        if let CaseOutcome::Differed(found, _) | CaseOutcome::Updated(found) = outcome {
            let found = found.iter().map(|Difference { key, expected, found }| {
                json!({ "key": key, "expected": expected.to_string(), "found": found.to_string() })
            });
            members.insert("differences".to_owned(), found.collect());
        }
        match outcome {
            CaseOutcome::Differed(_, why) => drop(members.insert("explain".to_owned(), json!(why))),
            CaseOutcome::Unreadable(problem) => {
                members.insert("problem".to_owned(), format!("{}{problem}", file.display()).into());
            }
            _ => {}
        }
        said
    }
}

/// What became of all cases.
pub struct Results {
    files: usize,
    each: Vec<CaseResult>,
}

impl Results {
    /// Of no case yet, of so many files.
    pub const fn new(files: usize) -> Self {
        Self { files, each: Vec::new() }
    }

    /// Takes one in.
    pub fn push(&mut self, result: CaseResult) {
        self.each.push(result);
    }

    fn count(&self, word: &str) -> usize {
        self.each.iter().filter(|result| result.word() == word).count()
    }

    /// How many differ.
    pub fn differed(&self) -> usize {
        self.count("differs")
    }

    /// How many cannot be read.
    pub fn unreadable(&self) -> usize {
        self.count("cannot be read")
    }

    /// For programs.
    pub fn to_json(&self, coverage: Option<Value>) -> Value {
        json!({
            "cases": self.each.len(), "files": self.files, "agree": self.count("agrees"), "differ": self.differed(),
            "updated": self.count("updated"), "unreadable": self.unreadable(),
            "results": self.each.iter().map(CaseResult::to_json).collect::<Vec<_>>(), "coverage": coverage,
        })
    }

    /// As JUnit XML: a suite a file, a test a case.
    pub fn to_junit(&self) -> String {
        let mut suites: BTreeMap<&Path, Vec<&CaseResult>> = BTreeMap::new();
        for result in &self.each {
            suites.entry(&result.file).or_default().push(result);
        }
        let counts = |of: &[&CaseResult]| {
            let count = |word| of.iter().filter(|result| result.word() == word).count();
            format!("tests=\"{}\" failures=\"{}\" errors=\"{}\"", of.len(), count("differs"), count("cannot be read"))
        };
        let all = self.each.iter().collect::<Vec<_>>();
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"hallgate test\" {}>\n",
            counts(&all)
        );
        // Writing to a string cannot fail.
        for (file, results) in suites {
            let file = escaped(&file.to_string_lossy());
            let _ = writeln!(xml, "  <testsuite name=\"{file}\" {}>", counts(&results));
            for result in results {
                let name = if result.title.is_empty() { "the file" } else { result.title.trim_start_matches(':') };
                let _ = write!(xml, "    <testcase classname=\"{file}\" name=\"{}\"", escaped(name));
                match &result.outcome {
                    CaseOutcome::Differed(found, why) => {
                        let mut text = String::new();
                        for Difference { key, expected, found } in found {
                            let _ = writeln!(text, "{key}\n  - {expected}\n  + {found}");
                        }
                        let keys: Vec<&str> = found.iter().map(|difference| &*difference.key).collect();
                        let message = escaped(&format!("{} differs", keys.join(", ")));
                        let text = escaped(&format!("{text}why:\n{why}"));
                        let _ =
                            writeln!(xml, ">\n      <failure message=\"{message}\">{text}</failure>\n    </testcase>");
                    }
                    CaseOutcome::Unreadable(problem) => {
                        let message = escaped(&problem.to_string());
                        let _ = writeln!(xml, ">\n      <error message=\"{message}\"/>\n    </testcase>");
                    }
                    CaseOutcome::Agreed | CaseOutcome::Updated(_) | CaseOutcome::Written => xml.push_str("/>\n"),
                }
            }
            xml.push_str("  </testsuite>\n");
        }
        xml.push_str("</testsuites>\n");
        xml
    }
}

/// `4 cases in 2 files: 3 agree, 1 differs`.
impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let also = |n: usize, what: &str| if n == 0 { String::new() } else { format!(", {n} {what}") };
        let differed = self.differed();
        write!(
            f,
            "{} cases in {} files: {} agree{}{}{}",
            self.each.len(),
            self.files,
            self.count("agrees"),
            also(differed, if differed == 1 { "differs" } else { "differ" }),
            also(self.count("updated"), "updated"),
            also(self.unreadable(), "cannot be read"),
        )
    }
}

/// A text in XML. What XML has no form for is said as Rust says it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.extend(c.escape_debug()),
            c => out.push(c),
        }
    }
    out
}
