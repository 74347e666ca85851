//! Configurations from the outside: every sample in `conf/` loads, and each mistake is reported as the text beside it says.
//!
//! `UPDATE_GOLDEN=1 cargo test --test config` writes the texts anew.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hallgate::config::Config;
use hallgate::engine::Settings;
use hallgate::ids::Digest;
use support::differs_from_golden;

const SECRETS: [(&str, &str); 3] = [
    ("TOKEN", "hst_0123456789abcdef"),
    ("HALL_SESSION_TOKEN", "hst_fedcba9876543210"),
    ("OPENAI_API_KEY", "sk-0123456789abcdef"),
];

fn environment(name: &str) -> Option<String> {
    SECRETS.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "no .{extension} in {folder}");
    files
}

#[test]
fn every_sample_loads() {
    for sample in files("conf", "yaml") {
        let config = Config::load(&sample, &environment).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(!config.snapshot.rules.is_empty() && !config.snapshot.workers.is_empty(), "{sample:?}");
    }
}

#[test]
fn each_mistake_is_reported_as_the_text_beside_it_says() {
    let mut differ = Vec::new();
    for file in files("tests/config", "yaml") {
        let report = match Config::load(&file, &environment) {
            Ok(_) => panic!("{file:?} loads, and should not"),
            Err(problems) => format!("{problems}\n"),
        };
        for (_, secret) in SECRETS.into_iter().chain([("", "hunter2"), ("", "short-secret")]) {
            assert!(!report.contains(secret), "{file:?} gives a secret away: {report}");
        }
        differ.extend(differs_from_golden(&file.with_extension("txt"), &report));
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// A configuration that loads, in a folder of its own.
fn written(folder: &Path, tokens: &str) -> PathBuf {
    let conf = fs::canonicalize("conf").unwrap();
    let text = format!(
        "hall:\n  tokens:\n{tokens}\npolicy: {{ rules: {0}/rules.json, workers: {0}/enrolled }}\nledger: {{ path: log }}\n",
        conf.display()
    );
    let file = folder.join("hallgate.yaml");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn secrets_come_from_files_without_their_last_newline_and_are_kept_as_digests() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in
        [("unix", "hst_0123456789abcdef\n"), ("dos", "hst_0123456789abcdeg\r\n"), ("none", "hst_0123456789abcdeh")]
    {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let tokens =
        ["unix", "dos", "none"].map(|name| format!("    - {{ name: {name}, secret_file: {name}, scopes: [route] }}"));
    let file = written(folder.path(), &tokens.join("\n"));
    let config = Config::load(&file, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let digests: BTreeSet<_> = config.tokens.iter().flat_map(|token| token.secrets.clone()).collect();
    let expected =
        ["hst_0123456789abcdef", "hst_0123456789abcdeg", "hst_0123456789abcdeh"].map(|s| Digest::of(s.as_bytes()));
    assert_eq!(digests, BTreeSet::from(expected));
    assert!(config.gate.is_none(), "without a section `gate` there is a Hall only");
    assert_eq!(config.ledger.path, folder.path().join("log"), "paths are relative to the file");
    assert!(!format!("{config:?}").contains("hst_"));
}

#[test]
fn a_file_of_two_lines_holds_the_new_secret_and_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "    - { name: make, secret_file: token, scopes: [route] }");
    fs::write(folder.path().join("token"), "hst_new-0123456789ab\r\nhst_old-0123456789ab\r\n").unwrap();
    let config = Config::load(&file, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let digests = ["hst_new-0123456789ab", "hst_old-0123456789ab"].map(|secret| Digest::of(secret.as_bytes()));
    assert_eq!(config.tokens.first().unwrap().secrets, digests);

    fs::write(folder.path().join("token"), "hst_one-0123456789ab\nhst_two-0123456789ab\nhst_three-0123456789ab\n")
        .unwrap();
    let problems = Config::load(&file, &|_| None).unwrap_err();
    assert!(problems.to_string().contains("names 3 secrets"), "{problems}");
}

#[test]
fn a_file_with_nothing_or_more_than_a_secret_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (content, why) in [
        ("", "is empty"),
        ("\n", "is empty"),
        ("hst_0123456789abcdef\n\n", "has an empty line"),
        ("short\n", "fewer than 16"),
    ] {
        fs::write(folder.path().join("token"), content).unwrap();
        let file = written(folder.path(), "    - { name: make, secret_file: token, scopes: [route] }");
        let problems = Config::load(&file, &|_| None).unwrap_err();
        assert_eq!(problems.list().len(), 1, "{problems}");
        assert!(problems.list()[0].message.contains(why), "{problems}");
        assert_eq!(problems.list()[0].key, "hall.tokens[0].secret_file");
    }
}

#[test]
fn a_policy_that_says_nothing_has_the_default_settings() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "    - { name: make, secret: hst_0123456789abcdef, scopes: [route] }");
    let config = Config::load(&file, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let settings = &config.snapshot.settings;
    // An environment without a list and one with none in it are the same.
    let egress_allowlist = settings.egress_allowlist.clone();
    assert!(egress_allowlist.values().all(BTreeSet::is_empty));
    assert_eq!(format!("{settings:?}"), format!("{:?}", Settings { egress_allowlist, ..Settings::default() }));
}

#[test]
fn a_file_that_is_not_there_is_one_problem() {
    let problems = Config::load(Path::new("conf/none.yaml"), &|_| None).unwrap_err();
    assert_eq!(problems.list().len(), 1);
    assert!(problems.to_string().starts_with("conf/none.yaml: cannot be read"), "{problems}");
}

/// However a rule is written, it is the same rule.
#[test]
fn rules_in_yaml_are_the_same_rules() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = |name: &str, rules: &str| {
        fs::write(folder.path().join(name), rules).unwrap();
        let enrolled = fs::canonicalize("conf/enrolled").unwrap();
        let policy = format!("policy: {{ rules: {name}, workers: {} }}\n", enrolled.display());
        fs::write(folder.path().join("hallgate.yaml"), policy).unwrap();
        let loaded = Config::load_policy(&folder.path().join("hallgate.yaml"), &environment);
        loaded.unwrap_or_else(|problems| panic!("{problems}")).fingerprint
    };
    let sample = fs::read_to_string("conf/rules.json").unwrap();
    assert_eq!(snapshot("rules.json", &sample), snapshot("same.yaml", &sample));
    let json = r#"{ "rules": [{ "rule_id": "rr_read", "match": { "capability_id": "cap.data.read.v1", "env": { "in": ["dev", "prod"] } },
        "decision": { "max_blast": 70, "escalation": { "policy_gate": false },
        "candidate_workers_ranked": [{ "worker_species_id": "wrk.data.reader", "score_hint": 0.9 }] } }] }"#;
    let yaml = "\
# Who may read.
rules:
  - rule_id: rr_read
    match:
      capability_id: cap.data.read.v1
      env: { in: [dev, prod] }
    decision:
      max_blast: 70
      escalation: { policy_gate: false }
      candidate_workers_ranked:
        - worker_species_id: wrk.data.reader
          score_hint: 0.90
";
    let json = json.replace("wrk.data.reader", species().as_str());
    let yaml = yaml.replace("wrk.data.reader", species().as_str());
    assert_eq!(snapshot("one.json", &json), snapshot("one.yml", &yaml));
}

/// One that a worker of the sample has.
fn species() -> String {
    let file = files("conf/enrolled", "json").remove(0);
    let record: serde_json::Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    record.get("worker_species_id").and_then(serde_json::Value::as_str).unwrap().to_owned()
}
