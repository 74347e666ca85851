//! What is documented is what is there: deny codes, metrics, subcommands and configuration keys.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use hallgate::engine::DenyCode;

use crate::source::root;

/// The README and every page under `docs/`, by name.
fn pages() -> Vec<(String, String)> {
    let mut paths: Vec<_> = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.insert(0, root().join("README.md"));
    paths
        .into_iter()
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// The rows of the README's table whose first cell is in backticks and starts with `prefix`, in order.
fn rows(prefix: &str) -> Vec<String> {
    let (_, readme) = pages().swap_remove(0);
    let first = format!("| `{prefix}");
    readme.lines().filter(|line| line.starts_with(&first)).map(str::to_owned).collect()
}

#[test]
fn the_readme_lists_every_deny_code_as_the_code_says_it() {
    let expected: Vec<String> = DenyCode::ALL
        .iter()
        .map(|code| format!("| `{}` | {} | {} |", code.as_str(), code.meaning(), code.remedy()))
        .collect();
    let found = rows("DENY_");
    assert!(found == expected, "the README's table of deny codes should be:\n{}", expected.join("\n"));
}

#[test]
fn the_readme_lists_every_metric() {
    let telemetry = fs::read_to_string(root().join("src/telemetry.rs")).unwrap();
    let registered = telemetry.split("registry.register").skip(1).filter(|call| call.starts_with(['(', '_']));
    let expected: BTreeSet<String> = registered
        .map(|call| {
            let (kind, arguments) = call.split_once('(').unwrap();
            let name = arguments.split('"').nth(1).unwrap();
            let unit = if kind == "_with_unit" && arguments.contains("Unit::Seconds") { "_seconds" } else { "" };
            format!("hallgate_{name}{unit}")
        })
        .collect();
    assert!(expected.len() > 5, "the registrations in src/telemetry.rs are written in another way: {expected:?}");
    let found: BTreeSet<String> = rows("hallgate_")
        .iter()
        .map(|row| row.split('`').nth(1).unwrap().split('{').next().unwrap().to_owned())
        .collect();
    let found: BTreeSet<String> = found.into_iter().map(|name| name.trim_end_matches("_total").to_owned()).collect();
    assert_eq!(found, expected, "the README's table of metrics (left) differs from src/telemetry.rs (right)");
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
        .filter_map(|(_, after)| after.split(|c: char| !c.is_ascii_lowercase()).next())
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(named, there, "subcommands on the pages (left) differ from those of `hallgate --help` (right)");
}

/// Whether what follows stands in a code span or block.
fn in_code(before: &str) -> bool {
    let fenced = before.matches("```").count() % 2 == 1;
    let line = before.rsplit('\n').next().unwrap();
    fenced || line.matches('`').count() % 2 == 1
}
