//! Excerpts: the line of a file that a problem is in, and a caret under its place.
//!
//! Configurations hold secrets. Of a line of theirs no more is shown than what the problem itself names, and the key before it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::problem::{Problem, Problems, Warning};
use crate::documents;

/// The most characters of a line that are shown.
const WIDTH: usize = 100;

/// The files of which excerpts are shown, each read once.
#[derive(Debug, Default)]
pub struct Excerpts {
    /// The text of each with the places where its lines begin; none of a file that cannot be read.
    files: HashMap<PathBuf, Option<Lines>>,
}

#[derive(Debug)]
struct Lines {
    text: String,
    beginnings: Vec<usize>,
}

/// A piece of a line, and what of it is marked; in characters.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    text: String,
    from: usize,
    length: usize,
}

impl Excerpts {
    /// Problems for a human, each with its excerpt.
    pub fn of_problems(&mut self, problems: &Problems) -> String {
        let mut text: String = problems.list().iter().map(|problem| format!("{}\n", self.of(problem))).collect();
        text.push_str(&problems.count_in_words());
        text
    }

    /// A warning for a human, with its excerpt.
    pub fn of_warning(&mut self, Warning { name, about }: &Warning) -> String {
        format!("warning[{name}]: {}", self.of(about))
    }

    /// Quotes this text of a file, whatever becomes of the file.
    pub fn quote(&mut self, file: &Path, text: &str) {
        self.files.insert(file.to_owned(), Some(Lines::of(text.to_owned())));
    }

    /// A problem with its excerpt, before what is to be changed.
    pub fn of(&mut self, problem: &Problem) -> String {
        let (said, excerpt) = (problem.to_string(), self.excerpt(problem));
        match (said.split_once("\n    help: "), excerpt) {
            (_, None) => said,
            (None, Some(excerpt)) => format!("{said}\n{excerpt}"),
            (Some((what, help)), Some(excerpt)) => format!("{what}\n{excerpt}\n    help: {help}"),
        }
    }

    fn excerpt(&mut self, problem: &Problem) -> Option<String> {
        let (number, column) = problem.place?;
        let line = self.line(&problem.file, number)?;
        let piece = if problem.quotable { whole(line, column) } else { named(line, column, problem) }?;
        Some(laid_out(number, &piece))
    }

    /// The line of a file, counted from 1.
    fn line(&mut self, file: &Path, number: usize) -> Option<&str> {
        let lines = self.files.entry(file.to_owned()).or_insert_with(|| Lines::read(file)).as_ref()?;
        let begin = *lines.beginnings.get(number.checked_sub(1)?)?;
        lines.text.get(begin..)?.lines().next()
    }
}

impl Lines {
    fn read(file: &Path) -> Option<Self> {
        documents::text(file, documents::LARGE).ok().map(Self::of)
    }

    fn of(text: String) -> Self {
        let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let beginnings = std::iter::once(0).chain(after).collect();
        Self { text, beginnings }
    }
}

/// As rustc writes them.
fn laid_out(number: usize, Piece { text, from, length }: &Piece) -> String {
    let number = number.to_string();
    let (margin, blank, carets) = (" ".repeat(number.len()), " ".repeat(*from), "^".repeat(*length));
    format!("    {margin} |\n    {number} | {text}\n    {margin} | {blank}{carets}")
}

/// What stands at a place: a text in quotes, or what ends where a value or a key does. Its length in characters.
fn token(line: &[char], start: usize) -> usize {
    let rest = line.get(start..).unwrap_or_default();
    let length = match rest.first() {
        Some(quote @ ('"' | '\'')) => rest.iter().skip(1).position(|c| c == quote).map_or(rest.len(), |end| end + 2),
        _ => {
            let ends = |at: usize, c: char| match c {
                ',' | ';' | ']' | '}' | '[' | '{' | '(' | ')' => true,
                ':' | '#' => rest.get(at + 1).is_none_or(|next| next.is_whitespace()),
                _ => false,
            };
            let end =
                rest.iter().enumerate().find(|(at, c)| *at > 0 && ends(*at, **c)).map_or(rest.len(), |(at, _)| at);
            let blank = rest.get(..end).unwrap_or_default().iter().rev().take_while(|c| c.is_whitespace()).count();
            end - blank
        }
    };
    length.max(1)
}

/// A text as a terminal may show it, one character for one.
fn plain(text: &[char]) -> String {
    text.iter().map(|c| if c.is_control() { ' ' } else { *c }).collect()
}

/// The line, or what of a long one is around the place.
fn whole(line: &str, column: usize) -> Option<Piece> {
    let line: Vec<char> = line.chars().collect();
    let start = column.checked_sub(1).filter(|start| *start <= line.len())?;
    let first = line.get(start);
    let word = |c: &&char| c.is_alphanumeric() || matches!(c, '_' | '@' | '.');
    let length = match first {
        Some(c) if word(&c) => line.iter().skip(start).take_while(word).count(),
        Some('"') => token(&line, start),
        _ => 1,
    };
    let begin = if line.len() <= WIDTH { 0 } else { start.saturating_sub(WIDTH / 2) };
    let end = line.len().min(begin + WIDTH);
    let [before, after] = [begin > 0, end < line.len()].map(|cut| if cut { "\u{2026}" } else { "" });
    let text = format!("{before}{}{after}", plain(line.get(begin..end)?));
    let from = start - begin + before.chars().count();
    Some(Piece { text, from, length: length.min(end.saturating_sub(start)).max(1) })
}

/// Of the line what the problem names, and the key before it. A value that the problem does not name is not shown.
fn named(line: &str, column: usize, problem: &Problem) -> Option<Piece> {
    let line: Vec<char> = line.chars().collect();
    let start = column.checked_sub(1).filter(|start| *start < line.len())?;
    let at_place: String = line.iter().skip(start).take(token(&line, start)).collect();
    let bare = at_place.trim_matches(['"', '\'']);
    let last_key = problem.key.rsplit(['.', ']']).next().unwrap_or_default();
    let is_named = bare == last_key || problem.message.contains(&format!("`{bare}`"));
    // `key: ` before the value.
    let before: String = line.iter().take(start).collect();
    let key = before.trim_end().strip_suffix(':').map(str::trim_end);
    let key =
        key.and_then(|key| key.rsplit([' ', ',', '{', '-']).next()).filter(|key| !key.is_empty() && *key == last_key);
    let prefix = key.map_or_else(String::new, |key| format!("{key}: "));
    if !is_named && prefix.is_empty() {
        return None;
    }
    let shown = if is_named { plain(&at_place.chars().collect::<Vec<_>>()) } else { "\u{2026}".to_owned() };
    let from = prefix.chars().count();
    let length = shown.chars().count().min(WIDTH);
    Some(Piece { text: format!("{prefix}{shown}"), from, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(file: &str, key: &str, message: &str) -> Problem {
        Problem {
            quotable: false,
            file: file.into(),
            place: None,
            key: key.to_owned(),
            message: message.to_owned(),
            help: String::new(),
        }
    }

    #[track_caller]
    fn shows(piece: Option<Piece>, text: &str, marked: &str) {
        let piece = piece.unwrap();
        let found: String = piece.text.chars().skip(piece.from).take(piece.length).collect();
        assert_eq!((&*piece.text, &*found), (text, marked));
    }

    #[test]
    fn the_place_is_marked_in_its_line() {
        let line = "    \"data_label\": [\"PUBLIC\", \"INTERNAL\"]";
        shows(whole(line, 19), line, "[");
        shows(whole(line, 20), line, "\"PUBLIC\"");
        shows(whole("when { context.labl == 1 };", 8), "when { context.labl == 1 };", "context.labl");
        shows(whole("a\tb", 3), "a b", "b");
        let long = format!("{}x{}", "a ".repeat(100), " b".repeat(100));
        let piece = whole(&long, 201).unwrap();
        assert!(piece.text.chars().count() == WIDTH + 2 && piece.text.starts_with('\u{2026}'), "{piece:?}");
        shows(Some(piece), &format!("\u{2026}{}x{}\u{2026}", "a ".repeat(25), &" b".repeat(25)[..49]), "x");
        assert_eq!(whole("short", 99), None);
    }

    #[test]
    fn of_a_configuration_only_what_the_problem_names_is_shown() {
        let line = "  tokens: [{ name: make, secret: hst_123, scopes: [rout, read] }]";
        let at = |part: &str| line.find(part).unwrap() + 1;
        let scopes = problem("c.yaml", "hall.tokens[0].scopes[0]", "`rout` is not one of `route`, `read`");
        shows(named(line, at("rout,"), &scopes), "rout", "rout");
        let secret = problem("c.yaml", "hall.tokens[0].secret", "is too short");
        shows(named(line, at("hst_"), &secret), "secret: \u{2026}", "\u{2026}");
        // Not even where the message has the secret's text as a part of a word.
        let short = problem("c.yaml", "hall.tokens[0].secret", "is too short");
        shows(named("secret: is", 9, &short), "secret: \u{2026}", "\u{2026}");
        let unknown = problem("c.yaml", "hall.tokns", "is not a known key");
        shows(named("  tokns: [{ secret: hst_123 }]", 3, &unknown), "tokns", "tokns");
        let mode = problem("c.yaml", "policy.mode", "`strickt` is not one of `strict`, `reference`");
        shows(named("  mode: strickt   # hst_123", 9, &mode), "mode: strickt", "strickt");
        shows(named("  mode: \"strickt\"", 9, &mode), "mode: \"strickt\"", "\"strickt\"");
        assert_eq!(named("  - hst_123", 5, &problem("c.yaml", "x[0]", "is not a duration")), None);
    }

    #[test]
    fn a_file_that_is_gone_is_no_problem_of_its_own() {
        let mut gone = problem("none.json", "a", "is wrong");
        gone.place = Some((1, 1));
        assert_eq!(Excerpts::default().of(&gone), gone.to_string());
    }
}
