//! Reload: each kind of file changes under a real `serve`, and the next answer changes with it, or nothing does.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "reload/process.rs"]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use process::{Caller, Process, configuration, furnished, rules, worker};
use serde_json::Value;
use support::{Fixture, TOKEN, until};

fn started() -> Process {
    Process::start(furnished(), "hallgate.yaml")
}

#[test]
fn rules_workers_and_the_policy_section_are_in_force_when_they_have_changed() {
    let process = started();
    let first = process.ask(TOKEN);
    assert_eq!((&first["allowed"], &first["matched_rule_id"]), (&true.into(), &"rr_one".into()), "{first}");
    assert_eq!(first["snapshot"], process.readyz()["snapshot"]);

    process.replace("rules.json", &rules("rr_two", "cap.data.read.v1"));
    until(|| process.ask(TOKEN)["matched_rule_id"] == "rr_two");

    // In place, as `>` does.
    fs::write(process.path("enrolled/reader.json"), worker("banned")).unwrap();
    until(|| process.ask(TOKEN)["deny_code"] == "DENY_NO_AVAILABLE_WORKER");
    process.replace("enrolled/reader.json", &worker("active"));
    until(|| process.ask(TOKEN)["allowed"] == true);
    // A second worker of the folder, and then not.
    let other = worker("active").replace("wrk_reader", "wrk_other");
    let before = process.readyz()["snapshot"].clone();
    process.replace("enrolled/other.json", &other);
    until(|| process.readyz()["snapshot"] != before);
    fs::remove_file(process.path("enrolled/other.json")).unwrap();
    until(|| process.readyz()["snapshot"] == before);

    process.replace("hallgate.yaml", &configuration("policy.v2", "low"));
    until(|| process.ask(TOKEN)["policy_version"] == "policy.v2");
    process.replace("hallgate.yaml", &configuration("policy.v2", "high"));
    until(|| process.ask(TOKEN)["deny_code"] == "DENY_NO_MATCHING_RULE");

    assert!(process.metric("hallgate_reloads_total{result=\"applied\"}") >= 7.0);
    assert!(process.metric("hallgate_snapshot_loaded_timestamp_seconds") > 1.7e9);
    let answer = process.ask(TOKEN);
    let info = format!("hallgate_snapshot_info{{snapshot={},policy_version=\"policy.v2\"}}", answer["snapshot"]);
    assert!(process.metric(&info) == 1.0, "{info}");
    process.end();
}

#[test]
fn cedar_policies_are_in_force_when_they_have_changed_and_a_bad_one_is_refused() {
    let fixture = furnished();
    fixture.edit("policy:\n", "policy:\n  gate: policies\n");
    let asking = rules("rr_one", "cap.data.read.v1")
        .replace("\"decision\":{", "\"decision\":{\"escalation\":{\"policy_gate\":true},");
    fixture.write("rules.json", &asking);
    let permit = "@id(\"all\")\npermit(principal, action, resource);\n";
    fixture.write("policies/base.cedar", permit);
    let process = Process::start(fixture, "hallgate.yaml");
    assert_eq!(process.ask(TOKEN)["allowed"], true, "{}", process.ask(TOKEN));
    let forbid = "@id(\"no_dev\")\nforbid(principal, action, resource) when { context.env == \"dev\" };\n";
    process.replace("policies/no.cedar", forbid);
    until(|| process.ask(TOKEN)["deny_code"] == "DENY_POLICY_GATE");
    process.replace("policies/no.cedar", "forbid(principal, action");
    until(|| process.readyz()["refused_change"]["first"].as_str().is_some_and(|first| first.contains("no.cedar")));
    assert_eq!(process.ask(TOKEN)["deny_code"], "DENY_POLICY_GATE", "what is refused lifts nothing");
    fs::remove_file(process.path("policies/no.cedar")).unwrap();
    until(|| process.ask(TOKEN)["allowed"] == true);

    // What would not be read is refused, and so is all that changes with it.
    process.replace("policies/no.CEDAR", forbid);
    until(|| process.readyz()["refused_change"]["first"].as_str().is_some_and(|first| first.contains("no.CEDAR")));
    fs::create_dir(process.path("policies/sub")).unwrap();
    process.replace("policies/sub/no.cedar", forbid);
    fs::remove_file(process.path("policies/no.CEDAR")).unwrap();
    until(|| process.ask(TOKEN)["deny_code"] == "DENY_POLICY_GATE");
    process.replace("policies/sub/no.cedar", permit.replace("all", "more").as_str());
    until(|| process.ask(TOKEN)["allowed"] == true);
}

#[test]
fn a_shadow_is_asked_once_its_files_say_so_and_a_bad_one_refuses_the_change() {
    let fixture = furnished();
    fixture.edit("policy:\n", "policy:\n  shadow: { rules: next.json }\n");
    fixture.write("next.json", &rules("rr_next", "cap.data.read.v1"));
    let process = Process::start(fixture, "hallgate.yaml");
    let in_force = process.readyz()["snapshot"].clone();
    let same = process.ask(TOKEN);
    assert_eq!(same["allowed"], true, "{same}");
    assert_eq!(process.metric("hallgate_shadow_decisions_total"), 1.0);

    process.replace("next.json", &rules("rr_next", "cap.data.write.v1"));
    process.wait_for_log("another shadow is asked");
    assert_eq!((&process.ask(TOKEN)["allowed"], &process.readyz()["snapshot"]), (&true.into(), &in_force));
    let flips = "hallgate_shadow_flips_total{verdict=\"DISPATCH\",shadow=\"DENY\",code=\"DENY_NO_MATCHING_RULE\",\
                 capability=\"cap.data.read.v1\"}";
    assert_eq!(process.metric(flips), 1.0);
    let id = process.ask(TOKEN)["decision_id"].as_str().unwrap().to_owned();

    // Not even what is in force changes with it.
    process.replace("next.json", "{");
    process.replace("rules.json", &rules("rr_two", "cap.data.read.v1"));
    until(|| process.readyz()["refused_change"]["first"].as_str().is_some_and(|first| first.contains("next.json")));
    assert_eq!(process.ask(TOKEN)["matched_rule_id"], "rr_one");
    process.replace("next.json", &rules("rr_next", "cap.data.write.v1"));
    until(|| process.ask(TOKEN)["matched_rule_id"] == "rr_two");

    let run = |arguments: &[&str]| process.run(arguments);
    let (code, out, err) = run(&["check", "--config", "hallgate.yaml"]);
    assert!(
        code == Some(0) && out.contains("its shadow, which is asked and never enforced: 1 rule, 0 policies"),
        "{out}{err}"
    );
    let (code, out, err) = run(&["replay", "--config", "hallgate.yaml", "--shadow", "ledger"]);
    assert!(
        code == Some(1) && out.contains("DISPATCH -> DENY") && out.contains("by the shadow of hallgate.yaml"),
        "{out}{err}"
    );
    let (_, out, err) = run(&["explain", "--config", "hallgate.yaml", &id]);
    assert!(out.contains("\n  shadow: DENY DENY_NO_MATCHING_RULE: no rule"), "{out}{err}");
    process.end();
    let (code, out, err) = run(&["audit", "verify", "--ledger", "ledger"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, _, err) = run(&["replay", "--config", "other.yaml", "--shadow", "ledger"]);
    assert!(code == Some(2), "{err}");
}

#[test]
fn a_token_counts_from_the_moment_that_its_file_says_so() {
    let process = started();
    let mut kept = Caller::new(process.hall(), TOKEN);
    assert_eq!(kept.ask()["allowed"], true);
    let other = "hst_fedcba9876543210";
    assert_eq!(process.ask(other)["error"], "unauthorized");
    process.replace("token", other);
    until(|| process.ask(other)["allowed"] == true);
    assert_eq!(kept.ask()["error"], "unauthorized", "a connection that was open before has no older token");
}

#[test]
fn a_bad_change_is_refused_whole_said_once_and_healed() {
    let process = started();
    let before = process.ask(TOKEN);
    // The rules are good and the worker is not: neither counts.
    process.replace("rules.json", &rules("rr_two", "cap.data.read.v1"));
    process.replace("enrolled/reader.json", "{ \"worker_id\": ");
    until(|| process.readyz().get("refused_change").is_some());
    let ready = process.readyz();
    assert_eq!((&ready["ready"], &ready["snapshot"]), (&true.into(), &before["snapshot"]), "{ready}");
    assert_eq!(ready["refused_change"]["problems"], 1);
    assert!(ready["refused_change"]["first"].as_str().unwrap().contains("reader.json:1:"), "{ready}");
    assert_eq!(process.ask(TOKEN)["matched_rule_id"], "rr_one");
    assert_eq!(process.metric("hallgate_snapshot_stale"), 1.0);
    let line: Value = serde_json::from_str(&process.wait_for_log("a change of files is refused")).unwrap();
    assert_eq!(line["in_force"], before["snapshot"]);
    process.wait_for_log("reader.json:1:");

    // Another change of the same kind of badness, so that we know that it has looked again since.
    process.replace("enrolled/reader.json", "[]");
    process.wait_for_log("a change of files is refused");
    assert_eq!(process.metric("hallgate_reloads_total{result=\"refused\"}"), 2.0, "each bad state is told once");
    let since = &ready["refused_change"]["since"];
    assert_eq!(&process.readyz()["refused_change"]["since"], since, "since it began");

    process.replace("enrolled/reader.json", &worker("active"));
    until(|| process.ask(TOKEN)["matched_rule_id"] == "rr_two");
    assert_eq!((process.readyz().get("refused_change"), process.metric("hallgate_snapshot_stale")), (None, 0.0));

    // Back to what is in force: nothing changes, and the refusal is taken back.
    let good = fs::read_to_string(process.path("rules.json")).unwrap();
    fs::remove_file(process.path("rules.json")).unwrap();
    until(|| process.readyz().get("refused_change").is_some());
    process.replace("rules.json", &good);
    until(|| process.readyz().get("refused_change").is_none());
    // A bad configuration names files that it cannot yet: they are waited for, too.
    let elsewhere = configuration("policy.v1", "low").replace("policy:\n", "policy:\n  rules: later.json\n");
    process.replace("hallgate.yaml", &elsewhere);
    until(|| process.readyz().get("refused_change").is_some());
    process.replace("later.json", &rules("rr_later", "cap.data.read.v1"));
    until(|| process.ask(TOKEN)["matched_rule_id"] == "rr_later");
    assert!(!process.log().contains(TOKEN), "a secret is in the log");
}

#[test]
fn what_counts_from_the_start_only_is_said_and_the_rest_is_put_in_force() {
    let process = started();
    let changed = configuration("policy.v2", "low").replace("linger: 0s", "linger: 1s") + "cache: { max_mib: 7 }\n";
    process.replace("hallgate.yaml", &changed);
    until(|| process.ask(TOKEN)["policy_version"] == "policy.v2");
    let line: Value = serde_json::from_str(&process.wait_for_log("from the next start on only")).unwrap();
    assert_eq!(line["sections"], "cache, shutdown");
}

#[test]
fn a_signal_reloads_at_once_and_says_so_even_when_nothing_has_changed() {
    let process = started();
    process.hang_up();
    process.wait_for_log("nothing in force changes");
    assert_eq!(process.metric("hallgate_reloads_total{result=\"unchanged\"}"), 1.0);
    process.replace("rules.json", "{}");
    process.hang_up();
    process.wait_for_log("a change of files is refused");
    process.hang_up();
    process.wait_for_log("a change of files is refused");
    process.replace("rules.json", &rules("rr_two", "cap.data.read.v1"));
    process.hang_up();
    process.wait_for_log("in force from the next request on");
    assert_eq!(process.ask(TOKEN)["matched_rule_id"], "rr_two");
}

/// Lays files out as Kubernetes mounts a ConfigMap: names lead through `..data` to a folder of one version.
struct ConfigMap {
    mount: std::path::PathBuf,
    versions: usize,
}

impl ConfigMap {
    fn put(&mut self, files: &[(&str, String)]) {
        self.versions += 1;
        let version = format!("..2026_01_01_00_00_{:02}", self.versions);
        fs::create_dir_all(self.mount.join(&version)).unwrap();
        for (name, text) in files {
            fs::write(self.mount.join(&version).join(name), text).unwrap();
            let link = self.mount.join(name);
            if !link.is_symlink() {
                symlink(format!("..data/{name}"), link).unwrap();
            }
        }
        let (data, next) = (self.mount.join("..data"), self.mount.join("..data_tmp"));
        let before = fs::read_link(&data).ok();
        symlink(&version, &next).unwrap();
        fs::rename(next, data).unwrap();
        if let Some(before) = before {
            fs::remove_dir_all(self.mount.join(before)).unwrap();
        }
    }
}

#[test]
fn the_symlinks_of_a_config_map_are_followed_when_they_are_swapped() {
    let fixture = Fixture::new("");
    let mut policy = ConfigMap { mount: fixture.path("policy"), versions: 0 };
    let mut workers = ConfigMap { mount: fixture.path("policy-workers"), versions: 0 };
    fixture.write("token", TOKEN);
    let config = |version: &str| {
        configuration(version, "low")
            .replace("secret_file: token", "secret_file: ../token")
            .replace("policy:\n", "policy:\n  workers: ../policy-workers\n")
            + "ledger: { path: ../ledger, key_file: ../key }\n"
    };
    policy.put(&[("hallgate.yaml", config("policy.v1")), ("rules.json", rules("rr_one", "cap.data.read.v1"))]);
    workers.put(&[("reader.json", worker("active"))]);
    let process = Process::start(fixture, "policy/hallgate.yaml");
    assert_eq!(process.ask(TOKEN)["matched_rule_id"], "rr_one");
    for round in 2..5 {
        let (version, rule) = (format!("policy.v{round}"), format!("rr_{round}"));
        policy.put(&[("hallgate.yaml", config(&version)), ("rules.json", rules(&rule, "cap.data.read.v1"))]);
        until(|| process.ask(TOKEN)["policy_version"] == version.as_str());
        // Both files of one swap count together.
        assert_eq!(process.ask(TOKEN)["matched_rule_id"], rule.as_str());
    }
    workers.put(&[("reader.json", worker("revoked"))]);
    until(|| process.ask(TOKEN)["deny_code"] == "DENY_NO_AVAILABLE_WORKER");
    policy.put(&[("hallgate.yaml", config("policy.v9")), ("rules.json", "{".to_owned())]);
    until(|| process.readyz().get("refused_change").is_some());
    assert_eq!(process.ask(TOKEN)["policy_version"], "policy.v4");
}

#[test]
fn a_thousand_reloads_under_load_lose_and_mix_up_nothing_and_keep_no_memory() {
    let process = started();
    let end = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (hall, end) = (process.hall(), Arc::clone(&end));
            thread::spawn(move || {
                let mut caller = Caller::new(hall, TOKEN);
                let mut seen = BTreeMap::<(String, String), u64>::new();
                while !end.load(Ordering::Relaxed) {
                    let answer = caller.ask();
                    let text = |key: &str| answer[key].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
                    *seen.entry((text("snapshot"), text("matched_rule_id"))).or_default() += 1;
                }
                seen
            })
        })
        .collect();

    // Each round has a snapshot of its own: every third has no rule for the one request that is asked.
    let snapshot = || process.readyz()["snapshot"].as_str().unwrap().to_owned();
    let mut verdicts = BTreeMap::from([(snapshot(), "rr_one".to_owned())]);
    let mut reload = |round: usize| {
        let (id, before) = (format!("rr_{round}"), snapshot());
        let no_rule = round.is_multiple_of(3);
        process.replace("rules.json", &rules(&id, if no_rule { "cap.data.other.v1" } else { "cap.data.read.v1" }));
        process.hang_up();
        until(|| snapshot() != before);
        verdicts.insert(snapshot(), if no_rule { "NO_MATCH".to_owned() } else { id });
    };
    (0..200).for_each(&mut reload);
    let before = process.memory("VmRSS") / 1024;
    (200..1000).for_each(&mut reload);
    let after = process.memory("VmRSS") / 1024;
    end.store(true, Ordering::Relaxed);
    assert_eq!(verdicts.len(), 1001);
    let mut decided_by = BTreeSet::new();
    for caller in callers {
        for ((snapshot, rule), _) in caller.join().expect("a caller saw something else than it must") {
            assert_eq!(verdicts.get(&snapshot), Some(&rule), "a verdict of another snapshot");
            decided_by.insert(snapshot);
        }
    }
    assert!(decided_by.len() > 100, "only {} snapshots decided anything", decided_by.len());
    assert!(process.metric("hallgate_reloads_total{result=\"applied\"}") >= 1000.0);
    assert_eq!(process.metric("hallgate_reloads_total{result=\"refused\"}"), 0.0);
    assert_eq!(process.metric("hallgate_panics_total"), 0.0);
    println!("{before} KiB after 200 reloads, {after} KiB after 1000; {} snapshots decided", decided_by.len());
    assert!(after < before + 8 * 1024, "{before} KiB after 200 reloads, {after} KiB after 1000");
    process.end();
}
