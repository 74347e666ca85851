//! What a room may import, where an outside crate is at home, and what the engine never does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::hold;
use crate::source::{Source, root, sources};

/// The rooms in the order of the journey, and what each may import of ours. `main` and `lib` hold nothing.
const ROOMS: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("clock", &[]),
    ("documents", &[]),
    ("database", &[]),
    ("outbound", &["ids"]),
    ("telemetry", &["documents", "outbound"]),
    ("tls", &["documents", "ids"]),
    ("connections", &["ids", "telemetry"]),
    ("engine", &["ids"]),
    ("policy", &["documents", "engine", "ids"]),
    ("registry", &["clock", "database", "documents", "outbound", "telemetry", "engine", "ids"]),
    ("cache", &["engine", "ids"]),
    ("approvals", &["database", "outbound", "telemetry", "engine", "ids"]),
    ("ledger", &["clock", "documents", "telemetry", "engine", "ids"]),
    ("hall", &["clock", "ids", "outbound", "telemetry", "engine", "registry", "cache", "approvals", "ledger"]),
    ("proxy", &["clock", "ids", "telemetry", "tls", "connections", "engine", "hall"]),
    ("console", &["ids", "connections", "engine", "hall"]),
    ("api", &["clock", "ids", "telemetry", "tls", "connections", "engine", "hall", "console"]),
    (
        "config",
        &[
            "documents",
            "ids",
            "outbound",
            "telemetry",
            "tls",
            "connections",
            "engine",
            "policy",
            "registry",
            "cache",
            "approvals",
            "ledger",
            "hall",
            "proxy",
            "api",
        ],
    ),
    ("lint", &["clock", "documents", "ids", "engine", "policy", "registry", "hall", "proxy", "config"]),
    ("cli", EVERYTHING),
];

/// Every room may be imported.
const EVERYTHING: &[&str] = &["*"];

/// The outside crates that have a home: nothing outside of these files and folders may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("ahash", &["cache", "hall/recent", "ledger/decisions"]),
    ("arc_swap", &["hall", "proxy", "tls"]),
    ("askama", &["console"]),
    ("axum", &["api", "console", "cli/demo/upstream"]),
    ("cedar_policy", &["policy"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("crc32fast", &["ledger"]),
    ("ed25519_dalek", &["ledger"]),
    ("flate2", &["api", "telemetry"]),
    ("hickory_resolver", &["proxy"]),
    ("http_body_util", &["api"]),
    ("humantime", &["config"]),
    ("hyper", &["api"]),
    ("hyper_util", &["api"]),
    ("libc", &["registry"]),
    ("marked_yaml", &["cli/k8s", "config"]),
    ("memchr", &["connections", "ledger"]),
    ("miette", &["policy"]),
    ("mimalloc", &["main"]),
    ("moka", &["cache"]),
    ("percent_encoding", &["api/decisions", "console", "proxy", "telemetry"]),
    ("pingora_core", &["connections", "proxy", "api", "tls", "cli/serve"]),
    ("pingora_http", &["connections", "proxy"]),
    ("pingora_proxy", &["proxy"]),
    ("prometheus_client", &["telemetry"]),
    ("prost", &["telemetry"]),
    ("reqwest", &["outbound"]),
    ("ring", &["approvals", "tls"]),
    ("rusqlite", &["approvals/store", "database", "registry"]),
    ("rustix", &["cli/serve", "ledger", "main"]),
    ("rustls", &["tls"]),
    ("signed_note", &["ledger"]),
    ("subtle", &["hall"]),
    ("tempfile", &["cli"]),
    ("tlog_tiles", &["ledger"]),
    ("tower", &["api"]),
    ("tracing_subscriber", &["telemetry"]),
    ("utoipa", &["api"]),
    ("utoipa_axum", &["api"]),
    ("x509_parser", &["tls"]),
];

/// Outside crates that any room but the engine may use, and the engine those of them that do nothing but compute.
const EVERYWHERE: &[&str] = &[
    "async_trait",
    "bytes",
    "futures_util",
    "getrandom",
    "http",
    "jiff",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "tokio",
    "tracing",
    "uuid",
];

/// What the engine never names: it does no I/O and knows no clock, randomness, waiting, logging or thread.
const NEVER_IN_ENGINE: &[&str] = &[
    "async",
    "await",
    "env",
    "fs",
    "getrandom",
    "io",
    "Instant",
    "jiff",
    "net",
    "println",
    "process",
    "rand",
    "RandomState",
    "SystemTime",
    "thread",
    "time",
    "tokio",
    "tracing",
    "uuid",
];

#[test]
fn rooms_import_only_what_the_plan_lets_them() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut breaches = Vec::new();
    for source in &sources("src") {
        let room = source.room();
        if matches!(room, "lib" | "main") {
            continue;
        }
        let Some(may) = allowed.get(room) else {
            breaches.push(format!("{}: `{room}` is no room of the plan", source.path));
            continue;
        };
        for (line, _, after) in source.places("crate") {
            for imported in heads(after) {
                if imported != room && allowed.contains_key(imported) && *may != EVERYTHING && !may.contains(&imported)
                {
                    breaches.push(format!("{}:{line}: `{room}` may not import `{imported}`", source.path));
                }
            }
        }
    }
    hold("rooms import only what the plan lets them", &breaches);
}

/// The modules that a path after `crate` leads to: one, or each of a group.
fn heads(after: &str) -> Vec<&str> {
    let Some(path) = after.strip_prefix("::") else { return Vec::new() };
    let name = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
    let Some(group) = path.strip_prefix('{') else { return vec![&path[..name(path)]] };
    let mut depth = 0;
    let mut expected = true;
    let mut found = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expected = true,
            c if expected && !c.is_whitespace() => {
                found.push(&group[at..at + name(&group[at..])]);
                expected = false;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_room_is_on_the_map_in_the_order_of_the_journey() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut places = Vec::new();
    let mut breaches = Vec::new();
    for (room, _) in ROOMS {
        let purpose = fs::read_to_string(root().join(format!("src/{room}.rs"))).unwrap();
        let purpose = purpose.lines().next().unwrap().trim_start_matches("//! ").to_owned();
        let entry = format!("//! - [`{room}`]: {purpose}");
        match map.lines().position(|line| line == entry) {
            Some(place) => places.push(place),
            None => breaches.push(format!("src/lib.rs lacks the line: {entry}")),
        }
    }
    hold("every room is on the map", &breaches);
    assert!(places.is_sorted(), "the map in src/lib.rs is not in the order of the journey");
    let declared: BTreeSet<&str> = map.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(
        declared,
        ROOMS.iter().map(|(room, _)| *room).collect(),
        "src/lib.rs declares other rooms than the plan's"
    );
}

#[test]
fn outside_crates_stay_at_home_and_none_is_idle() {
    let homes: BTreeMap<&str, &[&str]> = HOMES.iter().copied().collect();
    let sources = sources("src");
    let mut breaches = Vec::new();
    for name in dependencies() {
        let used: Vec<String> = sources.iter().flat_map(|source| uses(source, &name)).collect();
        if used.is_empty() {
            breaches.push(format!("Cargo.toml: nothing uses `{name}`: remove it"));
        }
        match homes.get(name.as_str()) {
            Some(homes) => breaches.extend(
                used.into_iter()
                    .filter(|place| !at_home(place, homes))
                    .map(|place| format!("{place}: `{name}` is at home in {}", homes.join(", "))),
            ),
            None if EVERYWHERE.contains(&name.as_str()) => {}
            None => breaches.push(format!("Cargo.toml: `{name}` has no home: give it one in tests/tidy/rooms.rs")),
        }
    }
    hold("outside crates stay at home and none is idle", &breaches);
}

/// Where a file names an outside crate as the root of a path, as `path:line`.
fn uses(source: &Source, name: &str) -> Vec<String> {
    let rooted = |before: &str, after: &str| {
        let (before, after) = (before.trim_end(), after.trim_start());
        let imported = before.ends_with("use") && (after.starts_with(';') || after.starts_with(" as"));
        imported || (after.starts_with("::") && (!before.ends_with("::") || before.ends_with("< ::")))
    };
    source
        .places(name)
        .filter(|(_, before, after)| rooted(before, after))
        .map(|(line, ..)| format!("{}:{line}", source.path))
        .collect()
}

fn at_home(place: &str, homes: &[&str]) -> bool {
    homes.iter().any(|home| place.starts_with(&format!("src/{home}.rs:")) || place.starts_with(&format!("src/{home}/")))
}

/// The crates under `[dependencies]`, as they are named in code.
fn dependencies() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest.split_once("\n[dependencies]\n").unwrap().1;
    let table = table.split_once("\n[").map_or(table, |(table, _)| table);
    table.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim().replace('-', "_")).collect()
}

#[test]
fn the_engine_only_computes() {
    let mut breaches = Vec::new();
    for source in sources("src").iter().filter(|source| source.room() == "engine") {
        for word in NEVER_IN_ENGINE {
            for (line, before, after) in source.places(word) {
                // `env` and `time` are also the specification's words: what counts is a path or a keyword.
                let path = before.ends_with("std::") || after.starts_with("::") || after.starts_with('!');
                let grouped = before
                    .rsplit_once("use ")
                    .is_some_and(|(_, path)| path.starts_with("std::{") && !path.contains(';'));
                let keyword = matches!(*word, "async" | "await" | "Instant" | "SystemTime" | "RandomState");
                let ours = before.ends_with("self::") || before.ends_with("super::") || before.ends_with("crate::");
                if (path || grouped || keyword) && !ours {
                    breaches.push(format!("{}:{line}: `{word}`", source.path));
                }
            }
        }
    }
    hold("the engine only computes: no I/O, clock, randomness, waiting, logging or thread", &breaches);
}
