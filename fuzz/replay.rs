//! Every law of `fuzz/` over its seeds and over what once broke it: the short form of `make fuzz`, in `make test`.

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::Path;

/// What holds of any bytes, or panics.
type Law = fn(&[u8]);

/// A law by its path, which is also how its target calls it.
macro_rules! laws {
    ($($($step:ident)::+),+ $(,)?) => { [$((&[$(stringify!($step)),+], crate::$($step)::+)),+] };
}

/// The law of each target in `fuzz/fuzz_targets`, which has its name.
const LAWS: [(&[&str], Law); 11] = laws![
    config::laws::config,
    engine::laws::json,
    ledger::laws::canonical,
    ledger::laws::frames,
    ledger::verify::laws::proofs,
    ledger::verify::laws::trees,
    proxy::laws::admission,
    proxy::laws::claims,
    proxy::laws::paths,
    telemetry::traces::laws::traceparent,
    tls::laws::certificates,
];

fn target<'a>(path: &[&'a str]) -> &'a str {
    path.last().unwrap()
}

/// The names of what lies in a folder of `fuzz/`.
fn names(folder: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder);
    let names = fs::read_dir(path).into_iter().flatten().map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn every_law_holds_for_its_seeds_and_for_what_once_broke_it() {
    for (path, law) in LAWS {
        let target = target(path);
        let seeds = names(&format!("seeds/{target}"));
        assert!(!seeds.is_empty(), "fuzz/seeds/{target} is empty");
        let seeds = seeds.iter().map(|name| format!("seeds/{target}/{name}"));
        let broke = names(&format!("regressions/{target}"));
        for file in seeds.chain(broke.iter().map(|name| format!("regressions/{target}/{name}"))) {
            let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(&file)).unwrap();
            if let Err(breach) = panic::catch_unwind(|| law(&bytes)) {
                eprintln!("fuzz/{file} breaks the law of {target}");
                panic::resume_unwind(breach);
            }
        }
    }
}

#[test]
fn every_target_looks_for_breaches_of_its_own_law() {
    let manifest = include_str!("Cargo.toml");
    for (path, _) in LAWS {
        let target = target(path);
        assert!(manifest.contains(&format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"")), "{target}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{target}.rs"));
        let text = fs::read_to_string(file).unwrap();
        assert!(
            text.contains(&format!("fuzz_target!(|bytes: &[u8]| hallgate::{}(bytes));", path.join("::"))),
            "{target}: {text}"
        );
    }
    let targets: BTreeSet<String> = LAWS.iter().map(|(path, _)| target(path).to_owned()).collect();
    for folder in ["seeds", "regressions"] {
        assert!(names(folder).is_subset(&targets), "a folder of fuzz/{folder} belongs to no target");
    }
    assert_eq!(names("fuzz_targets"), targets.iter().map(|target| format!("{target}.rs")).collect());
}
