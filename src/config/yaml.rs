//! YAML with places: one document, a mapping, every key once. Anchors and tags are refused.

use marked_yaml::types::{MarkedMappingNode, MarkedScalarNode};
use marked_yaml::{LoadError, LoaderOptions, Marker, Node, parse_yaml_with_options};
use serde_json::Number;

/// Something wrong with the YAML itself.
#[derive(Debug)]
pub struct YamlFault {
    /// Line and column, from 1.
    pub place: (usize, usize),
    /// What is wrong.
    pub message: String,
    /// What to change.
    pub help: &'static str,
}

/// Characters that no operator writes: a repeated key is renamed to one of them, so that the rest can still be read.
const RENAMED: std::ops::Range<u32> = 0xE000..0xF8FF;

/// Whether this key is a repeated one that was renamed.
pub fn is_repeated(key: &str) -> bool {
    key.chars().next().is_some_and(|first| RENAMED.contains(&u32::from(first)))
}

/// The mapping of a document, and what is wrong with it. `None` when nothing of it can be read.
///
/// marked-yaml stops at the first repeated key. To report all of them, each is renamed in place and the text read again.
pub fn parse(text: &str) -> (Option<MarkedMappingNode>, Vec<YamlFault>) {
    let mut faults = Vec::new();
    if let Some(line) = second_document(text) {
        let message = "a second document starts here".to_owned();
        faults.push(YamlFault { place: (line, 1), message, help: "keep one document in the file" });
        return (None, faults);
    }
    let mut text: Vec<char> = text.chars().collect();
    loop {
        // So that a text in quotes is known as one.
        let options = LoaderOptions::default().error_on_duplicate_keys(true).prevent_coercion(true);
        match parse_yaml_with_options(0, text.iter().collect::<String>(), options) {
            Ok(Node::Mapping(map)) => return (Some(map), faults),
            Ok(node) => {
                let place = node.span().start().map_or((1, 1), place);
                faults.push(YamlFault { place, message: "is not a mapping".to_owned(), help: MAPPING });
                return (None, faults);
            }
            Err(LoadError::DuplicateKey(keys)) => {
                let Some(start) = keys.key.span().start().copied() else { return (None, faults) };
                let first = keys.prev_key.span().start().map_or(0, Marker::line);
                let message = format!("`{}` is written twice; first in line {first}", keys.key.as_str());
                faults.push(YamlFault { place: place(&start), message, help: "keep one of them" });
                let from = start.character();
                let quoted = text.get(from).is_some_and(|c| matches!(c, '"' | '\''));
                let (from, length) = (from + usize::from(quoted), keys.key.as_str().chars().count());
                // Each another character, so that the renamed ones do not repeat each other; as long, so that places stay.
                let mark = RENAMED.clone().nth(faults.len()).and_then(char::from_u32);
                match (mark, text.get_mut(from..from + length)) {
                    (Some(mark), Some(key)) if !key.is_empty() => {
                        // A key in quotes may have several lines, which stay, too.
                        key.iter_mut().filter(|c| !matches!(c, '\n' | '\r')).for_each(|c| *c = mark);
                    }
                    _ => return (None, faults),
                }
            }
            Err(error) => {
                faults.push(fault(&error));
                return (None, faults);
            }
        }
    }
}

const MAPPING: &str = "write sections such as `gate:` and `hall:`";

fn fault(error: &LoadError) -> YamlFault {
    let (marker, message, help) = match error {
        LoadError::TopLevelMustBeMapping(at) | LoadError::TopLevelMustBeSequence(at) => {
            (at, "is not a mapping".to_owned(), MAPPING)
        }
        LoadError::UnexpectedAnchor(at) => {
            (at, "anchors are not supported".to_owned(), "write the value out in each place")
        }
        LoadError::MappingKeyMustBeScalar(at) => {
            (at, "a key is not a text".to_owned(), "write keys as plain text; quote values that begin with `{` or `[`")
        }
        LoadError::UnexpectedTag(at) => (at, "tags are not supported".to_owned(), "remove the `!tag`"),
        LoadError::ScanError(at, error) => {
            (at, format!("is not YAML: {}", error.info()), "check indentation, quotes and brackets here and just above")
        }
        LoadError::DuplicateKey(keys) => {
            return YamlFault {
                place: keys.key.span().start().map_or((1, 1), place),
                message: "a key is written twice".to_owned(),
                help: "keep one of them",
            };
        }
    };
    YamlFault { place: place(marker), message, help }
}

/// Line and column at which a value begins.
pub fn begin(node: &Node) -> (usize, usize) {
    node.as_mapping().map_or_else(|| node.span().start().map_or((1, 1), place), begin_of_map)
}

/// The same of a mapping: to the parser one without braces begins behind its first key.
pub fn begin_of_map(map: &MarkedMappingNode) -> (usize, usize) {
    let first = map.iter().next().map(|(key, _)| key.span());
    [Some(map.span()), first].into_iter().flatten().filter_map(|span| span.start().map(place)).min().unwrap_or((1, 1))
}

/// What a single value is.
#[derive(Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number, as JSON writes it.
    Number(&'a str),
    /// A text.
    Text(&'a str),
}

/// What a single value is in YAML 1.2's core schema: `no` and `on` are texts. A number is what is one in JSON, too.
pub fn scalar(scalar: &MarkedScalarNode) -> Scalar<'_> {
    match scalar.as_str() {
        text if !scalar.may_coerce() => Scalar::Text(text),
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        text if text.parse::<Number>().is_ok() => Scalar::Number(text),
        text => Scalar::Text(text),
    }
}

/// Line and column at which a text ends. The parser's own end may be beyond it: to it a last line without an end has one.
pub fn end(text: &str) -> (usize, usize) {
    let mut end = (1, 1);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let is_break = c == '\n' || (c == '\r' && characters.peek() != Some(&'\n'));
        end = if is_break { (end.0 + 1, 1) } else { (end.0, end.1 + 1) };
    }
    end
}

/// Line and column of a marker.
pub fn place(marker: &Marker) -> (usize, usize) {
    (marker.line(), marker.column())
}

/// The line at which a second document starts; the parser would pass over it in silence.
fn second_document(text: &str) -> Option<usize> {
    let mut begun = false;
    for (index, line) in text.lines().enumerate() {
        let marker = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
        if marker.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r'])) {
            if begun {
                return Some(index + 1);
            }
            begun = true;
        } else if !line.trim_start().is_empty() && !line.trim_start().starts_with(['#', '%']) {
            begun = true;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(usize, usize, String)> {
        parse(text).1.into_iter().map(|f| (f.place.0, f.place.1, f.message)).collect()
    }

    #[test]
    fn every_repeated_key_is_found_and_the_rest_is_read() {
        let text = "a: 1\nb:\n  é: 1\n  'é': 2\n  é: 3\na: 2\nc: 5\n";
        let (map, found) = parse(text);
        let places: Vec<_> = found.iter().map(|f| f.place).collect();
        assert_eq!(places, [(4, 3), (5, 3), (6, 1)]);
        assert_eq!(found[0].message, "`é` is written twice; first in line 3");
        let map = map.unwrap();
        assert_eq!(map.get_scalar("c").unwrap().as_str(), "5");
        assert_eq!(map.get_scalar("a").unwrap().as_str(), "1");
    }

    #[test]
    fn a_repeated_key_of_several_lines_moves_no_other() {
        let found = faults("{ a: 1,\n \"b\n\n c\": 1,\n \"b\n\n c\": 2,\n a: 3 }\n");
        let places: Vec<_> = found.iter().map(|(line, column, _)| (*line, *column)).collect();
        assert_eq!(places, [(5, 2), (8, 2)]);
    }

    #[test]
    fn what_is_no_plain_document_is_refused() {
        assert_eq!(faults("- a\n"), [(1, 1, "is not a mapping".to_owned())]);
        assert_eq!(faults("a: &x 1\nb: *x\n").len(), 1);
        assert_eq!(faults("a: !!int 1\n").len(), 1);
        assert_eq!(faults("[a]: 1\n").len(), 1);
        assert_eq!(faults("a: [1\n").len(), 1);
        assert_eq!(faults("a: 1\n---\nb: 2\n")[0].0, 2);
        assert_eq!(faults("a: 1\n...\nb: 2\n")[0].0, 2);
        assert!(faults("# comment\n---\na: 1\n").is_empty());
        assert!(faults("").is_empty());
    }

    #[test]
    fn a_text_ends_behind_its_last_character() {
        for (text, place) in [("", (1, 1)), ("a: é", (1, 5)), ("a\n", (2, 1)), ("a\r\nb\rc\n\nd", (5, 2))] {
            assert_eq!(end(text), place, "{text:?}");
        }
    }
}
