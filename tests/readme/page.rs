//! The blocks of a page, and whether what it shows is what comes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::root;

/// A fenced block of a page.
pub struct Block {
    /// Page and line.
    pub at: String,
    pub language: String,
    pub text: String,
}

/// The README, CONTRIBUTING, and every page in the folders under `docs/`.
pub fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md"].map(|page| root().join(page)).into();
    let mut found = Vec::new();
    for folder in fs::read_dir(root().join("docs")).unwrap() {
        found.extend(fs::read_dir(folder.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found.sort();
    pages.extend(found);
    pages
}

pub fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let mut lines = text.lines().enumerate();
    let mut blocks = Vec::new();
    while let Some((n, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let text: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        let at = format!("{}:{}", page.file_name().unwrap().to_str().unwrap(), n + 1);
        blocks.push(Block { at, language: language.to_owned(), text: text.join("\n") });
    }
    blocks
}

/// Whether everything that a sample shows is in the answer. `…` stands for any text.
pub fn agrees(sample: &Value, answer: &Value) -> bool {
    match (sample, answer) {
        (Value::String(sample), Value::String(answer)) => sample == answer || (sample == "…" && !answer.is_empty()),
        (Value::Object(sample), Value::Object(answer)) => {
            sample.iter().all(|(key, value)| answer.get(key).is_some_and(|answer| agrees(value, answer)))
        }
        _ => sample == answer,
    }
}
