//! A manifest's text: keys and items are put in and taken out where they stand, and everything else stays as it is written.

use std::ops::Range;

use marked_yaml::types::{MarkedMappingNode, MarkedSequenceNode};
use marked_yaml::{Marker, Node};
use serde_json::Value;

use super::change::{ManifestEdit, find, items, keys};

/// A text, and what is to be written in place of parts of it.
pub struct Layout<'t> {
    text: &'t str,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
    edits: Vec<(Range<usize>, String)>,
}

impl<'t> Layout<'t> {
    pub fn new(text: &'t str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines, edits: Vec::new() }
    }

    /// Notes a change to the document that the text was read as. `None`: the text is laid out in a way that is not known here.
    pub fn make(&mut self, document: &Node, change: &ManifestEdit) -> Option<()> {
        match change {
            ManifestEdit::PutKeys { into, before, yaml } => {
                let map = find(document, into)?.as_mapping()?;
                let open = self.at(map.span().start()?)?;
                if self.next(open) != Some('{') {
                    let first = || map.keys().next();
                    let key = before.and_then(|before| map.keys().find(|key| key.as_str() == before)).or_else(first)?;
                    return self.put_before(self.at(key.span().start()?)?, yaml);
                }
                let members = keys(yaml)?.into_iter().map(|(key, value)| self.member(&key, &value));
                self.put_behind(open, &members.collect::<Vec<_>>(), map.is_empty())
            }
            ManifestEdit::PutItems { into, yaml } => {
                let list = find(document, into)?.as_sequence()?;
                let open = self.at(list.span().start()?)?;
                if self.next(open) != Some('[') {
                    return self.put_before(self.dash(list)?, yaml);
                }
                let members: Vec<String> = items(yaml)?.iter().map(|item| self.flow(item)).collect();
                self.put_behind(open, &members, list.is_empty())
            }
            ManifestEdit::DropKeys { from, keys } => {
                let map = find(document, from)?.as_mapping()?;
                let members = self.keys_of(map, keys)?;
                let ends = (self.at(map.span().start()?)?, self.at(map.span().end()?)?);
                self.drop_members(&members, ends, '{')
            }
            ManifestEdit::DropItems { from, items } => {
                let list = find(document, from)?.as_sequence()?;
                let ends = (self.at(list.span().start()?)?, self.at(list.span().end()?)?);
                let members = if self.next(ends.0) == Some('[') {
                    let at = |(n, item): (usize, &Node)| Some((self.at(item.span().start()?)?, items.contains(&n)));
                    list.iter().enumerate().map(at).collect::<Option<Vec<_>>>()?
                } else {
                    let at = |(n, item): (usize, &Node)| Some((self.dash_of(item)?, items.contains(&n)));
                    list.iter().enumerate().map(at).collect::<Option<Vec<_>>>()?
                };
                self.drop_members(&members, ends, '[')
            }
            ManifestEdit::Set { at, value } => {
                let from = self.at(find(document, at)?.span().start()?)?;
                let rest = self.text.get(from..)?;
                let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
                let length = match rest.chars().next()? {
                    quote @ ('"' | '\'') => rest.get(1..)?.find(quote)? + 2,
                    _ => rest.find(|c| !word(c)).unwrap_or(rest.len()),
                };
                // In YAML a word is written as one.
                let written =
                    value.as_str().filter(|_| !self.is_json()).map_or_else(|| value.to_string(), str::to_owned);
                self.edits.push((from..from + length, written));
                Some(())
            }
        }
    }

    /// The text with all changes. `None`: two of them are in one place.
    pub fn written(mut self) -> Option<String> {
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut written = String::with_capacity(self.text.len());
        let mut from = 0;
        // A text with the ends of lines of Windows keeps them.
        let windows = self.text.contains("\r\n");
        for (range, with) in &self.edits {
            written.push_str(self.text.get(from..range.start)?);
            written.push_str(&if windows { with.replace('\n', "\r\n") } else { with.clone() });
            from = range.end;
        }
        written.push_str(self.text.get(from..)?);
        Some(written)
    }

    /// A marker's place in bytes. Its line and column are right; what it counts in characters is not, behind some texts of several lines.
    fn at(&self, marker: &Marker) -> Option<usize> {
        // The end of a text without a last line's end is said to be on a line of its own.
        let line = self.lines.get(marker.line().checked_sub(1)?).copied().unwrap_or(self.text.len());
        let rest = self.text.get(line..)?;
        let column = marker.column().checked_sub(1)?;
        Some(line + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at))
    }

    fn is_json(&self) -> bool {
        self.text.trim_start_matches("---").trim_start().starts_with('{')
    }

    /// A value in one line, apart as what is put behind the opening of a flow: so it comes out alike, whatever of it is there already.
    fn flow(&self, value: &Value) -> String {
        match value {
            Value::Object(map) if !self.is_json() => {
                let members = map.iter().map(|(key, value)| self.member(key, value));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }
            Value::Array(items) if !self.is_json() => {
                format!("[{}]", items.iter().map(|item| self.flow(item)).collect::<Vec<_>>().join(", "))
            }
            other => other.to_string(),
        }
    }

    fn member(&self, key: &str, value: &Value) -> String {
        let gap = if self.is_json() { "" } else { " " };
        format!("{}:{gap}{}", Value::from(key), self.flow(value))
    }

    fn next(&self, at: usize) -> Option<char> {
        self.text.get(at..)?.chars().next()
    }

    /// Where the line of a place begins, and what stands on it before the place.
    fn before(&self, at: usize) -> Option<(usize, &'t str)> {
        let line = self.lines.iter().rev().find(|line| **line <= at)?;
        Some((*line, self.text.get(*line..at)?))
    }

    /// Where the first line of a member begins, comments right above it included, if it begins its line.
    fn lead(&self, at: usize) -> Option<usize> {
        let (mut start, before) = self.before(at)?;
        if !before.trim().is_empty() {
            return None;
        }
        while let Some((above, line)) = start.checked_sub(1).and_then(|end| self.before(end)) {
            if !line.trim_start().starts_with('#') {
                break;
            }
            start = above;
        }
        Some(start)
    }

    /// The dash of a list's first item.
    fn dash(&self, list: &MarkedSequenceNode) -> Option<usize> {
        self.dash_of(list.get_node(0)?)
    }

    /// The dash before an item. `None`: it is on another line.
    fn dash_of(&self, item: &Node) -> Option<usize> {
        let first = match item {
            Node::Mapping(map) if self.next(self.at(map.span().start()?)?) != Some('{') => map.keys().next()?.span(),
            other => other.span(),
        };
        let at = self.at(first.start()?)?;
        let (_, before) = self.before(at)?;
        let dash = before.trim_end();
        dash.ends_with('-').then(|| at - before.len() + dash.len() - 1)
    }

    /// Puts lines before a member of a block, with its indentation.
    fn put_before(&mut self, at: usize, yaml: &str) -> Option<()> {
        let (line, before) = self.before(at)?;
        let indent = " ".repeat(before.chars().count());
        let edit = if let Some(lead) = self.lead(at) {
            let lines = yaml.lines().map(|line| format!("{indent}{line}\n"));
            (lead..lead, lines.collect())
        } else {
            let lines = yaml.lines().map(|line| format!("{line}\n{indent}"));
            (line + before.len()..at, lines.collect())
        };
        self.edits.push(edit);
        Some(())
    }

    /// Puts members behind what opens a flow, apart from each other as those are that come after them.
    fn put_behind(&mut self, open: usize, members: &[String], empty: bool) -> Option<()> {
        let rest = self.text.get(open + 1..)?;
        let space = rest.len() - rest.trim_start().len();
        let gap = match rest.get(..space)? {
            "" if self.is_json() => "",
            "" => " ",
            space => space,
        };
        let put: String = members.join(&format!(",{gap}"));
        let edit = if empty { (open + 1, put) } else { (open + 1 + space, format!("{put},{gap}")) };
        self.edits.push((edit.0..edit.0, edit.1));
        Some(())
    }

    /// Where a mapping's keys stand, and which of them go.
    fn keys_of(&self, map: &MarkedMappingNode, keys: &[String]) -> Option<Vec<(usize, bool)>> {
        let at = |key: &marked_yaml::types::MarkedScalarNode| {
            Some((self.at(key.span().start()?)?, keys.iter().any(|gone| gone == key.as_str())))
        };
        map.keys().map(at).collect()
    }

    /// Takes those members out that go.
    fn drop_members(&mut self, members: &[(usize, bool)], ends: (usize, usize), opens: char) -> Option<()> {
        if self.next(ends.0) == Some(opens) {
            self.drop_from_flow(members, ends)
        } else {
            self.drop_from_block(members)
        }
    }

    fn drop_from_block(&mut self, members: &[(usize, bool)]) -> Option<()> {
        for (n, (at, gone)) in members.iter().enumerate() {
            if !gone {
                continue;
            }
            let (line, before) = self.before(*at)?;
            let next = members.get(n + 1).map(|(next, _)| *next);
            let range = match (before.trim().is_empty(), next) {
                (true, Some(next)) => line..self.lead(next)?,
                (true, None) => line..self.end(*at, line, before.chars().count())?,
                (false, Some(next)) => *at..next,
                (false, None) => return None,
            };
            self.edits.push((range, String::new()));
        }
        Some(())
    }

    /// Where a block's last member ends: behind its last line that is indented deeper; a key's list may begin below the key.
    fn end(&self, at: usize, line: usize, indent: usize) -> Option<usize> {
        let item = self.next(at) == Some('-');
        let mut end = None;
        let mut from = line;
        for text in self.text.get(line..)?.split_inclusive('\n') {
            let deeper = text.len() - text.trim_start_matches(' ').len();
            let below =
                !item && deeper == indent && matches!(text.trim_start().as_bytes(), [b'-', b' ' | b'\n' | b'\r', ..]);
            let whole = !text.trim().is_empty();
            if whole && from != line && deeper <= indent && !below {
                break;
            }
            from += text.len();
            if whole {
                end = Some(from);
            }
        }
        end
    }

    fn drop_from_flow(&mut self, members: &[(usize, bool)], (open, close): (usize, usize)) -> Option<()> {
        let Some(last) = members.iter().rposition(|(_, gone)| !gone) else {
            self.edits.push((open + 1..close, String::new()));
            return Some(());
        };
        for pair in members.get(..=last)?.windows(2) {
            if let [(at, true), (next, _)] = pair {
                self.edits.push((*at..*next, String::new()));
            }
        }
        if let Some((first, _)) = members.get(last + 1) {
            let comma = self.text.get(..*first)?.trim_end().strip_suffix(',')?.len();
            self.edits.push((comma..self.text.get(..close)?.trim_end().len(), String::new()));
        }
        Some(())
    }
}
