//! The repository's Rust files, read once: their text, and their code without comments, texts and tests.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file.
#[derive(Debug)]
pub struct Source {
    /// From the repository's root, with `/`.
    pub path: String,
    /// As it stands.
    pub text: String,
    /// Without comments and test modules; empty for a file that is only compiled for tests.
    pub code: String,
    /// The same, and without what is inside of quotes.
    pub bare: String,
}

impl Source {
    /// The room of a file under `src`: `engine` for `src/engine.rs` and everything below `src/engine/`.
    pub fn room(&self) -> &str {
        let rest = self.path.strip_prefix("src/").unwrap();
        rest.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Every place where `word` stands as a word of its own: the line, from 1, and the code before and after it.
    pub fn places<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (usize, &'a str, &'a str)> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        self.bare.match_indices(word).filter_map(move |(at, _)| {
            let (before, after) = (&self.bare[..at], &self.bare[at + word.len()..]);
            let whole = !before.ends_with(is_word) && !after.starts_with(is_word);
            whole.then(|| (before.matches('\n').count() + 1, before, after))
        })
    }
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below a folder of the repository, by path.
pub fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    rust_files(&root().join(folder), &mut paths);
    paths.sort();
    let texts: Vec<(String, String)> = paths
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    let for_tests: Vec<String> = texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    texts
        .into_iter()
        .map(|(path, text)| {
            let in_tests = |module: &String| path == format!("{module}.rs") || path.starts_with(&format!("{module}/"));
            let code =
                if for_tests.iter().any(in_tests) { String::new() } else { without_tests(&blank(&text, false), &text) };
            let bare = if code.is_empty() { String::new() } else { without_tests(&blank(&text, true), &text) };
            Source { path, text, code, bare }
        })
        .collect()
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The paths, without `.rs`, of the modules that a file declares for tests only.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let folder = path.trim_end_matches(".rs").trim_end_matches("/lib");
    let mut lines = text.lines().map(str::trim);
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if !["#[cfg(test)]", "#[cfg(any(test, fuzzing))]"].contains(&line) {
            continue;
        }
        let declared = lines.find(|line| !line.starts_with("#[")).unwrap_or_default();
        if let Some(name) = declared.strip_suffix(';').and_then(|line| line.rsplit_once("mod ")) {
            found.push(format!("{folder}/{}", name.1));
        }
    }
    found
}

/// The code up to each `#[cfg(test)]` module and after its end.
fn without_tests(blanked: &str, text: &str) -> String {
    let mut kept = blanked.to_owned();
    // Blanking keeps every byte's place, so that the bare code finds the braces and both are cut alike.
    let bare = blank(text, true);
    for (at, _) in bare.match_indices("#[cfg(test)]") {
        let Some(open) = bare[at..].find(['{', ';']).map(|n| at + n) else { continue };
        if bare.as_bytes()[open] == b';' {
            continue;
        }
        let mut depth = 0;
        let end = bare[open..].char_indices().find_map(|(n, c)| {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            (depth == 0).then_some(open + n + 1)
        });
        let end = end.unwrap_or(bare.len());
        let hole: String = kept[at..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
        kept.replace_range(at..end, &hole);
    }
    kept
}

/// The code with comments, and if asked for what is inside of quotes, turned to spaces; each byte keeps its place.
fn blank(text: &str, quotes_too: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut hide = |from: usize, to: usize| {
        for byte in &mut out[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let find = |from: usize, what: &str| text[from..].find(what).map_or(bytes.len(), |n| from + n);
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        at = if rest.starts_with(b"//") {
            let end = find(at, "\n");
            hide(at, end);
            end
        } else if rest.starts_with(b"/*") {
            let end = (find(at, "*/") + 2).min(bytes.len());
            hide(at, end);
            end
        } else if rest[0] == b'r' && !in_word && rest.get(1 + hashes) == Some(&b'"') {
            let open = at + 2 + hashes;
            let close = find(open, &format!("\"{}", "#".repeat(hashes)));
            if quotes_too {
                hide(open, close);
            }
            close + 1 + hashes
        } else if rest[0] == b'"' {
            let close = end_of_quote(bytes, at);
            if quotes_too {
                hide(at + 1, close);
            }
            close + 1
        } else if rest[0] == b'\'' && (rest.get(1) == Some(&b'\\') || rest.get(2) == Some(&b'\'')) {
            let close = if rest[1] == b'\\' { find(at + 3, "'") } else { at + 2 };
            hide(at + 1, close);
            close + 1
        } else {
            at + 1
        };
    }
    String::from_utf8(out).unwrap()
}

/// Where the quote that opens at `at` closes.
fn end_of_quote(bytes: &[u8], at: usize) -> usize {
    let mut here = at + 1;
    while here < bytes.len() && bytes[here] != b'"' {
        here += if bytes[here] == b'\\' { 2 } else { 1 };
    }
    here.min(bytes.len())
}
