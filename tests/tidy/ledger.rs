//! What the ledger's files may import: the checker by itself, and no file another that imports it.

use std::collections::{BTreeMap, BTreeSet};

use crate::hold;
use crate::source::{Source, sources};

/// The paths of ours that a file names, whole and from the crate's root, each with its line.
fn named(source: &Source) -> Vec<(usize, String)> {
    let module: Vec<&str> = source.path.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
    let mut found = Vec::new();
    for root in ["crate", "super", "self"] {
        for (line, before, after) in source.places(root) {
            // Of `super::super` the first one counts, and `pub(in crate::…)` shows something, and takes nothing.
            if before.ends_with("::") || before.ends_with("(in ") || !after.starts_with("::") {
                continue;
            }
            let (mut base, mut rest) = match root {
                "crate" => (Vec::new(), after),
                "super" => (module[..module.len() - 1].to_vec(), after),
                _ => (module.clone(), after),
            };
            while let Some(more) = rest.strip_prefix("::super") {
                base.pop();
                rest = more;
            }
            let mut leaves = Vec::new();
            expand(&base.join("::"), rest.trim_start_matches("::"), &mut leaves);
            found.extend(leaves.into_iter().map(|leaf| (line, leaf)));
        }
    }
    found
}

/// Appends the paths that follow: one, or each of a group. Gives what is behind them.
fn expand<'t>(base: &str, text: &'t str, into: &mut Vec<String>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start().trim_start_matches(',').trim_start();
            match rest.strip_prefix('}') {
                Some(behind) => return behind,
                None if rest.is_empty() => return rest,
                None => rest = expand(base, rest, into),
            }
        }
    }
    let length = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let path = if base.is_empty() { name.to_owned() } else { format!("{base}::{name}") };
    match rest.strip_prefix("::") {
        Some(more) if more.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '{') => {
            expand(&path, more, into)
        }
        _ => {
            into.push(path);
            // Whatever else stands there, such as `*` or `as name`.
            rest.trim_start_matches(|c: char| !matches!(c, ',' | '}'))
        }
    }
}

#[test]
fn a_path_is_followed_through_groups_and_upwards() {
    let code = "use crate::ids::Digest;\nuse super::{a::{self, B as C}, d};\nlet x = self::e::f(super::super::g);\n";
    let text = || code.to_owned();
    let source = Source { path: "src/ledger/write/queue.rs".to_owned(), text: text(), code: text(), bare: text() };
    let mut paths: Vec<String> = named(&source).into_iter().map(|(line, path)| format!("{line} {path}")).collect();
    paths.sort();
    let expected = [
        "1 ids::Digest",
        "2 ledger::write::a::B",
        "2 ledger::write::a::self",
        "2 ledger::write::d",
        "3 ledger::g",
        "3 ledger::write::queue::e::f",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn the_checker_shares_nothing_with_the_writer_but_the_canonical_form() {
    let mut breaches = Vec::new();
    for source in sources("src/ledger").iter().filter(|source| source.path.starts_with("src/ledger/verify")) {
        for (line, path) in named(source) {
            let may = ["ids::", "ledger::verify::", "ledger::format::canonical"];
            if !may.iter().any(|may| path.starts_with(may)) {
                breaches.push(format!("{}:{line}: `{path}`", source.path));
            }
        }
    }
    hold("the checker shares nothing with the writer but the canonical form", &breaches);
}

/// The files to which imports lead from one.
fn reached<'i>(imports: &'i BTreeMap<String, BTreeSet<String>>, from: &'i String) -> BTreeSet<&'i String> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        next.extend(imports.get(file).into_iter().flatten().filter(|file| seen.insert(*file)));
    }
    seen
}

#[test]
fn no_file_of_the_ledger_imports_in_a_circle() {
    let sources = sources("src/ledger");
    let module = |path: &str| path.trim_start_matches("src/").trim_end_matches(".rs").replace('/', "::");
    let files: BTreeSet<String> = sources.iter().map(|source| module(&source.path)).collect();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in &sources {
        let own = module(&source.path);
        for (_, path) in named(source) {
            // The longest path that is a file has the thing.
            let mut there = path.as_str();
            while !files.contains(there) && there.contains("::") {
                there = there.rsplit_once("::").unwrap().0;
            }
            if files.contains(there) && there != own {
                imports.entry(own.clone()).or_default().insert(there.to_owned());
            }
        }
    }
    assert!(imports.len() > 30, "the imports are written in another way: {imports:?}");
    let breaches: Vec<String> = imports
        .iter()
        .flat_map(|(file, targets)| targets.iter().map(move |target| (file, target)))
        .filter(|(file, target)| reached(&imports, target).contains(file))
        .map(|(file, target)| format!("`{file}` imports `{target}`, which leads back to it"))
        .collect();
    hold("no file of the ledger imports in a circle: what two of them share has a file of its own", &breaches);
}

#[test]
fn no_file_of_the_ledger_asks_its_door_for_what_is_inside() {
    let mut breaches = Vec::new();
    // From the root, so that what is compiled for tests only is known.
    for source in sources("src").iter().filter(|source| source.path.starts_with("src/ledger/")) {
        for (line, path) in named(source) {
            let mut parts = path.split("::").skip_while(|part| *part == "ledger");
            let behind = parts.next().unwrap_or_default();
            if path.starts_with("ledger") && (behind.is_empty() || behind.starts_with(char::is_uppercase)) {
                breaches.push(format!("{}:{line}: `{path}`: name the file that it is in", source.path));
            }
        }
    }
    hold("`src/ledger.rs` says what others see; inside, the file that has a thing is named", &breaches);
}
