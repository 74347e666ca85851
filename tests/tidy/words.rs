//! What is documented is what is there: deny codes, metrics, subcommands and configuration keys.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use hallgate::engine::DenyCode;
use hallgate::lint::{LINTS, Lint};
use hallgate::telemetry::Metrics;
use hallgate::telemetry::metrics::Declaration;

use crate::source::root;

/// The README, CONTRIBUTING, and every page in the folders under `docs/`, by path from the root.
fn pages() -> Vec<(String, String)> {
    let mut paths = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for folder in names("docs") {
        let pages = names(&folder).into_iter().filter(|path| path.ends_with(".md"));
        paths.extend(pages);
    }
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(root().join(path)).unwrap())).collect()
}

/// What is in a folder, by path from the root, in order.
fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap())).collect();
    names.sort();
    names
}

/// The rows of a table whose first cell is in backticks and starts with `prefix`, in order.
fn rows(page: &str, prefix: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/reference").join(page)).unwrap();
    let first = format!("| `{prefix}");
    page.lines().filter(|line| line.starts_with(&first)).map(str::to_owned).collect()
}

#[test]
fn every_deny_code_is_documented_as_the_code_says_it() {
    let expected: Vec<String> = DenyCode::ALL
        .iter()
        .map(|code| format!("| `{}` | {} | {} |", code.as_str(), code.meaning(), code.remedy()))
        .collect();
    let found = rows("deny-codes.md", "DENY_");
    assert!(found == expected, "docs/reference/deny-codes.md should have:\n{}", expected.join("\n"));
}

#[test]
fn every_warning_is_documented_as_the_code_says_it() {
    let row = |lint: &Lint| format!("| `{}` | {} | {} |", lint.name, lint.meaning, lint.remedy);
    let expected: Vec<String> = LINTS.iter().map(row).collect();
    let found = rows("warnings.md", "");
    assert!(found == expected, "docs/reference/warnings.md should have:\n{}", expected.join("\n"));
}

/// The table is made from the declarations: `UPDATE_GOLDEN=1 cargo test --test tidy metric` writes it anew.
#[test]
fn every_metric_is_documented_as_it_is_declared() {
    let path = root().join("docs/reference/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let rows: Vec<String> = Metrics::DECLARED
        .iter()
        .map(|Declaration { name, kind, labels, help }| {
            format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", "))
        })
        .collect();
    let table = format!("| metric | kind | labels | meaning |\n|---|---|---|---|\n{}", rows.concat());
    let (before, rest) = page.split_at(page.find("| metric |").expect("the page has the table"));
    let after = rest.find("\n\n").map_or("", |end| &rest[end + 1..]);
    let expected = format!("{before}{table}{after}");
    let differs = support::differs_from_golden(&path, &expected).is_some();
    assert!(!differs, "docs/reference/metrics.md should have:\n{table}");
}

#[test]
fn the_pages_name_every_subcommand_and_no_other() {
    let help = Command::new(env!("CARGO_BIN_EXE_hallgate")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, list) = help.split_once("Commands:\n").expect("`hallgate --help` lists its commands");
    let there: BTreeSet<&str> = list
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    let pages = pages();
    let named: BTreeSet<&str> = pages
        .iter()
        .flat_map(|(_, page)| page.match_indices("hallgate ").map(|(at, what)| (&page[..at], &page[at + what.len()..])))
        .filter(|(before, _)| before.ends_with(['`', '\n', '/', ' ']) && in_code(before))
        .filter_map(|(_, after)| after.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit()).next())
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    assert_eq!(named, there, "subcommands on the pages (left) differ from those of `hallgate --help` (right)");
}

#[test]
fn every_link_on_a_page_leads_somewhere() {
    let mut breaches = Vec::new();
    for (path, page) in pages() {
        let links = [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')].into_iter().flat_map(|(opens, closes)| {
            page.match_indices(opens).map(move |(at, opens)| (at, at + opens.len(), closes))
        });
        for (_, begins, closes) in links.filter(|(at, ..)| !in_code(&page[..*at])) {
            let (target, _) = page[begins..].split_once(closes).unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(&path).parent().unwrap();
            let file = if file.is_empty() { root().join(&path) } else { root().join(folder).join(file) };
            let there =
                anchor.is_empty() || fs::read_to_string(&file).is_ok_and(|page| anchors(&page).any(|a| a == anchor));
            if !there || !file.exists() {
                breaches.push(format!("{path}: {target}"));
            }
        }
    }
    crate::hold("every link on a page leads somewhere", &breaches);
}

#[test]
fn the_readme_is_read_in_one_sitting() {
    let length = fs::read_to_string(root().join("README.md")).unwrap().len();
    assert!(length <= 9_000, "README.md has {length} bytes: what not every reader needs goes to a page under docs/");
}

/// What the headings of a page are called in links.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(|heading| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    })
}

/// Whether what follows stands in a code span or block.
fn in_code(before: &str) -> bool {
    let fenced = before.matches("```").count() % 2 == 1;
    let line = before.rsplit('\n').next().unwrap();
    fenced || line.matches('`').count() % 2 == 1
}

#[test]
fn every_command_in_contributing_is_there() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut breaches = Vec::new();
    for code in page.split('`').skip(1).step_by(2) {
        let words: Vec<&str> = code.split_whitespace().collect();
        for pair in words.windows(2) {
            let there = match pair {
                ["make", target] => makefile.contains(&format!("\n{target}:")),
                ["--test" | "--bench", name] => {
                    let folder = if pair[0] == "--test" { "tests" } else { "benches" };
                    root().join(folder).join(format!("{name}.rs")).exists()
                }
                _ => true,
            };
            if !there {
                breaches.push(format!("`{code}`: there is no {}", pair[1]));
            }
        }
        let path = ["src/", "tests/", "docs/", "conf/", "benches/"].iter().any(|folder| code.starts_with(folder));
        if path && !root().join(code).exists() {
            breaches.push(format!("`{code}`: there is no such file"));
        }
    }
    crate::hold("every command and file in CONTRIBUTING.md is there", &breaches);
}
